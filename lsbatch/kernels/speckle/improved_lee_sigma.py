"""The improved Lee sigma filter."""

from functools import cache

import numpy as np
from numba import njit
from scipy import optimize, special

from lsbatch.kernels.speckle.moments import moments, padded

STRIP_COLS = 512
#: Pixels of a 3 x 3 window that must be bright to be a target.
TARGET_PIXELS = 7


def lee_sigma(
    power: np.ndarray, looks: float, size: int = 9, sigma: float = 0.9, bright: float | None = None
) -> np.ndarray:
    """Improved sigma filter (Lee, Wen, Ainsworth, Chen, Chen 2009).

    Bright targets are kept: pixels above `bright`, if a 3 x 3 window contains seven or more. Elsewhere the 3 x 3 Lee
    estimate x selects the pixels of the window with I1 x <= z <= I2 x, and Lee's filter is applied to these.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power.
    looks : float
        Equivalent number of looks.
    size : int
        Side of the window, odd.
    sigma : float
        Probability of the speckle inside the range.
    bright : float or None
        None uses the 98th percentile of `power`, which differs between tiles: give a number if tiles must agree.

    Returns
    -------
    array (rows, cols), float32
    """
    power = np.ascontiguousarray(power, np.float32)
    if bright is None:
        values = power[np.isfinite(power)]
        bright = float(np.percentile(values, 98)) if values.size else np.inf
    framed = padded(power, size // 2)
    out = _lee_sigma(framed, *moments(power, 3), 1 / looks, sigma_range(float(looks), float(sigma)))
    targets = _targets(padded(power, 1), bright)
    out[targets] = power[targets]
    return out


@cache
def sigma_range(looks: float, sigma: float) -> tuple[float, float, float]:
    """Return I1, I2 and eta: the range of unit-mean speckle with probability `sigma` that keeps the mean.

    Speckle of `looks` looks follows the gamma distribution, so its integrals are incomplete gamma functions; eta is the
    standard deviation within the range. For 4 looks and 0.9 the paper's table has 0.378, 2.094 and 0.3991.

    Parameters
    ----------
    looks : float
        Equivalent number of looks.
    sigma : float
        Probability inside the range, 0..1.

    Returns
    -------
    low, high, eta : float
    """

    def inside(order: float, low: float, high: float) -> float:
        return float(special.gammainc(order, looks * high) - special.gammainc(order, looks * low))

    def upper(low: float) -> float:
        return float(special.gammaincinv(looks, special.gammainc(looks, looks * low) + sigma)) / looks

    highest = float(special.gammaincinv(looks, 1 - sigma)) / looks
    low = optimize.brentq(lambda a: inside(looks + 1, a, upper(a)) - sigma, 0, highest * (1 - 1e-9), xtol=1e-12)
    high = upper(low)
    eta2 = (looks + 1) / looks * inside(looks + 2, low, high) / sigma - 1
    return float(low), high, float(np.sqrt(eta2))


@njit(nogil=True)
def _targets(power: np.ndarray, bright: float) -> np.ndarray:
    """Return the bright pixels of every 3 x 3 window that has enough of them."""
    rows, cols = power.shape[0] - 2, power.shape[1] - 2
    out = np.zeros((rows + 2, cols + 2), np.bool_)
    for row in range(1, rows + 1):
        for col in range(1, cols + 1):
            if power[row, col] > bright:
                window = power[row - 1 : row + 2, col - 1 : col + 2] > bright
                if window.sum() >= TARGET_PIXELS:
                    out[row - 1 : row + 2, col - 1 : col + 2] |= window
    return out[1:-1, 1:-1].copy()


@njit(nogil=True, error_model="numpy")
def _lee_sigma(
    power: np.ndarray, mean: np.ndarray, variance: np.ndarray, speckle: float, limits: tuple[float, float, float]
) -> np.ndarray:
    rows, cols = mean.shape
    half = (power.shape[0] - rows) // 2
    out = np.empty((rows, cols), np.float32)
    strip = min(cols, STRIP_COLS)
    low, high = np.empty(strip, np.float32), np.empty(strip, np.float32)
    total, square, count = np.empty(strip), np.empty(strip), np.empty(strip)
    for row in range(rows):
        for left in range(0, cols, strip):
            width = min(strip, cols - left)
            own = power[row + half][left + half :][:width]
            local = mean[row][left : left + width], variance[row][left : left + width]
            _range_into(low, high, own, *local, speckle, limits)
            total[:] = square[:] = count[:] = 0
            for down in range(2 * half + 1):
                for right in range(2 * half + 1):
                    source = power[row + down][left + right :][:width]
                    _choose_into(total, square, count, source, low, high)
            _answer_into(out[row][left : left + width], own, total, square, count, local[0], limits[2] ** 2)
    return out


@njit(nogil=True, error_model="numpy")
def _range_into(
    low: np.ndarray,
    high: np.ndarray,
    power: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    speckle: float,
    limits: tuple[float, float, float],
) -> None:
    for col in range(power.size):
        x = _shrunk(np.float64(power[col]), np.float64(mean[col]), np.float64(variance[col]), speckle)
        low[col] = limits[0] * x
        high[col] = limits[1] * x


@njit(nogil=True, error_model="numpy")
def _shrunk(z: float, mean: float, variance: float, speckle: float) -> float:
    """Return Lee's filter with the variance of the signal below the speckle."""
    b = (variance - mean * mean * speckle) / (1 + speckle) / variance
    return mean + b * (z - mean) if b > 0 else mean


@njit(nogil=True)
def _choose_into(
    total: np.ndarray, square: np.ndarray, count: np.ndarray, source: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Add the pixels within the range; NaN is in no range."""
    for col in range(source.size):
        inside = (source[col] >= low[col]) & (source[col] <= high[col])
        v = np.float64(source[col] if inside else np.float32(0))
        total[col] += v
        square[col] += v * v
        count[col] += 1.0 if inside else 0.0


@njit(nogil=True, error_model="numpy")
def _answer_into(
    out: np.ndarray,
    power: np.ndarray,
    total: np.ndarray,
    square: np.ndarray,
    count: np.ndarray,
    mean: np.ndarray,
    eta2: float,
) -> None:
    for col in range(out.size):
        n = count[col]
        m = total[col] / max(n, 1.0)
        variance = max((square[col] - total[col] * m) / max(n - 1, 1.0), 0.0)
        value = _shrunk(np.float64(power[col]), m, variance, eta2)
        # a range without pixels: the window's mean
        value = value if n > 0 else np.float64(mean[col])
        out[col] = value if power[col] == power[col] else np.nan
