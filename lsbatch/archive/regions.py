"""The region of a survey, as one geometry in the grid's CRS, and geometries as pixels."""

import numpy as np
import pyogrio
import rasterio.features
import shapely
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataSourceError
from shapely.geometry.base import BaseGeometry

from lsbatch.config import Config
from lsbatch.errors import ConfigError


def read_region(config: Config) -> BaseGeometry:
    """What is surveyed: the box of `region.bounds`, or the union of the polygons of `region.file`, in `grid.crs`.

    Raises
    ------
    ConfigError
        If the file cannot be read, has no CRS, or holds no polygon.
    """
    if config.region.bounds is not None:
        return shapely.box(*config.region.bounds)
    file = config.region.file
    try:
        frame = pyogrio.read_dataframe(file, columns=[])
    except DataSourceError as error:
        raise ConfigError(f"region.file = {file}: is no vector file that can be read: {error}") from None
    # a table without geometries is read as a plain DataFrame
    if getattr(frame, "crs", None) is None:
        raise ConfigError(f"region.file = {file}: has no CRS; save it with one")
    shapes = frame.geometry.dropna().to_crs(config.grid.crs)
    parts = shapely.get_parts(shapely.make_valid(shapes.values))
    polygons = parts[np.isin(shapely.get_type_id(parts), (3, 6)) & ~shapely.is_empty(parts)]
    if not len(polygons) or not np.isfinite(shapely.bounds(polygons)).all():
        raise ConfigError(f"region.file = {file}: holds no polygon that {config.grid.crs} can show")
    return shapely.union_all(polygons)


def rasterize(geometry: BaseGeometry, geobox: GeoBox) -> np.ndarray:
    """Pixels whose centre lies in a geometry of the geobox's CRS, bool (rows, cols)."""
    # a nation's coast has 100,000 corners, a tile needs a few of them
    side = abs(geobox.resolution.x)
    near = shapely.clip_by_rect(geometry, *shapely.box(*geobox.boundingbox.bbox).buffer(2 * side).bounds)
    if near.is_empty:
        return np.zeros(geobox.shape, bool)
    return rasterio.features.geometry_mask([near], geobox.shape, geobox.transform, invert=True)
