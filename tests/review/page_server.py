"""The review page of a survey, served in a thread for a test."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lsbatch.catalog.survey import Survey
from lsbatch.review import Case, Site
from lsbatch.review.server import Server
from tests import browser

ID = "landslide_id"


@contextmanager
def serving(survey: Survey, *, uncertain_first: bool = False, is_review: bool = True) -> Iterator[Server]:
    """Serve the page until the block ends."""
    with Server(Site(Case(survey, uncertain_first=uncertain_first), is_review=is_review)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def until(page: browser.Page, script: str) -> None:
    """Wait until a script in the page gives a true value."""
    end = time.monotonic() + 30
    while not page.value(script):
        assert time.monotonic() < end, script
        time.sleep(0.03)


def drawn(page: browser.Page) -> None:
    """Wait until the map shows all its tiles."""
    until(
        page,
        "document.body.dataset.ready === 'yes' && window.lsbatchMap.loaded() && window.lsbatchMap.areTilesLoaded()",
    )
