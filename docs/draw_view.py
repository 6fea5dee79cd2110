"""Draw the picture of docs/view.md: the page of a survey in a headless Chromium.

python -m docs.draw_view CONFIG [--out docs/pictures/view.png]
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

from lsbatch import review, settings
from lsbatch.catalog.survey import open_survey
from lsbatch.review.server import Server
from tests import browser

IDLE = (
    "document.body !== null && document.body.dataset.ready === 'yes' && "
    "window.lsbatchMaps.every(one => one.loaded() && one.areTilesLoaded()) && "
    "document.querySelectorAll('#pictures img').length > 0"
)
#: The first landslide of the list, and the image before it left of the divider.
STEPS = (
    "document.querySelector('#list button').click()",
    "document.getElementById('beside').value = 'before'; "
    "document.getElementById('beside').dispatchEvent(new Event('change'))",
)


def main() -> None:
    """Serve the survey, open the page and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures" / "view.png")
    args = parser.parse_args()
    site = review.Site(review.Case(open_survey(settings.load(args.config))))
    with Server(site) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever).start()
        try:
            with browser.Page(Path(profile), 1280, 760) as page:
                page.open(server.address)
                until(page, "document.querySelector('#list button') !== null")
                for step in STEPS:
                    page.value(step)
                    until(page, IDLE)
                    # the second map begins to load
                    time.sleep(2)
                until(page, IDLE)
                page.picture(args.out, whole=False)
        finally:
            server.shutdown()


def until(page: browser.Page, script: str) -> None:
    end = time.monotonic() + 60
    while not page.value(script):
        if time.monotonic() > end:
            raise SystemExit(f"not within 60 s: {script}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
