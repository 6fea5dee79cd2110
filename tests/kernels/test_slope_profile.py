"""Break of slope: against sklearn's first split, and how often it is seen where none is."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from lsbatch.kernels import slope_profile

STEPS = 40


def _summed(step: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the steps with pixels, and their pixels, sums and squares."""
    sums = [np.bincount(step, weight, STEPS) for weight in (np.ones_like(slope), slope, slope**2)]
    steps = np.flatnonzero(sums[0])
    return steps, *(values[steps] for values in sums)


def _break(step: np.ndarray, slope: np.ndarray, a_sample: float = 1.0) -> tuple[int, float, float] | None:
    """Return the first step above the break of one profile and the means above and below, or None."""
    steps, *sums = _summed(step, slope)
    (row,), (above,), (below,) = slope_profile.breaks_of_slope(np.array([0]), *sums, a_sample)
    assert (row < 0) == np.isnan(above) == np.isnan(below)
    return None if row < 0 else (int(steps[row]), above, below)


@pytest.mark.parametrize("seed", range(30))
def test_break_is_the_first_split_of_a_regression_tree(seed: int) -> None:
    random = np.random.default_rng(seed)
    step = random.integers(0, STEPS, 600)
    step[step == 7] = 8
    slope = random.normal(np.where(step >= 5 + seed, 32.0, 18.0), 6.0)
    tree = DecisionTreeRegressor(max_depth=1, min_samples_leaf=90).fit(step[:, None], slope)
    found = _break(step, slope)
    if len(tree.tree_.value) == 1 or tree.tree_.threshold[0] < 0:
        assert found is None
        return
    assert found is not None
    assert found[0] == step[step > tree.tree_.threshold[0]].min()
    np.testing.assert_allclose(found[1:], tree.tree_.value[[2, 1]].ravel())


def _share_found(gap: float, pixels: int, a_sample: int, seed: int) -> float:
    """Return the share of 1,000 profiles with a steeper upper half, with 6 degrees of noise, that are split."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(1000):
        step = np.repeat(random.integers(0, STEPS, pixels // a_sample), a_sample)
        slope = np.where(step >= STEPS // 2, 25.0 + gap, 25.0) + np.repeat(
            random.normal(0, 6.0, pixels // a_sample), a_sample
        )
        found += _break(step, slope, a_sample) is not None
    return found / 1000


@pytest.mark.parametrize(("pixels", "a_sample"), [(200, 1), (2000, 1), (900, 9), (9000, 9)])
def test_flat_profiles_seem_broken_in_one_of_a_hundred(pixels: int, a_sample: int) -> None:
    # half of it: breaks towards gentler ground above are none
    assert 0.001 <= _share_found(0.0, pixels, a_sample, 11) <= 0.012


def test_a_break_of_ten_degrees_is_found_in_a_hundred_samples() -> None:
    assert _share_found(10.0, 900, 9, 12) >= 0.98


def test_gentler_above_or_one_step_alone_is_no_break() -> None:
    step = np.arange(STEPS).repeat(20)
    slope = np.where(step >= 20, 15.0, 30.0) + np.tile([-1.0, 1.0], 400)
    assert _break(step, slope) is None
    alone = np.full(50, 3)
    assert _break(alone, np.linspace(1, 2, 50)) is None


def test_a_profile_without_any_noise_is_split_exactly() -> None:
    step = np.arange(STEPS).repeat(20)
    found = _break(step, np.where(step >= 12, 30.0, 10.0))
    assert found == (12, 30.0, 10.0)


def test_many_profiles_answer_as_each_alone() -> None:
    random = np.random.default_rng(5)
    profiles = []
    for _ in range(200):
        # whole numbers, as the outlines have them: tenths of degrees
        step = random.integers(0, random.integers(1, STEPS), random.integers(1, 400))
        profiles.append(_summed(step, np.round(random.normal(np.where(step > STEPS // 3, 320.0, 250.0), 40.0))))
    starts = np.cumsum([0, *(len(one[0]) for one in profiles[:-1])])
    together = [np.concatenate(columns) for columns in zip(*profiles, strict=True)][1:]
    row, above, below = slope_profile.breaks_of_slope(starts, *together)
    assert 20 < (row >= 0).sum() < 180
    for i, (_, *sums) in enumerate(profiles):
        (alone,), *means = slope_profile.breaks_of_slope(np.array([0]), *sums)
        assert row[i] == (alone + starts[i] if alone >= 0 else -1)
        np.testing.assert_array_equal([[above[i]], [below[i]]], means)
