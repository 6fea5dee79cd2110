"""Reflectance, masks, the greenest pixel, and the slope correction by its formulas and its symmetries."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import confusion_matrix

from lsbatch.kernels import greenest_pixel, optical, sar, slope_correction
from lsbatch.kernels.statistics import score_intervals

# Sentinel-2


@pytest.mark.parametrize(("offset", "expected"), [(-1000, [np.nan, -0.0999, 0.0, 0.1]), (0, [np.nan, 1e-4, 0.1, 0.2])])
def test_reflectance_with_and_without_the_offset(offset: int, expected: list[float]) -> None:
    dn = np.array([0, 1, 1000, 2000], np.uint16)
    np.testing.assert_allclose(optical.reflectance(dn, offset, 1e-4), expected, rtol=1e-6, atol=1e-9)


def test_every_digital_number() -> None:
    dn = np.arange(65536, dtype=np.uint16)
    expected = np.where(dn == 0, np.nan, (dn.astype(np.float64) - 1000) * 1e-4)
    np.testing.assert_allclose(optical.reflectance(dn, -1000, 1e-4), expected, rtol=1e-6)


def test_clear_by_the_scene_classification() -> None:
    """Nodata, saturated, shadow, both clouds, cirrus and snow are dropped; dark area (mostly terrain shade) stays."""
    assert np.flatnonzero(optical.clear(np.arange(12, dtype=np.uint8)[None])[0]).tolist() == [2, 4, 5, 6, 7]


def test_only_clouds_are_grown() -> None:
    scl = np.full((21, 21), 4, np.uint8)
    scl[10, 10] = 9
    scl[3, 3] = 3
    rows, cols = np.indices(scl.shape)
    expected = ((rows - 10) ** 2 + (cols - 10) ** 2 > 9) & (scl == 4)
    np.testing.assert_array_equal(optical.clear(scl, 3), expected)


def test_ndvi_is_undefined_where_a_term_is_not_positive() -> None:
    nir = np.float32([0.4, 0.04, 0.1, 0.0, np.nan, -0.1, 0.0])
    red = np.float32([0.1, -0.003, 0.0, 0.1, 0.1, 0.1, 0.0])
    np.testing.assert_allclose(optical.ndvi(nir, red), [0.6, *[np.nan] * 6], rtol=1e-6)


def test_a_look_with_negative_red_never_wins() -> None:
    bands = np.array([[[[0.04]], [[0.3]]], [[[-0.003]], [[0.004]]]], np.float32)
    best, _, day, looks = greenest_pixel.greenest(bands, np.ones((2, 1, 1), bool), np.array([10, 20]), nir=1, red=0)
    assert best[:, 0, 0].tolist() == pytest.approx([0.04, 0.3])
    assert (day[0, 0], looks[0, 0]) == (10, 1)


def test_indices_are_their_formulas() -> None:
    """Against float64 by the papers' formulas; undefined where a term is 0, negative or NaN."""
    dice = np.random.default_rng(3)
    blue, red, nir, swir1, swir2 = dice.choice([-0.01, 0.0, np.nan, 0.02, 0.3, 0.9], (5, 400)).astype(np.float32)

    def slowly(plus: list[np.ndarray], minus: list[np.ndarray]) -> np.ndarray:
        terms = [band.astype(np.float64) for band in (*plus, *minus)]
        positive = np.all([term > 0 for term in terms], axis=0)
        more, less = sum(terms[: len(plus)]), sum(terms[len(plus) :])
        return np.array(
            [(a - b) / (a + b) if good else np.nan for a, b, good in zip(more, less, positive, strict=True)]
        )

    for found, expected in (
        (optical.nbr(nir, swir2), slowly([nir], [swir2])),
        (optical.ndmi(nir, swir1), slowly([nir], [swir1])),
        (optical.bsi(swir1, red, nir, blue), slowly([swir1, red], [nir, blue])),
    ):
        assert found.dtype == np.float32
        assert 10 < np.isfinite(expected).sum() < 390
        np.testing.assert_allclose(found, expected, atol=1e-6)


