"""Images of single landslides: before, after, radar change and probability, with the outline."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from lsbatch.bands import STACK, probability
from lsbatch.catalog.survey import Survey
from lsbatch.report import images
from lsbatch.report.overview_map import path
from lsbatch.settings import Config
from lsbatch.storage import cube

#: Shortest side of a window in pixels, so that a small landslide is seen in its surroundings.
LEAST_PX = 64
#: Longest side that is read; a larger landslide is shown in part.
MOST_PX = 4096
#: Window sides are multiples of this, so that no JPEG block is in two images.
STEP_PX = 16
#: The first `DETAILED` landslides have images of up to 320 pixels, the others of up to 128.
DETAILED, DETAILED_PX, PICTURE_PX = 12, 320, 128
#: A window with a longer side is read separately, not together with the windows of its tile.
ALONE_PX = 512
#: Side of the window divided by the longer side of the landslide.
MARGIN = 1.8
#: Titles of the image kinds; the page refers to a kind by its index in this tuple.
TITLES = (
    "before, true "
    "colour", "after, true colour", "before, radar VV", "after, radar VV", "radar change VV", "probability",
)  # fmt: skip

_OPTICAL = tuple(f"{period}{colour}" for period in ("pre", "post") for colour in "RGB")
_RADAR = ("preVV", "postVV", "diffVV")


@dataclass(frozen=True)
class Window:
    """Rows and columns of the national grid around one landslide or several."""

    rows: slice
    cols: slice

    @property
    def side(self) -> int:
        """Return the pixels from top to bottom; the window of one landslide is square."""
        return self.rows.stop - self.rows.start

    def inside(self, other: "Window") -> tuple[slice, slice]:
        """Return the slices of this window in the array of the other one."""
        top, left = other.rows.start, other.cols.start
        return slice(self.rows.start - top, self.rows.stop - top), slice(self.cols.start - left, self.cols.stop - left)


def window(survey: Survey, shape: shapely.Geometry) -> Window:
    """Return a square around a landslide, with margin."""
    (left, bottom), (right, top) = (
        ~survey.grid.geobox.transform @ corner for corner in np.reshape(shapely.bounds(shape), (2, 2)).tolist()
    )
    # y points downwards in the array: `bottom` is the larger row
    longest = max(right - left, bottom - top)
    side = int(np.clip(np.ceil(longest * MARGIN / STEP_PX) * STEP_PX, LEAST_PX, MOST_PX))
    row, col = round((top + bottom) / 2 - side / 2), round((left + right) / 2 - side / 2)
    return Window(slice(row, row + side), slice(col, col + side))


def quicklooks(survey: Survey, config: Config, shapes: Sequence[shapely.Geometry]) -> list[dict[str, Any]]:
    """Return images and outlines for the page, in the order of the landslides.

    Memory holds the windows of one tile, and the pictures.

    Returns
    -------
    list of dict
        side (of the window, px), px (of a picture), kinds (places in `TITLES`; empty where nothing was observed),
        outline (SVG path in pixels of the window), strip (the pictures side by side, JPEG in base64)
    """
    looks: dict[int, dict[str, Any]] = {}
    for i, where, bands in _windows(survey, config, shapes):
        looks[i] = _look(survey, shapes[i], where, bands, DETAILED_PX if i < DETAILED else PICTURE_PX)
    return [looks[i] for i in range(len(shapes))]


def quicklook(survey: Survey, config: Config, shape: shapely.Geometry) -> dict[str, Any]:
    """Return images and outline of one landslide, for a page that requests them one by one.

    Returns
    -------
    dict
        pictures (list of title, uri), side (of the window, px), metres (of the window), outline (SVG path in pixels of
        the window)
    """
    where = window(survey, shape)
    drawn = _drawn(_read(survey, config, where), where, DETAILED_PX)
    return _told(survey, shape, where, {title: images.png_uri(picture) for title, picture in drawn.items()})


def by_place(
    survey: Survey, config: Config, shapes: Sequence[shapely.Geometry]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each landslide and its images as `quicklook` has them, smaller, those of a tile together."""
    for i, where, bands in _windows(survey, config, shapes):
        drawn = _drawn(bands, where, PICTURE_PX)
        yield i, _told(survey, shapes[i], where, {name: images.webp_uri(one) for name, one in drawn.items()})


def _told(survey: Survey, shape: shapely.Geometry, where: Window, uris: Mapping[str, str]) -> dict[str, Any]:
    return {
        "pictures": [{"title": title, "uri": uri} for title, uri in uris.items()],
        "side": where.side,
        "metres": where.side * survey.grid.resolution_m,
        "outline": _outline(survey, shape, where),
    }


