"""Frequency and area of landslides: fits of samples drawn from the law itself, against scipy and against slow forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from lsbatch.kernels.statistics import size_distribution
from lsbatch.synthetic import landslides

#: Malamud's law in m2, from which the synthetic country draws.
LAW = stats.invgamma(landslides.RHO, scale=landslides.SCALE_KM2 * 1e6, loc=landslides.SHIFT_KM2 * 1e6)
ROLLOVER_M2 = landslides.SCALE_KM2 * 1e6 / (landslides.RHO + 1) + landslides.SHIFT_KM2 * 1e6


def drawn(count: int, seed: int, least_m2: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return LAW.ppf(rng.uniform(LAW.cdf(least_m2), 1, count))


def test_the_rollover_of_the_law_is_400_square_metres() -> None:
    assert pytest.approx(401.3, abs=0.1) == ROLLOVER_M2


def test_the_law_is_found_again() -> None:
    found = size_distribution.fit_inverse_gamma(drawn(20_000, 1))
    assert found is not None
    assert found.rho == pytest.approx(1.4, rel=0.05)
    assert found.scale_m2 == pytest.approx(1280, rel=0.08)
    assert found.shift_m2 == pytest.approx(-132, abs=25)
    assert found.rollover_low_m2 < ROLLOVER_M2 < found.rollover_high_m2
    assert found.rollover_is_seen
    assert found.rollover_high_m2 - found.rollover_low_m2 < 0.1 * ROLLOVER_M2


def test_the_likelihood_is_at_least_that_of_scipy() -> None:
    areas = drawn(2000, 2)
    found = size_distribution.fit_inverse_gamma(areas)
    shape, loc, scale = stats.invgamma.fit(areas, 1.4, loc=-100, scale=1000)
    assert found is not None
    assert found.log_likelihood >= stats.invgamma.logpdf(areas, shape, loc, scale).sum() - 0.01
    expected = stats.invgamma.logpdf(areas, found.rho, found.shift_m2, found.scale_m2).sum()
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(
        found.density(areas), stats.invgamma.pdf(areas, found.rho, found.shift_m2, found.scale_m2), rtol=1e-9
    )


def test_a_law_that_is_cut_integrates_to_one() -> None:
    found = size_distribution.fit_inverse_gamma(drawn(3000, 3, least_m2=200), least_m2=200)
    assert found is not None
    total = integrate.quad(lambda x: found.density(np.exp([x]))[0] * np.exp(x), np.log(200), np.log(1e12), limit=200)[0]
    assert total == pytest.approx(1, abs=1e-4)
    assert found.density(np.array([199.0]))[0] == 0


def test_intervals_of_the_rollover_cover() -> None:
    """40 inventories of 1,000 landslides: 95 % intervals hold the rollover in at least 35."""
    found = [size_distribution.fit_inverse_gamma(drawn(1000, seed)) for seed in range(40)]
    held = sum(one is not None and one.rollover_low_m2 < ROLLOVER_M2 < one.rollover_high_m2 for one in found)
    print(f"{held} of 40 intervals hold the rollover")
    assert held >= 35


def test_a_rollover_that_was_never_mapped_is_not_claimed() -> None:
    """Cut at 1,000 m2, as a survey of 10 m pixels is: the rollover at 400 m2 cannot be seen."""
    for seed in range(3):
        found = size_distribution.fit_inverse_gamma(drawn(3000, seed, least_m2=1000), least_m2=1000)
        assert found is None or not found.rollover_is_seen


def test_few_or_equal_areas_are_not_fitted() -> None:
    for areas in (np.empty(0), drawn(49, 1), np.full(100, 500.0)):
        assert size_distribution.fit_inverse_gamma(areas) is None
        assert size_distribution.fit_tail(areas) is None


@pytest.mark.parametrize("alpha", [1.8, 2.4, 3.0])
def test_a_power_law_is_found_again(alpha: float) -> None:
    areas = 700 * np.random.default_rng(4).uniform(size=5000) ** (-1 / (alpha - 1))
    found = size_distribution.fit_tail(areas)
    assert found is not None
    assert abs(found.alpha - alpha) < 3 * found.alpha_se + 0.02
    assert found.count >= 1000


def test_the_tail_of_the_law_is_found() -> None:
    """The inverse gamma falls as area^-2.4 far above its rollover; the fit is slow to get there, from below."""
    found = size_distribution.fit_tail(drawn(20_000, 5))
    assert found is not None
    assert 2.1 < found.alpha < 2.5
    assert found.from_m2 > 2 * ROLLOVER_M2


def test_the_tail_is_that_of_a_slow_search() -> None:
    areas = np.round(drawn(300, 6), -2) + 100

    def distance(start: float) -> float:
        tail = np.sort(areas[areas >= start])
        alpha = 1 + len(tail) / np.log(tail / start).sum()
        return float(stats.kstest(tail, lambda x: 1 - (x / start) ** (1 - alpha)).statistic)

    starts = [one for one in np.unique(areas) if (areas >= one).sum() >= 50 and one < areas.max()]
    assert len(starts) <= size_distribution.THRESHOLDS
    found = size_distribution.fit_tail(areas)
    assert found is not None
    assert found.from_m2 == min(starts, key=distance)
    assert found.distance == pytest.approx(distance(found.from_m2), abs=1e-12)


@given(st.lists(st.floats(1, 1e7), min_size=1, max_size=200), st.integers(1, 10))
def test_densities_hold_every_landslide(areas: list[float], per_decade: int) -> None:
    found = size_distribution.densities(np.array(areas), per_decade)
    low, high, count, density = found.T
    assert count.sum() == len(areas)
    assert (count[[0, -1]] > 0).all()
    np.testing.assert_allclose((density * (high - low)).sum(), 1)
    np.testing.assert_allclose(low[1:], high[:-1])
    for a, b, n in zip(low, high, count, strict=True):
        # an area a rounding away from an edge may be on either side of it
        inside = [a * (1 - 1e-8) <= one < b * (1 + 1e-8) for one in areas]
        assert n <= sum(inside)


def test_no_landslide_has_no_density() -> None:
    assert size_distribution.densities(np.empty(0)).shape == (0, 4)
