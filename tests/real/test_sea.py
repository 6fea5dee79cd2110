"""Speckle filters on the real sea: the equivalent number of looks rises by what its correlation allows."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from lsbatch.kernels import sar, speckle, time_median

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "s1_opera_california"
SEA = "T137-292318-IW1"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"real data are not at {FOLDER}")


@pytest.fixture(scope="module")
def sea() -> np.ndarray:
    """21 passes of VV, (passes, rows, cols), unit mean; swell and currents taken out by a wide mean."""
    passes = []
    for file in sorted(FOLDER.glob(f"*/*{SEA}*_VV.tif")):
        with rasterio.open(file) as opened:
            power = opened.read(1)
        passes.append((power / ndimage.uniform_filter(power, 31))[16:-16, 16:-16])
    assert len(passes) == 21
    return np.stack(passes)


def independent_pixels(power: np.ndarray, size: int) -> float:
    """How many independent pixels a window holds: size^2 over the sum of its pixels' correlations with each other."""
    rows, cols = power.shape
    rest = power.astype(np.float64) - power.mean()
    total = 0.0
    for i in range(-size + 1, size):
        for j in range(-size + 1, size):
            one = rest[max(0, i) : rows + min(0, i), max(0, j) : cols + min(0, j)]
            other = rest[max(0, -i) : rows + min(0, -i), max(0, -j) : cols + min(0, -j)]
            total += (1 - abs(i) / size) * (1 - abs(j) / size) * (one * other).mean()
    return float(size**2 * (rest**2).mean() / total)


def rise(power: np.ndarray, filtered: np.ndarray) -> float:
    """By which factor the ENL grew, away from the border."""
    return sar.enl(filtered[4:-4, 4:-4]) / sar.enl(power)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_a_mean_has_as_many_looks_more_as_its_window_holds_independent_pixels(sea: np.ndarray, size: int) -> None:
    for power in sea:
        expected = independent_pixels(power, size)
        assert rise(power, speckle.boxcar(power, size)) == pytest.approx(expected, rel=0.06)
        # without damping, Frost is the mean
        assert rise(power, speckle.frost(power, size, 0)) == pytest.approx(expected, rel=0.06)


def test_filters_that_adapt_keep_some_speckle_where_nothing_is_but_speckle(sea: np.ndarray) -> None:
    """A window's variance is an estimate: where it is high by chance, they take it for structure."""
    filters = {
        "lee": lambda z, looks: speckle.lee(z, 7, looks),
        "kuan": lambda z, looks: speckle.kuan(z, 7, looks),
        "gamma_map": lambda z, looks: speckle.gamma_map(z, 7, looks),
        "refined_lee": speckle.refined_lee,
        "lee_sigma": lambda z, looks: speckle.lee_sigma(z, looks, bright=1e30),
    }
    for name, filtered in filters.items():
        share = [rise(z, filtered(z, sar.enl(z))) / independent_pixels(z, 7) for z in sea]
        print(f"{name}: {np.median(share):.2f} of the mean's")
        assert min(share) > 0.25
        assert max(share) < 1.05
        assert 0.3 < np.median(share) < 0.9


@pytest.mark.parametrize("dates", [2, 4, 8, 16])
def test_folds_over_time_on_independent_passes(sea: np.ndarray, dates: int) -> None:
    stack = sea[:dates]
    looks = np.median([sar.enl(z) for z in sea])
    assert sar.enl(stack.mean(axis=0)) / looks == pytest.approx(dates, rel=0.1)
    # a median of many has 2 / pi of a mean's looks if values are normal, somewhat less if they are gamma distributed
    assert 0.5 * dates < sar.enl(time_median.masked_median(stack)) / looks < 1.05 * dates
    # Quegan and Yu 2001: M dates and windows of N pixels give M N / (M + N - 1)
    pixels = np.median([independent_pixels(z, 7) for z in sea])
    found = np.median([rise(z, out) for z, out in zip(stack, speckle.multitemporal(stack, 7), strict=True)])
    assert found == pytest.approx(dates * pixels / (dates + pixels - 1), rel=0.15)
