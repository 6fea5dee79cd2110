"""Mean and variance in a square window, and the speckle filters that need only these.

NaN is nodata and is not used; nor are pixels outside the array. Sums are computed for every pixel in the same order, so
tile by tile equals the whole bit for bit. Sliding sums, which add a row and subtract another, would not. Sums are in
double precision, because the variance is a difference of two of them. `SHRINK` uses single precision, which is twice as
fast: the variance is then wrong by up to 1e-6 of the squared mean, which changes the result by less than 1e-5.
Gamma-MAP has a step, where the same error would change some pixels more.
"""

import numpy as np
from numba import njit

#: Columns processed together: the sums of a window of 7 rows then stay in the cache.
STRIP_COLS = 512

#: Rules for mean and variance: shrink towards the mean, gamma maximum a posteriori, or return both.
SHRINK, GAMMA, MOMENTS = range(3)
# typed, so that numba computes in the type of the other operand
ZERO, ONE = np.float32(0), np.float32(1)


def moments(power: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sample variance of the window.

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
    """Apply a rule to the window statistics, (1 or 2, rows, cols) float32; NaN where `power` is not finite.

    `SHRINK` gives mean + b (z - mean) with b = clip(1 - mean^2 / (looks variance), 0, 1) * shrink.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power.
    size : int
        Side of the window, odd.
    rule : int
        `SHRINK`, `GAMMA` or `MOMENTS`.
    looks, shrink : float
        Parameters of the rules.

    Returns
    -------
    array (1 or 2, rows, cols), float32

    Raises
    ------
    ValueError
        If `size` is even.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"{size=}. Must be an odd number, so that the window has a middle")
    power = np.ascontiguousarray(power, np.float32)
    # allocated by numpy, not in numba: numpy requests huge pages, and 64 MB take 15 ms to fill instead of 28 ms
    out = np.empty((2 if rule == MOMENTS else 1, *power.shape), np.float32)
    half, strip = int(size) // 2, min(power.shape[1], STRIP_COLS)
    kind = np.float32 if rule == SHRINK else np.float64
    # value, square and count, summed along the row, for the rows of the window in turn
    ring = np.empty((3, size, strip), kind)
    line = np.empty((3, strip + 2 * half), kind)
    # mean, variance, 1 / n, 1 / (n - 1)
    local = np.empty((4, strip), kind)
    _window_rule_into(out, power, ring, line, local, rule, float(looks), float(shrink))
    return out


def padded(values: np.ndarray, width: int) -> np.ndarray:
    """Return contiguous float32 with a frame of NaN; non-finite values become NaN.

    Parameters
    ----------
    values : array (rows, cols)
    width : int
        Pixels of the frame.

    Returns
    -------
    array (rows + 2 width, cols + 2 width), float32
    """
    values = np.asarray(values, np.float32)
    framed = np.pad(values, width, constant_values=np.nan)
    framed[~np.isfinite(framed)] = np.nan
    return framed


@njit(nogil=True)
def _window_rule_into(
    out: np.ndarray,
    power: np.ndarray,
    ring: np.ndarray,
    line: np.ndarray,
    local: np.ndarray,
    rule: int,
    looks: float,
    shrink: float,
) -> None:
    rows, cols = power.shape
    size, strip = ring.shape[1], max(ring.shape[2], 1)
    half = size // 2
    full = np.empty(size, np.bool_)
    for left in range(0, cols, strip):
        width = min(strip, cols - left)
        ring[:] = 0
        full[:] = False
        for row in range(rows + half):
            slot = row % size
            full[slot] = _load_into(line, power, row, left - half, width + 2 * half)
            _enter_into(ring, slot, line, full[slot], width)
            if row >= half:
                _describe_into(local, ring, (slot + 1) % size, full.all(), width)  # type: ignore[arg-type]
                _answer_into(out, power[row - half], local, row - half, left, width, rule, looks, shrink)


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
    """Load value, square and 1 of the pixels of a row, 0 for NaN and outside; return True if all pixels are valid."""
    rows, cols = power.shape
    start, stop = max(0, -left), min(width, cols - left)
    if row >= rows:
        line[:] = 0
        return False
    line[:, :start] = 0
    line[:, stop:] = 0
    source = power[row][left + start : left + stop]
    value, square, one = line[0][start:stop], line[1][start:stop], line[2][start:stop]
    count = np.int32(0)
    for col in range(source.size):
        v = source[col]
        good = v - v == 0
        value[col] = v if good else ZERO
        square[col] = value[col] * value[col]
        count += np.int32(good)
    if count < width:
        for col in range(source.size):
            one[col] = ONE if source[col] - source[col] == 0 else ZERO
    return count == width


@njit(nogil=True)
def _add_cols_into(out: np.ndarray, line: np.ndarray, size: int) -> None:
    """Write out[i] = line[i] + ... + line[i + size - 1]."""
    out[:] = line[: out.size]
    k = 1
    while k + 6 <= size:
        _add_six_into(out, line[k:], line[k + 1 :], line[k + 2 :], line[k + 3 :], line[k + 4 :], line[k + 5 :])
        k += 6
    while k < size:
        _add_two_into(out, line[k:], line[k + 1 :])
        k += 2


@njit(nogil=True)
def _add_rows_into(out: np.ndarray, ring: np.ndarray, first: int) -> None:
    """Add the rows of the ring from the oldest to the newest."""
    size = ring.shape[0]
    out[:] = ring[first][: out.size]
    k = first + 1
    while k + 6 <= first + size:
        a, b, c = ring[k % size], ring[(k + 1) % size], ring[(k + 2) % size]
        _add_six_into(out, a, b, c, ring[(k + 3) % size], ring[(k + 4) % size], ring[(k + 5) % size])
        k += 6
    while k < first + size:
        _add_two_into(out, ring[k % size], ring[(k + 1) % size])
        k += 2


@njit(nogil=True)
def _add_two_into(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    for col in range(out.size):
        out[col] += a[col] + b[col]


@njit(nogil=True)
def _add_six_into(
    out: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, e: np.ndarray, f: np.ndarray
) -> None:
    """Add a window of 7 in one pass: half the loads and stores of three passes."""
    for col in range(out.size):
        out[col] += ((a[col] + b[col]) + (c[col] + d[col])) + (e[col] + f[col])


@njit(nogil=True, error_model="numpy")
def _describe_into(local: np.ndarray, ring: np.ndarray, first: int, is_full: bool, width: int) -> None:
    """Write mean, sample variance (0 for a single value), and the inverses of n and n - 1."""
    mean, variance, inverse, sample = local[0][:width], local[1][:width], local[2][:width], local[3][:width]
    size = ring.shape[1]
    _add_rows_into(mean, ring[0], first)
    _add_rows_into(variance, ring[1], first)
    if is_full:
        # the same values as below, with less work
        inverse[:] = 1 / np.float64(size * size)
        sample[:] = 1 / max(np.float64(size * size - 1), 1.0)
    else:
        _add_rows_into(inverse, ring[2], first)
        for col in range(width):
            n = inverse[col]
            inverse[col] = ONE / max(n, ONE)
            sample[col] = ONE / max(n - ONE, ONE)
    for col in range(width):
        total = mean[col]
        mean[col] = total * inverse[col]
        # rounding can make the variance of a constant window slightly negative
        variance[col] = max((variance[col] - total * mean[col]) * sample[col], ZERO)


@njit(nogil=True, error_model="numpy")
def _shrink_into(
    out: np.ndarray, power: np.ndarray, mean: np.ndarray, variance: np.ndarray, looks: float, shrink: float
) -> None:
    most, number = np.float32(shrink), np.float32(looks)
    for col in range(out.size):
        z, m = power[col], mean[col]
        spread = number * variance[col]
        b = (ONE - m * m / spread) * most
        value = m + b * (z - m) if b > ZERO and spread > ZERO else m
        out[col] = value if z - z == 0 else np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _gamma_into(out: np.ndarray, power: np.ndarray, mean: np.ndarray, variance: np.ndarray, looks: float) -> None:
    # after the variance, single precision is enough: the rest are ratios to the mean
    four, half, most = np.float32(4 * looks), np.float32(0.5), np.float32(2 / looks)
    cu2, shift = np.float32(1 / looks), np.float32(looks + 1)
    for col in range(out.size):
        z, m = power[col], np.float32(mean[col])
        ci2 = np.float32(variance[col]) / np.float32(mean[col] * mean[col])
        alpha = (ONE + cu2) / (ci2 - cu2)
        share = alpha - shift
        value = m * (share + np.sqrt(share * share + four * alpha * (z / m))) * (half / alpha)
        value = z if ci2 >= most else value
        # true also if the mean is 0
        value = value if ci2 > cu2 else m
        out[col] = value if z - z == 0 else np.float32(np.nan)
