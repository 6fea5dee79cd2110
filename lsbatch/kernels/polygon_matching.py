"""Match polygons of two years by their areas of overlap."""

from dataclasses import dataclass

import numpy as np

#: Two polygons match if their overlap is at least this share of either of them. A landslide of 3 x 3 pixels that is
#: drawn one pixel lower and one to the right still shares 4/9 of its area.
MATCH_SHARE = 0.25
#: Overlap over union from which two outlines are equal: the tolerance for rounding by another CRS.
SAME_SHARE = 0.999
#: A landslide is enlarged if it grew by more than this share, and by more than `EDGE_PX` along its old outline.
ENLARGED_SHARE = 0.1
EDGE_PX = 0.5


@dataclass(frozen=True)
class Links:
    """Matches between polygons of two years.

    Attributes
    ----------
    earlier, later : array (pairs,)
        Indices of matching polygons. A pair with the same outline is in no other pair.
    keeper : array (later,)
        The earlier polygon whose identity each later one continues; -1 for none. Each earlier one is used once.
    same : array (later,), bool
        Whether the outline equals that of its keeper.
    """

    earlier: np.ndarray
    later: np.ndarray
    keeper: np.ndarray
    same: np.ndarray


def links(
    earlier: np.ndarray, later: np.ndarray, overlap: np.ndarray, earlier_area: np.ndarray, later_area: np.ndarray
) -> Links:
    """Match each later polygon with at most one earlier one, and each earlier one at most once.

    Equal outlines match first. Then the largest overlap is first; of equal ones the pair that shares more of both, then
    the first by index. If both years are sorted by a rule of their own, the result does not depend on the order of
    rows.

    Parameters
    ----------
    earlier, later : array (pairs,), int
        Polygons that overlap, by index.
    overlap : array (pairs,)
        Area of the overlap, in the unit of the areas.
    earlier_area, later_area : array (earlier,), (later,)

    Returns
    -------
    Links
    """
    union = earlier_area[earlier] + later_area[later] - overlap
    alike = overlap / np.where(union > 0, union, 1)
    enough = overlap >= MATCH_SHARE * np.minimum(earlier_area[earlier], later_area[later])
    earlier, later, overlap, alike = (values[enough & (overlap > 0)] for values in (earlier, later, overlap, alike))
    equal = alike >= SAME_SHARE
    keeper = np.full(later_area.size, -1, np.int64)
    taken = np.zeros(earlier_area.size, bool)
    for pair in np.lexsort((later, earlier, -alike, -overlap, ~equal)):
        old, new = earlier[pair], later[pair]
        if keeper[new] < 0 and not taken[old]:
            keeper[new], taken[old] = old, True
    same = np.zeros(later_area.size, bool)
    same[later[equal & (keeper[later] == earlier)]] = True
    # an unchanged outline continues only itself, also if outlines of one year overlap
    closed = np.zeros(earlier_area.size, bool)
    closed[keeper[same]] = True
    kept = (keeper[later] == earlier) | ~(same[later] | closed[earlier])
    return Links(earlier[kept], later[kept], keeper, same)


def is_enlarged(before_m2: np.ndarray, after_m2: np.ndarray, perimeter_m: np.ndarray, pixel_m: float) -> np.ndarray:
    """Return whether landslides grew by more than the uncertainty of their outlines, bool.

    Parameters
    ----------
    before_m2, after_m2 : array
        Area that each landslide continues, and its own area.
    perimeter_m : array
        Perimeter of the outline that it continues.
    pixel_m : float
        Side of a pixel.

    Returns
    -------
    bool array
    """
    growth = after_m2 - before_m2
    return (growth > ENLARGED_SHARE * before_m2) & (growth > EDGE_PX * pixel_m * perimeter_m)
