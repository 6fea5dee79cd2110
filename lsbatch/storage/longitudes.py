"""Geometries in longitude and latitude that cross the antimeridian or hold a pole."""

import antimeridian
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

#: An outline that spans more degrees than this crosses the antimeridian: a scene or a tile spans a few degrees.
WIDEST_DEG = 180.0


def split(shape: BaseGeometry) -> BaseGeometry:
    """Return a geometry in EPSG:4326, split at 180 degrees if it crosses there; longitudes between -180 and 180.

    A polygon around a pole becomes a polygon down to the pole. Other geometries are unchanged.
    """
    west, _, east, _ = shape.bounds
    # split already, or the whole globe
    if _is_plain(shape) or (west, east) == (-180, 180):
        return shape
    polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    # the parts of a geometry that is split already lie on both sides and are narrow
    if all(_is_plain(part) for part in polygons):
        return shape
    return shapely.union_all(shapely.make_valid([_fixed(part) for part in polygons]))


def _is_plain(shape: BaseGeometry) -> bool:
    """Return whether a geometry lies on one side of the antimeridian, with longitudes between -180 and 180."""
    west, _, east, _ = shape.bounds
    return bool(east - west <= WIDEST_DEG and west >= -180 and east <= 180)


def _fixed(polygon: shapely.Polygon) -> BaseGeometry:
    """Return a polygon split at 180 degrees, or down to the pole that it encloses. Holes are dropped."""
    longitude, latitude = shapely.get_coordinates(polygon.exterior).T
    # without jumps of 360 degrees, so that the direction of the ring is known
    unrolled = np.unwrap(longitude, period=360)
    if abs(unrolled[-1] - unrolled[0]) > WIDEST_DEG:
        north = latitude.mean() > 0
        return antimeridian.fix_polygon(
            shapely.Polygon(np.column_stack([longitude, latitude])),
            force_north_pole=north, force_south_pole=not north, fix_winding=True, great_circle=False,
        )  # fmt: skip
    ring = orient(shapely.Polygon(np.column_stack([unrolled, latitude])))
    return antimeridian.fix_polygon(ring, fix_winding=True, great_circle=False)


def split_all(shapes: np.ndarray) -> np.ndarray:
    """Return `split` of each geometry of an array."""
    return np.array([split(shape) for shape in shapes.ravel()], object).reshape(shapes.shape)


def extent(shape: BaseGeometry) -> tuple[float, float, float, float]:
    """Return west, south, east, north in degrees; west is larger than east across the antimeridian."""
    west, south, east, north = shape.bounds
    if east - west > WIDEST_DEG:
        sides = [part.bounds for part in shapely.get_parts(shape)]
        western, eastern = [b for b in sides if b[0] >= 0], [b for b in sides if b[2] <= 0]
        if len(western) + len(eastern) == len(sides) and western and eastern:
            west, east = min(b[0] for b in western), max(b[2] for b in eastern)
    return west, south, east, north


def middle(shape: BaseGeometry) -> tuple[float, float]:
    """Return longitude and latitude of the centroid; of a geometry on both sides that of its larger part."""
    if not _is_plain(shape):
        shape = max(shapely.get_parts(shape), key=lambda part: float(part.area))
    return float(shape.centroid.x), float(shape.centroid.y)
