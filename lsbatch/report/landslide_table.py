"""The landslides of the report as data for the browser: all fields by column, and filter choices."""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd
import pandas as pd

from lsbatch.inventory import schema

#: Fields of the filter: name, label and order of the values.
CHOICES = (
    ("status", "Status", schema.STATUSES),
    ("confidence", "Confidence", schema.GRADES),
    ("review_state", "Review", schema.REVIEW_STATES),
)
#: Text fields that the search uses in addition to the columns of the table.
SEARCHED = ("comment", "reviewer", "parent_ids", "tiles", "date_method")
#: Significant digits of numbers, and those of coordinates and areas: 0.01 m in easting and northing. 50,000 landslides
#: with nine digits in every field were 13 MB of the page.
DIGITS, PLACE_DIGITS = 5, 9
PLACES = ("area_m2", "source_x", "source_y", "toe_x", "toe_y")


def records(found: gpd.GeoDataFrame, confounders: Iterable[str]) -> dict[str, Any]:
    """Return all fields of all landslides as columns; constant values are stored once.

    Returns
    -------
    dict
        count, fields (list of [name, group, unit, meaning], in the schema's order), same (mapping of name to value),
        columns (mapping of name to list of values; None for unknown values), searched (names)
    """
    fields = [field for field in schema.fields(confounders) if field.name in found]
    columns = {field.name: _plain(found[field.name]) for field in fields}
    same = {name: values[0] for name, values in columns.items() if len(set(values)) == 1}
    return {
        "count": len(found),
        "fields": [[field.name, field.group, field.unit, field.meaning] for field in fields],
        "same": same,
        "columns": {name: values for name, values in columns.items() if name not in same},
        "searched": list(SEARCHED),
    }


def _plain(column: pd.Series) -> list[Any]:
    """Return plain values: None for unknown values, and numbers with few digits, which compress better."""
    known = column.astype(object).where(column.notna(), None)
    digits = PLACE_DIGITS if column.name in PLACES else DIGITS
    return [float(f"{value:.{digits}g}") if isinstance(value, float) else value for value in known]


def packed(content: Mapping[str, Any]) -> str:
    """Return content as JSON, compressed by gzip, in base64; the browser unpacks it.

    50,000 landslides take a third of the bytes of JSON, and the browser reads no element for each of them.
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def choices(found: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """Return name, label and values with counts of each filter field."""
    out = []
    for name, label, order in CHOICES:
        counted = Counter(found[name].astype(str))
        known = [value for value in order if value in counted]
        out.append(
            {
                "name": name,
                "label": label,
                "values": [(value, counted[value]) for value in (*known, *sorted(set(counted) - set(known)))],
            }
        )
    return out
