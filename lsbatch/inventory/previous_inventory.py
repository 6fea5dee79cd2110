"""Read an inventory of another year or program as valid polygons with ids."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from pyproj import CRS, Transformer

from lsbatch.errors import ConfigError, printable
from lsbatch.inventory import inventory_files
from lsbatch.storage.files import on_disk
from lsbatch.storage.geometries import (
    DAMAGED,
    LONGEST_CAUSE,
    geodesic,
    is_finite,
    listed,
    outlined_layer,
    polygonal,
    read_vector,
)
from lsbatch.storage.vectors import UNREADABLE

#: Suffix of a GeoParquet file.
PARQUET = ".parquet"
#: Name of the id column in our inventories.
ID = "landslide_id"
#: Separator between ids in one text; an id must not contain it.
SEPARATOR = ";"
#: Maximum characters of an id.
LONGEST_ID = 100
#: Ids or numbers listed in an error message.
SHOWN = 5


@dataclass(frozen=True)
class Read:
    """Polygons of a file, and what was repaired.

    Attributes
    ----------
    frame : GeoDataFrame
        Valid multipolygons in the requested CRS.
    features : int
        Number of features in the file.
    empty : int
        Features without area or geometry, left out.
    repaired : int
        Outlines that were invalid.
    repair_m2 : float
        Change of area by the repairs, sum of absolute values.
    overlaps : int
        Pairs of outlines that overlap.
    overlap_m2 : float
        Area of these overlaps.
    crs : str or None
        CRS of the file, if it differs.
    """

    frame: gpd.GeoDataFrame
    features: int
    empty: int
    repaired: int
    repair_m2: float
    overlaps: int
    overlap_m2: float
    crs: str | None


def read(file: Path, crs: str, column: str | None = None, *, named: bool = True) -> Read:
    """Read polygons of a vector file in `crs`, repaired if necessary.

    Parameters
    ----------
    file : Path
    crs : str
        Outlines in another CRS are transformed.
    column : str, optional
        Column of the id; `landslide_id` by default.
    named : bool
        Whether every landslide needs an id.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no CRS or no such column, has an id twice or a landslide without id, or has
        outlines that cannot be transformed to `crs`.
    """
    raw = inventory_files.with_texts(_load(file))
    stored = str(raw.crs)
    features = len(raw)
    if column is not None and column not in raw:
        raise ConfigError(f"{file}: has no column {column!r}; the columns are {listed(raw.columns.drop('geometry'))}")
    if named and column is None and ID not in raw:
        raise ConfigError(
            f"{file}: has no column {ID}; give the column of ids with --id; the columns are "
            f"{listed(raw.columns.drop('geometry'))}"
        )
    if column is not None or ID in raw:
        raw[ID] = _ids(raw, column or ID, file)
    frame, repaired, repair_m2 = sound(raw)
    moved = not CRS.from_user_input(stored).equals(CRS.from_user_input(crs), ignore_axis_order=True)
    frame = _moved(frame, crs, file) if moved else frame.set_crs(crs, allow_override=True)
    pairs, overlap_m2 = overlaps(frame.geometry.values)
    name = CRS.from_user_input(stored)
    epsg = name.to_epsg()
    return Read(
        frame, features, features - len(frame), repaired, repair_m2, pairs, overlap_m2,
        (f"EPSG:{epsg}" if epsg else name.name) if moved else None,
    )  # fmt: skip


def crs_of(file: Path) -> str:
    """Return the CRS of a vector file.

    Raises
    ------
    ConfigError
        If the file has no CRS or does not exist.
    """
    if file.suffix == PARQUET:
        return str(_load(file).crs)
    try:
        here = on_disk(file)
        stored = pyogrio.read_info(here, layer=outlined_layer(here))["crs"]
    except DAMAGED as error:
        raise ConfigError(f"{file}: cannot be read as a vector file: {str(error)[:LONGEST_CAUSE]}") from None
    if not stored:
        raise ConfigError(f"{file}: has no CRS; save it with one")
    return str(stored)


def _load(file: Path) -> gpd.GeoDataFrame:
    """Read the file as stored; GeoParquet by pyarrow, because GDAL's wheel lacks it."""
    if file.suffix != PARQUET:
        return read_vector(file, crs_of(file))
    try:
        raw = gpd.read_parquet(on_disk(file))
    except UNREADABLE as error:
        raise ConfigError(f"{file}: cannot be read as GeoParquet: {str(error)[:LONGEST_CAUSE]}") from None
    if raw.crs is None:
        raise ConfigError(f"{file}: has no CRS; save it with one")
    if not is_finite(raw):
        raise ConfigError(f"{file}: has a geometry with coordinates that are no finite numbers")
    return raw.rename_geometry("geometry") if raw.geometry.name != "geometry" else raw


