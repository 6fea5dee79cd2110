"""The shape of a landslide: a valid outline, its length, and a simplified outline of the same area."""

import numpy as np
import shapely

from lsbatch.storage.geometries import polygonal

#: A simplified outline has the area of the pixel outline within this relative tolerance.
AREA_KEPT = 1e-4
#: Source and toe that are closer together (m) give no direction.
SAME_PLACE_M = 1.0


def joined(parts: np.ndarray) -> tuple[shapely.MultiPolygon, bool]:
    """Join the parts of one landslide to one valid outline; return whether it was repaired.

    The outline is normalised, so that vertices do not depend on the tiles: it starts at a corner of the pixel outline,
    and vertices that only the edge of a tile made are removed.
    """
    shape = shapely.simplify(shapely.normalize(shapely.union_all(parts)), 0)
    return _valid(shape)


def _valid(shape: shapely.Geometry) -> tuple[shapely.MultiPolygon, bool]:
    if shapely.is_valid(shape):
        return polygonal(shape), False
    return polygonal(shapely.make_valid(shape)), True


def simplified(shape: shapely.MultiPolygon, most_m: float) -> shapely.MultiPolygon:
    """Simplify an outline within about `most_m` and to the same area within `AREA_KEPT`.

    Douglas and Peucker's simplification changes the area, more often to smaller. The vertices are then moved outwards
    or inwards together until the area is right. If this is not possible within `most_m`, as for an outline of a few
    pixels, the outline is unchanged.

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
            # moved inwards, a narrow neck can split; pieces that touched only at a corner can merge
            torn = shapely.get_num_geometries(shape) == 1 and shapely.get_num_geometries(found) > 1
            return shape if torn else _valid(found)[0]
        if found.area < shape.area:
            inner = middle
        else:
            outer = middle
    return shape


def length(shape: shapely.Geometry, source: tuple[float, float], toe: tuple[float, float]) -> float:
    """Return the length from source to toe in m; if these are one place, the long side of the smallest rectangle."""
    away = np.subtract(toe, source)
    distance = float(np.hypot(*away))
    if distance < SAME_PLACE_M:
        corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))
        return float(np.hypot(*np.diff(corners, axis=0).T).max())
    return float(np.ptp(shapely.get_coordinates(shape) @ (away / distance)))
