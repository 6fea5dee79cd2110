"""Accuracy from a stratified sample.

Two published examples, each other, and a simulation that counts how often the intervals hold.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from lsbatch.kernels.statistics import area_estimation, rare_errors, stratified_sampling

# Olofsson et al. (2014), table 8 and section 5: deforestation, forest gain, stable forest, stable non-forest. These
# counts, and Stehman's forty points, are also those of the examples of R's mapaccuracy, which name the same pages.
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED_PX = np.array([200_000, 150_000, 3_200_000, 6_450_000])
PX_HA = 0.09

# Stehman (2014), the numerical example: forty points, ten from each of four strata.
STRATA = np.repeat(np.arange(4), 10)
MAP = np.array(["ABCD".index(c) for c in "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"])
REFERENCE = np.array(["ABCD".index(c) for c in "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"])
STRATA_PX = np.array([40_000, 30_000, 20_000, 10_000])


def test_the_worked_example_of_olofsson() -> None:
    """Table 9 and page 54, to the printed digits."""
    found = area_estimation.by_class(OLOFSSON, MAPPED_PX)
    printed = [
        [0.0176, 0, 0.0013, 0.0011],
        [0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0, 0.2967, 0.0213],
        [0.0040, 0.0020, 0.0179, 0.6212],
    ]
    np.testing.assert_array_equal(found.matrix.round(4), printed)
    np.testing.assert_array_equal(found.area.round(4), [0.0235, 0.0130, 0.3175, 0.6460])
    np.testing.assert_array_equal(found.users.round(2), [0.88, 0.73, 0.93, 0.96])
    np.testing.assert_array_equal((1.96 * found.users_se).round(2), [0.07, 0.10, 0.04, 0.02])
    np.testing.assert_array_equal(found.producers.round(2), [0.75, 0.85, 0.93, 0.96])
    assert (round(found.overall, 2), round(1.96 * found.overall_se, 2)) == (0.95, 0.02)
    total_ha = MAPPED_PX.sum() * PX_HA
    np.testing.assert_array_equal((found.area * total_ha).round(), [21_158, 11_686, 285_770, 581_386])
    np.testing.assert_array_equal((1.96 * found.area_se * total_ha).round(), [6158, 3756, 15_510, 16_282])
    assert round(found.area[0] * MAPPED_PX.sum()) == 235_086
    # the interval is the papers' 1.96 standard errors
    low, high = area_estimation.interval(found.area, found.area_se)
    np.testing.assert_allclose((high - low) / 2, 1.96 * found.area_se, rtol=1e-4)


def test_the_worked_example_of_stehman() -> None:
    """Pages 4932 to 4936, to the printed digits."""
    found = area_estimation.by_stratum(STRATA, MAP, REFERENCE, STRATA_PX, 4)
    assert (round(found.area[0], 2), round(found.area[2], 2), round(found.overall, 2)) == (0.35, 0.20, 0.63)
    assert (round(found.users[1], 3), round(found.producers[1], 3), round(found.matrix[1, 2], 2)) == (
        0.574,
        0.794,
        0.08,
    )
    errors = found.area_se[0], found.area_se[2], found.overall_se, found.users_se[1], found.producers_se[1]
    assert [round(float(e), 3) for e in errors] == [0.082, 0.064, 0.085, 0.125, 0.117]


def test_the_sample_size_of_olofsson() -> None:
    """Section 5.1: 641 points for a standard error of 0.01; and 160 in each class, if equal."""
    weights = MAPPED_PX / MAPPED_PX.sum()
    assert stratified_sampling.size_for(weights, [0.7, 0.6, 0.9, 0.95], 0.01) == 641
    np.testing.assert_array_equal(stratified_sampling.allocate(640, MAPPED_PX), [160] * 4)


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3).filter(
        lambda rows: all(sum(row) > 1 for row in rows)
    )
)
def test_both_ways_agree_where_strata_are_the_classes(rows: list[list[int]]) -> None:
    counts, sizes = np.array(rows), np.array([1e9, 5e9, 9e9])
    mapped, reference = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    one, other = (
        area_estimation.by_class(counts, sizes),
        area_estimation.by_stratum(mapped, mapped, reference, sizes, 3),
    )
    for name in vars(one):
        # the correction for a finite population is 1e-8 here; roots of differences that should be nothing carry
        # rounding
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-8, err_msg=name)


def test_a_stratum_that_was_looked_at_whole_adds_no_variance() -> None:
    found = area_estimation.by_stratum(
        np.array([0, 0, 1]), np.array([1, 1, 0]), np.array([1, 0, 0]), np.array([2, 1]), 2
    )
    assert found.overall_se == 0
    assert found.area_se.tolist() == [0, 0]
    assert found.area[1] == pytest.approx(1 / 3)


def test_what_is_unknown_is_nan() -> None:
    none = area_estimation.by_stratum(np.array([0, 0]), np.array([0, 0]), np.array([0, 0]), np.array([100, 50]), 2)
    assert np.isnan(none.overall)
    single = area_estimation.by_stratum(
        np.array([0, 0, 1]), np.array([0, 0, 1]), np.array([0, 0, 1]), np.array([100, 50]), 2
    )
    assert single.overall == 1
    assert np.isnan(single.overall_se)
    never = area_estimation.by_class(np.array([[5, 0], [5, 0]]), np.array([10, 90]))
    assert np.isnan(never.producers[1])
    assert never.area[1] == 0


#: A country of strata as the survey has them: landslides, beside them, the rest; and what the map says of each.
COUNTRY_PX, SAYS = np.array([20_000, 40_000, 1_940_000]), np.array([True, False, False])


def coverage(shares: list[float], size: int, draws: int = 1000) -> dict[str, dict[str, float]]:
    """Return how often each interval holds the truth, those of the papers and those for rare errors."""
    rng = np.random.default_rng(6)
    true_px = np.round(COUNTRY_PX * np.array(shares)).astype(int)
    points = stratified_sampling.allocate(size, COUNTRY_PX, np.sqrt(np.array(shares) * (1 - np.array(shares))), 100)
    stratum = np.repeat(np.arange(3), points)
    landslide, total = int(true_px.sum()), int(COUNTRY_PX.sum())
    right = true_px[0] + (COUNTRY_PX - true_px)[1:].sum()
    truth = {
        "users": true_px[0] / COUNTRY_PX[0],
        "producers": true_px[0] / landslide,
        "area": landslide / total,
        "overall": right / total,
    }
    held = {way: dict.fromkeys(truth, 0) for way in ("papers", "rare")}
    sums = dict.fromkeys(truth, 0.0)
    for _ in range(draws):
        hits = rng.hypergeometric(true_px, COUNTRY_PX - true_px, points)
        reference = np.concatenate([np.arange(n) < k for n, k in zip(points, hits, strict=True)]).astype(int)
        found = area_estimation.by_stratum(stratum, SAYS.astype(int)[stratum], reference, COUNTRY_PX, 2)
        wide = rare_errors.intervals(hits, points, COUNTRY_PX, SAYS)
        for name, value in truth.items():
            got, error = (float(np.ravel(getattr(found, key))[-1]) for key in (name, f"{name}_se"))
            low, high = area_estimation.interval(got, error)
            held["papers"][name] += bool(low <= value <= high)
            held["rare"][name] += bool(wide[name][0] <= value <= wide[name][1])
            assert wide[name][0] - 1e-9 <= got <= wide[name][1] + 1e-9
            sums[name] += got
    for name, value in truth.items():
        # no bias: area and overall exactly, the ratios nearly
        assert sums[name] / draws == pytest.approx(value, rel=0.03), name
    return {way: {name: count / draws for name, count in counts.items()} for way, counts in held.items()}


def test_intervals_cover_as_stated() -> None:
    """1,000 samples of 1,200 points, some 25 omissions each.

    95 % intervals hold the truth in 92 to 97 of 100, either way.

    A share of 100 points has 101 values, so its intervals cannot cover evenly: that of user's accuracy is the lowest.
    """
    found = coverage([0.8, 0.2, 0.03], 1200)
    print(found)
    assert all(0.92 <= share <= 0.97 for way in found.values() for share in way.values()), found


def test_intervals_for_rare_errors_cover_where_the_papers_do_not() -> None:
    """Two or three omissions in a sample, as in a country of few landslides."""
    found = coverage([0.85, 0.15, 0.003], 1000)
    print(found)
    assert min(found["papers"].values()) < 0.92
    assert all(0.92 <= share <= 0.985 for share in found["rare"].values()), found


def test_intervals_for_rare_errors_meet_the_papers_for_many_points() -> None:
    points, sizes = np.array([40_000, 50_000, 60_000]), np.array([10**8, 2 * 10**8, 9 * 10**8])
    hits = np.array([30_000, 15_000, 12_000])
    stratum = np.repeat(np.arange(3), points)
    reference = np.concatenate([np.arange(n) < k for n, k in zip(points, hits, strict=True)]).astype(int)
    found = area_estimation.by_stratum(stratum, SAYS.astype(int)[stratum], reference, sizes, 2)
    wide = rare_errors.intervals(hits, points, sizes, SAYS)
    for name, (value, error) in {
        "users": (found.users[1], found.users_se[1]),
        "users_not": (found.users[0], found.users_se[0]),
        "producers": (found.producers[1], found.producers_se[1]),
        "producers_not": (found.producers[0], found.producers_se[0]),
        "area": (found.area[1], found.area_se[1]),
        "overall": (found.overall, found.overall_se),
    }.items():
        np.testing.assert_allclose(
            wide[name], np.ravel(area_estimation.interval(value, error)), atol=0.03 * error, err_msg=name
        )


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 50)), min_size=3, max_size=3))
def test_intervals_for_rare_errors_are_in_order(rows: list[tuple[int, int, int]]) -> None:
    """For any counts, also none and all, and strata that were looked at whole."""
    hits, misses, more = np.array(rows).T
    points = hits + misses
    sizes = points + np.where(points > 0, more, 0)
    if sizes.sum() == 0:
        return
    for low, high in rare_errors.intervals(hits, points, sizes, SAYS).values():
        assert (np.isnan(low) and np.isnan(high)) or 0 <= low <= high <= 1


def test_no_error_found_is_no_proof_of_none() -> None:
    found = rare_errors.intervals(np.array([100, 0, 0]), np.array([100, 100, 800]), COUNTRY_PX, SAYS)
    assert found["users"][0] < 0.97
    assert found["users"][1] == 1
    assert found["producers"][0] < 0.8
    assert found["producers"][1] == 1
    assert found["area"][1] > 0.01


@given(st.integers(1, 60), st.data())
def test_wilson_equals_scipy(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    expected = binomtest(hits, of).proportion_ci(method="wilson")
    np.testing.assert_allclose(area_estimation.wilson(hits, of), (expected.low, expected.high), atol=1e-12)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=5), st.integers(0, 40), st.integers(0, 2000), st.booleans())
def test_allocation_adds_up(sizes: list[int], least: int, extra: int, equal: bool) -> None:
    px = np.array(sizes)
    size = int(np.minimum(px, least).sum()) + extra
    found = stratified_sampling.allocate(size, px, None if equal else np.linspace(0.5, 0.01, len(px)), least)
    assert (found <= px).all()
    assert (found >= np.minimum(px, least)).all()
    assert found.sum() == min(size, px.sum())


def test_neymans_allocation_has_the_least_variance() -> None:
    """Against every other allocation of 60 points to three strata."""
    deviation = np.array([0.4, 0.3, 0.05])
    px = np.array([1000, 3000, 50_000])

    def variance(points: np.ndarray) -> float:
        return float(np.sum((px * deviation) ** 2 / points))

    best = min(variance(np.array([a, b, 60 - a - b])) for a in range(1, 59) for b in range(1, 60 - a))
    assert variance(stratified_sampling.allocate(60, px, deviation)) == pytest.approx(best, rel=1e-3)


def test_ranks_are_as_random_numbers() -> None:
    rows, cols = np.arange(-300, 300)[:, None], np.arange(5_000_000, 5_000_600)[None, :]
    found = stratified_sampling.ranks(rows, cols, 3)
    assert len(np.unique(found)) == found.size
    np.testing.assert_array_equal(stratified_sampling.ranks(rows[10:20], cols[:, 5:9], 3), found[10:20, 5:9])
    unit = found / 2**64
    assert abs(unit.mean() - 0.5) < 0.002
    assert abs(unit.var() - 1 / 12) < 0.001
    for other in (stratified_sampling.ranks(rows, cols, 4) / 2**64, np.roll(unit, 1, 0), np.roll(unit, 1, 1)):
        assert abs(np.corrcoef(unit.ravel(), other.ravel())[0, 1]) < 0.01
    # the lowest of them lie anywhere: counts in 36 blocks, chi-square with 35 degrees of freedom
    lowest = np.argsort(found, axis=None)[:3600]
    blocks = np.bincount(lowest // 600 // 100 * 6 + lowest % 600 // 100, minlength=36)
    assert 14 < ((blocks - 100) ** 2 / 100).sum() < 66


@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(0, 40))
def test_spaced_keeps_its_distance(seed: int, wanted: int, distance: float) -> None:
    rng = np.random.default_rng(seed)
    places, taken = rng.uniform(0, 100, (80, 2)), rng.uniform(0, 100, (3, 2))
    chosen = stratified_sampling.spaced(places, wanted, distance, taken)
    assert len(chosen) <= wanted
    assert (np.diff(chosen) > 0).all()
    if distance > 0:
        # the slow form: each place is kept unless one before it is near
        kept: list[int] = []
        for i in range(80):
            others = np.vstack([taken, places[kept]])
            if len(kept) < wanted and (np.hypot(*(others - places[i]).T) >= distance).all():
                kept.append(i)
        assert chosen.tolist() == kept
    else:
        assert chosen.tolist() == list(range(wanted))
