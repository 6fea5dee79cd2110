"""The fields of the inventory. They define the file columns, the table in docs/inventory.md and the checks."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from lsbatch.errors import LsbatchError
from lsbatch.pipeline.types import FOUND

#: Values of `observation`: found by this survey, or kept from an earlier year.
OBSERVATIONS = (FOUND, "nothing found", "not observed")
#: Values of `status`: the change of a landslide since last year.
STATUSES = ("new", "persisting", "enlarged", "reactivated", "gone")
#: Values of `review_state`.
REVIEW_STATES = ("unreviewed", "confirmed", "rejected")
#: Values of `outline` for a landslide that only a reviewer found, and for an outline that a reviewer corrected.
DRAWN, EDITED = "drawn by reviewer", "edited by reviewer"
#: Values of `confidence`, see `lsbatch.inventory.records`.
GRADES = ("high", "medium", "low")
#: Decimals of a number by its unit: what the pixels and the DEM can tell, and no more.
DIGITS = {"m2": 0, "m": 1, "degree": 1, "dB": 2, "1": 3, "km2": 4, "1/1000 km2": 2}
#: Fields with other decimals: the profile of slopes has steps of 5 m, the histogram of probabilities has 100 bins, and
#: little of an area is landslide.
OTHER_DIGITS = {"split_elevation_m": 0, "probability_p10": 2, "probability_p90": 2, "landslide_share": 6}


@dataclass(frozen=True)
class Field:
    """One column.

    Attributes
    ----------
    name, group, meaning : str
        `meaning` is the sentence in the documentation.
    dtype : str
        str, date, float64 or int64. A date is a text in memory, such as 2026-07-01, and a date in the files.
    unit : str
        Empty if there is none.
    empty : bool
        Whether it may be unknown: NaN or an empty text.
    least, most : float or None
        Bounds of a number, both included.
    values : tuple of str
        Allowed texts; empty allows any.
    """

    name: str
    group: str
    dtype: str
    meaning: str
    unit: str = ""
    empty: bool = False
    least: float | None = None
    most: float | None = None
    values: tuple[str, ...] = ()

    @property
    def digits(self) -> int | None:
        """Return the decimals of its values; None if it is no decimal number."""
        return OTHER_DIGITS.get(self.name, DIGITS[self.unit]) if self.dtype == "float64" else None


def _text(name: str, group: str, meaning: str, *, empty: bool = False, values: tuple[str, ...] = ()) -> Field:
    return Field(name, group, "str", meaning, empty=empty, values=values)


def _share(name: str, group: str, meaning: str, *, empty: bool = False) -> Field:
    return Field(name, group, "float64", meaning, "1", empty, 0.0, 1.0)


def _number(
    name: str,
    group: str,
    unit: str,
    meaning: str,
    least: float | None = None,
    most: float | None = None,
    *,
    empty: bool = True,
) -> Field:
    return Field(name, group, "float64", meaning, unit, empty, least, most)


FIELDS: tuple[Field, ...] = (
    _text("landslide_id", "identity", "survey id and ten hex digits from the position of its first pixel; independent "
                                      "of tiles and workers; kept when the survey is run again, and from year to "
                                      "year: [linking](linking.md)"),
    _text("survey_id", "identity", "id of the survey that drew the outline"),
    Field("version", "identity", "int64", "1, increased by one whenever its outline or `observation` "
                                          "changes", least=1),
    _text("status", "identity", "`new`, `persisting`, `enlarged`, `reactivated` or `gone`; `new` until years are "
                                "linked", values=STATUSES),
    _text("observation", "identity", "`found`: drawn by this survey; `nothing found`, `not observed`: kept from an "
                                     "earlier year; counts and sums include only `found`", values=OBSERVATIONS),
    _text("parent_ids", "identity", "landslides that it was split from, or that were merged into it, separated "
                                    "by `;`", empty=True),
    Field("date_earliest", "time", "date", "day on which the landslide had not yet occurred"),
    Field("date_latest", "time", "date", "day on which the landslide had occurred"),
    _text("date_method", "time", "source of the two days, see below"),
    _share("date_confidence", "time", "for `Sentinel-1 series`: probability that it occurred on one of these days, "
                                      "given that it occurred between the images of Sentinel-2; unknown for the other "
                                      "methods, whose error was not measured", empty=True),
    _number("area_m2", "geometry", "m2", "geodesic, on the ellipsoid of WGS 84", 0.0, empty=False),
    _number("perimeter_m", "geometry", "m", "geodesic, along pixel edges", 0.0, empty=False),
    _number("length_m", "geometry", "m", "extent along the line from source to toe; if these are the same pixel, "
                                         "the long side of the smallest rectangle around it", 0.0, empty=False),
    _number("width_m", "geometry", "m", "mean width: area over length", 0.0, empty=False),
    _number("source_x", "geometry", "m", "easting of the centre of its highest pixel, in the grid's CRS", empty=False),
    _number("source_y", "geometry", "m", "northing of the same point", empty=False),
    _number("toe_x", "geometry", "m", "easting of the centre of its lowest pixel", empty=False),
    _number("toe_y", "geometry", "m", "northing of the same point", empty=False),
    _text("outline", "geometry", "`pixels`; `simplified`; `pixels, repaired` if GEOS had to make it "
                                 "valid; `drawn by reviewer`, `edited by reviewer`: "
                                 "[review](linking.md#review)",
          values=("pixels", "simplified", "pixels, repaired", DRAWN, EDITED)),
    _number("elevation_min_m", "terrain", "m", "lowest elevation, from the DEM"),
    _number("elevation_max_m", "terrain", "m", "highest elevation, from the DEM"),
    _number("relief_m", "terrain", "m", "difference of the two", 0.0),
    _number("slope_mean_deg", "terrain", "degree", "Horn's method", 0.0, 90.0),
    _number("slope_max_deg", "terrain", "degree", "slope of its steepest pixel", 0.0, 90.0),
    _number("aspect_mean_deg", "terrain", "degree", "circular mean, clockwise from north", 0.0, 360.0),
    _number("split_elevation_m", "terrain", "m", "elevation of the break of slope between steeper ground above "
                                                 "(source) and gentler ground below (transport, deposit); unknown if "
                                                 "the DEM shows none, see below"),
    _share("source_share", "terrain", "share of its pixels above that break", empty=True),
    _number("source_slope_deg", "terrain", "degree", "mean slope above it", 0.0, 90.0),
    _number("transport_slope_deg", "terrain", "degree", "mean slope below it", 0.0, 90.0),
    _number("travel_angle_deg", "terrain", "degree", "angle from the toe up to the source: arc tangent of height "
                                                     "difference over horizontal distance", 0.0, 90.0),
    _share("probability_mean", "evidence", "mean probability of its pixels; the four are unknown for an outline "
                                           "that a reviewer drew where nothing was observed", empty=True),
    _share("probability_p10", "evidence", "tenth percentile of the probability, to 0.01", empty=True),
    _share("probability_p90", "evidence", "ninetieth percentile of the probability", empty=True),
    _share("probability_max", "evidence", "highest probability of its pixels", empty=True),
    _text("confidence", "evidence", "grade, see below", values=GRADES),
    _text("models_agree", "evidence", "names of `inventory.others` (inventories of the same year from other models or "
                                      "mappers) that contain at least half of its pixels, separated by "
                                      "`;`", empty=True),
    _number("dndvi_mean", "evidence", "1", "mean change of NDVI; negative for a loss of vegetation", -2.0, 2.0),
    _number("dvv_mean_db", "evidence", "dB", "change of gamma0 VV, both pass directions together"),
    _number("dvh_mean_db", "evidence", "dB", "change of gamma0 VH"),
    _number("dvv_ascending_db", "evidence", "dB", "change of gamma0 VV, ascending passes only"),
    _number("dvv_descending_db", "evidence", "dB", "change of gamma0 VV, descending passes only"),
    _share("optical_share", "observability", "share of its pixels that Sentinel-2 observed before and after"),
    _share("radar_share", "observability", "share that Sentinel-1 observed before and after, in any pass direction"),
    _share("ascending_share", "observability", "share observed before and after in ascending passes"),
    _share("descending_share", "observability", "share observed before and after in descending passes"),
    _share("radar_hidden_share", "observability", "share that only one of the two pass directions observed: layover, "
                                                  "shadow, or outside the swath of the other"),
    _share("terrain_shade_share", "observability", "share that Sentinel-2 did not observe because of terrain shadow"),
    Field("unobserved_edge_px", "observability", "int64", "pixels next to an unobserved pixel: the outline there is "
                                                          "the edge of the observed area", "px", least=0),
    _share("outside_share", "observability", "share whose inputs are unlike those that the weights were trained on: "
                                             "[applicability](applicability.md); unknown if the weights do not "
                                             "describe their training", empty=True),
    _text("review_state", "review", "`unreviewed`, `confirmed` or `rejected`: "
                                    "[review](linking.md#review)", values=REVIEW_STATES),
    _text("reviewer", "review", "name of the reviewer", empty=True),
    _text("comment", "review", "comment of the reviewer", empty=True),
    Field("reviewed_version", "review", "int64", "the version that was reviewed, 0 without a review; if smaller "
                                                 "than `version`, the outline has changed since", least=0),
    _text("tiles", "provenance", "its tiles, separated by `;`; `scenes.csv` lists the scenes of each tile with "
                              "orbit, baseline and offset"),
    _text("model", "provenance", "family of the model"),
    _text("weights", "provenance", "checksum of its weights", empty=True),
    _text("settings", "provenance", "digest of all settings except output, cluster and publish"),
    _text("software", "provenance", "version of lsbatch"),
)  # fmt: skip

#: Name of the field for each layer of `inventory.confounders`, which may explain a change otherwise.
CONFOUNDER = "on_{}_share"


def fields(confounders: Iterable[str] = ()) -> tuple[Field, ...]:
    """Return all fields, including one for each layer of confounders."""
    more = (
        _share(CONFOUNDER.format(name), "confounders", f"share of its pixels on the layer {name}")
        for name in confounders
    )
    return (*FIELDS, *more)


def dtypes(confounders: Iterable[str] = ()) -> dict[str, str]:
    """Return the type in memory of each column by name, in order."""
    return {field.name: "str" if field.dtype == "date" else field.dtype for field in fields(confounders)}


def field_named(name: str) -> Field | None:
    """Return a field, also one of a layer of confounders; None for a column of others."""
    before, after = CONFOUNDER.split("{}")
    layers = (name.removeprefix(before).removesuffix(after),) if name.startswith(before) else ()
    return next((field for field in fields(layers) if field.name == name), None)


def table() -> str:
    """Return the fields as a Markdown table, as in docs/inventory.md."""
    rows = [
        f"| `{f.name}` | {f.group} | {f.dtype} | {f.unit} | {'' if f.digits is None else f.digits} | {f.meaning} |"
        for f in FIELDS
    ]
    return "\n".join(("| field | group | type | unit | decimals | meaning |", "|---|---|---|---|---|---|", *rows))


def check(
    columns: Mapping[str, list[object]] | pd.DataFrame, confounders: Iterable[str] = (), what: str = "inventory"
) -> None:
    """Refuse a table that does not follow the schema.

    Parameters
    ----------
    columns : mapping of name to values, or DataFrame
        One list a column, all of one length; NaN or None is unknown.
    confounders : iterable of str
        Names of configured layers.
    what : str
        Name of the table for the error.

    Raises
    ------
    LsbatchError
        Names the column, the first wrong value and what is allowed.
    """
    expected = fields(confounders)
    names = [field.name for field in expected]
    if list(columns) != names:
        missing, foreign = sorted(set(names) - set(columns)), sorted(set(columns) - set(names))
        raise LsbatchError(
            f"{what}: columns do not match the schema; missing: {', '.join(missing) or 'none'}; unknown: "
            f"{', '.join(foreign) or 'none'}"
        )
    for field in expected:
        # one column at a time: lists of all together take ten times the memory of the table
        values = _listed(columns[field.name])
        # each value once: a column of texts has few, and 50,000 records have 3 million values
        faults = {value: fault for value in _suspicious(field, values) if (fault := _fault(field, value))}
        row = next((row for row, value in enumerate(values) if value in faults), None)
        if row is not None:
            raise LsbatchError(f"{what}: {field.name} = {values[row]!r} of record {row + 1}: {faults[values[row]]}")
    ids = _listed(columns["landslide_id"])
    if len(set(ids)) != len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise LsbatchError(f"{what}: landslide_id {twice!r} occurs twice; each record needs its own id")


def _listed(values: list[object] | pd.Series) -> list[object]:
    return values.tolist() if isinstance(values, pd.Series) else values


def is_day(text: str) -> bool:
    """Return whether a text is a day such as 2026-07-01."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _suspicious(field: Field, values: list[object]) -> Iterable[object]:
    """Return the distinct values of a column that may be wrong; none of numbers within the bounds of their field."""
    if values and field.dtype not in ("str", "date") and set(map(type, values)) <= {int, float}:
        numbers = np.array(values, np.float64)
        low, high = (
            limit if limit is not None else sign * np.inf for limit, sign in ((field.least, -1), (field.most, 1))
        )
        good = (low <= numbers) & (numbers <= high) | (np.isnan(numbers) & field.empty)
        values = [values[row] for row in np.flatnonzero(~good)]
    return dict.fromkeys(values)


def _fault(field: Field, value: object) -> str:
    """Return what is wrong with a value; empty if it is valid."""
    if field.dtype in ("str", "date"):
        if not isinstance(value, str):
            return "is no text"
        if not value:
            return "" if field.empty else "is empty"
        if field.dtype == "date":
            return "" if is_day(value) else "is no day such as 2026-07-01"
        return "" if not field.values or value in field.values else f"is none of {', '.join(field.values)}"
    if not isinstance(value, (int, float)):
        return "is no number"
    if value != value:
        return "" if field.empty else "is not known"
    low, high = field.least, field.most
    outside = (low is not None and value < low) or (high is not None and value > high)
    return (
        f"is outside {'-inf' if low is None else low:g} to {'inf' if high is None else high:g}"
        if outside and low is not None and high is not None
        else ("is too small or too large" if outside else "")
    )
