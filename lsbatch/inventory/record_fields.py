"""The fields of landslide records, computed from their polygon parts for all landslides at once."""

import hashlib
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox
from pandas.api.extensions import ExtensionArray
from pyproj import Transformer

from lsbatch.grid import Grid, tile_id
from lsbatch.inventory import dating, schema, shapes, terrain_fields, year_matching
from lsbatch.inventory.parts import Parts
from lsbatch.pipeline.outline import DAYS, HISTOGRAM_BINS, layer_px, layers
from lsbatch.settings import Config
from lsbatch.storage.geometries import geodesic

#: Minimum share of a record that another inventory must contain to count as agreeing.
AGREES = 0.5

Columns = Mapping[str, Any]


def of_parts(
    parts: Parts, grid: Grid, config: Config, passes_of_tile: dating.PassesOfTile | None = None
) -> dict[str, Any]:
    """Return the columns of one record a landslide, in the order of the parts, as `typed` does.

    Model, weights, settings and software are not among them.

    Parameters
    ----------
    parts : Parts
        At least one.
    grid : Grid
    config : Config
    passes_of_tile : callable, optional
        Passes of Sentinel-1, if they date landslides.
    """
    outlines, repaired = shapes.joined(parts.columns["geometry"], parts.starts)
    places = terrain_fields.places(parts, grid.geobox)
    # measured along the pixels; simplified outlines are only for display
    measures = _geometry(outlines, places, _to_lonlat(config.grid.crs))
    most_m = config.inventory.simplify_m
    drawn = shapes.simplified(outlines, most_m) if most_m else outlines
    is_simplified = [one is not other for one, other in zip(drawn, outlines, strict=True)]
    evidence, observability = _evidence(parts), _observability(parts)
    columns = {
        "landslide_id": _names(parts, grid.geobox, config),
        "survey_id": config.survey.id,
        "version": 1,
        "status": "new",
        "observation": year_matching.FOUND,
        "parent_ids": "",
        **_dates(parts, config, passes_of_tile),
        **measures,
        **places,
        "outline": np.select([is_simplified, repaired], ["simplified", "pixels, repaired"], "pixels"),
        **terrain_fields.terrain(parts, places),
        **terrain_fields.split(parts, config.grid.resolution_m),
        **evidence,
        **observability,
        **_on_layers(parts, config),
        "confidence": _grades(evidence | observability),
        "review_state": "unreviewed",
        "reviewer": "",
        "comment": "",
        "reviewed_version": 0,
        "tiles": _tiles(parts),
    }
    return typed(columns | {"geometry": drawn}, config)


def typed(columns: Columns, config: Config) -> dict[str, Any]:
    """Return the columns of the schema that are there, in order and with their types, and the geometry.

    Parameters
    ----------
    columns : mapping of name to array, list or a value for all records
    config : Config

    Returns
    -------
    dict of name to array (records,)
        Texts are an array of objects, or a string array of pandas where they were one.
    """
    count = len(columns["geometry"])
    found = {
        name: _typed(columns[name], kind, count)
        for name, kind in schema.dtypes(config.inventory.confounders).items()
        if name in columns
    }
    return found | {"geometry": columns["geometry"]}


def _typed(values: Any, kind: str, count: int) -> Any:
    if kind == "str" and isinstance(values, ExtensionArray):
        return values
    return np.full(count, values, object if kind == "str" else kind)


def table(columns: Columns, config: Config) -> pd.DataFrame:
    """Return columns as `typed` does, as a table."""
    kinds = schema.dtypes(config.inventory.confounders)
    found = typed(columns, config)
    texts = {name: pd.array(values, dtype="str") for name, values in found.items() if kinds.get(name) == "str"}
    return pd.DataFrame(found | texts)


def _names(parts: Parts, geobox: GeoBox, config: Config) -> list[str]:
    """Return the id of the survey and ten hex digits from the CRS and the metre position of the first pixel.

    They depend on the position, not on order: the id is the same with other tiles or workers, and if other landslides
    change.
    """
    row, col = parts.columns["first_row"], parts.columns["first_col"]
    first = parts.first(row, col)
    x, y = terrain_fields.centres(geobox, row[first], col[first])
    head, crs = config.survey.id, config.grid.crs
    return [f"{head}-{place_id(crs, *place)}" for place in zip(x.tolist(), y.tolist(), strict=True)]


def place_id(crs: str, x: float, y: float) -> str:
    """Return ten hex digits of a place, to 0.1 m."""
    return hashlib.blake2b(f"{crs} {x:.1f} {y:.1f}".encode(), digest_size=5).hexdigest()


def _tiles(parts: Parts) -> list[str]:
    names = [tile_id(row, col) for row, col in zip(parts.columns["tile_row"], parts.columns["tile_col"], strict=True)]
    ends = [*parts.starts[1:].tolist(), len(names)]
    return [";".join(sorted({*names[first:last]})) for first, last in zip(parts.starts.tolist(), ends, strict=True)]


