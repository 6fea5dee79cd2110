"""Dating a step: against scikit-learn's least squares, and on series whose step is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from lsbatch.kernels import change_date


def orbit(
    step_db: float, day: float, seed: int, every: float = 12.0, noise_db: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    """Two years of VV and VH with seasons, and a step."""
    dice = np.random.default_rng(seed)
    days = 18_000 + dice.uniform(0, every) + every * np.arange(int(730 / every))
    season = 1.5 * np.cos(2 * np.pi * days / change_date.YEAR_DAYS + dice.uniform(0, 6))
    levels = np.array([-10.0, -16.0])
    after = (days >= day)[:, None]
    return days, levels + season[:, None] + step_db * after + dice.normal(0, noise_db, (len(days), 2))


def test_the_ratio_is_that_of_two_regressions() -> None:
    days, decibels = orbit(2.0, 18_400, 0)
    decibels[5, 0] = np.nan
    candidates = days[[2, 10, 30, len(days) - 2]]
    found = change_date.step(days, decibels, candidates)
    expected = np.zeros(4)
    for channel in decibels.T:
        seen = np.isfinite(channel)
        turn = 2 * np.pi * days[seen] / change_date.YEAR_DAYS
        seasons = np.column_stack([np.cos(turn), np.sin(turn)])
        for k, day in enumerate(candidates):
            after = days[seen] >= day
            if min(after.sum(), (~after).sum()) < change_date.FEWEST:
                continue
            sse = [
                ((channel[seen] - LinearRegression().fit(x, channel[seen]).predict(x)) ** 2).sum()
                for x in (seasons, np.column_stack([seasons, after]))
            ]
            expected[k] += seen.sum() / 2 * np.log(sse[0] / sse[1])
    assert found[0] == found[3] == 0
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@given(st.integers(0, 500), st.floats(2.5, 5), st.sampled_from([-1, 1]), st.floats(150, 580))
def test_a_clear_step_is_dated_between_the_looks_around_it(seed: int, size: float, sign: int, at: float) -> None:
    day = 18_000 + at
    orbits = [orbit(sign * size, day, seed + k) for k in range(2)]
    found, earliest, latest, ratio = change_date.date(orbits)
    assert abs(found - day) < 20
    # the interval is of 95 %, not of certainty: one look of 12 days more is
    assert earliest - 12 <= day <= latest + 12
    assert ratio > 20


@pytest.mark.parametrize("step_db", [0.7, 1.0, 2.0])
def test_the_interval_holds_the_day_as_often_as_it_says(step_db: float) -> None:
    day, held = 18_300, 0
    for seed in range(100):
        _, earliest, latest, _ = change_date.date([orbit(step_db, day, 2 * seed + k) for k in range(2)])
        held += earliest <= day <= latest
    # 99, 100, 100 of 100; three standard errors below 95 % are 88
    assert held >= 95


def test_orbits_together_see_more_than_each() -> None:
    """Their own levels do not matter; their ratios add up."""
    errors = {1: [], 4: []}  # type: ignore[var-annotated]
    for seed in range(40):
        orbits = [orbit(0.8, 18_300, 100 * seed + k) for k in range(4)]
        for count, found in errors.items():
            found.append(abs(change_date.date(orbits[:count])[0] - 18_300))
    assert np.median(errors[4]) < 0.7 * np.median(errors[1])


def test_nothing_changed() -> None:
    ratios = [change_date.date([orbit(0, 0, seed)])[3] for seed in range(20)]
    assert np.median(ratios) < 12
    assert np.median([change_date.date([orbit(2, 18_300, seed)])[3] for seed in range(20)]) > 30


def test_only_between_the_days() -> None:
    one = orbit(3, 18_200, 1)
    assert abs(change_date.date([one])[0] - 18_200) < 15
    day, _, _, _ = change_date.date([one], 18_400, 18_500)
    assert 18_380 < day < 18_510


def test_too_little() -> None:
    days, decibels = orbit(3, 18_200, 1)
    for few in (0, 1, 2 * change_date.FEWEST - 1):
        day, earliest, latest, ratio = change_date.date([(days[:few], decibels[:few])])
        assert np.isnan([day, earliest, latest]).all()
        assert ratio == 0
    nothing = np.full_like(decibels, np.nan)
    assert change_date.date([(days, nothing)])[3] == pytest.approx(0, abs=1e-9)