def _folded(days: list[int], bands: np.ndarray, ndvi: np.ndarray, clear: np.ndarray) -> tuple[np.ndarray, ...]:
    shape = ndvi.shape[1:]
    best = np.full((bands.shape[1], *shape), np.nan, np.float32)
    best_ndvi, day, looks = (
        np.full(shape, np.nan, np.float32),
        np.full(shape, greenest_pixel.NO_DAY, np.int16),
        np.zeros(shape, np.uint8),
    )
    for d in days:
        greenest_pixel.greener_into(best, best_ndvi, day, looks, bands[d], ndvi[d], clear[d], d)
    return best, best_ndvi, day, looks


@given(st.integers(0, 10**6))
def test_the_greenest_pixel_in_any_order(seed: int) -> None:
    """All bands from the day of the highest NDVI, ties to the latest day, and the order of folding does not matter."""
    dice = np.random.default_rng(seed)
    bands = dice.random((4, 3, 5, 6)).astype(np.float32)
    # few values, so that days tie
    ndvi = dice.choice([0.1, 0.5, 0.9, np.nan], (4, 5, 6)).astype(np.float32)
    clear = dice.random((4, 5, 6)) < 0.7
    first = _folded([0, 1, 2, 3], bands, ndvi, clear)
    for order in itertools.islice(itertools.permutations(range(4)), 1, None, 5):
        for one, other in zip(first, _folded(list(order), bands, ndvi, clear), strict=True):
            np.testing.assert_array_equal(one, other)
    together = greenest_pixel.greenest(bands, clear, np.arange(4), nir=0, red=1)
    one_by_one = _folded([0, 1, 2, 3], bands, np.stack([optical.ndvi(look[0], look[1]) for look in bands]), clear)
    for one, other in zip(together, one_by_one, strict=True):
        np.testing.assert_array_equal(one, other)
    best, best_ndvi, day, looks = first
    for row, col in np.ndindex(5, 6):
        seen = [d for d in range(4) if clear[d, row, col] and np.isfinite(ndvi[d, row, col])]
        assert looks[row, col] == len(seen)
        if not seen:
            assert day[row, col] == greenest_pixel.NO_DAY
            assert np.isnan(best[:, row, col]).all()
            continue
        chosen = max(seen, key=lambda d: (ndvi[d, row, col], d))
        assert day[row, col] == chosen
        assert best_ndvi[row, col] == ndvi[chosen, row, col]
        np.testing.assert_array_equal(best[:, row, col], bands[chosen, :, row, col])


def test_a_landslide_is_negative() -> None:
    assert optical.dndvi(np.float32(0.8), np.float32(0.3)) == pytest.approx(-0.5)


def test_a_cloud_throws_its_shadow_away_from_the_sun() -> None:
    probability, nir = np.zeros((80, 80)), np.full((80, 80), 0.05)
    probability[30:40, 30:40] = 90
    found = optical.cloud_shadow(probability, nir, np.zeros((80, 80), bool), 180.0, 20, 20, distance_m=400)
    # the sun stands in the south: the shadow falls to the north, at most 400 m = 20 px far (and grown by 50 m)
    assert found[12:40, 35].all()
    assert not found[44:, :].any()
    assert not found[:5, :].any()
    water = np.ones((80, 80), bool)
    assert not optical.cloud_shadow(probability, nir, water, 180.0, 20, 20, distance_m=400)[12:24, 35].any()


# Sentinel-1


