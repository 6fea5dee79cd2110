"""Outlines that a reviewer draws on the map: checked, and added to the landslides of the page."""

from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError
from lsbatch.inventory import record_fields, schema, year_matching
from lsbatch.inventory.previous_inventory import ID
from lsbatch.inventory.reviews import Drawing
from lsbatch.pipeline import drawn_outlines
from lsbatch.review import mercator

#: Limits of an outline.
MOST_CORNERS = 2000
MOST_KM2 = 100.0
#: A missed landslide may be covered by others up to this share; else their outline is to be edited.
MOST_COVERED = 0.5
#: Corners are stored in metres to this many decimals.
DIGITS = 2


def polygon(survey: Survey, corners: Any) -> shapely.Polygon:
    """Return the polygon of corners in the grid's CRS.

    Parameters
    ----------
    survey : Survey
    corners : list of (longitude, latitude)
        In degrees, the first one not repeated.

    Raises
    ------
    LsbatchError
        If it is no outline of a landslide in the survey.
    """
    if not isinstance(corners, list) or not 3 <= len(corners) <= MOST_CORNERS:
        raise LsbatchError(f"an outline must have 3 to {MOST_CORNERS:,} corners")
    if not all(_is_place(one) for one in corners):
        raise LsbatchError("each corner of an outline must be longitude and latitude in degrees")
    to_grid = mercator.transformer("EPSG:4326", survey.grid.crs)
    places = np.round(np.column_stack(to_grid.transform(*np.array(corners, float).T)), DIGITS)
    if not np.isfinite(places).all() or not shapely.box(*survey.grid.bounds).contains(shapely.MultiPoint(places)):
        raise LsbatchError("the outline must lie in the survey")
    shape = shapely.Polygon(places)
    if not shape.is_valid:
        raise LsbatchError("the outline crosses or touches itself; draw it again")
    if not drawn_outlines.is_inside(survey, shape):
        raise LsbatchError("the outline must lie in a tile of the survey")
    if not survey.grid.resolution_m**2 <= shape.area <= MOST_KM2 * 1e6:
        raise LsbatchError(f"the outline must have at least the area of a pixel, and at most {MOST_KM2:g} km2")
    return shape


def _is_place(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(one) in (int, float) for one in value)
        and abs(value[0]) <= 180
        and abs(value[1]) < 90
    )


def corners(shape: shapely.Polygon) -> list[list[float]]:
    """Return x and y of the corners for the journal, the first one not repeated."""
    return shapely.get_coordinates(shape)[:-1].tolist()


def new_id(survey: Survey, frame: gpd.GeoDataFrame, shape: shapely.Polygon, taken: Iterable[str]) -> str:
    """Return an id that is not taken for a landslide that the survey missed.

    Raises
    ------
    LsbatchError
        If other landslides cover most of it.
    """
    near = frame.iloc[frame.sindex.query(shape, predicate="intersects")]
    shares = shapely.area(shapely.intersection(near.geometry.values, shape)) / shape.area
    if len(near) and shares.sum() > MOST_COVERED:
        name = near[ID].iat[int(shares.argmax())]
        raise LsbatchError(f"{name} covers most of the outline; edit the outline of that landslide instead")
    place = shape.representative_point()
    name = f"{survey.config.survey.id}-{record_fields.place_id(survey.config.grid.crs, place.x, place.y)}"
    return year_matching.unused(name, set(taken))


def changes(
    frame: gpd.GeoDataFrame, drawings: Mapping[str, Drawing]
) -> tuple[dict[int, shapely.Geometry], dict[str, Drawing]]:
    """Return the outlines that differ from those of the landslides, by row, and the landslides that are not there."""
    rows = {name: i for i, name in enumerate(frame[ID])} if drawings else {}
    changed = {
        rows[name]: one.shape
        for name, one in drawings.items()
        if name in rows and not one.shape.equals_exact(frame.geometry.iat[rows[name]], 1e-6)
    }
    return changed, {name: one for name, one in drawings.items() if one.is_missed and name not in rows}


def rows(survey: Survey, frame: gpd.GeoDataFrame, added: Mapping[str, Drawing]) -> gpd.GeoDataFrame:
    """Return landslides with the columns of a frame, as far as they are known before the inventory is made again."""
    windows, config = survey.config.survey.windows, survey.config
    shapes = [one.shape for one in added.values()]
    known: dict[str, Any] = {
        ID: list(added),
        "survey_id": config.survey.id,
        "version": 1,
        "status": "new",
        "observation": year_matching.FOUND,
        "date_earliest": windows.pre[0].isoformat(),
        "date_latest": windows.post[1].isoformat(),
        "date_method": "survey windows",
        "area_m2": [shape.area for shape in shapes],
        "outline": schema.DRAWN,
        "review_state": "confirmed",
        "reviewer": [one.reviewer for one in added.values()],
        "comment": [one.comment for one in added.values()],
        "reviewed_version": 1,
    }
    table = pd.DataFrame(index=range(len(added)))
    for name, kind in frame.drop(columns="geometry").dtypes.items():
        empty = 0 if kind.kind in "iu" else np.nan if kind.kind == "f" else ""
        table[name] = pd.Series(known.get(str(name), empty), index=table.index).astype(kind)
    return gpd.GeoDataFrame(table, geometry=shapes, crs=frame.crs)
