"""Pictures of single landslides: before and after, radar change, probability, each with the outline."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from lsbatch.archive import cube
from lsbatch.archive.survey import Survey
from lsbatch.config import Config
from lsbatch.layers import STACK, probability
from lsbatch.stages.report import pictures
from lsbatch.stages.report.map import path

#: Shortest side of a window in pixels, so that a small landslide is seen in its surroundings.
LEAST_PX = 64
#: Longest side that is read; a larger landslide is shown in part.
MOST_PX = 4096
#: Longest side of a picture.
PICTURE_PX = 320
#: Window's side over the landslide's longer side.
MARGIN = 1.8

_OPTICAL = tuple(f"{period}{colour}" for period in ("pre", "post") for colour in "RGB")
_RADAR = ("preVV", "postVV", "diffVV")


@dataclass(frozen=True)
class Window:
    """Rows and columns of the national lattice around a landslide."""

    rows: slice
    cols: slice

    @property
    def side(self) -> int:
        """Pixels; a window is square."""
        return self.rows.stop - self.rows.start


def window(survey: Survey, shape: shapely.Geometry) -> Window:
    """A square around a landslide, with margin."""
    (left, bottom), (right, top) = (
        ~survey.grid.geobox.transform @ corner for corner in np.reshape(shapely.bounds(shape), (2, 2)).tolist()
    )
    # y was turned on the way: `bottom` is the larger row
    longest = max(right - left, bottom - top)
    side = int(np.clip(np.ceil(longest * MARGIN), LEAST_PX, MOST_PX))
    row, col = round((top + bottom) / 2 - side / 2), round((left + right) / 2 - side / 2)
    return Window(slice(row, row + side), slice(col, col + side))


def quicklook(survey: Survey, config: Config, shape: shapely.Geometry) -> dict[str, Any]:
    """Pictures and outline of one landslide for the page.

    Returns
    -------
    dict
        pictures (list of key, title, uri), side (of the window, px), metres (of the window), outline (SVG path)
    """
    where = window(survey, shape)
    bands = _read(survey, config, where)
    affine = ~survey.grid.geobox.transform
    local = shapely.transform(
        shape, lambda xy: np.column_stack(affine @ (xy[:, 0], xy[:, 1])) - (where.cols.start, where.rows.start)
    )
    return {
        "pictures": _pictures(bands),
        "side": where.side,
        "metres": where.side * config.grid.resolution_m,
        "outline": path(shapely.simplify(local, where.side / PICTURE_PX / 4), digits=2),
    }


def _read(survey: Survey, config: Config, where: Window) -> dict[str, np.ndarray]:
    """Bands of the archives that the survey has, reduced where the window is larger than a picture."""
    names = (*(_OPTICAL if config.archives.sentinel2 else ()), *(_RADAR if config.archives.sentinel1 else ()))
    wanted = ((STACK, names), (probability(config.model.family), ("probability",)))
    out: dict[str, np.ndarray] = {}
    for layer, some in wanted:
        out |= cube.read_window(survey.workspace.store, survey.grid, layer, where.rows, where.cols, some)
    side = min(where.side, PICTURE_PX)
    return {name: pictures.reduced(values, (side, side)) for name, values in out.items()}


def _pictures(bands: dict[str, np.ndarray]) -> list[dict[str, str]]:
    """Before and after in colour where Sentinel-2 saw both, else in radar; then change and probability."""
    seen = {name for name, values in bands.items() if np.isfinite(values).any()}
    found: list[tuple[str, str, np.ndarray, np.ndarray]] = []
    if seen.issuperset(_OPTICAL):
        how = pictures.stretch(*(bands[name] for name in _OPTICAL), gamma=1.5)
        for period, title in (("pre", "before"), ("post", "after")):
            colours = [bands[f"{period}{colour}"] for colour in "RGB"]
            found.append((f"{period}-colour", f"{title}, true colour", pictures.true_colour(colours, how), colours[0]))
    elif seen.issuperset(("preVV", "postVV")):
        how = pictures.stretch(bands["preVV"], bands["postVV"])
        for period, title in (("pre", "before"), ("post", "after")):
            values = bands[f"{period}VV"]
            found.append((f"{period}-radar", f"{title}, radar VV", pictures.grey(values, how), values))
    if "diffVV" in seen:
        limit = pictures.CHANGE_DB
        drawn = pictures.ramped(bands["diffVV"], pictures.CHANGE, -limit, limit)
        found.append(("change", "radar change VV", drawn, bands["diffVV"]))
    if "probability" in seen:
        drawn = pictures.ramped(bands["probability"], pictures.PROBABILITY, 0, 1)
        found.append(("probability", "probability", drawn, bands["probability"]))
    return [
        {"key": key, "title": title, "uri": pictures.png_uri(pictures.hatched(drawn, ~np.isfinite(values)))}
        for key, title, drawn, values in found
    ]
