"""Dating by likelihood: against a slow sum, by simulated coverage, and on series without a landslide."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from lsbatch.kernels import landslide_date, surrounding_rings

SPAN = (0.0, 445.0)


def slow_ratio(series: list[landslide_date.Series], starts: np.ndarray) -> np.ndarray:
    """The same integrals by loops over drift, cycle, channel, noise and start, with scipy's density."""
    drifts = [(0.0, 1.0), *product(landslide_date.DRIFTS[1:], landslide_date.LASTING_DAYS)]
    without, with_step = [], []
    for (drift, lasting), season in product(drifts, landslide_date.SEASONS):
        logs = np.zeros(len(starts) + 1)
        for channel in range(2):
            days, values, speckle, orbit = _passes(series, channel)
            apart, same = days[:, None] - days, orbit[:, None] == orbit
            common = np.where(same, 1, landslide_date.COMMON)
            shape = drift**2 * np.exp(-abs(apart) / lasting) + season**2 * np.cos(2 * np.pi * apart / 365.25)
            variance = speckle**2 + landslide_date.QUIET_DB**2
            each = []
            for noise in np.geomspace(landslide_date.QUIET_DB, landslide_date.LOUD_DB, landslide_date.SCALES):
                unit = variance.mean() + noise**2
                errors = np.diag(variance / variance.mean()) + landslide_date.FREE * same + common * shape
                moved = [np.outer(days > start, days > start) for start in starts]
                steps = [0 * common, *(landslide_date.STEP_DB**2 * common * after for after in moved)]
                # the prior of the means does not depend on the noise
                means = len(np.unique(orbit)) / 2 * np.log(unit)
                densities = [stats.multivariate_normal(None, unit * errors + step).logpdf(values) for step in steps]
                each.append(means + np.array(densities))
            logs += special.logsumexp(each, axis=0)
        without.append(logs[0])
        with_step.append(logs[1:])
    return np.asarray(special.logsumexp(with_step, axis=0) - special.logsumexp(without))


def _passes(series: list[landslide_date.Series], channel: int) -> list[np.ndarray]:
    rows = []
    for number, one in enumerate(series):
        seen = np.isfinite(one.ratio_db[:, channel])
        values, speckle = one.ratio_db[seen, channel], one.speckle_db[seen, channel]
        usual = landslide_date._without_outliers(values, speckle) - values.mean()
        rows.append((one.days[seen], usual, speckle, np.full(seen.sum(), number)))
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


@settings(max_examples=5)
@given(st.integers(0, 10_000), st.integers(1, 3), st.floats(0.2, 1.5), st.floats(-4, 4))
def test_the_ratio_is_that_of_the_slow_sums(seed: int, orbits: int, noise: float, step: float) -> None:
    dice, series = np.random.default_rng(seed), []
    for _ in range(orbits):
        days = np.sort(dice.uniform(0, 300, dice.integers(2, 9)))
        values = -9 + dice.normal(0, noise, (len(days), 2)) + step * (days > 150)[:, None]
        values[dice.integers(len(days)), 0] = np.nan
        series.append(landslide_date.Series(days, values, dice.uniform(0.2, 0.8, values.shape)))
    starts = np.array([-1.0, 20.0, 100.0, 150.0, 160.0, 290.0])
    found = landslide_date.log_likelihood_ratio(series, starts)
    np.testing.assert_allclose(found, slow_ratio(series, starts), atol=1e-4)


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
    """Return orbits with levels of their own, a step on a random day, and moisture common to all orbits.

    `lasting` is the correlation of moisture from one day to the next.
    """
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
    """Return whether the interval holds the day by Bayes' rule and with the weight, evidence, and error in days."""
    dice = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        orbits, truth = simulated(dice, step_db, **how)  # type: ignore[arg-type]
        found = landslide_date.date(orbits, *SPAN)
        assert found.chance.sum() == pytest.approx(1)
        held = [
            early <= truth <= late
            for early, late in (landslide_date.Dated(found.edges, found.ratio, 1.0).interval(), found.interval())
        ]
        rows.append((held, found.evidence, abs(found.quantile(0.5) - truth)))
    helds, evidence, error = zip(*rows, strict=True)
    return np.array(helds), np.array(evidence), np.array(error)


