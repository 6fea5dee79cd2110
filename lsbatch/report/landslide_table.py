"""The table of landslides in the report: rows, fields of the selected one, filter choices."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import geopandas as gpd
import pandas as pd

from lsbatch.inventory import schema

#: Largest number of landslides in the table and on the map; the files contain all.
MOST_LANDSLIDES = 5000
#: Fields of the filter: name, label and order of the values.
CHOICES = (
    ("status", "Status", schema.STATUSES),
    ("confidence", "Confidence", schema.GRADES),
    ("review_state", "Review", schema.REVIEW_STATES),
)
#: Text fields that the search uses in addition to the columns of the table.
SEARCHED = ("comment", "reviewer", "parent_ids", "tiles", "date_method")
#: Significant digits of numbers of the selected landslide: 0.01 m in easting and northing.
DIGITS = 9


def rows(found: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """Return the largest landslides as plain values; None for unknown values."""
    table = pd.DataFrame(found.drop(columns="geometry").head(MOST_LANDSLIDES)).astype(object)
    return table.where(table.notna(), None).to_dict("records")


def records(listed: list[dict[str, Any]], confounders: Iterable[str]) -> dict[str, Any]:
    """Return all fields of all rows as compact JSON: constant values are stored once.

    Returns
    -------
    dict
        fields (list of [name, group, unit, meaning], in the schema's order), same (mapping of name to value), varies
        (names), values (one list a row, in the order of `varies`), searched (names)
    """
    fields = [field for field in schema.fields(confounders) if listed and field.name in listed[0]]
    same = {f.name: _plain(listed[0][f.name]) for f in fields if len({row[f.name] for row in listed}) == 1}
    varies = [field.name for field in fields if field.name not in same]
    return {
        "fields": [[field.name, field.group, field.unit, field.meaning] for field in fields],
        "same": same,
        "varies": varies,
        "values": [[_plain(row[name]) for name in varies] for row in listed],
        "searched": list(SEARCHED),
    }


def _plain(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def choices(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return name, label and values with counts of each filter field."""
    out = []
    for name, label, order in CHOICES:
        counted = Counter(str(row[name]) for row in listed)
        known = [value for value in order if value in counted]
        out.append(
            {
                "name": name,
                "label": label,
                "values": [(value, counted[value]) for value in (*known, *sorted(set(counted) - set(known)))],
            }
        )
    return out
