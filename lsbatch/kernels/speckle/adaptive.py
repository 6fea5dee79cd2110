"""Speckle filters that select pixels of the window: Frost and refined Lee."""

import numpy as np
from numba import njit

from lsbatch.kernels.speckle.moments import moments, padded

STRIP_COLS = 512
#: Refined Lee: side of the window, and distance between its nine 3 x 3 windows.
REFINED_HALF, APART = 3, 2


def frost(power: np.ndarray, size: int, damping: float) -> np.ndarray:
    """Frost's filter (Frost et al. 1982): mean weighted by exp(-damping ci^2 distance), distance in pixels.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power.
    size : int
        Side of the window, odd.
    damping : float
        Damping factor; 0 gives the boxcar mean. Orfeo's `deramp`.

    Returns
    -------
    array (rows, cols), float32
    """
    mean, variance = moments(power, size)
    half = size // 2
    span = np.arange(-half, half + 1)
    rows, cols = (a.ravel() for a in np.meshgrid(span, span, indexing="ij"))
    # pixels at the same distance share a weight, so the exponential is computed 9 times in a 7 x 7 window, not 49 times
    distances, ring = np.unique(rows**2 + cols**2, return_inverse=True)
    order = np.argsort(ring, kind="stable")
    offsets = np.stack([rows, cols, ring], axis=1)[order]
    return _frost(padded(power, half), mean, variance, offsets, np.sqrt(distances), float(damping))


@njit(nogil=True, error_model="numpy")
def _frost(
    power: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    offsets: np.ndarray,
    distances: np.ndarray,
    damping: float,
) -> np.ndarray:
    rows, cols = mean.shape
    half = (power.shape[0] - rows) // 2
    out = np.empty((rows, cols), np.float32)
    strip = min(cols, STRIP_COLS)
    decay, total, weight = np.empty(strip), np.empty(strip), np.empty(strip)
    values, count = np.empty(strip), np.empty(strip)
    for row in range(rows):
        for left in range(0, cols, strip):
            width = min(strip, cols - left)
            _decay_into(decay[:width], mean[row][left : left + width], variance[row][left : left + width], damping)
            total[:] = weight[:] = values[:] = count[:] = 0
            for k in range(offsets.shape[0]):
                source = power[row + half + offsets[k, 0]][left + half + offsets[k, 1] :]
                _gather_into(values[:width], count[:width], source)
                if k + 1 == offsets.shape[0] or offsets[k + 1, 2] != offsets[k, 2]:
                    _weigh_into(total[:width], weight[:width], values, count, decay, distances[offsets[k, 2]])
            target, own = out[row][left : left + width], mean[row][left : left + width]
            for col in range(width):
                target[col] = total[col] / weight[col] if own[col] == own[col] else np.nan
    return out


@njit(nogil=True, error_model="numpy")
def _decay_into(decay: np.ndarray, mean: np.ndarray, variance: np.ndarray, damping: float) -> None:
    for col in range(decay.size):
        rate = damping * np.float64(variance[col]) / (np.float64(mean[col]) * np.float64(mean[col]))
        decay[col] = rate if rate >= 0 else 0.0


@njit(nogil=True)
def _gather_into(values: np.ndarray, count: np.ndarray, source: np.ndarray) -> None:
    for col in range(values.size):
        v = source[col]
        good = v == v
        values[col] += v if good else np.float32(0)
        count[col] += 1.0 if good else 0.0


@njit(nogil=True)
def _weigh_into(
    total: np.ndarray, weight: np.ndarray, values: np.ndarray, count: np.ndarray, decay: np.ndarray, distance: float
) -> None:
    """Add the pixels at one distance, and clear their sums.

    exp(-x) is exp(-x / 1024)^1024, the first by Taylor's series up to the sixth power: relative error below 1e-10.
    Beyond 40 a weight does not matter beside the middle's, which is 1.
    """
    for col in range(total.size):
        y = min(decay[col] * distance, 40.0) * (-1 / 1024)
        e = 1 + y * (1 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720))))))
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        total[col] += e * values[col]
        weight[col] += e * count[col]
        values[col] = 0
        count[col] = 0


