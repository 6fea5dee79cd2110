"""Speckle filters against Orfeo ToolBox and against their formulas, pixel by pixel."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import rasterio

from lsbatch.kernels import sar, speckle
from lsbatch.kernels.speckle import improved_lee_sigma
from lsbatch.pipeline import radar
from lsbatch.settings import CompositeSettings

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
@pytest.mark.parametrize(
    ("filtered", "rule"), [(speckle.lee, _lee), (speckle.kuan, _kuan), (speckle.gamma_map, _gamma_map)]
)
def test_as_the_formula(filtered, rule, size: int) -> None:  # type: ignore[no-untyped-def]
    power = field()
    np.testing.assert_allclose(filtered(power, size, LOOKS), _slowly(power, size, rule), rtol=2e-5)


def _frost(power: np.ndarray, size: int, damping: float) -> np.ndarray:
    half, values = size // 2, power.astype(np.float64)
    out = np.full(power.shape, np.nan)
    for row, col in np.argwhere(np.isfinite(power)):
        top, left = max(0, row - half), max(0, col - half)
        window = values[top : row + half + 1, left : col + half + 1]
        rows, cols = np.indices(window.shape)
        distance = np.hypot(rows + top - row, cols + left - col)
        seen = window[np.isfinite(window)]
        ci2 = seen.var(ddof=1) / seen.mean() ** 2
        weights = np.where(np.isfinite(window), np.exp(-damping * ci2 * distance), 0)
        out[row, col] = np.nansum(weights * window) / weights.sum()
    return out


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("damping", [0, 0.1, 2, 50])
def test_frost_as_the_formula(size: int, damping: float) -> None:
    power = field()
    np.testing.assert_allclose(speckle.frost(power, size, damping), _frost(power, size, damping), rtol=2e-6)


def _window(values: np.ndarray, row: int, col: int, half: int) -> np.ndarray:
    """Window around a pixel with NaN outside."""
    return np.pad(values, half, constant_values=np.nan)[row : row + 2 * half + 1, col : col + 2 * half + 1]


def _seen(window: np.ndarray) -> tuple[float, float]:
    """Mean and sample variance of what is not NaN, 0 of a single value."""
    values = window[np.isfinite(window)]
    return values.mean(), values.var(ddof=1) if values.size > 1 else 0.0


def _mmse(z: float, mean: float, variance: float, noise: float) -> float:
    """Lee's estimate with the variance of what is under the speckle."""
    b = (variance - mean**2 * noise) / (1 + noise) / variance if variance > 0 else 0
    return mean + max(b, 0) * (z - mean)


def _refined_lee(power: np.ndarray, looks: float | None) -> np.ndarray:
    """Nine windows of 3 x 3, the strongest of four gradients, the half of 7 x 7 that is closer to the middle."""
    values = power.astype(np.float64)
    out = np.full(power.shape, np.nan)
    south, east = np.mgrid[-3:4, -3:4]
    # towards one end of each gradient: west, north, north-west, north-east
    ends = {(0, -1): -east, (-1, 0): -south, (-1, -1): -(south + east), (-1, 1): east - south}
    inside = lambda r, c: 0 <= r < power.shape[0] and 0 <= c < power.shape[1] and np.isfinite(values[r, c])  # noqa: E731
    for row, col in np.argwhere(np.isfinite(power)):
        nine = {
            (i, j): _seen(_window(values, row + 2 * i, col + 2 * j, 1))
            for i in (-1, 0, 1) for j in (-1, 0, 1) if inside(row + 2 * i, col + 2 * j)
        }  # fmt: skip
        gradients = {
            end: abs(nine[end][0] - nine[-end[0], -end[1]][0])
            for end in ends
            if end in nine and (-end[0], -end[1]) in nine
        }
        side = -east
        if gradients:
            end = max(gradients, key=lambda e: gradients[e])
            here, other = (abs(nine[e][0] - nine[0, 0][0]) for e in (end, (-end[0], -end[1])))
            side = ends[end] if here <= other else -ends[end]
        noise = 1 / looks if looks else float(np.mean(sorted(v / m**2 for m, v in nine.values())[:5]))
        half = np.where(side >= 0, _window(values, row, col, 3), np.nan)
        out[row, col] = _mmse(values[row, col], *_seen(half), noise)
    return out