def _ids(raw: gpd.GeoDataFrame, column: str, file: Path) -> list[str]:
    """Return the ids as text; refuse two landslides with the same id."""
    values = raw[column]
    texts = [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in values]
    lost = np.flatnonzero(values.isna().to_numpy() | np.array([not text.strip() for text in texts], bool))
    if lost.size:
        raise ConfigError(
            f"{file}: {lost.size} landslides have no {column}, the first is feature {lost[0] + 1}; each landslide "
            "needs one"
        )
    odd = [text for text in texts if SEPARATOR in text or len(text) > LONGEST_ID or printable(text) != text]
    if odd:
        raise ConfigError(
            f"{file}: {column} {printable(odd[0])[:LONGEST_ID]!r}: must be at most {LONGEST_ID} printable characters "
            f"without {SEPARATOR!r}"
        )
    names, counts = np.unique(np.array(texts, object).astype(str), return_counts=True)
    twice = names[counts > 1]
    if twice.size:
        shown = ", ".join(twice[:SHOWN]) + (f" and {twice.size - SHOWN} more" if twice.size > SHOWN else "")
        raise ConfigError(
            f"{file}: {column} has values that occur more than once: {shown}; each landslide needs its own"
        )
    return texts


def sound(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, int, float]:
    """Return valid multipolygons with area, the number of repairs, and their change of area."""
    shapes = shapely.force_2d(frame.geometry.values)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    broken = there & ~shapely.is_valid(shapes)
    mended = np.array(shapes, object)
    mended[broken] = shapely.make_valid(shapes[broken])
    kept = polygonal(np.asarray(mended))
    change = np.abs(shapely.area(kept[broken]) - shapely.area(shapes[broken]))
    good = np.array([shape is not None for shape in kept], bool)
    out = frame.loc[good].set_geometry(gpd.GeoSeries(list(kept[good]), index=frame.index[good], crs=frame.crs))
    return out.reset_index(drop=True), int(np.count_nonzero(broken & good)), float(np.nansum(change))


def _moved(frame: gpd.GeoDataFrame, crs: str, file: Path) -> gpd.GeoDataFrame:
    moved = frame.to_crs(crs)
    lost = np.flatnonzero(~np.isfinite(shapely.bounds(moved.geometry.values)).all(axis=1)) if len(moved) else ()
    if len(lost):
        raise ConfigError(
            f"{file}: {len(lost)} outlines cannot be transformed to {crs}, the first is number {lost[0] + 1}"  # type: ignore[misc]
        )
    # rounding can make an outline touch itself
    return sound(moved)[0]


def overlaps(shapes: np.ndarray) -> tuple[int, float]:
    """Return the pairs of polygons that overlap, and their shared area."""
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    once = first < second
    shared = shapely.area(shapely.intersection(shapes[first[once]], shapes[second[once]]))
    return int(np.count_nonzero(shared > 0)), float(shared.sum())


def measured(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Add `area_m2` and `perimeter_m` on the WGS 84 ellipsoid if missing."""
    if {"area_m2", "perimeter_m"} <= set(frame.columns):
        return frame
    to_lonlat = Transformer.from_crs(frame.crs, "EPSG:4326", always_xy=True)
    area, perimeter = geodesic(np.asarray(frame.geometry.values), to_lonlat)
    return frame.assign(area_m2=area, perimeter_m=perimeter)
