"""Read an inventory of another year or program as valid polygons with ids."""

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from pyogrio.errors import DataSourceError
from pyproj import CRS, Transformer

from lsbatch.errors import ConfigError, printable
from lsbatch.storage.files import on_disk
from lsbatch.storage.geometries import geodesic, outlined_layer, polygonal, read_vector

#: How the name of a GeoParquet ends.
PARQUET = ".parquet"
#: Name of the id in our own inventories.
ID = "landslide_id"
#: Between ids in one text; so in none of them.
SEPARATOR = ";"
#: Characters of an id.
LONGEST_ID = 100
#: Ids or numbers that a sentence names.
SHOWN = 5


@dataclass(frozen=True)
class Read:
    """Polygons that were read, and what was repaired.

    Attributes
    ----------
    frame : GeoDataFrame
        Valid multipolygons in the asked CRS.
    features : int
        In the file.
    empty : int
        Features without area, or without geometry: left out.
    repaired : int
        Outlines that were not valid.
    repair_m2 : float
        How much the repairs changed the area, summed without sign.
    overlaps : int
        Pairs of outlines that lie over each other.
    overlap_m2 : float
        Area of these overlaps.
    crs : str or None
        CRS of the file, where it is another one.
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
        Outlines in another one are transformed.
    column : str, optional
        That holds the id; `landslide_id` if not given.
    named : bool
        Whether every landslide needs an id.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no CRS, no such column, an id twice or none, or outlines that `crs` cannot show.
    """
    raw = _load(file)
    stored = str(raw.crs)
    features = len(raw)
    if column is not None and column not in raw:
        raise ConfigError(f"{file}: has no column {column!r}; it has {', '.join(raw.columns.drop('geometry'))}")
    if named and column is None and ID not in raw:
        raise ConfigError(
            f"{file}: has no column {ID}; name the column of its ids with --id; it has "
            f"{', '.join(raw.columns.drop('geometry'))}"
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
        If it has none, or is no such file.
    """
    if file.suffix == PARQUET:
        return str(_load(file).crs)
    try:
        here = on_disk(file)
        stored = pyogrio.read_info(here, layer=outlined_layer(here))["crs"]
    except (DataSourceError, OSError) as error:
        raise ConfigError(f"{file}: is no vector file that can be read: {error}") from None
    if not stored:
        raise ConfigError(f"{file}: has no CRS; save it with one")
    return str(stored)


def _load(file: Path) -> gpd.GeoDataFrame:
    """Read the file as stored; GeoParquet by pyarrow, because GDAL's wheel lacks it."""
    if file.suffix != PARQUET:
        return read_vector(file, crs_of(file))
    try:
        raw = gpd.read_parquet(on_disk(file))
    except (ValueError, TypeError, KeyError, OSError, pa.ArrowException) as error:
        raise ConfigError(f"{file}: is no GeoParquet that can be read: {error}") from None
    if raw.crs is None:
        raise ConfigError(f"{file}: has no CRS; save it with one")
    return raw.rename_geometry("geometry") if raw.geometry.name != "geometry" else raw


def _ids(raw: gpd.GeoDataFrame, column: str, file: Path) -> list[str]:
    """Return the ids as text; refuse two landslides with the same id."""
    values = raw[column]
    texts = [str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in values]
    lost = np.flatnonzero(values.isna().to_numpy() | np.array([not text.strip() for text in texts], bool))
    if lost.size:
        raise ConfigError(
            f"{file}: {lost.size} landslides have no {column}, the first is feature {lost[0] + 1}; each needs one of "
            "its own"
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
        raise ConfigError(f"{file}: {column} is there more than once: {shown}; each landslide needs one of its own")
    return texts


def sound(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, int, float]:
    """Return valid multipolygons with area, how many were repaired, and the change of their area."""
    shapes = shapely.force_2d(frame.geometry.values)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    broken = there & ~shapely.is_valid(shapes)
    mended = np.array(shapes, object)
    mended[broken] = shapely.make_valid(shapes[broken])
    kept = np.array([polygonal(shape) for shape in mended], object)
    change = np.abs(shapely.area(kept[broken]) - shapely.area(shapes[broken]))
    good = np.array([shape is not None for shape in kept], bool)
    out = frame.loc[good].set_geometry(gpd.GeoSeries(list(kept[good]), index=frame.index[good], crs=frame.crs))
    return out.reset_index(drop=True), int(np.count_nonzero(broken & good)), float(np.nansum(change))


def _moved(frame: gpd.GeoDataFrame, crs: str, file: Path) -> gpd.GeoDataFrame:
    moved = frame.to_crs(crs)
    lost = np.flatnonzero(~np.isfinite(shapely.bounds(moved.geometry.values)).all(axis=1)) if len(moved) else ()
    if len(lost):
        raise ConfigError(
            f"{file}: {len(lost)} outlines lie where {crs} cannot show them, the first is number {lost[0] + 1}"  # type: ignore[misc]
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
    found = np.array([geodesic(shape, to_lonlat) for shape in frame.geometry], float).reshape(-1, 2)
    return frame.assign(area_m2=found[:, 0], perimeter_m=found[:, 1])
