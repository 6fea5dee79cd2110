"""Dating by likelihood: against a slow sum, by simulated coverage, and on series without a landslide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from lsbatch.kernels import landslide_date, surrounding_rings

SPAN = (0.0, 445.0)


def slow_ratio(values: np.ndarray, speckle: np.ndarray) -> list[float]:
    """The same integrals by loops over means before, means after and noise, with scipy's densities."""
    noises = np.geomspace(landslide_date.QUIET_DB, landslide_date.LOUD_DB, landslide_date.SCALES)
    error = np.sqrt(speckle.min() ** 2 + noises[0] ** 2) / np.sqrt(len(values))
    means = np.linspace(values.min() - 3 * error, values.max() + 3 * error, 160)
    prior = stats.norm(0, landslide_date.STEP_DB).pdf(means[None] - means[:, None])
    prior /= prior.sum(axis=1, keepdims=True)
    out = []
    every = []
    for noise in noises:
        scale = np.sqrt(speckle**2 + noise**2)
        every.append([stats.t(landslide_date.FREEDOM, means, s).pdf(v) for v, s in zip(values, scale, strict=True)])
    for k in range(len(values) + 1):
        total = 0.0
        for each in every:
            before = np.prod(each[:k], axis=0) if k else np.ones(len(means))
            after = np.prod(each[k:], axis=0) if k < len(values) else np.ones(len(means))
            total += sum(b * (row @ after) for b, row in zip(before, prior, strict=True))
        out.append(np.log(total))
    return [float(one - out[-1]) for one in out]


