"""Vector geometries: the region of a survey, polygons of a file, geometries as pixels."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio.features
import shapely
from odc.geo.geobox import GeoBox
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from pyproj import Geod, Transformer
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from lsbatch.errors import ConfigError
from lsbatch.settings import Config
from lsbatch.storage.files import on_disk

#: Shapely's type ids of Polygon and MultiPolygon.
POLYGONS = (3, 6)
#: Characters of what GDAL says.
LONGEST_CAUSE = 500
#: Columns of a file in a message, and characters of a name.
MOST_COLUMNS, LONGEST_COLUMN = 20, 40
#: Errors of GDAL, GEOS and PROJ for a file that is damaged or has an unknown CRS.
DAMAGED = (
    *(DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError, CRSError),
    *(ProjError, shapely.errors.ShapelyError, OSError, ValueError),
)
_GEOD = Geod(ellps="WGS84")


def read_region(config: Config) -> BaseGeometry:
    """Return the region: the box `region.bounds`, or the union of the polygons of `region.file`, in `grid.crs`.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no CRS, or holds no polygon.
    """
    if config.region.bounds is not None:
        return shapely.box(*config.region.bounds)
    assert config.region.file is not None
    polygons = read_polygons(config.region.file, "region.file", config.grid.crs)
    if not len(polygons):
        raise ConfigError(
            f"region.file = {config.region.file}: has no polygon that can be transformed to {config.grid.crs}"
        )
    return shapely.union_all(polygons)


def read_polygons(
    file: Path, setting: str, crs: str, bounds: tuple[float, ...] | None = None, observation: str | None = None
) -> np.ndarray:
    """Return the valid polygons of a vector file in `crs`, (n,) shapely geometries; skip other geometries.

    Parameters
    ----------
    file : path
    setting : str
        Name of the setting, for the error.
    crs : str
    bounds : tuple of float, optional
        As for `read_vector`.
    observation : str, optional
        Value of the column ``observation``. In a file with this column, only records with this value are read.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no CRS, or one of its polygons cannot be transformed to `crs`.
    """
    frame = read_vector(file, crs, bounds)
    if observation is not None and "observation" in frame:
        frame = frame[frame["observation"] == observation]
    parts = shapely.get_parts(shapely.make_valid(frame.geometry.dropna().values))
    polygons = parts[np.isin(shapely.get_type_id(parts), POLYGONS) & ~shapely.is_empty(parts)]
    if len(polygons) and not np.isfinite(shapely.bounds(polygons)).all():
        raise ConfigError(f"{setting} = {file}: has a polygon that cannot be transformed to {crs}")
    return polygons


def read_vector(file: Path, crs: str, bounds: tuple[float, ...] | None = None) -> gpd.GeoDataFrame:
    """Read any vector file that GDAL reads, in `crs`.

    Parameters
    ----------
    file : path
    crs : str
    bounds : tuple of float, optional
        left, bottom, right, top in `crs`. Only features whose bounding box touches it are read.

    Raises
    ------
    ConfigError
        If it cannot be read or has no CRS.
    """
    try:
        here = on_disk(file)
        layer = outlined_layer(here)
        stored = pyogrio.read_info(here, layer=layer)["crs"]
        if not stored:
            raise ConfigError(f"{file}: has no CRS; save it with one")
        box = None if bounds is None else tuple(gpd.GeoSeries([_edged(bounds)], crs=crs).to_crs(stored).total_bounds)
        frame = pyogrio.read_dataframe(here, layer=layer, bbox=box)
        if not isinstance(frame, gpd.GeoDataFrame):
            raise ConfigError(f"{file}: is a table without geometries")
        if not is_finite(frame):
            raise ConfigError(f"{file}: has a geometry with coordinates that are no finite numbers")
        return frame.to_crs(crs)
    except DAMAGED as error:
        raise ConfigError(f"{file}: cannot be read as a vector file: {str(error)[:LONGEST_CAUSE]}") from None


def is_finite(frame: gpd.GeoDataFrame) -> bool:
    """Return whether all coordinates are finite numbers. GEOS refuses others in most operations."""
    return bool(np.isfinite(shapely.get_coordinates(frame.geometry.values)).all())


def _edged(bounds: tuple[float, ...]) -> shapely.Polygon:
    """Return a box with extra corners on its sides, which are curves in another CRS (14 m in 20 km at 60 degrees)."""
    box = shapely.box(*bounds)
    return shapely.segmentize(box, box.length / 256)


def polygonal(shapes: np.ndarray) -> np.ndarray:
    """Return the valid polygons of each geometry without lines and points; None if there are none.

    Parameters
    ----------
    shapes : array (n,) of geometries or None

    Returns
    -------
    array (n,) of MultiPolygon or None
    """
    outer, owner = shapely.get_parts(shapes, return_index=True)
    # again, for the multipolygons in a collection
    parts, within = shapely.get_parts(outer, return_index=True)
    owner = owner[within]
    good = np.isin(shapely.get_type_id(parts), POLYGONS) & (shapely.area(parts) > 0)
    parts, owner = parts[good], owner[good]
    out = np.full(len(shapes), None, dtype=object)
    some, place = np.unique(owner, return_inverse=True)
    out[some] = shapely.multipolygons(parts, indices=place)
    for i in some[~shapely.is_valid(out[some])]:
        # parts of a repaired geometry may touch along an edge
        out[i] = polygonal(np.array([shapely.union_all(parts[owner == i])]))[0]
    return out


def geodesic(shapes: np.ndarray, to_lonlat: Transformer) -> tuple[np.ndarray, np.ndarray]:
    """Return area in m2 and perimeter in m on the WGS 84 ellipsoid, without the perimeter of holes.

    Parameters
    ----------
    shapes : array (n,) of Polygon or MultiPolygon
    to_lonlat : Transformer
        From their CRS to longitude and latitude, x first.

    Returns
    -------
    area_m2, perimeter_m : arrays (n,)
    """
    lonlat = shapely.orient_polygons(shapely.transform(shapes, to_lonlat.transform, interleaved=False))
    polygons, owner = shapely.get_parts(lonlat, return_index=True)
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    # ring by ring over arrays: pyproj's own walk through the geometries takes ten times as long
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    bounds = np.searchsorted(ring, np.arange(len(rings) + 1)).tolist()
    measured = [_GEOD.polygon_area_perimeter(*corners[first:end].T) for first, end in pairwise(bounds)]
    areas, perimeters = np.array(measured, np.float64).reshape(-1, 2).T
    is_exterior = np.diff(polygon, prepend=-1) > 0
    # holes run the other way, so their areas are negative
    area = np.bincount(owner, np.bincount(polygon, areas, len(polygons)), len(shapes))
    return np.abs(area), np.bincount(owner, perimeters[is_exterior], len(shapes))


def listed(columns: Iterable[object]) -> str:
    """Return the names of the columns of a file for a message: the first ones, shortened."""
    names = [str(name)[:LONGEST_COLUMN] for name in columns]
    more = f" and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    return ", ".join(names[:MOST_COLUMNS]) + more


def outlined_layer(file: Path) -> str | None:
    """Return the first layer of a vector file that has geometries. A GeoPackage may also hold tables."""
    return next((str(name) for name, kind in pyogrio.list_layers(file) if kind is not None), None)


def rasterize(geometry: BaseGeometry, geobox: GeoBox) -> np.ndarray:
    """Return the pixels whose centre lies in a geometry of the geobox's CRS, bool (rows, cols)."""
    # clip first: a national coastline has 100,000 corners, a tile needs a few of them
    side = abs(geobox.resolution.x)
    near = shapely.clip_by_rect(geometry, *shapely.box(*geobox.boundingbox.bbox).buffer(2 * side).bounds)
    if near.is_empty:
        return np.zeros(geobox.shape, bool)
    return rasterio.features.geometry_mask([near], geobox.shape, geobox.transform, invert=True)


def polygonize(labels: np.ndarray, count: int, geobox: GeoBox) -> np.ndarray:
    """Return the outline of each label 1..count along pixel edges, as a valid MultiPolygon.

    Parameters
    ----------
    labels : array (rows, cols), int32
        0 is background.
    count : int
    geobox : GeoBox

    Returns
    -------
    array (count,) of shapely geometries
    """
    pieces: list[list[shapely.Polygon]] = [[] for _ in range(count)]
    # 4-connected pieces: an 8-connected outline touches itself at corners, which is not a valid ring
    for shape, value in rasterio.features.shapes(labels, labels > 0, connectivity=4, transform=geobox.transform):
        pieces[int(value) - 1].append(shapely.geometry.shape(shape))
    return np.array([shapely.multipolygons(one) for one in pieces], dtype=object)
