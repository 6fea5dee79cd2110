"""Match the landslides of two years: continued, changed, gone or new. Works on tables only."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.inventory import schema
from lsbatch.inventory.previous_inventory import ID, SEPARATOR
from lsbatch.kernels import polygon_matching

#: Values of `observation`: found by this survey; observed but not found; not observed.
FOUND, NOTHING, UNSEEN = schema.OBSERVATIONS
#: An old landslide is gone if at least this share of its ground was observed and nothing was found there.
SURVEYED_SHARE = 0.8
#: Loss of NDVI that indicates that known bare ground slid again. A scar that only stays bare loses none.
AGAIN_DNDVI = -0.1
#: Dating methods that use the survey's image dates, not a change in a time series of the landslide.
_PICTURES = ("greenest looks", "survey windows", "")
#: Columns filled by a reviewer, and the values of the first.
REVIEW = ("review_state", "reviewer", "comment", "reviewed_version")
STATES = schema.REVIEW_STATES
#: Columns that decide about a pair of landslides, and columns that matching changes.
_READ = ("survey_id", "date_earliest", "date_latest", "date_method", "dndvi_mean")
_CHANGED = (ID, "version", "status", "observation", "parent_ids", *REVIEW)

Surveyed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Linked:
    """The joined inventory of two years.

    Attributes
    ----------
    frame : GeoDataFrame
        This year's landslides, then those of last year that were not found.
    last, this : mapping of text to int
        Counts of what happened to last year's landslides, and of the origin of this year's. Each adds up to all
        landslides.
    """

    frame: gpd.GeoDataFrame
    last: Mapping[str, int] = field(default_factory=dict)
    this: Mapping[str, int] = field(default_factory=dict)


def link(this: gpd.GeoDataFrame, last: gpd.GeoDataFrame, pixel_m: float, surveyed: Surveyed | None = None) -> Linked:
    """Carry the identifiers of last year over to this year's polygons.

    Parameters
    ----------
    this, last : GeoDataFrame
        Valid polygons in one CRS with `landslide_id`; rows in any order.
    pixel_m : float
        Side of a pixel, for the tolerance of growth.
    surveyed : callable (geometries) -> array of share, optional
        Observed share of each polygon in this year's survey. Without it no landslide is called gone.
    """
    here = this["observation"] == FOUND
    this, last, noted = _canonical(this[here]), _canonical(last), this[~here]
    pairs, olds, news = pairs_of(this, last)
    area, before, edge = _sizes(this, last, olds)
    grown = polygon_matching.is_enlarged(before, area, edge, pixel_m) & ~pairs.same
    olden = rows_of(last, (*_READ, *_CHANGED))
    rows, origins, taken = [], [], {*last[ID], *noted[ID]}
    for j, record in enumerate(rows_of(this, (*_READ, *_CHANGED))):
        kept = int(pairs.keeper[j])
        partners = [olden[i] for i in ([kept] if kept >= 0 else []) + [i for i in olds[j] if i != kept]]
        made, origin = _continued(record, partners, has_id=kept >= 0, same=bool(pairs.same[j]), grown=bool(grown[j]))
        if kept < 0:
            made[ID] = unused(made[ID], taken)
        rows.append(made)
        origins.append(origin)
    lost = last.iloc[[i for i in range(len(last)) if not news[i].size]]
    rest, more = _rest(lost, noted, surveyed)
    fates = Counter(_fate(i, news[i], olds, pairs) for i in range(len(last)) if news[i].size) + Counter(
        _why(rest, lost)
    )
    origins += ["kept from years before"] * len(more)
    frame = this.assign(**{name: pd.array([row[name] for row in rows], dtype=this[name].dtype) for name in _CHANGED})
    return Linked(ordered(_stacked(_stacked(frame, rest), more)), dict(fates), dict(Counter(origins)))


def pairs_of(
    this: gpd.GeoDataFrame, last: gpd.GeoDataFrame
) -> tuple[polygon_matching.Links, list[np.ndarray], list[np.ndarray]]:
    """Match the polygons; return also the old ones of each new one and the new ones of each old one."""
    old_shapes, new_shapes = last.geometry.values, this.geometry.values
    new, old = shapely.STRtree(old_shapes).query(new_shapes, predicate="intersects")
    old_area, new_area = shapely.area(old_shapes), shapely.area(new_shapes)
    shared = old_area[old]
    # an outline that did not change shares all of itself; intersecting it takes 0.1 ms
    other = ~shapely.equals_identical(old_shapes[old], new_shapes[new])
    shared[other] = shapely.area(shapely.intersection(old_shapes[old[other]], new_shapes[new[other]]))
    pairs = polygon_matching.links(old, new, shared, old_area, new_area)
    return pairs, _lists(pairs.later, pairs.earlier, len(this)), _lists(pairs.earlier, pairs.later, len(last))


def _sizes(
    this: gpd.GeoDataFrame, last: gpd.GeoDataFrame, olds: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the area of each new polygon, and area and perimeter of all polygons that it continues."""
    area, edge = shapely.area(last.geometry.values), shapely.length(last.geometry.values)
    sums = [np.array([values[one].sum() for one in olds]) for values in (area, edge)]
    return shapely.area(this.geometry.values), *sums


