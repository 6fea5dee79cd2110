"""Overviews of maps: each method equals a slow, obvious function of single pixels, whatever the shape."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lsbatch.kernels.resampling import overviews


def slow(values: np.ndarray, method: str, nodata: int | None) -> np.ndarray:
    """Halve pixel by pixel, with Python's own integers."""
    rows, cols = (-(-side // 2) for side in values.shape)
    out = np.empty((rows, cols), values.dtype)
    for row, col in np.ndindex(rows, cols):
        here = values[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
        out[row, col] = {"average": _average, "nearest": _first, "mode": _mode}[method](here, nodata)
    return out


def _average(here: list[int], nodata: int | None) -> int:
    valid = [value for value in here if value != nodata]
    if not valid:
        assert nodata is not None
        return nodata
    return (2 * sum(valid) + len(valid)) // (2 * len(valid))


def _first(here: list[int], nodata: int | None) -> int:
    return here[0]


def _mode(here: list[int], nodata: int | None) -> int:
    counts = Counter(here)
    return min(value for value in here if counts[value] == max(counts.values()))


@pytest.mark.parametrize("method", sorted(overviews.METHODS))
@pytest.mark.parametrize("nodata", [None, 255])
@given(data=st.data())
def test_each_method_equals_the_slow_one(method: str, nodata: int | None, data: st.DataObject) -> None:
    shape = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
    # few values, so that ties and nodata are frequent
    values = data.draw(arrays.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 7, 254, 255])))
    before = values.copy()
    found = overviews.METHODS[method](values, nodata)
    np.testing.assert_array_equal(found, slow(values, method, nodata), strict=True)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("method", sorted(overviews.METHODS))
@given(data=st.data())
def test_halves_of_even_tiles_are_the_half_of_the_whole(method: str, data: st.DataObject) -> None:
    values = data.draw(arrays.arrays(np.int16, (8, 12), elements=st.sampled_from([0, 3, 9, 17000])))
    tiles = [[overviews.METHODS[method](values[r : r + 4, c : c + 6], 0) for c in (0, 6)] for r in (0, 4)]
    np.testing.assert_array_equal(np.block(tiles), overviews.METHODS[method](values, 0))