@pytest.mark.parametrize(
    "how",
    [{}, {"orbits": 1}, {"noise_db": 1.0, "lasting": 0.7}, {"noise_db": 1.0, "lasting": 0.97, "orbits": 2}],
    ids=["usual", "one orbit", "moisture of days", "moisture of a month"],
)
def test_the_interval_holds_the_day_as_often_as_it_says(how: dict[str, float]) -> None:
    held, evidence, error = answers(30, 1, 2.0, **how)
    # 30 trials of 90 % have a standard error of 5 %; the weight, from real series, is for more than these errors
    assert held[:, 0].mean() >= 0.75
    assert held[:, 1].mean() >= 0.8
    if not how:
        assert (evidence > landslide_date.EVIDENCE).mean() > 0.6
        assert (error[evidence > landslide_date.EVIDENCE] <= 12).mean() > 0.9


@pytest.mark.parametrize("how", [{}, {"noise_db": 1.0, "lasting": 0.97}], ids=["white", "moisture of a month"])
def test_where_nothing_changed_there_is_no_date(how: dict[str, float]) -> None:
    _, evidence, _ = answers(30, 2, 0.0, **how)
    assert (evidence > landslide_date.EVIDENCE).sum() == 0


def test_of_a_series_that_drifts_the_evidence_is_weaker() -> None:
    same = {"orbits": 2, "noise_db": 1.0}
    _, white, _ = answers(12, 6, 3.0, **same)
    _, drifting, _ = answers(12, 6, 3.0, **same, lasting=0.97)
    assert np.median(white) > np.median(drifting) + 3


@given(st.integers(0, 1000), st.floats(-20_000, 20_000), st.floats(-30, 30))
@settings(max_examples=10)
def test_later_days_give_a_later_date_and_other_levels_the_same(seed: int, days: float, level: float) -> None:
    orbits, _ = simulated(np.random.default_rng(seed), 1.5, orbits=2)
    moved = [landslide_date.Series(one.days + days, one.ratio_db + level, one.speckle_db) for one in orbits]
    before, after = landslide_date.date(orbits, *SPAN), landslide_date.date(moved, SPAN[0] + days, SPAN[1] + days)
    np.testing.assert_allclose(after.interval(), np.add(before.interval(), days), atol=1e-3)
    assert after.evidence == pytest.approx(before.evidence, abs=1e-4)


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_passes_without_a_value_do_not_count(seed: int) -> None:
    dice = np.random.default_rng(seed)
    orbits, _ = simulated(dice, 1.5, orbits=2)
    with_holes, without = [], []
    for one in orbits:
        seen = dice.random(len(one.days)) < 0.7
        ratio = np.where(seen[:, None], one.ratio_db, np.nan)
        with_holes.append(landslide_date.Series(one.days, ratio, one.speckle_db))
        without.append(landslide_date.Series(one.days[seen], one.ratio_db[seen], one.speckle_db[seen]))
    starts = np.arange(*SPAN, 10.0)
    found, expected = (landslide_date.log_likelihood_ratio(sets, starts) for sets in (with_holes, without))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_single_pass_says_nothing() -> None:
    """Of one orbit, alone or beside another: its mean is unknown."""
    single = landslide_date.Series(np.array([200.0]), np.array([[3.0, 1.0]]), np.full((1, 2), 0.5))
    assert landslide_date.date([single], *SPAN).evidence == pytest.approx(0, abs=1e-12)
    orbits, _ = simulated(np.random.default_rng(7), 1.5, orbits=1)
    starts = np.arange(*SPAN, 10.0)
    found, expected = (landslide_date.log_likelihood_ratio(sets, starts) for sets in ([*orbits, single], orbits))
    np.testing.assert_allclose(found, expected, atol=1e-3)


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
        landslide_date.date(orbits, middle - 60, middle + 50),
        anywhere.within(middle - 60, middle + 50),
    )
    np.testing.assert_allclose(given_there.edges, there.edges)
    np.testing.assert_allclose(given_there.chance, there.chance, atol=1e-9)
    assert given_there.evidence == pytest.approx(there.evidence)


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