def ordered(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Sort found landslides first, then by size, then by identifier."""
    # by areas as the files have them, so that a command that reads a file keeps its order
    area = frame["area_m2"].round(schema.DIGITS["m2"])
    keys = pd.DataFrame({"kept": frame["observation"] != FOUND, "area": -area, "name": frame[ID]})
    return frame.loc[keys.sort_values(["kept", "area", "name"]).index].reset_index(drop=True)


def _canonical(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Sort by outline and identifier, so that the order in a file has no effect."""
    keys = shapely.to_wkb(shapely.normalize(frame.geometry.values), byte_order=1)
    names = frame[ID].tolist()
    order = sorted(range(len(frame)), key=lambda i: (keys[i], names[i]))
    return frame.iloc[order].reset_index(drop=True)


def _lists(owner: np.ndarray, other: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the partners of each owner 0..count-1."""
    order = np.lexsort((other, owner))
    return np.split(other[order], np.searchsorted(owner[order], np.arange(1, count))) if count else []


def rows_of(frame: gpd.GeoDataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return these attributes of each landslide."""
    # not to_dict("records"), which takes 0.1 ms a landslide for all of its columns
    columns = [frame[name].tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _continued(
    record: dict[str, Any], partners: Sequence[Mapping[str, Any]], *, has_id: bool, same: bool, grown: bool
) -> tuple[dict[str, Any], str]:
    """Return a landslide of this year with the attributes of those that it continues."""
    if not partners:
        return record | {"status": "new", "observation": FOUND}, "new"
    first = partners[0]
    if same and _is_same_observation(record, first):
        return record | {name: first[name] for name in ("status", "version", "parent_ids", *REVIEW, ID)} | {
            "observation": FOUND
        }, "same outline"
    again = any(_slid_again(record, one) for one in partners)
    made = record | {"status": "reactivated" if again else "enlarged" if grown else "persisting", "observation": FOUND}
    parents = [one[ID] for one in partners]
    if not has_id:
        return made | {"parent_ids": joined(parents)}, "part of a split one, with a new id"
    made |= {name: first[name] for name in (*REVIEW, ID)}
    made |= {
        "version": int(first["version"]) + (not same),
        "parent_ids": first["parent_ids"] if same else joined(split(first["parent_ids"]) + parents[1:]),
    }
    if same:
        return made, "same outline"
    return made, "several joined to one" if len(partners) > 1 else "outline changed"


def _is_same_observation(record: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether two records are the same observation of the same survey."""
    same = all(record[name] == old[name] for name in ("survey_id", "date_earliest", "date_latest"))
    return same and old["observation"] == FOUND


def _slid_again(record: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether a known landslide moved again between the images of this survey.

    Either its ground had recovered (the old record was gone), or it is dated after the old record, and a time series
    shows the break or the ground lost vegetation, which ground that only stays bare does not.
    """
    if old["status"] == "gone":
        return True
    # ISO days compare as text; the order is unknown if a day is missing
    later = bool(old["date_latest"]) and record["date_earliest"] >= old["date_latest"]
    return later and (record["date_method"] not in _PICTURES or record["dndvi_mean"] <= AGAIN_DNDVI)


def _rest(
    lost: gpd.GeoDataFrame, noted: gpd.GeoDataFrame, surveyed: Surveyed | None
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return last year's landslides that were not found: gone if their ground was observed, else unchanged.

    The second result is the landslides that this year's inventory keeps from other years. An entry for a lost landslide
    in this year's inventory has priority.
    """
    share = np.zeros(len(lost)) if surveyed is None else surveyed(lost.geometry.values)
    seen = share >= SURVEYED_SHARE
    was = lost["status"].to_numpy()
    status = np.where(seen, "gone", was)
    out = lost.assign(
        status=status, observation=np.where(seen, NOTHING, UNSEEN), version=lost["version"].to_numpy() + (status != was)
    )
    if surveyed is None and len(noted):
        known = noted.drop_duplicates(ID).set_index(ID)
        there = out[ID].isin(known.index).to_numpy()
        for name in ("status", "observation", "version"):
            out.loc[there, name] = known.loc[out.loc[there, ID], name].to_numpy()
    return out, noted[~noted[ID].isin(lost[ID])]


def _fate(i: int, news: np.ndarray, olds: Sequence[np.ndarray], pairs: polygon_matching.Links) -> str:
    """Return what happened to an old landslide that was found again."""
    if len(news) > 1:
        return "split"
    j = news[0]
    if pairs.keeper[j] != i:
        return "merged into another"
    if pairs.same[j]:
        return "kept, same outline"
    return "kept, others merged into it" if len(olds[j]) > 1 else "kept, outline changed"


def _why(rest: gpd.GeoDataFrame, lost: gpd.GeoDataFrame) -> Iterable[str]:
    for seen, was in zip(rest["observation"], lost["status"], strict=True):
        yield "not observed" if seen == UNSEEN else "still gone" if was == "gone" else "gone"


def _stacked(first: gpd.GeoDataFrame, second: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Concatenate tables with the columns and types of the first."""
    second = complete(second, dict(first.dtypes.drop("geometry")))
    if first.empty or second.empty:
        return (second if first.empty else first).reset_index(drop=True)
    return gpd.GeoDataFrame(pd.concat([first, second], ignore_index=True), geometry="geometry", crs=first.crs)


def complete(frame: gpd.GeoDataFrame, kinds: Mapping[str, Any]) -> gpd.GeoDataFrame:
    """Add the columns of the inventory to a foreign table; unknown values are empty, NaN or 0."""
    columns: dict[str, Any] = {}
    for name, kind in kinds.items():
        dtype = pd.api.types.pandas_dtype(kind)
        numeric = pd.api.types.is_numeric_dtype(dtype)
        nothing = np.nan if pd.api.types.is_float_dtype(dtype) else 0 if numeric else ""
        values = frame[name] if name in frame else pd.Series(nothing, index=frame.index)
        if numeric:
            columns[name] = pd.to_numeric(values, errors="coerce").fillna(nothing).astype(dtype)
        else:
            columns[name] = values.where(values.notna(), "").astype(dtype)
    out = gpd.GeoDataFrame(pd.DataFrame(columns, index=frame.index), geometry=list(frame.geometry), crs=frame.crs)
    defaults = {"status": "new", "observation": FOUND, "review_state": STATES[0]}
    for name, value in defaults.items():
        out[name] = out[name].where(out[name] != "", value).astype(kinds[name])
    out["version"] = out["version"].clip(lower=1).astype(kinds["version"])
    return out


def split(ids: str) -> list[str]:
    """Split a text into single ids."""
    return [one for one in ids.split(SEPARATOR) if one]


def joined(ids: Iterable[str]) -> str:
    """Join ids to one text, each once."""
    return SEPARATOR.join(dict.fromkeys(ids))


def unused(name: str, taken: set[str]) -> str:
    """Return an unused identifier: that of the position, or one derived from it; add it to `taken`."""
    head = name.rpartition("-")[0] or name
    made, count = name, 0
    while made in taken:
        count += 1
        made = f"{head}-{hashlib.blake2b(f'{name} {count}'.encode(), digest_size=5).hexdigest()}"
    taken.add(made)
    return made
