"""The improved Lee sigma filter."""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import optimize, special

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.speckle.moments import ZERO, moments, padded

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
    out = _lee_sigma(size)(framed, *moments(power, 3), 1 / looks, sigma_range(float(looks), float(sigma)))
    targets = _targets(power, bright)
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


@kernel
def _targets(power: np.ndarray, bright: float) -> np.ndarray:
    """Return the bright pixels of every 3 x 3 window that has enough of them. Infinite power is nodata."""
    rows, cols = power.shape
    is_bright = np.zeros((rows + 2, cols + 2), np.bool_)
    out = np.zeros((rows, cols), np.bool_)
    for row in range(rows):
        for col in range(cols):
            is_bright[row + 1, col + 1] = (power[row, col] > bright) & (power[row, col] < np.inf)
    for row in range(rows):
        for col in range(cols):
            if is_bright[row + 1, col + 1] and _bright_count(is_bright, row, col) >= TARGET_PIXELS:
                for down in range(3):
                    for right in range(3):
                        if is_bright[row + down, col + right]:
                            out[row + down - 1, col + right - 1] = True
    return out


@kernel
def _bright_count(is_bright: np.ndarray, row: int, col: int) -> int:
    """Return the bright pixels of the 3 x 3 window whose corner is (row, col)."""
    count = 0
    for down in range(3):
        for right in range(3):
            count += is_bright[row + down, col + right]
    return count


@cache
def _lee_sigma(size: int) -> Callable[..., np.ndarray]:
    """Compile the filter for one size: with a constant size the compiler unrolls a row of the window."""

    @kernel(error_model="numpy")
    def run(
        power: np.ndarray, mean: np.ndarray, variance: np.ndarray, speckle: float, limits: tuple[float, float, float]
    ) -> np.ndarray:
        rows, cols = mean.shape
        half = size // 2
        out = np.empty((rows, cols), np.float32)
        strip = min(cols, STRIP_COLS)
        # single precision changes the result by less than 1e-5, and is twice as fast
        low, high, count = np.empty(strip, np.float32), np.empty(strip, np.float32), np.empty(strip, np.int32)
        total, square = np.empty(strip, np.float32), np.empty(strip, np.float32)
        for row in range(rows):
            for left in range(0, cols, strip):
                width = min(strip, cols - left)
                own = power[row + half][left + half :][:width]
                local = mean[row][left : left + width], variance[row][left : left + width]
                _range_into(low, high, own, *local, speckle, limits)
                total[:] = square[:] = count[:] = 0
                for down in range(size):
                    source = power[row + down][left : left + width + size - 1]
                    choose_into(total[:width], square, count, source, low, high)
                _answer_into(out[row][left : left + width], own, total, square, count, local[0], limits[2] ** 2)
        return out

    @kernel
    def choose_into(
        total: np.ndarray, square: np.ndarray, count: np.ndarray, source: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> None:
        """Add the pixels of a row of the window within the range; NaN is in no range."""
        for col in range(total.size):
            least, most = low[col], high[col]
            values, squares, number = ZERO, ZERO, np.int32(0)
            for right in range(size):
                v = source[col + right]
                is_inside = (v >= least) & (v <= most)
                v = v if is_inside else ZERO
                values += v
                squares += v * v
                number += np.int32(is_inside)
            total[col] += values
            square[col] += squares
            count[col] += number

    return run


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
def _shrunk(z: float, mean: float, variance: float, speckle: float) -> float:
    """Return Lee's filter with the variance of the signal below the speckle."""
    b = (variance - mean * mean * speckle) / (1 + speckle) / variance
    return mean + b * (z - mean) if b > 0 else mean


@kernel(error_model="numpy")
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
        n, values = np.float64(count[col]), np.float64(total[col])
        m = values / max(n, 1.0)
        variance = max((np.float64(square[col]) - values * m) / max(n - 1, 1.0), 0.0)
        value = _shrunk(np.float64(power[col]), m, variance, eta2)
        # a range without pixels: the window's mean
        value = value if n > 0 else np.float64(mean[col])
        out[col] = value if power[col] == power[col] else np.nan
