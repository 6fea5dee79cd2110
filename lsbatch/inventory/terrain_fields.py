"""Terrain fields of a landslide record: source, toe, elevation, slope, break of slope."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.kernels import slope_profile
from lsbatch.pipeline.outline import STEP_M
from lsbatch.settings import Config

#: Pixel side in metres of the coarsest DEM, Copernicus GLO-30: nine pixels of 10 m share one height.
DEM_M = 30.0
#: A smaller difference of mean slopes, in degrees, is not a break that is visible on the ground.
LEAST_BREAK_DEG = 5.0


def places(group: pd.DataFrame, survey: Survey) -> dict[str, float]:
    """Return the source (centre of the highest pixel) and the toe (lowest pixel); ties go to the first."""
    top = group.sort_values(["top_elevation_m", "top_row", "top_col"], ascending=[False, True, True]).iloc[0]
    toe = group.sort_values(["toe_elevation_m", "toe_row", "toe_col"]).iloc[0]
    transform = survey.grid.geobox.transform
    source_x, source_y = transform @ (top["top_col"] + 0.5, top["top_row"] + 0.5)
    toe_x, toe_y = transform @ (toe["toe_col"] + 0.5, toe["toe_row"] + 0.5)
    return {"source_x": source_x, "source_y": source_y, "toe_x": toe_x, "toe_y": toe_y}


def terrain(group: pd.DataFrame, places: Mapping[str, float]) -> dict[str, float]:
    high, low = float(group["top_elevation_m"].max()), float(group["toe_elevation_m"].min())
    away = float(np.hypot(places["source_x"] - places["toe_x"], places["source_y"] - places["toe_y"]))
    aspect = np.degrees(np.arctan2(group["aspect_sin_sum"].sum(), group["aspect_cos_sum"].sum())) % 360
    return {
        "elevation_min_m": low, "elevation_max_m": high, "relief_m": high - low,
        "slope_mean_deg": mean(group, "slope"), "slope_max_deg": finite(group["slope_max"].max()),
        "aspect_mean_deg": float(aspect) if group["aspect_sin_count"].sum() else np.nan,
        "travel_angle_deg": float(np.degrees(np.arctan2(high - low, away))) if away else np.nan,
    }  # fmt: skip


def split(group: pd.DataFrame, config: Config) -> dict[str, float]:
    """Return the elevation where steep ground ends, from the slope profiles of all parts."""
    step, *values = (np.concatenate(group[f"profile_{name}"].to_list()) for name in ("step", "px", "slope", "slope2"))
    found = None
    if step.size:
        low = int(step.min())
        pixels, slopes, squares = (np.bincount(step - low, each) for each in values)
        found = slope_profile.break_of_slope(pixels, slopes, squares, max(1.0, (DEM_M / config.grid.resolution_m) ** 2))
    if found is None or found[1] - found[2] < 10 * LEAST_BREAK_DEG:
        return dict.fromkeys(("split_elevation_m", "source_share", "source_slope_deg", "transport_slope_deg"), np.nan)
    first, above, below = found
    return {
        "split_elevation_m": (low + first) * STEP_M, "source_share": float(pixels[first:].sum() / pixels.sum()),
        "source_slope_deg": above / 10, "transport_slope_deg": below / 10,
    }  # fmt: skip


def mean(group: pd.DataFrame, name: str) -> float:
    count = group[f"{name}_count"].sum()
    return float(group[f"{name}_sum"].sum() / count) if count else np.nan


def finite(value: float) -> float:
    return float(value) if np.isfinite(value) else np.nan
