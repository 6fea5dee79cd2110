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
    source_x, source_y = geobox.transform @ _centres(parts, "top", top)
    toe_x, toe_y = geobox.transform @ _centres(parts, "toe", toe)
    return {"source_x": source_x, "source_y": source_y, "toe_x": toe_x, "toe_y": toe_y}


def _centres(parts: Parts, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return parts.columns[f"{name}_col"][rows] + 0.5, parts.columns[f"{name}_row"][rows] + 0.5


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
    """Return the elevation where steep ground ends, from the slope profiles of all parts."""
    step, owner = parts.lists("profile_step")
    order = np.argsort(owner, kind="stable")
    cuts = np.searchsorted(owner[order], np.arange(1, len(parts)))
    columns = [step, *(parts.lists(f"profile_{name}")[0] for name in ("px", "slope", "slope2"))]
    profiles = zip(*(np.split(values[order], cuts) for values in columns), strict=True)
    sample = max(1.0, (DEM_M / resolution_m) ** 2)
    rows = np.array([_split(*profile, sample) for profile in profiles]).reshape(-1, 4)
    names = ("split_elevation_m", "source_share", "source_slope_deg", "transport_slope_deg")
    return dict(zip(names, rows.T, strict=True))


def _split(
    step: np.ndarray, px: np.ndarray, slope: np.ndarray, slope2: np.ndarray, sample: float
) -> tuple[float, float, float, float]:
    """Return elevation of the break, share of pixels above it and the mean slopes; NaN if there is none."""
    found = None
    if step.size:
        low = int(step.min())
        pixels, slopes, squares = (np.bincount(step - low, values) for values in (px, slope, slope2))
        found = slope_profile.break_of_slope(pixels, slopes, squares, sample)
    if found is None or found[1] - found[2] < 10 * LEAST_BREAK_DEG:
        return (np.nan, np.nan, np.nan, np.nan)
    first, above, below = found
    return (low + first) * STEP_M, float(pixels[first:].sum() / pixels.sum()), above / 10, below / 10


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values with NaN for infinity."""
    return np.where(np.isfinite(values), values, np.nan)
