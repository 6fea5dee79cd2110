"""Moments of passes against numpy, and the law of the standardised change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.kernels.local_change import pass_moments, surroundings

SIDE_M, SHAPE = 10.0, (256, 256)
CELL = surroundings.sizes(SIDE_M)[0]


def speckled(passes: int, seed: int, level_db: float = -12, looks: float = 4.4) -> np.ndarray:
    power = np.random.default_rng(seed).gamma(looks, 10 ** (level_db / 10) / looks, (passes, *SHAPE))
    return power.astype(np.float32)


def of(passes: np.ndarray) -> pass_moments.Moments:
    moments = pass_moments.empty(passes.shape[1:], CELL)
    if len(passes):
        pass_moments.fill(moments, slice(0, passes.shape[1]), list(passes), CELL)
    return moments


@given(st.integers(1, 6), st.floats(-28, 5), st.integers(0, 5))
def test_moments_are_those_of_numpy(passes: int, level_db: float, seed: int) -> None:
    dice = np.random.default_rng(seed)
    power = dice.gamma(4.4, 10 ** (level_db / 10) / 4.4, (passes, 32, 48)).astype(np.float32)
    power[dice.random(power.shape) < 0.2] = np.nan
    decibels = 10 * np.log10(power.astype(np.float64))
    count = np.isfinite(decibels).sum(axis=0)
    mean = np.where(count > 0, np.nansum(decibels, axis=0) / np.maximum(count, 1), np.nan)
    found = of(power)
    np.testing.assert_array_equal(found.count, count)
    np.testing.assert_allclose(found.mean_db, mean, atol=1e-4)
    squares = np.nansum((decibels - mean) ** 2, axis=0).reshape(4, CELL, 6, CELL).sum(axis=(1, 3))
    np.testing.assert_allclose(found.squares, squares, rtol=1e-3, atol=0.05)
    np.testing.assert_array_equal(found.spare, np.maximum(count - 1, 0).reshape(4, CELL, 6, CELL).sum(axis=(1, 3)))


def test_strips_of_whole_cells_equal_the_whole() -> None:
    power = speckled(3, 0)
    strips = pass_moments.empty(SHAPE, CELL)
    for rows in (slice(0, 96), slice(96, 256)):
        pass_moments.fill(strips, rows, [date[rows] for date in power], CELL)
    for name in ("count", "mean_db", "squares", "spare"):
        np.testing.assert_array_equal(getattr(strips, name), getattr(of(power), name))


@pytest.mark.parametrize(("before", "after"), [(4, 2), (6, 6), (3, 1)])
def test_without_a_change_the_result_is_standard_normal(before: int, after: int) -> None:
    changes = pass_moments.change(of(speckled(before, 1)), of(speckled(after, 2)), SIDE_M)
    _, z = pass_moments.combined([changes])
    assert abs(z.mean()) < 0.05
    assert 0.95 < z.std() < 1.05


def test_a_change_that_the_scene_shares_is_removed_and_a_landslide_stays() -> None:
    before, after = speckled(6, 3), speckled(6, 4)
    wet = after * np.float32(10**0.39)
    still, _ = pass_moments.change(of(before), of(after), SIDE_M)
    shifted, _ = pass_moments.change(of(before), of(wet), SIDE_M)
    np.testing.assert_allclose(shifted, still, atol=1e-3)
    wet[:, 100:120, 100:120] *= np.float32(10**0.4)
    changed, _ = pass_moments.change(of(before), of(wet), SIDE_M)
    assert changed[100:120, 100:120].mean() == pytest.approx(4 + still[100:120, 100:120].mean(), abs=0.05)


def test_orbits_are_weighted_by_inverse_variance() -> None:
    one = np.array([[1.0, np.nan, 3.0]], np.float32), np.array([[0.5, np.nan, 1.0]], np.float32)
    two = np.array([[2.0, 4.0, np.nan]], np.float32), np.array([[1.0, 2.0, np.nan]], np.float32)
    change, z = pass_moments.combined([one, two])
    np.testing.assert_allclose(change, [[4 / 3, 4, 3]], rtol=1e-6)
    np.testing.assert_allclose(z, [[4 / 3 * np.sqrt(3), 4 / np.sqrt(2), 3]], rtol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(0, 3), (3, 0), (1, 1)])
def test_without_a_pass_or_a_second_one_the_change_is_unknown(before: int, after: int) -> None:
    change, variance = pass_moments.change(of(speckled(before, 5)), of(speckled(after, 6)), SIDE_M)
    assert np.isnan(change).all()
    assert np.isnan(variance).all()


def test_looks_are_counted_where_both_windows_have_one() -> None:
    before, after = speckled(4, 7), speckled(2, 8)
    after[:, :10] = np.nan
    found = pass_moments.looks(of(before), of(after))
    assert (found[:10] == 0).all()
    assert (found[10:] == 6).all()
