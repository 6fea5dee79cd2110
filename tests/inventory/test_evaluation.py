"""Landslides found and mapped, compared as polygons."""

import geopandas as gpd
import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.inventory import evaluation

#: Outlines of pixels: some of 3 x 3 pixels, which may hang together or not.
MASKS = st.lists(st.integers(1, 2**9 - 1), min_size=1, max_size=5)
PLACES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=5, max_size=5)


def outlines(masks: list[int], places: list[tuple[int, int]]) -> gpd.GeoDataFrame:
    """Polygons of the pixels that are set in each mask of 3 x 3; their labels are not row numbers."""
    shapes = []
    for bits, (col, row) in zip(masks, places, strict=False):
        pixels = [shapely.box(col + i % 3, row + i // 3, col + i % 3 + 1, row + i // 3 + 1) for i in range(9)]
        shapes.append(shapely.union_all([pixel for i, pixel in enumerate(pixels) if bits >> i & 1]))
    return gpd.GeoDataFrame(geometry=shapes, crs="EPSG:25833", index=10 + np.arange(len(shapes)))


@given(MASKS, PLACES, MASKS, PLACES)
def test_landslides_meet_if_they_share_an_area(
    masks: list[int], places: list[tuple[int, int]], others: list[int], elsewhere: list[tuple[int, int]]
) -> None:
    """Compare with the area that each pair shares: a common border or corner is no detection."""
    these, those = outlines(masks, places), outlines(others, elsewhere)
    expected = {
        label
        for label, one in these.geometry.items()
        if any(shapely.area(shapely.intersection(one, other)) > 0 for other in those.geometry)
    }
    assert evaluation._touched(these, those) == expected
