"""Speckle filters on linear power, by the mean and the sample variance in a square window.

NaN is nodata: a hole stays a hole and does not take part in its neighbours' statistics; nor does what lies outside the
array, so tiles read a halo of half a window. Sums are made anew for every pixel, always in the same order, so tile by
tile equals the whole bit for bit: sliding sums, which add a row and subtract another, would not.
"""

import numpy as np
from numba import njit

#: Columns treated together: with a window of 7 rows, their sums stay in the first cache.
STRIP_COLS = 256


def boxcar(power: np.ndarray, size: int) -> np.ndarray:
    """Mean of the window.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power.
    size : int
        Side of the window, odd.

    Returns
    -------
    array (rows, cols), float32
    """
    return _filter(_power(power), _half(size), 1.0, 0.0, False)


def lee(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """zbar + b (z - zbar) with b = clip(1 - (1 / looks) / ci^2, 0, 1) and ci^2 = variance / zbar^2 (Lee 1980).

    Parameters
    ----------
    power, size
        As in `boxcar`.
    looks : float
        Equivalent number of looks, about 4.4 for Sentinel-1 IW GRD.

    Returns
    -------
    array (rows, cols), float32
    """
    return _filter(_power(power), _half(size), float(looks), 1.0, False)


def kuan(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """As `lee` with b = clip((1 - (1 / looks) / ci^2) / (1 + 1 / looks), 0, 1) (Kuan et al. 1985)."""
    return _filter(_power(power), _half(size), float(looks), 1 / (1 + 1 / looks), False)


def gamma_map(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """Maximum a posteriori of a gamma-distributed scene (Lopes et al. 1990).

    With cu = 1 / sqrt(looks) and ci = sd / zbar: zbar where ci <= cu, z where ci >= sqrt(2) cu, and between them, with
    alpha = (1 + cu^2) / (ci^2 - cu^2) and B = alpha - looks - 1,
    (zbar B + sqrt(zbar^2 B^2 + 4 alpha looks z zbar)) / (2 alpha).

    Parameters and return as in `lee`.
    """
    return _filter(_power(power), _half(size), float(looks), 1.0, True)


def multitemporal(stack: np.ndarray, size: int) -> np.ndarray:
    """Quegan and Yu (2001): each date is its own local mean times the mean over dates of value by local mean.

    Parameters
    ----------
    stack : array (time, rows, cols)
        Linear power of one relative orbit; a date that is NaN at a pixel is left out there.
    size : int
        Side of the window of the local mean, odd.

    Returns
    -------
    array (time, rows, cols), float32
    """
    stack = np.asarray(stack)
    out = np.empty(stack.shape, np.float32)
    total = np.zeros(stack.shape[1:])
    count = np.zeros(stack.shape[1:], np.int64)
    for date, power in enumerate(stack):
        out[date] = boxcar(power, size)
        _add_ratio_into(total, count, _power(power), out[date])
    with np.errstate(invalid="ignore"):
        total /= count
    for mean in out:
        np.multiply(mean, total, out=mean, casting="same_kind")
    return out


@njit(nogil=True, error_model="numpy")
def _add_ratio_into(total: np.ndarray, count: np.ndarray, power: np.ndarray, mean: np.ndarray) -> None:
    rows, cols = power.shape
    for row in range(rows):
        for col in range(cols):
            ratio = np.float64(power[row, col]) / np.float64(mean[row, col])
            good = ratio - ratio == 0
            total[row, col] += ratio if good else 0.0
            count[row, col] += good


def _power(power: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(power, np.float32)


def _half(size: int) -> int:
    if size < 1 or size % 2 == 0:
        raise ValueError(f"{size=}. Must be an odd number, so that the window has a middle")
    return int(size) // 2


@njit(nogil=True)
def _filter(power: np.ndarray, half: int, looks: float, shrink: float, is_gamma: bool) -> np.ndarray:
    rows, cols = power.shape
    out = np.empty((rows, cols), np.float32)
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
            _add_cols_into(ring[0, slot][:width], line[0], size)
            _add_cols_into(ring[1, slot][:width], line[1], size)
            if full[slot]:
                ring[2, slot] = size
            else:
                _add_cols_into(ring[2, slot][:width], line[2], size)
            if row >= half:
                _describe_into(local, ring, (slot + 1) % size, full.all(), width)
                own, target = power[row - half, left : left + width], out[row - half, left : left + width]
                if is_gamma:
                    _gamma_into(target, own, local[0], local[1], looks)
                else:
                    _shrink_into(target, own, local[0], local[1], looks, shrink)
    return out


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
    """out[i] = line[i] + ... + line[i + size - 1]."""
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
    """Sum of the rows of the ring from the oldest to the newest."""
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
def _add_six_into(
    out: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, e: np.ndarray, f: np.ndarray
) -> None:
    for col in range(out.size):
        out[col] += ((a[col] + b[col]) + (c[col] + d[col])) + (e[col] + f[col])


@njit(nogil=True)
def _add_two_into(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    for col in range(out.size):
        out[col] += a[col] + b[col]


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
        variance[col] = (variance[col] - total * mean[col]) * sample[col]


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
