"""Surroundings against slow obvious functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.interpolate import RegularGridInterpolator

from lsbatch.kernels.local_change import surroundings


@pytest.mark.parametrize("side_m", [2.5, 5, 10, 15, 20, 25, 30, 40, 60, 100])
def test_sizes_are_those_of_the_landscape(side_m: float) -> None:
    cell_px, reach = surroundings.sizes(side_m)
    assert 128 % cell_px == 0
    assert cell_px * side_m <= max(surroundings.CELL_M, side_m)
    if side_m >= 5:
        assert 300 <= (2 * reach + 1) * cell_px * side_m <= 640
    assert surroundings.halo_px(side_m) == (reach + 1) * cell_px


ARRAYS = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda shape: (shape[0] * 4, shape[1] * 4)),
    elements=st.one_of(st.floats(-20, 20, width=32), st.just(float("nan"))),
)


def blocks(values: np.ndarray, cell_px: int) -> np.ndarray:
    rows, cols = (size // cell_px for size in values.shape)
    return values.reshape(rows, cell_px, cols, cell_px).swapaxes(1, 2).reshape(rows, cols, -1)


@given(ARRAYS, st.sampled_from([1, 2, 4]))
def test_sums_and_means_are_those_of_numpy(values: np.ndarray, cell_px: int) -> None:
    cut = blocks(values, cell_px).astype(np.float64)
    np.testing.assert_allclose(surroundings.sums(values, cell_px), np.nansum(cut, axis=-1), atol=1e-3)
    count = np.isfinite(cut).sum(axis=-1)
    expected = np.where(count >= cell_px**2 / 2, np.nansum(cut, axis=-1) / np.maximum(count, 1), np.nan)
    np.testing.assert_allclose(surroundings.means(values, cell_px), expected, atol=1e-4)


@given(ARRAYS, st.integers(1, 3))
def test_the_median_is_that_of_numpy(cells: np.ndarray, reach: int) -> None:
    found = surroundings.median(cells, reach)
    for row, col in np.ndindex(*cells.shape):
        part = cells[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
        finite = part[np.isfinite(part)]
        enough = finite.size >= surroundings.LEAST_SHARE * (2 * reach + 1) ** 2
        np.testing.assert_allclose(found[row, col], np.median(finite) if enough else np.nan, rtol=1e-6)


@pytest.mark.parametrize("cell_px", [1, 2, 8])
def test_between_cells_is_bilinear(cell_px: int) -> None:
    cells = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    rows, cols = ((np.arange(size * cell_px) + 0.5) / cell_px - 0.5 for size in cells.shape)
    scipy = RegularGridInterpolator((np.arange(5), np.arange(7)), cells.astype(np.float64))
    places = np.stack(np.meshgrid(rows.clip(0, 4), cols.clip(0, 6), indexing="ij"), axis=-1)
    np.testing.assert_allclose(surroundings.between(cells, cell_px), scipy(places), atol=1e-6)


def test_an_unknown_cell_is_left_out_of_the_interpolation() -> None:
    cells = np.full((3, 3), 2, np.float32)
    cells[1, 1] = np.nan
    found = surroundings.between(cells, 4)
    assert np.isnan(found[4:8, 4:8]).all()
    assert np.isnan(found).sum() == 16
    assert (found[np.isfinite(found)] == 2).all()


@pytest.mark.parametrize("side_m", [10, 30])
def test_tiles_with_their_halo_equal_the_whole(side_m: float) -> None:
    values = np.random.default_rng(1).normal(size=(384, 384)).astype(np.float32)
    values[:90, 100:210] = np.nan
    whole, halo = surroundings.shared(values, side_m), surroundings.halo_px(side_m)
    tile = surroundings.shared(values[128 - halo : 256 + halo, 128 - halo : 256 + halo], side_m)
    np.testing.assert_array_equal(tile[halo:-halo, halo:-halo], whole[128:256, 128:256])


def test_a_small_change_does_not_move_what_the_surroundings_share() -> None:
    values = np.full((128, 128), 1.5, np.float32)
    changed = values.copy()
    changed[40:60, 40:60] += 6
    np.testing.assert_array_equal(surroundings.shared(changed, 10), surroundings.shared(values, 10))
