"""What the page shows of the landslides: the columns of the list, and the record of one landslide."""

import json
from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import areas, inventory_files, schema
from lsbatch.inventory.previous_inventory import ID
from lsbatch.review import mercator
from lsbatch.review.answers import Answers, Case

#: Columns of few texts, which are sent as numbers of a list of texts.
CATEGORIES = ("status", "confidence", "observation")
#: Fields that a record shows elsewhere on the page, or not at all.
_HIDDEN = (ID, "review_state", "reviewer", "comment")
#: Outlines to edit and of areas are simplified by this many pixels.
EDIT_PX, AREA_PX = 0.75, 5.0
LONLAT = "EPSG:4326"


def of_case(case: Case, homes: pd.Series | None) -> dict[str, Any]:
    """Return the list of a survey with the answers of reviewers; `homes` as in `table`."""
    answers = case.answers()
    return table(case.survey, case.frame, homes) | {"answers": _answers(case, answers), "edition": case.edition}


def table(survey: Survey, frame: gpd.GeoDataFrame, homes: pd.Series | None) -> dict[str, Any]:
    """Return the columns of all landslides, plain values; unknown numbers are None.

    Parameters
    ----------
    survey : Survey
    frame : GeoDataFrame
    homes : Series of str or None
        The area of each landslide.
    """
    columns: dict[str, Any] = {
        "id": frame[ID].tolist(),
        "area": np.rint(frame["area_m2"]).astype(int).tolist(),
        "earliest": days(frame["date_earliest"]),
        "latest": days(frame["date_latest"]),
        **dict(zip(("lon", "lat"), _places(survey, frame), strict=True)),
    }
    categories = {name: frame[name] for name in CATEGORIES if name in frame}
    if homes is not None:
        categories["county"] = homes
    codes, texts = {}, {}
    for name, values in categories.items():
        numbers, unique = pd.factorize(values.astype(str))
        codes[name], texts[name] = numbers.tolist(), unique.tolist()
    if "uncertainty" in frame:
        columns["uncertainty"] = [plain(value) for value in frame["uncertainty"].tolist()]
    return {"columns": columns | codes, "texts": texts, "states": frame["review_state"].tolist()}


def _answers(case: Case, answers: Answers) -> dict[int, dict[str, Any]]:
    """Return the answers by row, of landslides with one in the journal, or with more than a state in the inventory."""
    frame = case.frame
    said = np.flatnonzero((frame["reviewer"] != "") | (frame["comment"] != "")).tolist()
    rows = {*said, *(case.rows[name] for name in answers if name in case.rows)}
    return {row: case.answer(frame[ID].iat[row], answers) for row in sorted(rows)}


def days(values: pd.Series) -> list[str]:
    """Return ISO days of texts, dates or times; empty if unknown."""
    return values.astype("str").str.slice(0, 10).replace({"NaT": "", "None": "", "nan": ""}).tolist()


def _places(survey: Survey, frame: gpd.GeoDataFrame) -> tuple[list[float], list[float]]:
    """Return longitude and latitude of the middle of the box of each landslide."""
    left, bottom, right, top = shapely.bounds(frame.geometry.values).reshape(-1, 4).T
    to_lonlat = mercator.transformer(survey.grid.crs, LONLAT)
    lon, lat = to_lonlat.transform((left + right) / 2, (bottom + top) / 2)
    return np.round(lon, 6).tolist(), np.round(lat, 6).tolist()


def record(case: Case, row: int) -> dict[str, Any]:
    """Return the fields of a landslide, its box, and corners to edit, in degrees."""
    one, shape = case.frame.iloc[row], case.frame.geometry.iat[row]
    fields = [
        field | {"value": value}
        for field in fields_of(case.survey, case.frame)
        if (value := plain(one[field["name"]])) is not None and value != ""
    ]
    parts = shapely.get_parts(shape)
    largest = parts[shapely.area(parts).argmax()]
    ring = shapely.simplify(largest, EDIT_PX * case.survey.grid.resolution_m).exterior
    return {
        "fields": fields,
        "bounds": _lonlat(case.survey, shapely.box(*shape.bounds)).bounds,
        "corners": np.round(shapely.get_coordinates(_lonlat(case.survey, ring)), 7)[:-1].tolist(),
        "parts": len(parts) + int(shapely.get_num_interior_rings(largest)),
    }


def fields_of(survey: Survey, frame: gpd.GeoDataFrame) -> list[dict[str, str]]:
    """Return name, title and meaning of the fields that a record shows."""
    inventory = survey.config.inventory
    told = inventory_files.described(schema.fields(inventory.confounders), inventory.language)
    described = {column.name: column for column in told}
    names = [str(name) for name in frame.columns.drop("geometry") if name not in _HIDDEN]
    return [
        {"name": name, "title": described[name].title, "meaning": described[name].meaning}
        if name in described
        else {"name": name, "title": name, "meaning": ""}
        for name in names
    ]


def bounds(survey: Survey) -> tuple[float, ...]:
    """Return west, south, east, north of the survey in degrees."""
    to_lonlat = mercator.transformer(survey.grid.crs, LONLAT)
    return tuple(to_lonlat.transform_bounds(*survey.grid.bounds, densify_pts=21))


def area_outlines(survey: Survey, shapes: Mapping[str, shapely.Geometry]) -> bytes:
    """Return the outlines of areas as GeoJSON in degrees, without their names."""
    thin = shapely.simplify(np.array(list(shapes.values()), object), AREA_PX * survey.grid.resolution_m)
    features = [
        {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(_lonlat(survey, one)))}
        for one in thin
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def homes(case: Case, shapes: Mapping[str, shapely.Geometry]) -> pd.Series | None:
    """Return the area of each landslide; None without areas."""
    return areas.homes(shapes, case.frame) if shapes else None


def _lonlat(survey: Survey, shape: shapely.Geometry) -> shapely.Geometry:
    to_lonlat = mercator.transformer(survey.grid.crs, LONLAT)
    return shapely.transform(shape, to_lonlat.transform, interleaved=False)


def plain(value: Any) -> Any:
    """Return a value for JSON: None for an unknown number, an empty text for an unknown text or day."""
    if isinstance(value, (float, np.floating)):
        return round(float(value), 3) if np.isfinite(value) else None
    if isinstance(value, (int, np.integer)):
        return int(value)
    return "" if value is None or value is pd.NaT else str(value)
