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


@given(values=arrays.arrays(np.int16, (5, 6), elements=st.sampled_from([-32768, -30, -3, -1, 0, 2])))
def test_averages_of_negative_numbers(values: np.ndarray) -> None:
    """As the radar change has them."""
    np.testing.assert_array_equal(overviews.average(values, -32768), slow(values, "average", -32768), strict=True)


@pytest.mark.parametrize("method", ["average", "nearest"])
@given(data=st.data())
def test_samples_of_a_picture_are_halved_one_by_one(method: str, data: st.DataObject) -> None:
    values = data.draw(arrays.arrays(np.uint8, (3, 4, 3), elements=st.sampled_from([0, 1, 7, 255])))
    alone = [overviews.METHODS[method](values[..., sample], 0) for sample in range(3)]
    np.testing.assert_array_equal(overviews.METHODS[method](values, 0), np.stack(alone, axis=-1))