@pytest.mark.parametrize("looks", [LOOKS, None])
def test_refined_lee_as_the_slow_one(looks: float | None) -> None:
    power = field((40, 50))
    np.testing.assert_allclose(speckle.refined_lee(power, looks), _refined_lee(power, looks), rtol=1e-4)


@pytest.mark.parametrize(
    ("looks", "share", "expected"),
    [
        # Lee et al. 2009, tables 1 and 2 (intensity): I1, I2, eta
        (1, 0.5, (0.436, 1.920, 0.4057)),
        (1, 0.9, (0.084, 3.941, 0.8191)),
        (2, 0.9, (0.221, 2.744, 0.5699)),
        (4, 0.9, (0.378, 2.094, 0.3991)),
    ],
)
def test_range_of_sigma_as_the_papers_table(looks: float, share: float, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(improved_lee_sigma.sigma_range(looks, share), expected, rtol=5e-3)


def _lee_sigma(power: np.ndarray, looks: float, size: int, bright: float) -> np.ndarray:
    values = power.astype(np.float64)
    low, high, eta = improved_lee_sigma.sigma_range(looks, 0.9)
    lit = values > bright
    kept = np.zeros(power.shape, bool)
    for row, col in np.argwhere(lit):
        window = (slice(max(0, row - 1), row + 2), slice(max(0, col - 1), col + 2))
        if lit[window].sum() >= 7:
            kept[window] |= lit[window]
    out = np.full(power.shape, np.nan)
    for row, col in np.argwhere(np.isfinite(power)):
        if kept[row, col]:
            out[row, col] = values[row, col]
            continue
        mean, variance = _seen(_window(values, row, col, 1))
        x = _mmse(values[row, col], mean, variance, 1 / looks)
        window = _window(values, row, col, size // 2)
        chosen = window[(window >= low * x) & (window <= high * x)]
        out[row, col] = _mmse(values[row, col], *_seen(chosen), eta**2) if chosen.size else mean
    return out


def test_lee_sigma_as_the_slow_one() -> None:
    power = field()
    power[10:13, 10:13] = 9.0
    found = speckle.lee_sigma(power, LOOKS, bright=2.0)
    assert (found[10:13, 10:13] == 9).all()
    np.testing.assert_allclose(found, _lee_sigma(power, LOOKS, 9, 2.0), rtol=2e-5)


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
    "lee_sigma": lambda z: speckle.lee_sigma(z, LOOKS, bright=1.5),
}


@pytest.mark.parametrize("name", ALL)
def test_holes_stay_holes_and_spread_nowhere(name: str) -> None:
    power = field()
    np.testing.assert_array_equal(np.isnan(ALL[name](power)), np.isnan(power))


@pytest.mark.parametrize("name", ALL)
def test_tile_by_tile_is_the_whole(name: str) -> None:
    power = field((70, 90))
    whole, part = ALL[name](power), ALL[name](power[10:60, 20:80])
    np.testing.assert_array_equal(part[4:-4, 4:-4], whole[14:56, 24:76])


@pytest.mark.parametrize("filtered", [speckle.boxcar, lambda z, size: speckle.frost(z, size, 2.0)])
def test_a_window_of_one_pixel_is_the_pixel(filtered) -> None:  # type: ignore[no-untyped-def]
    power = field()
    np.testing.assert_array_equal(filtered(power, 1), power)


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


def test_the_setting_names_exactly_the_filters() -> None:
    """Settings cannot import kernels, so this holds the two lists together."""
    allowed = set(get_args(CompositeSettings.model_fields["speckle"].annotation))
    assert allowed == set(speckle.FILTERS) | {radar.ACROSS_DATES}


@pytest.mark.parametrize("name", sorted(speckle.FILTERS))
def test_each_filter_of_the_mapping_keeps_shape_and_nodata(name: str) -> None:
    power = np.random.default_rng(3).gamma(4, 0.05, (24, 30)).astype(np.float32)
    power[5, 7] = np.nan
    found = speckle.FILTERS[name](power, speckle.FilterSettings(7, 4.0, bright=0.6))
    assert found.shape == power.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(power))
    assert name == "none" or np.nanstd(found) < np.nanstd(power)