def _dates(parts: Parts, config: Config, passes_of_tile: dating.PassesOfTile | None) -> dict[str, np.ndarray]:
    """Return the earliest and latest day of each landslide, and how they were found.

    If the model gives dates, they are the images around the break of the median pixel. Otherwise they are the last
    image before and the first after, or the date windows if Sentinel-2 did not observe it. Sentinel-1 can narrow them.
    """
    windows = config.survey.windows
    first, last = ((day - date(1970, 1, 1)).days for day in (windows.pre[0], windows.post[1]))
    earliest, latest = parts.most("last_before"), parts.least("first_after")
    seen = (first <= earliest) & (earliest < latest) & (latest <= last)
    earliest, latest = np.where(seen, earliest, first), np.where(seen, latest, last)
    method = np.where(seen, "greenest looks", "survey windows").astype(object)
    confidence = np.full(len(parts), np.nan)
    broken = np.zeros(len(parts), bool)
    if "after_days" in parts.columns:
        broken, *breaks = _breaks(parts)
        earliest, latest = (np.where(broken, *pair) for pair in zip(breaks, (earliest, latest), strict=True))
        method[broken] = "breaks in the series"
    passes = [None] * len(parts) if passes_of_tile is None else dating.passes(parts, passes_of_tile)
    for i in np.flatnonzero(~broken):
        known = int(earliest[i]), int(latest[i])
        narrowed = dating.narrowed(passes[i], known, (first, last), config.composite.speckle_looks)
        if narrowed is not None:
            (earliest[i], latest[i], confidence[i]), method[i] = narrowed, dating.METHOD
    return {
        "date_earliest": earliest.astype("datetime64[D]").astype(str),
        "date_latest": latest.astype("datetime64[D]").astype(str),
        "date_method": method,
        "date_confidence": confidence,
    }


def _breaks(parts: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which landslides have breaks, and the images before and after the break of their median pixels."""
    days = []
    for name in DAYS:
        values, owner = parts.lists(f"{name}_days")
        counts = np.bincount(owner, minlength=len(parts))
        # the lower one of two middle days: whole days, and ordered as the images of each pixel are
        middle = np.cumsum(counts) - counts + np.maximum(counts - 1, 0) // 2
        days.append(np.append(values[np.lexsort((values, owner))], 0)[np.where(counts > 0, middle, -1)])
    return counts > 0, days[0], days[1]


@lru_cache(maxsize=1)
def _to_lonlat(crs: str) -> Transformer:
    """Return the transformation to longitude and latitude; kept, because making one takes longer than ten records."""
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


def _geometry(outlines: np.ndarray, places: Columns, to_lonlat: Transformer) -> dict[str, np.ndarray]:
    area, perimeter = geodesic(outlines, to_lonlat)
    ends = (np.column_stack([places[f"{name}_x"], places[f"{name}_y"]]) for name in ("source", "toe"))
    length = shapes.lengths(outlines, *ends)
    return {"area_m2": area, "perimeter_m": perimeter, "length_m": length, "width_m": area / length}


def _evidence(parts: Parts) -> dict[str, np.ndarray]:
    histogram = np.add.reduceat(np.stack(list(parts.columns["probability_histogram"])), parts.starts)
    total = histogram.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(histogram, axis=1) / np.maximum(total, 1)
    # only an outline that a reviewer drew may have no pixel with a probability
    low, high = (
        np.where(total[:, 0] > 0, (cumulative < share).sum(axis=1) / (HISTOGRAM_BINS - 1), np.nan)
        for share in (0.1, 0.9)
    )
    return {
        "probability_mean": parts.mean("probability"),
        "probability_p10": low,
        "probability_p90": high,
        "probability_max": terrain_fields.finite(parts.most("probability_max")),
        "dndvi_mean": parts.mean("dNDVI"),
        "dvv_mean_db": parts.mean("diffVV"),
        "dvh_mean_db": parts.mean("diffVH"),
        "dvv_ascending_db": parts.mean("diffVV_asc"),
        "dvv_descending_db": parts.mean("diffVV_desc"),
    }


def _observability(parts: Parts) -> dict[str, Any]:
    shares = {
        "optical_share": "optical_px",
        "radar_share": "radar_px",
        "ascending_share": "ascending_px",
        "descending_share": "descending_px",
        "radar_hidden_share": "one_side_px",
        "terrain_shade_share": "shaded_px",
    }
    return {name: parts.share(column) for name, column in shares.items()} | {
        "unobserved_edge_px": parts.sum("unobserved_edge_px"),
        # not in parts of weights that do not describe their training
        "outside_share": parts.share("outside_px") if "outside_px" in parts.columns else np.nan,
    }


def _on_layers(parts: Parts, config: Config) -> dict[str, Any]:
    shares = {
        kind: {name: parts.share(layer_px(kind, name)) for name in files} for kind, files in layers(config).items()
    }
    others = sorted(shares["others"])
    agree = np.column_stack([np.zeros((len(parts), 0)), *(shares["others"][name] >= AGREES for name in others)])
    return {schema.CONFOUNDER.format(name): share for name, share in shares["confounders"].items()} | {
        "models_agree": [";".join(name for name, yes in zip(others, row, strict=True) if yes) for row in agree]
    }


def _grades(evidence: Columns) -> np.ndarray:
    """Return the confidence grades: a rule to sort the reviewer's work, not a probability.

    high: mean probability at least 0.8, observed by both sensors, and the whole outline observed. low: mean probability
    below 0.65, or half of it observed by one sensor only. medium: all others.
    """
    sure = evidence["probability_mean"]
    seen = np.minimum(evidence["optical_share"], evidence["radar_share"])
    high = (sure >= 0.8) & (seen >= 0.9) & (evidence["unobserved_edge_px"] == 0)
    return np.select([high, (sure < 0.65) | (seen < 0.5)], ["high", "low"], "medium")
