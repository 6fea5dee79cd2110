"""Draw the picture of docs/years.md: the page that compares years, in a headless Chromium.

python -m docs.draw_years FOLDER [--out docs/pictures/years.png]
"""

import argparse
import tempfile
from pathlib import Path

from tests import browser


def main() -> None:
    """Open the page of the folder and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures" / "years.png")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, browser.Page(Path(profile), 1280, 900) as page:
        page.open((args.folder / "years.html").resolve().as_uri())
        page.picture(args.out)


if __name__ == "__main__":
    main()
