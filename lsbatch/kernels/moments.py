"""Mean and sample variance in a square window, and the filters that follow from these two alone.

NaN is nodata: it takes no part, nor does what lies outside the array. Sums are made anew for every pixel, always in the
same order, so tile by tile equals the whole bit for bit: sliding sums, which add a row and subtract another, would not.
In double precision, because the variance is a difference of two sums.
"""

import numpy as np
from numba import njit

#: Columns treated together: the sums of a window of 7 rows stay in the cache next to the core.
STRIP_COLS = 512

#: What to make of mean and variance: pull towards the mean, gamma maximum a posteriori, or the two themselves.
SHRINK, GAMMA, MOMENTS = range(3)


def moments(power: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample variance of the window.

    Parameters
    ----------
    power : array (rows, cols)
    size : int
        Side of the window, odd.

    Returns
    -------
    mean, variance : arrays (rows, cols), float32
        The variance of a single value is 0; both are NaN where `power` is.
    """
    mean, variance = window_rule(power, size, MOMENTS)
    return mean, variance


def window_rule(power: np.ndarray, size: int, rule: int, looks: float = 1.0, shrink: float = 0.0) -> np.ndarray:
    """Answers of a rule, (1 or 2, rows, cols) float32; NaN where `power` is not finite.

    `SHRINK` gives mean + b (z - mean) with b = clip(1 - mean^2 / (looks variance), 0, 1) * shrink.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"{size=}. Must be an odd number, so that the window has a middle")
    return _window_rule(np.ascontiguousarray(power, np.float32), int(size) // 2, rule, float(looks), float(shrink))


def padded(values: np.ndarray, width: int) -> np.ndarray:
    """Contiguous float32 with a frame of NaN; what is not finite is NaN."""
    values = np.asarray(values, np.float32)
    framed = np.pad(values, width, constant_values=np.nan)
    framed[~np.isfinite(framed)] = np.nan
    return framed


@njit(nogil=True)
def _window_rule(power: np.ndarray, half: int, rule: int, looks: float, shrink: float) -> np.ndarray:
    rows, cols = power.shape
    out = np.empty((2 if rule == MOMENTS else 1, rows, cols), np.float32)
    size, strip = 2 * half + 1, min(cols, STRIP_COLS)
    # value, square and number, summed along the row, for the rows of the window in turn
    ring = np.empty((3, size, strip))
    full = np.empty(size, np.bool_)
    line = np.empty((3, strip + 2 * half))
    # mean, variance, 1 / n, 1 / (n - 1)
    local = np.empty((4, strip))
    for left in range(0, cols, strip):
        width = min(strip, cols - left)
        ring[:] = 0
        full[:] = False
        for row in range(rows + half):
            slot = row % size
            full[slot] = _load_into(line, power, row, left - half, width + 2 * half)
            _enter_into(ring, slot, line, full[slot], width)
            if row >= half:
                _describe_into(local, ring, (slot + 1) % size, full.all(), width)
                _answer_into(out, power[row - half], local, row - half, left, width, rule, looks, shrink)
    return out


@njit(nogil=True)
def _enter_into(ring: np.ndarray, slot: int, line: np.ndarray, is_full: bool, width: int) -> None:
    size = ring.shape[1]
    _add_cols_into(ring[0, slot][:width], line[0], size)
    _add_cols_into(ring[1, slot][:width], line[1], size)
    if is_full:
        ring[2, slot] = size
    else:
        _add_cols_into(ring[2, slot][:width], line[2], size)


@njit(nogil=True)
def _answer_into(
    out: np.ndarray,
    power: np.ndarray,
    local: np.ndarray,
    row: int,
    left: int,
    width: int,
    rule: int,
    looks: float,
    shrink: float,
) -> None:
    own, target = power[left : left + width], out[0, row][left : left + width]
    if rule == SHRINK:
        _shrink_into(target, own, local[0], local[1], looks, shrink)
    elif rule == GAMMA:
        _gamma_into(target, own, local[0], local[1], looks)
    else:
        _copy_into(target, own, local[0])
        _copy_into(out[1, row][left : left + width], own, local[1])


@njit(nogil=True)
def _copy_into(out: np.ndarray, power: np.ndarray, values: np.ndarray) -> None:
    for col in range(out.size):
        z = power[col]
        out[col] = values[col] if z - z == 0 else np.nan


@njit(nogil=True)
def _load_into(line: np.ndarray, power: np.ndarray, row: int, left: int, width: int) -> bool:
    """Value, square and 1 of a row's pixels, 0 for holes and outside; True if every pixel counts."""
    rows, cols = power.shape
    start, stop = max(0, -left), min(width, cols - left)
    if row >= rows:
        line[:] = 0
        return False
    line[:, :start] = 0
    line[:, stop:] = 0
    source = power[row][left + start : left + stop]
    value, square, one = line[0][start:stop], line[1][start:stop], line[2][start:stop]
    count = 0
    for col in range(source.size):
        v = np.float64(source[col])
        good = v - v == 0
        v = v if good else 0.0
        value[col] = v
        square[col] = v * v
        one[col] = 1.0 if good else 0.0
        count += np.int64(good)
    return count == width


@njit(nogil=True)
def _add_cols_into(out: np.ndarray, line: np.ndarray, size: int) -> None:
    """out[i] = line[i] + ... + line[i + size - 1], two terms a pass."""
    out[:] = line[: out.size]
    for k in range(1, size, 2):
        one, two = line[k:], line[k + 1 :]
        for col in range(out.size):
            out[col] += one[col] + two[col]


@njit(nogil=True)
def _add_rows_into(out: np.ndarray, ring: np.ndarray, first: int) -> None:
    """Sum of the rows of the ring from the oldest to the newest, two terms a pass."""
    size = ring.shape[0]
    out[:] = ring[first][: out.size]
    for k in range(1, size, 2):
        one, two = ring[(first + k) % size], ring[(first + k + 1) % size]
        for col in range(out.size):
            out[col] += one[col] + two[col]


@njit(nogil=True, error_model="numpy")
def _describe_into(local: np.ndarray, ring: np.ndarray, first: int, is_full: bool, width: int) -> None:
    """Mean, sample variance (0 for a single value), and the inverses of n and n - 1."""
    mean, variance, inverse, sample = local[0][:width], local[1][:width], local[2][:width], local[3][:width]
    size = ring.shape[1]
    _add_rows_into(mean, ring[0], first)
    _add_rows_into(variance, ring[1], first)
    if is_full:
        # the same numbers as below, without the work
        inverse[:] = 1 / np.float64(size * size)
        sample[:] = 1 / max(np.float64(size * size - 1), 1.0)
    else:
        _add_rows_into(inverse, ring[2], first)
        for col in range(width):
            n = inverse[col]
            inverse[col] = 1 / max(n, 1.0)
            sample[col] = 1 / max(n - 1, 1.0)
    for col in range(width):
        total = mean[col]
        mean[col] = total * inverse[col]
        # rounding may leave a constant window slightly below 0
        variance[col] = max((variance[col] - total * mean[col]) * sample[col], 0.0)


@njit(nogil=True, error_model="numpy")
def _shrink_into(
    out: np.ndarray, power: np.ndarray, mean: np.ndarray, variance: np.ndarray, looks: float, shrink: float
) -> None:
    for col in range(out.size):
        z, m = power[col], mean[col]
        b = (1 - m * m / (looks * variance[col])) * shrink
        value = m + b * (z - m) if b > 0 and variance[col] > 0 else m
        out[col] = value if z - z == 0 else np.nan


@njit(nogil=True, error_model="numpy")
def _gamma_into(out: np.ndarray, power: np.ndarray, mean: np.ndarray, variance: np.ndarray, looks: float) -> None:
    cu2 = 1 / looks
    for col in range(out.size):
        z, m = np.float64(power[col]), mean[col]
        ci2 = variance[col] / (m * m)
        alpha = (1 + cu2) / (ci2 - cu2)
        share = alpha - looks - 1
        value = (m * share + np.sqrt(m * m * share * share + 4 * alpha * looks * z * m)) / (2 * alpha)
        value = z if ci2 >= 2 * cu2 else value
        # also where the mean is 0
        value = value if ci2 > cu2 else m
        out[col] = value if z - z == 0 else np.nan
