"""The family disturbance: its false-alarm rate, its tiling, and what it finds."""

import numpy as np
import pytest
from scipy.stats import norm

from lsbatch.kernels import speckle
from lsbatch.models import base, disturbance
from lsbatch.settings import PredictSettings

RULE = disturbance.PARAMETERS
WEIGHTS = base.PACKAGED / "disturbance.safetensors"


def noise(side_px: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    return tuple(dice.normal(size=(side_px, side_px)).astype(np.float32) for _ in range(2))  # type: ignore[return-value]


def test_the_packaged_parameters_are_those_of_the_module() -> None:
    found = base.card(WEIGHTS)
    assert dict(found.network) == dict(RULE)
    assert (found.family, found.bands) == ("disturbance", disturbance.BANDS)


@pytest.mark.parametrize("side_m", [10, 20, 30])
@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_noise_is_called_at_most_as_often_as_the_rate_says(side_m: float, rate: float) -> None:
    score = disturbance.score(disturbance.distance(*noise(1024, 1), RULE, side_m), rate)
    # the scale of the surroundings is at least 1 and itself uncertain, at 10 m from some 40 independent windows
    assert rate / 3 < (score >= 0.5).mean() < 1.1 * rate


def test_correlated_noise_is_not_called_more_often() -> None:
    zvv, zvh = (speckle.boxcar(z, 3) * np.float32(3) for z in noise(1024, 2))
    score = disturbance.score(disturbance.distance(zvv, zvh, RULE, 30), 0.01)
    assert (score >= 0.5).mean() < 0.02


def test_a_landslide_is_found_and_a_change_of_a_whole_valley_is_not() -> None:
    zvv, zvh = noise(512, 3)
    zvv[100:110, 100:110] += 4
    zvh[100:110, 100:110] += 2
    # ploughed fields: a patchwork of changes of both signs over 4 km
    fields = np.random.default_rng(4).normal(0, 2, (16, 16)).astype(np.float32).repeat(8, axis=0).repeat(8, axis=1)
    zvv[256:384, 256:384] += fields
    zvh[256:384, 256:384] += fields
    called = disturbance.score(disturbance.distance(zvv, zvh, RULE, 30), 0.005) >= 0.5
    assert called[101:109, 101:109].mean() > 0.9
    assert called[256:384, 256:384].mean() < 0.05


@pytest.mark.parametrize("side_m", [10, 30])
def test_tiles_equal_the_whole(side_m: float) -> None:
    bands = dict(zip(disturbance.BANDS, noise(768, 5), strict=True))
    for values in bands.values():
        values[300:340, :400] = np.nan
    predict = PredictSettings()
    halo = base.halo_px(base.card(WEIGHTS), predict, side_m)
    assert halo <= 128

    def cut(row: int, col: int, rows: int, cols: int, around: int) -> np.ndarray:
        rows_, cols_ = slice(row - around, row + rows + around), slice(col - around, col + cols + around)
        return base.answer(WEIGHTS, {n: v[rows_, cols_] for n, v in bands.items()}, around, predict, side_m)

    whole = cut(128, 128, 512, 512, halo)
    assert np.isnan(whole).any()
    for row in (128, 384):
        for col in (128, 384):
            tile = cut(row, col, 256, 256, halo)
            np.testing.assert_array_equal(tile, whole[row - 128 : row + 128, col - 128 : col + 128])
    np.testing.assert_array_equal(cut(128, 128, 512, 512, 128), whole)


def test_the_edge_of_nodata_is_not_called() -> None:
    zvv, zvh = noise(768, 6)
    zvv[:, 384:] = np.nan
    # also the pixels beside thin gaps, whose windows have six values of nine
    zvv[:, :384:48] = np.nan
    called = disturbance.score(disturbance.distance(zvv, zvh, RULE, 30), 0.01) >= 0.5
    assert called[:, 380:384].mean() < 0.02
    beside = np.concatenate([called[:, 1:384:48], called[:, 47:384:48]], axis=1)
    assert beside.mean() < 0.015


def test_the_score_is_one_half_at_the_threshold() -> None:
    np.testing.assert_allclose(disturbance.score(np.array([norm.isf(0.005), 0.0, 20.0]), 0.01)[0], 0.5, atol=1e-6)


def test_the_window_is_that_of_the_pixel_size() -> None:
    assert disturbance.window_px(RULE, 10) == 5
    assert disturbance.window_px(RULE, 30) == 3
    assert disturbance.window_px(RULE, 100) == 3
