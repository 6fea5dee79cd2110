"""Shapes of landslides: valid outlines, their lengths, and simplified outlines of the same area."""

import numpy as np
import shapely

from lsbatch.storage.geometries import polygonal

#: A simplified outline has the area of the pixel outline within this relative tolerance.
AREA_KEPT = 1e-4
#: Source and toe that are closer together (m) give no direction.
SAME_PLACE_M = 1.0
#: Bisections of the distance by which a simplified outline is moved.
BISECTIONS = 50


def joined(parts: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the parts of each landslide to one valid outline; return whether it was repaired.

    The outline is normalised, so that vertices do not depend on the tiles: it starts at a corner of the pixel outline,
    and vertices that only the edge of a tile made are removed.

    Parameters
    ----------
    parts : array (parts,) of polygons
        The parts of one landslide are consecutive.
    starts : array (landslides,) int
        First part of each landslide.

    Returns
    -------
    outlines : array (landslides,) of MultiPolygon
    repaired : array (landslides,) bool
    """
    counts = np.diff(starts, append=len(parts))
    unions = np.empty(len(starts), dtype=object)
    # most landslides lie in one tile; one call for all of them
    unions[counts == 1] = shapely.union_all(parts[starts[counts == 1], None], axis=1)
    for i in np.flatnonzero(counts > 1):
        unions[i] = shapely.union_all(parts[starts[i] : starts[i] + counts[i]])
    return _valid(shapely.simplify(shapely.normalize(unions), 0))


def _valid(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    repaired = ~shapely.is_valid(shapes)
    shapes = shapes.copy()
    shapes[repaired] = shapely.make_valid(shapes[repaired])
    return polygonal(shapes), repaired


def simplified(shapes: np.ndarray, most_m: float) -> np.ndarray:
    """Simplify outlines within about `most_m` and to the same area within `AREA_KEPT`.

    Douglas and Peucker's simplification changes the area, more often to smaller. The vertices are then moved outwards
    or inwards together until the area is right. If this is not possible within `most_m`, as for an outline of a few
    pixels, the outline is unchanged.

    Parameters
    ----------
    shapes : array (landslides,) of MultiPolygon
    most_m : float
        In units of the shapes' CRS.

    Returns
    -------
    array (landslides,) of MultiPolygon
        An outline that could not be simplified is the same object as before.
    """
    thin, area = shapely.simplify(shapes, most_m), shapely.area(shapes)
    inner, outer = np.full(len(shapes), -most_m), np.full(len(shapes), most_m)
    possible = (shapely.area(_moved(thin, inner)) <= area) & (area <= shapely.area(_moved(thin, outer)))
    out, left = shapes.copy(), np.flatnonzero(possible)
    for _ in range(BISECTIONS):
        middle = (inner[left] + outer[left]) / 2
        found = _moved(thin[left], middle)
        there = shapely.area(found)
        small, done = there < area[left], np.abs(there - area[left]) <= AREA_KEPT / 2 * area[left]
        # moved inwards, a narrow neck can split; pieces that touched only at a corner can merge
        whole = shapely.get_num_geometries(shapes[left]) == 1
        torn = whole & (shapely.get_num_geometries(found) > 1)
        out[left[done & ~torn]] = _valid(found[done & ~torn])[0]
        inner[left], outer[left] = np.where(small, middle, inner[left]), np.where(small, outer[left], middle)
        left = left[~done]
    return out


def _moved(thin: np.ndarray, by_m: np.ndarray) -> np.ndarray:
    return shapely.buffer(thin, by_m, join_style="mitre", mitre_limit=2.0)


def lengths(shapes: np.ndarray, sources: np.ndarray, toes: np.ndarray) -> np.ndarray:
    """Return the length from source to toe in m; if these are one place, the long side of the smallest rectangle.

    Parameters
    ----------
    shapes : array (landslides,) of polygons
    sources, toes : array (landslides, 2)
        x and y in the CRS of the shapes.

    Returns
    -------
    array (landslides,)
    """
    away = toes - sources
    distance = np.hypot(away[:, 0], away[:, 1])
    same = distance < SAME_PLACE_M
    out = np.empty(len(shapes))
    coordinates, owner = shapely.get_coordinates(shapes[~same], return_index=True)
    if len(owner):
        starts = np.unique(owner, return_index=True)[1]
        # from the first corner: products of coordinates of millions of metres are rounded to 1e-9 m
        x, y = ((coordinates - coordinates[starts][owner]) * (away[~same] / distance[~same, None])[owner]).T
        along = x + y
        out[~same] = np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts)
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapes[same])).reshape(-1, 5, 2)
    out[same] = np.hypot(*np.moveaxis(np.diff(corners, axis=1), 2, 0)).max(axis=1)
    return out
