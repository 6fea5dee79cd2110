"""Publish a survey and draw the pictures of docs/publish.md: its page at two widths in a headless Chromium.

python -m docs.draw_publish CONFIG [--out docs/pictures]
"""

import argparse
import tempfile
from pathlib import Path

from docs.draw_view import IDLE, until
from lsbatch import settings
from lsbatch.catalog.survey import open_survey
from lsbatch.review import publication
from lsbatch.settings import PublishSettings
from tests import browser, servers

#: Name of the picture: width and height of the view, and where the page is scrolled to.
VIEWS = {
    "publish": (1280, 760, "header"),
    "publish-about": (1280, 760, "#about"),
    "publish-narrow": (390, 844, "header"),
}
TEXTS = PublishSettings(licence="CC-BY-4.0", contact="landslides@agency.example")


def main() -> None:
    """Publish into a temporary folder, open the page and save the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    args = parser.parse_args()
    config = settings.load(args.config).model_copy(update={"publish": TEXTS})
    with tempfile.TemporaryDirectory() as name:
        site = Path(name) / "site"
        publication.publish(open_survey(config), site, print)
        with servers.serve(site) as served:
            for picture, (width, height, at) in VIEWS.items():
                profile = Path(name) / picture
                profile.mkdir()
                with browser.Page(profile, width, height) as page:
                    page.open(f"{served.url}/index.html")
                    until(page, "document.querySelector('#list button') !== null")
                    page.value("document.querySelector('#list button').click()")
                    until(page, IDLE)
                    page.value(f"document.querySelector('{at}').scrollIntoView()")
                    page.picture(args.out / f"{picture}.png", whole=False)


if __name__ == "__main__":
    main()
