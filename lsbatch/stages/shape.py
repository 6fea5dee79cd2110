"""The shape of a landslide: its parts as one valid outline, geodesic measures, and simpler outlines of the same area."""

import numpy as np
import shapely
from pyproj import Geod, Transformer

_GEOD = Geod(ellps="WGS84")
#: A simplified outline has the area of the one along pixels to within this share.
AREA_KEPT = 1e-4
#: Source and toe closer together than this have no direction.
SAME_PLACE_M = 1.0


def joined(parts: np.ndarray) -> tuple[shapely.MultiPolygon, bool]:
    """Parts of one landslide as one valid outline, and whether it had to be repaired.

    Normalised, so that vertices left where parts met do not tell tiles apart; a corner of the pixels' outline comes first,
    and corners that only a tile's edge made are left out.
    """
    shape = shapely.simplify(shapely.normalize(shapely.union_all(parts)), 0)
    return _valid(shape)


def _valid(shape: shapely.Geometry) -> tuple[shapely.MultiPolygon, bool]:
    repaired = not shapely.is_valid(shape)
    if repaired:
        shape = shapely.make_valid(shape)
    pieces = [piece for piece in shapely.get_parts(shapely.get_parts(shape)) if piece.geom_type == "Polygon"]
    return shapely.multipolygons(pieces), repaired


def simplified(shape: shapely.MultiPolygon, most_m: float) -> shapely.MultiPolygon:
    """An outline that is nowhere further than about `most_m` away, of the same area to `AREA_KEPT`.

    Douglas and Peucker's lines cut corners, more inward than outward; they are then moved out or in together until the
    area is right. Where that is not possible within `most_m`, as for an outline of a few pixels, it stays as it is.

    Parameters
    ----------
    shape : MultiPolygon
    most_m : float
        In units of the shape's CRS.
    """
    thin = shapely.simplify(shape, most_m)
    inner, outer = -most_m, most_m

    def moved(by_m: float) -> shapely.Geometry:
        return shapely.buffer(thin, by_m, join_style="mitre", mitre_limit=2.0)

    if not shapely.area(moved(inner)) <= shape.area <= shapely.area(moved(outer)):
        return shape
    for _ in range(50):
        middle = (inner + outer) / 2
        found = moved(middle)
        if abs(found.area - shape.area) <= AREA_KEPT / 2 * shape.area:
            # both corners of a piece that vanished, or two that met, would be another landslide
            same = shapely.get_num_geometries(found) == shapely.get_num_geometries(shape) or shapely.get_num_geometries(shape) > 1
            return _valid(found)[0] if same and not shapely.is_empty(found) else shape
        if found.area < shape.area:
            inner = middle
        else:
            outer = middle
    return shape


def geodesic(shape: shapely.Geometry, to_lonlat: Transformer) -> tuple[float, float]:
    """Area in m2 and perimeter in m on the ellipsoid of WGS 84.

    Parameters
    ----------
    shape : polygon or multipolygon
    to_lonlat : Transformer
        From its CRS to longitude and latitude, x first.
    """
    lonlat = shapely.transform(shape, to_lonlat.transform, interleaved=False)
    area, perimeter = _GEOD.geometry_area_perimeter(shapely.orient_polygons(lonlat))
    return abs(area), perimeter


def length(shape: shapely.Geometry, source: tuple[float, float], toe: tuple[float, float]) -> float:
    """Extent along the line from source to toe, m; the long side of the smallest rectangle where these are one place."""
    away = np.subtract(toe, source)
    distance = float(np.hypot(*away))
    if distance < SAME_PLACE_M:
        corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))
        return float(np.hypot(*np.diff(corners, axis=0).T).max())
    return float(np.ptp(shapely.get_coordinates(shape) @ (away / distance)))
