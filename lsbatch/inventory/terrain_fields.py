"""Terrain fields of landslide records: source, toe, elevation, slope, break of slope."""

from collections.abc import Mapping

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.inventory.parts import Parts
from lsbatch.kernels import slope_profile
from lsbatch.pipeline.outline import STEP_M

#: Pixel side in metres of the coarsest DEM, Copernicus GLO-30: nine pixels of 10 m share one height.
DEM_M = 30.0
#: A smaller difference of mean slopes, in degrees, is not a break that is visible on the ground.
LEAST_BREAK_DEG = 5.0

Columns = Mapping[str, np.ndarray]


def places(parts: Parts, geobox: GeoBox) -> dict[str, np.ndarray]:
    """Return the source (centre of the highest pixel) and the toe (lowest pixel); ties go to the first.

    Parameters
    ----------
    parts : Parts
    geobox : GeoBox
        Of the whole grid.
    """
    top = parts.first(-parts.columns["top_elevation_m"], parts.columns["top_row"], parts.columns["top_col"])
    toe = parts.first(parts.columns["toe_elevation_m"], parts.columns["toe_row"], parts.columns["toe_col"])
    source_x, source_y = centres(geobox, parts.columns["top_row"][top], parts.columns["top_col"][top])
    toe_x, toe_y = centres(geobox, parts.columns["toe_row"][toe], parts.columns["toe_col"][toe])
    return {"source_x": source_x, "source_y": source_y, "toe_x": toe_x, "toe_y": toe_y}


def centres(geobox: GeoBox, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the centres of pixels."""
    a, b, c, d, e, f = geobox.transform[:6]
    x, y = cols + 0.5, rows + 0.5
    return x * a + y * b + c, x * d + y * e + f


def terrain(parts: Parts, places: Columns) -> dict[str, np.ndarray]:
    """Return elevation, slope, aspect and travel angle of each landslide."""
    high, low = parts.most("top_elevation_m"), parts.least("toe_elevation_m")
    away = np.hypot(places["source_x"] - places["toe_x"], places["source_y"] - places["toe_y"])
    aspect = np.degrees(np.arctan2(parts.sum("aspect_sin_sum"), parts.sum("aspect_cos_sum"))) % 360
    return {
        "elevation_min_m": low, "elevation_max_m": high, "relief_m": high - low,
        "slope_mean_deg": parts.mean("slope"), "slope_max_deg": finite(parts.most("slope_max")),
        "aspect_mean_deg": np.where(parts.sum("aspect_sin_count") > 0, aspect, np.nan),
        "travel_angle_deg": np.where(away > 0, np.degrees(np.arctan2(high - low, away)), np.nan),
    }  # fmt: skip


def split(parts: Parts, resolution_m: float) -> dict[str, np.ndarray]:
    """Return the elevation where steep ground ends, from the slope profiles of all parts; NaN without a break.

    With it the share of the pixels above it and the mean slopes on either side.
    """
    step, owner = parts.lists("profile_step")
    order = np.lexsort((step, owner))
    step, owner = step[order], owner[order]
    out = np.full((4, len(parts)), np.nan)
    if step.size:
        # parts of one landslide in several tiles have the same steps
        rows = np.flatnonzero((np.diff(step, prepend=step[0] - 1) != 0) | (np.diff(owner, prepend=-1) != 0))
        step, owner = step[rows], owner[rows]
        pixels, slopes, squares = (
            np.add.reduceat(parts.lists(f"profile_{name}")[0][order], rows) for name in ("px", "slope", "slope2")
        )
        some, starts = np.unique(owner, return_index=True)
        sample = max(1.0, (DEM_M / resolution_m) ** 2)
        first, above, below = slope_profile.breaks_of_slope(starts, pixels, slopes, squares, sample)
        # NaN, where there is no break, is no difference either
        seen = np.flatnonzero(above - below >= 10 * LEAST_BREAK_DEG)
        ends = np.append(starts[1:], len(step))
        sums = np.append(0, np.cumsum(pixels))
        over = (sums[ends] - sums[first])[seen] / (sums[ends] - sums[starts])[seen]
        out[:, some[seen]] = step[first[seen]] * STEP_M, over, above[seen] / 10, below[seen] / 10
    names = ("split_elevation_m", "source_share", "source_slope_deg", "transport_slope_deg")
    return dict(zip(names, out, strict=True))


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values with NaN for infinity."""
    return np.where(np.isfinite(values), values, np.nan)
