"""The Sentinel-1 series of a landslide, where the survey kept it to date landslides."""

from typing import Any

import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import dating
from lsbatch.pipeline.radar_series import SERIES
from lsbatch.storage import files, vectors


def of_landslide(survey: Survey, shape: shapely.Geometry, tiles: str) -> list[dict[str, Any]]:
    """Return one series for each relative orbit and direction; none if no series was kept.

    Parameters
    ----------
    survey : Survey
    shape : shapely geometry
        Its outline, in the grid's CRS.
    tiles : str
        Names of its tiles, separated by `;`.

    Returns
    -------
    list of dict
        name; days (since 1970, with the time of day); db: VV inside the outline over VV around it, None if unknown
    """
    found = [rows for name in tiles.split(";") if name for rows in _passes(survey, shape, name)]
    if not found:
        return []
    passes = dating.joined(pd.concat(found, ignore_index=True))
    return [_series(" ".join(map(str, key)), rows) for key, rows in passes.groupby(list(SERIES), sort=True)]


def _passes(survey: Survey, shape: shapely.Geometry, tile: str) -> list[pd.DataFrame]:
    """Return the passes over the parts of a landslide in a tile."""
    outline, date = (survey.workspace.part(stage, tile) for stage in ("outline", "date"))
    if not (files.exists(outline) and files.exists(date)):
        return []
    parts = vectors.read_part(outline)
    # a part shares its area with the landslide; neighbours share a corner at most
    inside = shapely.area(shapely.intersection(parts.geometry.values, shape)) > 0
    passes = vectors.read_table(date)
    here = passes[passes["label"].isin(parts["label"][inside])] if "label" in passes else passes
    return [here] if len(here) else []


def _series(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    inside, around = (
        np.divide(
            rows[f"VV_{place}_sum"].to_numpy(float), rows[f"VV_{place}_px"].to_numpy(float),
            out=np.full(len(rows), np.nan), where=rows[f"VV_{place}_px"].to_numpy() > 0,
        )
        for place in ("inside", "around")
    )  # fmt: skip
    known = (inside > 0) & (around > 0)
    ratio = np.where(known, 10 * np.log10(np.where(known, inside / np.where(around > 0, around, 1), 1)), np.nan)
    return {
        "name": name,
        "days": np.round(rows["time_days"].to_numpy(float), 2).tolist(),
        "db": [round(value, 2) if np.isfinite(value) else None for value in ratio.tolist()],
    }
