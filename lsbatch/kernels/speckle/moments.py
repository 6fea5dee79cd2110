"""Mean and variance in a square window, and the speckle filters that need only these.

NaN is nodata and is not used; nor are pixels outside the array. Sums are computed for every pixel in the same order, so
tile by tile equals the whole bit for bit. Sliding sums, which add a row and subtract another, would not. Sums are in
double precision, because the variance is a difference of two of them. `SHRINK` uses single precision, which is twice as
fast: the variance is then wrong by up to 1e-6 of the squared mean, which changes the result by less than 1e-5.
Gamma-MAP has a step, where the same error would change some pixels more.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from lsbatch.kernels.compilation import kernel

#: Columns and rows processed together: the sums along the row of a block then stay in the cache.
BLOCK_COLS, BLOCK_ROWS = 256, 32

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
    kind = np.float32 if rule == SHRINK else np.float64
    sums = np.empty((3, (BLOCK_ROWS + size - 1) * BLOCK_COLS), kind)
    line = np.empty((2, BLOCK_COLS + size - 1), kind)
    local = np.empty((4, BLOCK_COLS), kind)
    _window_rule(int(size))(out, power, sums, line, local, rule, float(looks), float(shrink))
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


@cache
def _window_rule(size: int) -> Callable[..., None]:
    """Compile the windows of one size: with a constant size the compiler unrolls the sums and makes vectors of them."""
    half = size // 2

    @kernel
    def run(
        out: np.ndarray,
        power: np.ndarray,
        sums: np.ndarray,
        line: np.ndarray,
        local: np.ndarray,
        rule: int,
        looks: float,
        shrink: float,
    ) -> None:
        """`sums`: value, square and count along the row, for each row of a block. `local`: mean, variance, 1 / n and
        1 / (n - 1).
        """
        rows, cols = power.shape
        full = np.empty(BLOCK_ROWS + size - 1, np.bool_)
        for left in range(0, cols, BLOCK_COLS):
            width = min(BLOCK_COLS, cols - left)
            for top in range(0, rows, BLOCK_ROWS):
                height = min(BLOCK_ROWS, rows - top)
                # the last rows of the block before are the first of this one
                known = 0 if top == 0 else size - 1
                _keep_last_into(sums, full, known)
                for i in range(known, height + size - 1):
                    full[i] = _load_into(line, power, top + i - half, left - half, width + size - 1)
                    start, stop = i * BLOCK_COLS, i * BLOCK_COLS + width
                    add_cols_into(sums[0][start:stop], sums[1][start:stop], line[0])
                    add_ones_into(sums[2][start:stop], line[1], full[i])
                for i in range(height):
                    start, stop = i * BLOCK_COLS, (i + size) * BLOCK_COLS
                    add_rows_into(local[0][:width], local[1][:width], sums[0][start:stop], sums[1][start:stop])
                    is_full = True
                    for k in range(i, i + size):
                        is_full &= full[k]
                    if not is_full:
                        add_counts_into(local[2][:width], sums[2][start:stop])
                    _describe_into(local, is_full, size, width)
                    _answer_into(out, power[top + i], local, top + i, left, width, rule, looks, shrink)

    @kernel
    def add_cols_into(value: np.ndarray, square: np.ndarray, line: np.ndarray) -> None:
        for col in range(value.size):
            v = line[col]
            total, squares = v, v * v
            for k in range(1, size):
                v = line[col + k]
                total += v
                squares += v * v
            value[col], square[col] = total, squares

    @kernel
    def add_ones_into(count: np.ndarray, ones: np.ndarray, is_full: bool) -> None:
        if is_full:
            for col in range(count.size):
                count[col] = size
            return
        for col in range(count.size):
            total = ones[col]
            for k in range(1, size):
                total += ones[col + k]
            count[col] = total

    @kernel
    def add_rows_into(value: np.ndarray, square: np.ndarray, values: np.ndarray, squares: np.ndarray) -> None:
        # one flat array with a constant step: of separate rows the compiler makes no vectors, because they may overlap
        for col in range(value.size):
            total, other = values[col], squares[col]
            for k in range(1, size):
                total += values[k * BLOCK_COLS + col]
                other += squares[k * BLOCK_COLS + col]
            value[col], square[col] = total, other

    @kernel
    def add_counts_into(count: np.ndarray, counts: np.ndarray) -> None:
        for col in range(count.size):
            total = counts[col]
            for k in range(1, size):
                total += counts[k * BLOCK_COLS + col]
            count[col] = total

    return run


@kernel
def _keep_last_into(sums: np.ndarray, full: np.ndarray, known: int) -> None:
    """Move the last rows of a block to its beginning. By loops: an assignment of slices compiles for seconds."""
    for quantity in range(3):
        for i in range(known * BLOCK_COLS):
            sums[quantity, i] = sums[quantity, BLOCK_ROWS * BLOCK_COLS + i]
    for i in range(known):
        full[i] = full[BLOCK_ROWS + i]


@kernel
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


@kernel
def _copy_into(out: np.ndarray, power: np.ndarray, values: np.ndarray) -> None:
    for col in range(out.size):
        z = power[col]
        out[col] = values[col] if z - z == 0 else np.nan


@kernel
def _load_into(line: np.ndarray, power: np.ndarray, row: int, left: int, width: int) -> bool:
    """Load values and ones of the pixels of a row, 0 for NaN and outside; return True if all pixels are valid."""
    rows, cols = power.shape
    if not 0 <= row < rows:
        line[:] = 0
        return False
    start, stop = max(0, -left), min(width, cols - left)
    line[:, :start] = 0
    line[:, stop:] = 0
    source = power[row][left + start : left + stop]
    value, one = line[0][start:stop], line[1][start:stop]
    count = np.int32(0)
    for col in range(source.size):
        v = source[col]
        good = v - v == 0
        value[col] = v if good else ZERO
        count += np.int32(good)
    if count < width:
        for col in range(source.size):
            one[col] = ONE if source[col] - source[col] == 0 else ZERO
    return count == width


@kernel(error_model="numpy")
def _describe_into(local: np.ndarray, is_full: bool, size: int, width: int) -> None:
    """Replace sum, sum of squares and count by mean, sample variance (0 for a single value) and inverse counts."""
    mean, variance, inverse, sample = local[0][:width], local[1][:width], local[2][:width], local[3][:width]
    if is_full:
        # the same values as below, with less work
        inverse[:] = 1 / np.float64(size * size)
        sample[:] = 1 / max(np.float64(size * size - 1), 1.0)
    else:
        for col in range(width):
            n = inverse[col]
            inverse[col] = ONE / max(n, ONE)
            sample[col] = ONE / max(n - ONE, ONE)
    for col in range(width):
        total = mean[col]
        mean[col] = total * inverse[col]
        # rounding can make the variance of a constant window slightly negative
        variance[col] = max((variance[col] - total * mean[col]) * sample[col], ZERO)


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
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