@settings(max_examples=6)
@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.2, 1.5), st.floats(-4, 4))
def test_the_ratio_is_that_of_the_slow_sums(seed: int, count: int, noise: float, step: float) -> None:
    dice = np.random.default_rng(seed)
    speckle = dice.uniform(0.2, 0.8, count)
    values = -9 + dice.normal(0, noise, count) + step * (np.arange(count) > count // 2)
    found = landslide_date.log_likelihood_ratio(values, speckle)
    assert found[0] == found[-1] == 0
    np.testing.assert_allclose(found[1:], slow_ratio(values, speckle)[1:], atol=0.03)


def simulated(
    dice: np.random.Generator,
    step_db: float,
    *,
    orbits: int = 4,
    every: float = 12.0,
    noise_db: float = 0.5,
    speckle_db: float = 0.5,
    lasting: float = 0.0,
) -> tuple[list[landslide_date.Series], float]:
    """Return orbits with levels of their own, a step on a random day, and moisture common to all orbits."""
    truth = float(dice.uniform(*SPAN))
    moisture = np.zeros((int(SPAN[1]) + 1, 2))
    for day in range(1, len(moisture)):
        moisture[day] = lasting * moisture[day - 1] + np.sqrt(1 - lasting**2) * dice.normal(0, noise_db, 2)
    out = []
    for _ in range(orbits):
        days = dice.uniform(0, every) + every * np.arange(int((SPAN[1] - every) / every) + 1)
        ratio = dice.normal(0, 2, 2) + moisture[days.astype(int)] + dice.normal(0, speckle_db, (len(days), 2))
        ratio[days >= truth] += step_db * (np.array([1, 0.6]) + dice.normal(0, 0.3, 2))
        out.append(landslide_date.Series(days, ratio, np.full(ratio.shape, speckle_db)))
    return out, truth


def answers(count: int, seed: int, step_db: float, **how: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lease by the interval of 90 %, evidence, error in days; an array each."""
    dice = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        orbits, truth = simulated(dice, step_db, **how)  # type: ignore[arg-type]
        found = landslide_date.date(orbits, *SPAN)
        early, late = found.interval()
        assert found.chance.sum() == pytest.approx(1)
        rows.append((early <= truth <= late, found.evidence, abs(found.quantile(0.5) - truth)))
    held, evidence, error = np.array(rows).T
    return held, evidence, error


@pytest.mark.parametrize(
    "how", [{}, {"orbits": 1}, {"noise_db": 1.0, "lasting": 0.7}], ids=["usual", "one orbit", "moisture that lasts"]
)
def test_the_interval_holds_the_day_as_often_as_it_says(how: dict[str, float]) -> None:
    held, evidence, error = answers(120, 1, 1.5, **how)
    # 120 trials of 90 % have a standard error of 2.7 %
    assert 0.84 <= held.mean() <= 0.96
    if not how:
        assert (evidence > landslide_date.EVIDENCE).mean() > 0.85
        assert (error[evidence > landslide_date.EVIDENCE] <= 12).mean() > 0.9


@pytest.mark.parametrize("how", [{}, {"noise_db": 1.0, "lasting": 0.9}], ids=["white", "moisture that lasts"])
def test_where_nothing_changed_there_is_no_date(how: dict[str, float]) -> None:
    _, evidence, _ = answers(100, 2, 0.0, **how)
    assert (evidence > landslide_date.EVIDENCE).mean() <= 0.02


def test_the_chance_of_any_days_is_calibrated() -> None:
    """Of ranks of the true day within the posterior, all are as common.

    The whole distribution is honest, not one interval.
    """
    dice, ranks = np.random.default_rng(3), []
    for _ in range(120):
        orbits, truth = simulated(dice, 1.2)
        found = landslide_date.date(orbits, *SPAN)
        ranks.append(found.between(SPAN[0], truth))
    assert stats.kstest(ranks, "uniform").pvalue > 0.01


@given(st.integers(0, 1000), st.floats(2.0, 4.0), st.sampled_from([-1, 1]))
@settings(max_examples=10)
def test_one_wet_pass_moves_no_date(seed: int, size: float, sign: int) -> None:
    dice = np.random.default_rng(seed)
    orbits, truth = simulated(dice, sign * size)
    before = landslide_date.date(orbits, *SPAN)
    wet = [landslide_date.Series(one.days, one.ratio_db.copy(), one.speckle_db) for one in orbits]
    wet[0].ratio_db[dice.integers(3, len(wet[0].days) - 3)] -= sign * 8
    after = landslide_date.date(wet, *SPAN)
    if 40 < truth < 400:
        assert abs(after.quantile(0.5) - before.quantile(0.5)) < 12
        assert after.evidence > landslide_date.EVIDENCE


def test_of_two_passes_it_lies_between() -> None:
    days = np.array([10.0, 22.0, 34.0, 46.0, 58.0, 70.0, 82.0, 94.0])
    ratio = np.where(days < 50, 0.0, 5.0)[:, None] + np.zeros(2)
    found = landslide_date.date([landslide_date.Series(days, ratio, np.full(ratio.shape, 0.3))], 0.0, 100.0)
    assert found.likely() == (46.0, 58.0)
    early, late = found.interval()
    assert 46 < early < 47 < 57 < late < 58
    assert found.between(46, 58) > 0.99


def test_given_other_days_the_answer_is_that_of_a_search_there() -> None:
    orbits, _ = simulated(np.random.default_rng(5), 0.8)
    anywhere = landslide_date.date(orbits, *SPAN)
    middle = anywhere.quantile(0.4)
    there, given_there = (
        landslide_date._posterior(
            orbits,
            _edges(orbits, middle - 60, middle + 50),
            landslide_date._weight(orbits, landslide_date._posterior(orbits, anywhere.edges, 1.0)),
        ),
        anywhere.within(middle - 60, middle + 50),
    )
    np.testing.assert_allclose(given_there.edges, there.edges)
    np.testing.assert_allclose(given_there.chance, there.chance, atol=1e-9)
    assert given_there.evidence == pytest.approx(there.evidence)


def _edges(orbits: list[landslide_date.Series], first: float, last: float) -> np.ndarray:
    days = np.concatenate([one.days for one in orbits])
    return np.unique(np.concatenate([[first, last], days[(days > first) & (days < last)]]))


def test_without_passes_every_day_is_as_likely() -> None:
    nothing = landslide_date.Series(np.array([20.0, 40.0]), np.full((2, 2), np.nan), np.full((2, 2), np.nan))
    for orbits in ([], [nothing]):
        found = landslide_date.date(orbits, 0.0, 100.0)
        assert found.evidence == pytest.approx(0, abs=1e-12)
        assert found.interval() == pytest.approx((5, 95))


def test_the_log_ratio_and_its_speckle() -> None:
    """Against drawn pixels."""
    dice, looks = np.random.default_rng(4), 4.4
    inside = dice.gamma(looks, 0.1 / looks, (4000, 6)).sum(axis=1)
    around = dice.gamma(looks, 0.05 / looks, (4000, 50)).sum(axis=1)
    ratio, speckle = landslide_date.log_ratio(inside, np.full(4000, 6), around, np.full(4000, 50), looks)
    assert ratio.mean() == pytest.approx(10 * np.log10(2), abs=0.1)
    assert ratio.std() == pytest.approx(speckle[0], rel=0.05)
    assert speckle[0] == pytest.approx(
        landslide_date.DB * np.sqrt(special.polygamma(1, 26.4) + special.polygamma(1, 220))
    )
    nothing = landslide_date.log_ratio(
        np.array([1.0, 0.0]), np.array([4, 0]), np.array([0.0, 2.0]), np.array([0, 9]), looks
    )
    assert np.isnan(nothing).all()


# Rings


def slow_ring(inside: np.ndarray, owners: np.ndarray, unknown: np.ndarray, gap: float, reach: float) -> np.ndarray:
    out = np.zeros(inside.shape, np.int32)
    sources, blind = np.argwhere(inside), np.argwhere(unknown)
    for pixel in np.ndindex(inside.shape):
        if not len(sources):
            break
        square = ((sources - pixel) ** 2).sum(axis=1)
        near = ((blind - pixel) ** 2).sum(axis=1).min() if len(blind) else np.inf
        if min(square.min(), near) > gap**2 and square.min() <= reach**2:
            # argwhere is in row-major order, and argmin takes the first
            out[pixel] = owners[tuple(sources[square.argmin()])]
    return out


@given(st.integers(0, 10_000), st.floats(0.002, 0.05))
@settings(max_examples=30)
def test_a_ring_belongs_to_the_nearest_pixel_and_parts_see_what_the_whole_sees(seed: int, share: float) -> None:
    dice = np.random.default_rng(seed)
    inside = dice.random((30, 40)) < share
    owners = inside * dice.integers(0, 4, inside.shape).astype(np.int32)
    unknown = ~inside & (dice.random(inside.shape) < 0.01)
    whole = surrounding_rings.around(inside, owners, unknown, 1.5, 4)
    np.testing.assert_array_equal(whole, slow_ring(inside, owners, unknown, 1.5, 4))
    part = np.s_[8:24, 8:30]
    around = np.s_[0:32, 0:38]
    seen = surrounding_rings.around(inside[around], owners[around], unknown[around], 1.5, 4)
    np.testing.assert_array_equal(seen[part], whole[part])