def refined_lee(power: np.ndarray, looks: float | None = None) -> np.ndarray:
    """Refined Lee filter (Lee 1981): Lee's filter in the half of a 7 x 7 window beside the strongest edge.

    The means of nine 3 x 3 windows give four gradients. The largest gives the direction of the edge; the half window
    whose mean is closer to the central mean is used, including the dividing line. Then b = clip((variance - zbar^2
    sigma^2) / (1 + sigma^2) / variance, 0, 1) and the result is zbar + b (z - zbar).

    Parameters
    ----------
    power : array (rows, cols)
        Linear power.
    looks : float or None
        Equivalent number of looks: sigma^2 is 1 / looks. None uses the mean of the five smallest variance / mean^2 of
        the nine windows, which follows a varying noise level but underestimates it.

    Returns
    -------
    array (rows, cols), float32
    """
    mean, variance = (padded(a, APART) for a in moments(power, 3))
    halves = np.stack([np.argwhere(mask) - REFINED_HALF for mask in _halves()])
    return _refined_lee(padded(power, REFINED_HALF), mean, variance, halves, 0.0 if looks is None else 1 / looks)


def _halves() -> list[np.ndarray]:
    """Return the half windows including the dividing line, for W, E, N, S, NW, SE, NE, SW."""
    rows, cols = np.mgrid[-REFINED_HALF : REFINED_HALF + 1, -REFINED_HALF : REFINED_HALF + 1]
    lines = (cols, rows, rows + cols, rows - cols)
    return [side for line in lines for side in (line <= 0, line >= 0)]


@njit(nogil=True, error_model="numpy")
def _refined_lee(
    power: np.ndarray, mean: np.ndarray, variance: np.ndarray, halves: np.ndarray, speckle: float
) -> np.ndarray:
    rows, cols = mean.shape[0] - 2 * APART, mean.shape[1] - 2 * APART
    out = np.full((rows, cols), np.nan, np.float32)
    nine = np.empty(9)
    for row in range(rows):
        for col in range(cols):
            z = np.float64(power[row + REFINED_HALF, col + REFINED_HALF])
            if z != z:
                continue
            side = _side(mean, row, col)
            level = speckle if speckle > 0 else _level(nine, mean, variance, row, col)
            zbar, spread = _half_moments(power, halves[side], row + REFINED_HALF, col + REFINED_HALF)
            b = (spread - zbar * zbar * level) / (1 + level) / spread if spread > 0 else 0.0
            out[row, col] = zbar + max(b, 0.0) * (z - zbar)
    return out


@njit(nogil=True)
def _side(mean: np.ndarray, row: int, col: int) -> int:
    """Return the number of the half window; ties go to the first."""
    middle = mean[row + APART, col + APART]
    best, side = np.float32(-1), 0
    # west, north, NW, NE; the opposite half is on the other side of the centre
    for k, (down, right) in enumerate(((0, -APART), (-APART, 0), (-APART, -APART), (-APART, APART))):
        one = mean[row + APART + down, col + APART + right]
        other = mean[row + APART - down, col + APART - right]
        gradient = abs(one - other)
        if gradient > best:
            best = gradient
            side = 2 * k + (0 if abs(one - middle) <= abs(other - middle) else 1)
    return side


@njit(nogil=True, error_model="numpy")
def _level(nine: np.ndarray, mean: np.ndarray, variance: np.ndarray, row: int, col: int) -> float:
    """Return the mean of the five smallest variance / mean^2 of the nine windows."""
    for k in range(9):
        r, c = row + APART * (k // 3), col + APART * (k % 3)
        ratio = np.float64(variance[r, c]) / (np.float64(mean[r, c]) * np.float64(mean[r, c]))
        ratio = ratio if ratio == ratio else np.inf  # type: ignore[assignment]
        # insertion: nine values are too few for a general sort
        i = k
        while i > 0 and nine[i - 1] > ratio:
            nine[i] = nine[i - 1]
            i -= 1
        nine[i] = ratio
    total, count = 0.0, 0
    for k in range(5):
        if nine[k] < np.inf:
            total += nine[k]
            count += 1
    return total / max(count, 1)


@njit(nogil=True, error_model="numpy")
def _half_moments(power: np.ndarray, half: np.ndarray, row: int, col: int) -> tuple[float, float]:
    """Return mean and sample variance (0 for a single value) of a half window."""
    total, square, count = 0.0, 0.0, 0
    for k in range(half.shape[0]):
        v = np.float64(power[row + half[k, 0], col + half[k, 1]])
        if v == v:
            total += v
            square += v * v
            count += 1
    mean = total / count
    return mean, max(square - total * mean, 0.0) / max(count - 1, 1)
