"""Focal filters, medians over time and regions against scipy, numpy and slow loops."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from lsbatch.kernels import connected_regions, focal, time_median

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
RADII = st.sampled_from([0, 1, 1.5, 2, 3.3])


def _circle(values: np.ndarray, row: int, col: int, radius: float) -> np.ndarray:
    """Values within the radius."""
    rows, cols = np.indices(values.shape)
    return values[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2]


@given(SHAPES.flatmap(lambda s: arrays(np.uint8, s, elements=st.sampled_from([0, 1, 2, 7, 254, 255]))), RADII)
def test_mode_as_a_loop(labels: np.ndarray, radius: float) -> None:
    expected = labels.copy()
    for row, col in np.argwhere(labels != focal.NODATA):
        near = _circle(labels, row, col, radius)
        expected[row, col] = np.bincount(near[near != focal.NODATA]).argmax()
    np.testing.assert_array_equal(focal.mode(labels, radius), expected)


@given(SHAPES.flatmap(lambda s: arrays(np.float32, s, elements=st.sampled_from([np.nan, 0, 1, 2.5, -3]))), RADII)
def test_median_as_a_loop(values: np.ndarray, radius: float) -> None:
    expected = np.full(values.shape, np.nan, np.float32)
    for row, col in np.argwhere(np.isfinite(values)):
        expected[row, col] = np.nanmedian(_circle(values, row, col, radius))
    np.testing.assert_array_equal(focal.median(values, radius), expected)


@given(SHAPES.flatmap(lambda s: arrays(np.bool_, s)), RADII)
def test_dilation_by_distance(mask: np.ndarray, radius: float) -> None:
    expected = ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask
    np.testing.assert_array_equal(focal.dilate(mask, radius), expected)
    np.testing.assert_array_equal(focal.erode(~mask, radius), ~expected)


@pytest.mark.parametrize("times", [0, 1, 2, 3, 7, 8, 24, 33, 60])
def test_median_over_time_as_numpy(times: int) -> None:
    dice = np.random.default_rng(times)
    stack = dice.random((times, 7, 300), dtype=np.float32)
    stack[dice.random(stack.shape) < 0.3] = np.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN|Mean of empty", category=RuntimeWarning)
        expected = np.nanmedian(stack, axis=0)
    np.testing.assert_array_equal(time_median.masked_median(stack), expected)


@given(
    st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.05, 0.3, 0.45, 0.6, 0.9]),
    st.integers(0, 10**6),
)  # fmt: skip
def test_regions_of_tiles_joined_are_those_of_the_whole(
    side: int, rows: int, cols: int, density: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((rows * side, cols * side)) < density
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    labels, edges, counts = {}, {}, {}
    for row, col in np.ndindex(rows, cols):
        found, n = connected_regions.label(mask[row * side : (row + 1) * side, col * side : (col + 1) * side])
        if n:
            labels[row, col], edges[row, col], counts[row, col] = found, connected_regions.edges(found), n
    numbers = connected_regions.join(edges, counts)
    joined = np.zeros(mask.shape, int)
    for (row, col), found in labels.items():
        part = np.concatenate([[0], numbers[row, col] + 1])[found]
        joined[row * side : (row + 1) * side, col * side : (col + 1) * side] = part
    np.testing.assert_array_equal(joined > 0, mask)
    # the same partition: each of ours is one of theirs, and as many
    pairs = {(a, b) for a, b in zip(joined[mask].tolist(), expected[mask].tolist(), strict=True)}
    assert len(pairs) == count == len(np.unique(joined[mask]))