def _windows(
    survey: Survey, config: Config, shapes: Sequence[shapely.Geometry]
) -> Iterator[tuple[int, Window, dict[str, np.ndarray]]]:
    """Yield the number of each landslide, its window and its bands; those of a tile are read together."""
    windows = [window(survey, shape) for shape in shapes]
    for members in _together(survey, windows):
        box = _around([windows[i] for i in members])
        bands = _read(survey, config, box)
        for i in members:
            yield i, windows[i], {name: values[windows[i].inside(box)] for name, values in bands.items()}


def _together(survey: Survey, windows: Sequence[Window]) -> Iterator[list[int]]:
    """Return the windows that are read together: those centred in one tile, and each large one separately."""
    by_tile: dict[tuple[int, ...], list[int]] = defaultdict(list)
    side = survey.grid.tile_px
    for i, one in enumerate(windows):
        tile = ((one.rows.start + one.rows.stop) // 2 // side, (one.cols.start + one.cols.stop) // 2 // side)
        by_tile[tile if one.side <= ALONE_PX else (*tile, i)].append(i)
    yield from by_tile.values()


def _around(windows: Sequence[Window]) -> Window:
    rows, cols = [one.rows for one in windows], [one.cols for one in windows]
    (top, bottom), (left, right) = ((min(s.start for s in spans), max(s.stop for s in spans)) for spans in (rows, cols))
    return Window(slice(top, bottom), slice(left, right))


def _read(survey: Survey, config: Config, where: Window) -> dict[str, np.ndarray]:
    """Read the bands of the archives that the survey has."""
    names = (*(_OPTICAL if config.archives.sentinel2 else ()), *(_RADAR if config.archives.sentinel1 else ()))
    wanted = ((STACK, names), (probability(config.model.family), ("probability",)))
    out: dict[str, np.ndarray] = {}
    for layer, some in wanted:
        out |= cube.read_window(survey.workspace.store, survey.grid, layer, where.rows, where.cols, some)
    return out


def _look(
    survey: Survey, shape: shapely.Geometry, where: Window, bands: dict[str, np.ndarray], most_px: int
) -> dict[str, Any]:
    drawn = _drawn(bands, where, most_px)
    return {
        "side": where.side,
        "px": min(where.side, most_px),
        "kinds": [TITLES.index(title) for title in drawn],
        "outline": _outline(survey, shape, where),
        "strip": images.jpeg_strip(list(drawn.values())) if drawn else "",
    }


def _outline(survey: Survey, shape: shapely.Geometry, where: Window) -> str:
    """Return the SVG path in pixels of the window."""
    affine = ~survey.grid.geobox.transform
    local = shapely.transform(
        shape, lambda xy: np.column_stack(affine @ (xy[:, 0], xy[:, 1])) - (where.cols.start, where.rows.start)
    )
    return path(shapely.simplify(local, where.side / DETAILED_PX / 4), digits=2)


def _drawn(bands: dict[str, np.ndarray], where: Window, most_px: int) -> dict[str, np.ndarray]:
    """Return images by title, with a limit of pixels a side."""
    px = min(where.side, most_px)
    return _pictures({name: images.reduced(values, (px, px)) for name, values in bands.items()})


def _pictures(bands: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return before and after in colour if Sentinel-2 observed both, else in radar; then change and probability."""
    seen = {name for name, values in bands.items() if np.isfinite(values).any()}
    found: list[tuple[str, np.ndarray, np.ndarray]] = []
    if seen.issuperset(_OPTICAL):
        how = images.stretch(*(bands[name] for name in _OPTICAL), gamma=1.5)
        for period, title in (("pre", "before"), ("post", "after")):
            colours = [bands[f"{period}{colour}"] for colour in "RGB"]
            found.append((f"{title}, true colour", images.true_colour(colours, how), colours[0]))
    elif seen.issuperset(("preVV", "postVV")):
        how = images.stretch(bands["preVV"], bands["postVV"])
        for period, title in (("pre", "before"), ("post", "after")):
            found.append((f"{title}, radar VV", images.grey(bands[f"{period}VV"], how), bands[f"{period}VV"]))
    if "diffVV" in seen:
        limit = images.CHANGE_DB
        found.append(("radar change VV", images.ramped(bands["diffVV"], images.CHANGE, -limit, limit), bands["diffVV"]))
    if "probability" in seen:
        found.append(
            ("probability", images.ramped(bands["probability"], images.PROBABILITY, 0, 1), bands["probability"])
        )
    return {title: images.hatched(drawn, ~np.isfinite(values)) for title, drawn, values in found}
