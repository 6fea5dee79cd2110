"""Speckle filters against Orfeo ToolBox and against their formulas, pixel by pixel."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from lsbatch.kernels import sar, speckle

LOOKS = 4.4


def field(shape: tuple[int, int] = (48, 60), holes: float = 0.02, seed: int = 0) -> np.ndarray:
    """Two levels with gamma speckle and holes."""
    dice = np.random.default_rng(seed)
    power = dice.gamma(LOOKS, 1 / LOOKS, shape) * np.where(np.arange(shape[1]) < shape[1] // 2, 0.1, 0.4)
    return np.where(dice.random(shape) < holes, np.nan, power).astype(np.float32)


def _lee(z: float, window: np.ndarray) -> float:
    b = np.clip(1 - (1 / LOOKS) / (window.var(ddof=1) / window.mean() ** 2), 0, 1)
    return window.mean() + b * (z - window.mean())


def _kuan(z: float, window: np.ndarray) -> float:
    b = np.clip((1 - (1 / LOOKS) / (window.var(ddof=1) / window.mean() ** 2)) / (1 + 1 / LOOKS), 0, 1)
    return window.mean() + b * (z - window.mean())


def _gamma_map(z: float, window: np.ndarray) -> float:
    mean, ci, cu = window.mean(), window.std(ddof=1) / window.mean(), 1 / np.sqrt(LOOKS)
    if ci <= cu:
        return mean
    if ci >= np.sqrt(2) * cu:
        return z
    alpha = (1 + cu**2) / (ci**2 - cu**2)
    share = alpha - LOOKS - 1
    return (mean * share + np.sqrt(mean**2 * share**2 + 4 * alpha * LOOKS * z * mean)) / (2 * alpha)


def _slowly(power: np.ndarray, size: int, rule: Callable[[float, np.ndarray], float]) -> np.ndarray:
    half, values = size // 2, power.astype(np.float64)
    out = np.full(power.shape, np.nan)
    for row, col in np.argwhere(np.isfinite(power)):
        window = values[max(0, row - half) : row + half + 1, max(0, col - half) : col + half + 1]
        out[row, col] = rule(values[row, col], window[np.isfinite(window)])
    return out


@pytest.mark.parametrize("size", [3, 7, 9])
@pytest.mark.parametrize(("filtered", "rule"), [(speckle.lee, _lee), (speckle.kuan, _kuan), (speckle.gamma_map, _gamma_map)])
def test_as_the_formula(filtered, rule, size: int) -> None:  # type: ignore[no-untyped-def]
    power = field()
    np.testing.assert_allclose(filtered(power, size, LOOKS), _slowly(power, size, rule), rtol=2e-5)


def test_boxcar_is_the_mean() -> None:
    power = field()
    np.testing.assert_allclose(speckle.boxcar(power, 5), _slowly(power, 5, lambda _, window: window.mean()), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "filtered"),
    [
        ("lee", lambda z: speckle.lee(z, 7, LOOKS)),
        ("kuan", lambda z: speckle.kuan(z, 7, LOOKS)),
        ("gammamap", lambda z: speckle.gamma_map(z, 7, LOOKS)),
        ("frost", lambda z: speckle.frost(z, 7, 0.1)),
    ],
)
def test_as_orfeo_toolbox(shared_data: Path, name: str, filtered) -> None:  # type: ignore[no-untyped-def]
    """A real Sentinel-1 chip, 4 px away from the border, where Orfeo pads in its own way."""
    chips = []
    for file in ("s1_vv.tif", f"s1_vv_otb_{name}.tif"):
        with rasterio.open(shared_data / "speckle_reference" / file) as opened:
            chips.append(opened.read(1))
    chip, expected = chips
    inner = slice(4, -4), slice(4, -4)
    np.testing.assert_allclose(filtered(chip)[inner], expected[inner], rtol=2e-6)


ALL = {
    "boxcar": lambda z: speckle.boxcar(z, 7),
    "lee": lambda z: speckle.lee(z, 7, LOOKS),
    "kuan": lambda z: speckle.kuan(z, 7, LOOKS),
    "gamma_map": lambda z: speckle.gamma_map(z, 7, LOOKS),
    "frost": lambda z: speckle.frost(z, 7, 2.0),
    "refined_lee": lambda z: speckle.refined_lee(z, LOOKS),
}


@pytest.mark.parametrize("name", ALL)
def test_holes_stay_holes_and_spread_nowhere(name: str) -> None:
    power = field()
    np.testing.assert_array_equal(np.isnan(ALL[name](power)), np.isnan(power))


@pytest.mark.parametrize("name", ALL)
def test_tile_by_tile_is_the_whole(name: str) -> None:
    power = field((70, 90))
    whole, part = ALL[name](power), ALL[name](power[10:60, 20:80])
    np.testing.assert_array_equal(part[3:-3, 3:-3], whole[13:57, 23:77])


@pytest.mark.parametrize("name", ALL)
def test_it_smooths_and_keeps_the_mean(name: str) -> None:
    power = np.random.default_rng(1).gamma(LOOKS, 1 / LOOKS, (200, 200)).astype(np.float32)
    found = ALL[name](power)
    assert sar.enl(found) > 2 * sar.enl(power)
    assert found.mean() == pytest.approx(1, abs=0.05)


def test_multitemporal_keeps_each_date_and_smooths() -> None:
    """Quegan and Yu: each date keeps its mean, and the speckle of all dates is averaged."""
    levels = (1.0, 2.0, 4.0)
    dice = np.random.default_rng(2)
    stack = np.stack([level * dice.gamma(LOOKS, 1 / LOOKS, (120, 120)) for level in levels]).astype(np.float32)
    out = speckle.multitemporal(stack, 7)
    for before, after, level in zip(stack, out, levels, strict=True):
        assert after.mean() == pytest.approx(level, rel=0.05)
        assert sar.enl(after) > 2 * sar.enl(before)


@pytest.mark.parametrize("size", [0, 4, -1])
def test_a_window_without_a_middle_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        speckle.lee(field(), size, LOOKS)


def test_decibels_there_and_back() -> None:
    power = np.array([0.01, 1, 10, 0, -1, np.nan], np.float32)
    np.testing.assert_allclose(sar.to_db(power), [-20, 0, 10, np.nan, np.nan, np.nan], atol=1e-5)
    np.testing.assert_allclose(sar.from_db(sar.to_db(power))[:3], power[:3], rtol=1e-5)
