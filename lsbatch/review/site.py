"""The content of the page by its path: files, the list, records, images and tiles."""

import importlib.util
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError
from lsbatch.inventory import areas
from lsbatch.report import templates
from lsbatch.review import listing, mercator, outline_tiles, radar_series
from lsbatch.review.answers import Case
from lsbatch.review.image_tiles import ImageTiles
from lsbatch.review.outline_tiles import Outlines

#: Bytes and media type.
Content = tuple[bytes, str]
JSON = "application/json"
#: Says how to get the map; for a page without it.
MISSING = "the map needs MapLibre, which is not installed: pip install 'lsbatch[view]'"
#: Files of the page.
PAGE = Path(__file__).parent / "page"
#: Media types of those that are sent as they are.
KINDS = {".js": "text/javascript", ".css": "text/css"}
_PAGE = {path.name: KINDS[path.suffix] for path in sorted(PAGE.iterdir()) if path.suffix in KINDS}
MAPLIBRE = {"maplibre-gl.js": "text/javascript", "maplibre-gl.css": "text/css"}
_TILE = r"(\d{1,2})/(\d{1,8})/(\d{1,8})"


def map_folder() -> Path | None:
    """Return the folder of MapLibre GL JS in the package `maplibre`, which is not imported; None if it is missing."""
    spec = importlib.util.find_spec("maplibre")
    places = spec.submodule_search_locations if spec else None
    folder = Path(next(iter(places))) / "srcjs" if places else None
    return folder if folder and all((folder / name).is_file() for name in MAPLIBRE) else None


def html(about: Mapping[str, Any] | None = None) -> str:
    """Return the page; with `about` that of a published folder, which has no form for answers."""
    return templates.environment(PAGE).get_template("page.html.j2").render(about=about)


def described(survey: Survey, images: Sequence[Mapping[str, Any]], *, has_areas: bool) -> dict[str, Any]:
    """Return what the page needs before the list, for a page without answers.

    Parameters
    ----------
    survey : Survey
    images : sequence of mapping
        As `ImageTiles.described` gives them.
    has_areas : bool
        Whether there are outlines of areas.
    """
    return {
        "survey": survey.config.survey.id,
        "uncertain_first": False,
        "is_review": False,
        "map": "",
        "bounds": listing.bounds(survey),
        "images": images,
        "areas": has_areas,
        "outlines": {"minzoom": 0, "maxzoom": outline_tiles.MOST_ZOOM},
    }


class Site:
    """The content of the page of a survey.

    Parameters
    ----------
    case : Case
    is_review : bool
        Whether the page begins with the first landslide without an answer; otherwise with the whole survey.
    """

    def __init__(self, case: Case, *, is_review: bool = False) -> None:
        self.case, self.is_review, self.maplibre = case, is_review, map_folder()
        self._lock = threading.Lock()
        self._outlines: tuple[int, Outlines] | None = None
        self._areas = areas.outlines(case.survey.config)
        self._homes = listing.homes(case, self._areas)

    @cached_property
    def tiles(self) -> ImageTiles:
        """Return the image tiles."""
        return ImageTiles(self.case.survey)

    def prepare(self) -> None:
        """Make what the first picture would wait for: the stretch of the colours and the index of the outlines."""
        self.tiles.described()
        self._current_outlines()

    def get(self, path: str) -> Content | None:
        """Return the content at a path; None if there is none.

        Raises
        ------
        LsbatchError
            If a file of the survey cannot be used.
        OSError
        """
        if not path:
            return html().encode(), "text/html"
        if path in _PAGE:
            return (PAGE / path).read_bytes(), _PAGE[path]
        if path in MAPLIBRE:
            return None if self.maplibre is None else ((self.maplibre / path).read_bytes(), MAPLIBRE[path])
        for pattern, find in _ROUTES:
            if match := pattern.fullmatch(path):
                return find(self, *match.groups())
        return None

    def survey(self) -> Content:
        """Return what the page needs before the list."""
        told = described(self.case.survey, self.tiles.described(), has_areas=bool(self._areas))
        return _json(
            told
            | {
                "uncertain_first": self.case.uncertain_first,
                "is_review": self.is_review,
                "map": "" if self.maplibre else MISSING,
            }
        )

    def landslides(self) -> Content:
        """Return the list."""
        return _json(listing.of_case(self.case, self._current_homes()))

    def areas(self) -> Content | None:
        """Return the outlines of the areas."""
        return (listing.area_outlines(self.case.survey, self._areas), JSON) if self._areas else None

    def record(self, row: str) -> Content | None:
        """Return the record of a landslide."""
        return _json(listing.record(self.case, int(row))) if int(row) < len(self.case.frame) else None

    def pictures(self, row: str) -> Content | None:
        """Return images of a landslide."""
        return _json(self.case.pictures(int(row))) if int(row) < len(self.case.frame) else None

    def series(self, row: str) -> Content | None:
        """Return the Sentinel-1 series of a landslide."""
        if int(row) >= len(self.case.frame):
            return None
        one = self.case.frame.iloc[int(row)]
        return _json(radar_series.of_landslide(self.case.survey, one.geometry, str(one.get("tiles", ""))))

    def image(self, name: str, z: str, x: str, y: str) -> Content | None:
        """Return a tile of an image."""
        tile = _tile(z, x, y)
        return self.tiles.picture(name, tile) if tile and name in self.tiles.images else None

    def outlines(self, z: str, x: str, y: str) -> Content | None:
        """Return a vector tile of outlines."""
        tile = _tile(z, x, y)
        return (self._current_outlines().tile(tile), "application/vnd.mapbox-vector-tile") if tile else None

    def _current_homes(self) -> pd.Series | None:
        """Return the area of each landslide, also of those that were drawn since."""
        if self._homes is not None and len(self._homes) != len(self.case.frame):
            self._homes = listing.homes(self.case, self._areas)
        return self._homes

    def _current_outlines(self) -> Outlines:
        with self._lock:
            edition, frame = self.case.edition, self.case.frame
            if self._outlines is None or self._outlines[0] != edition:
                self._outlines = edition, Outlines.of(frame)
            return self._outlines[1]


def _tile(z: str, x: str, y: str) -> mercator.Tile | None:
    try:
        return mercator.Tile(int(z), int(x), int(y))
    except LsbatchError:
        return None


def _json(value: Any) -> Content:
    return json.dumps(value, separators=(",", ":")).encode(), JSON


_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., Content | None]], ...] = tuple(
    (re.compile(pattern, re.ASCII), find)
    for pattern, find in (
        ("survey", Site.survey),
        ("landslides", Site.landslides),
        ("areas", Site.areas),
        (r"records/(\d{1,9})", Site.record),
        (r"pictures/(\d{1,9})", Site.pictures),
        (r"series/(\d{1,9})", Site.series),
        (rf"images/([a-z0-9-]+)/{_TILE}", Site.image),
        (rf"outlines/\d+/{_TILE}", Site.outlines),
    )
)