def _terrain(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    return dice.random((40, 50)) * 75, dice.random((40, 50)) * 360, 30 + 15 * dice.random((40, 50))


def _slowly(theta: float, look: float, slope: float, aspect: float, model: str) -> float:
    """1 / (cos(theta) c), straight from Vollrath et al. 2020; NaN in layover and shadow."""
    rad = np.radians
    phi_r = rad(look + 180 - aspect)
    alpha_r, alpha_az = (np.arctan(np.tan(rad(slope)) * f(phi_r)) for f in (np.cos, np.sin))
    theta, upright = rad(theta), np.pi / 2 - rad(theta)
    if not -upright < alpha_r < theta:
        return np.nan
    if model == "volume":
        c = np.tan(upright + alpha_r) / np.tan(upright)
    else:
        c = np.cos(upright) / (np.cos(alpha_az) * np.cos(upright + alpha_r))
    return 1 / (np.cos(theta) * c)


@pytest.mark.parametrize("model", ["volume", "surface"])
@pytest.mark.parametrize("look", [78.0, 281.3])
def test_slope_correction_as_the_formula(model: str, look: float) -> None:
    slope, aspect, theta = _terrain()
    factor, valid = slope_correction.slope_factor(theta, look, slope, aspect, model)
    expected = np.vectorize(_slowly)(theta, look, slope, aspect, model)
    np.testing.assert_array_equal(valid, np.isfinite(expected))
    np.testing.assert_allclose(factor, expected, rtol=1e-4)


@pytest.mark.parametrize("model", ["volume", "surface"])
def test_flat_ground_is_only_divided_by_the_cosine(model: str) -> None:
    flat = np.zeros((4, 4))
    factor, valid = slope_correction.slope_factor(38.0, 78.0, flat, np.full((4, 4), np.nan), model)
    assert valid.all()
    np.testing.assert_allclose(factor, 1 / np.cos(np.radians(38)), rtol=1e-6)


def test_a_slope_that_faces_the_radar_gets_darker() -> None:
    slope, towards = np.full((2, 2), 20.0), np.full((2, 2), (78.0 + 180) % 360)
    flat, _ = slope_correction.slope_factor(38.0, 78.0, np.zeros((2, 2)), towards)
    assert (slope_correction.slope_factor(38.0, 78.0, slope, towards)[0] < flat).all()
    assert (slope_correction.slope_factor(38.0, 78.0, slope, towards - 180)[0] > flat).all()


@pytest.mark.parametrize("model", ["volume", "surface"])
def test_ascending_and_descending_mirror(model: str) -> None:
    """Look and aspect mirrored at the north-south line give the same."""
    slope, aspect, theta = _terrain()
    one, other = (
        slope_correction.slope_factor(theta, 78, slope, aspect, model)[0],
        slope_correction.slope_factor(theta, -78, slope, -aspect, model)[0],
    )
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_turning_everything_changes_nothing() -> None:
    slope, aspect, theta = _terrain()
    one, other = (
        slope_correction.slope_factor(theta, 78, slope, aspect)[0],
        slope_correction.slope_factor(theta, 78 + 137, slope, aspect + 137)[0],
    )
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_layover_begins_where_the_slope_reaches_the_incidence_angle() -> None:
    slope = np.array([[34.9, 35.1]])
    _, valid = slope_correction.slope_factor(35.0, 90.0, slope, np.full((1, 2), 270.0))
    assert valid.tolist() == [[True, False]]


def test_hidden_ground_is_grown_by_the_buffer() -> None:
    slope = np.zeros((11, 11))
    slope[5, 5] = 80
    _, valid = slope_correction.slope_factor(35.0, 90.0, slope, np.full(slope.shape, 270.0), buffer_px=2)
    rows, cols = np.indices(slope.shape)
    np.testing.assert_array_equal(valid, (rows - 5) ** 2 + (cols - 5) ** 2 > 4)


def test_equivalent_number_of_looks() -> None:
    power = np.random.default_rng(0).gamma(4.4, 0.1, 200_000)
    assert sar.enl(power) == pytest.approx(4.4, rel=0.02)
    assert np.isnan(sar.enl(np.array([1.0, np.nan])))


def test_border_noise_goes_and_dark_water_stays() -> None:
    power = np.full((60, 200), 0.1, np.float32)
    power[:, :20] = 0
    power[:, 20:25] = 1e-4
    power[:, 150:160] = 1e-4
    out = sar.border_noise(power, depth_px=30)
    assert np.isnan(out[:, :25]).all()
    np.testing.assert_array_equal(out[:, 25:], power[:, 25:])


# Scores


@given(st.integers(0, 10**6))
def test_confusion_as_scikit_learn(seed: int) -> None:
    dice = np.random.default_rng(seed)
    predicted, truth, surveyed = (dice.random((9, 11)) < p for p in (0.3, 0.2, 0.8))
    expected = confusion_matrix(truth[surveyed], predicted[surveyed], labels=[False, True])
    tp, fp, fn, tn = score_intervals.confusion(predicted, truth, surveyed)
    np.testing.assert_array_equal([[tn, fp], [fn, tp]], expected)


def test_cloud_shadow_of_nothing_is_nothing() -> None:
    nothing = optical.cloud_shadow(np.zeros((9, 9)), np.full((9, 9), 0.01), np.zeros((9, 9), bool), 160, 10, 10)
    assert not nothing.any()
    assert not ndimage.label(nothing)[1]
