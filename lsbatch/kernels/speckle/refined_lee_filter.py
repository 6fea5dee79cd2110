"""Refined Lee speckle filter.

The eight half windows of a pixel are made of runs: sums of 1 to 7 pixels along a row. Runs from every pixel on are
computed once for each row. A half window is then a sum of 4 or 7 runs, and everything is vector instructions.
"""

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.speckle.moments import ONE, ZERO, moments, padded

#: Columns processed together: the runs of the seven rows of a window then stay in the cache.
STRIP_COLS = 512
#: Side of the window, half of it, and distance between its nine 3 x 3 windows.
SIDE, HALF, APART = 7, 3, 2
#: Pixels of a half window, with the line that divides it from the other.
HALF_PIXELS = np.float32(28)
#: Ends of the four gradients in 3 x 3 windows, down and right: west, north, NW, NE.
ENDS = np.array([(0, -1), (-1, 0), (-1, -1), (-1, 1)])


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
    return _refined_lee(padded(power, HALF), mean, variance, _half_windows(), 0.0 if looks is None else 1 / looks)


def _half_windows() -> np.ndarray:
    """Return the half windows W, E, N, S, NW, SE, NE, SW, int (8, 7, 3): row, first column and length of their runs.

    N and S have four runs; their others have length 0.
    """
    down, right = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
    lines = (right, down, down + right, down - right)
    out = np.zeros((8, SIDE, 3), np.int64)
    for i, mask in enumerate(side for line in lines for side in (line <= 0, line >= 0)):
        rows = np.flatnonzero(mask.any(axis=1))
        for j, row in enumerate(rows):
            out[i, j] = row, np.flatnonzero(mask[row])[0], mask[row].sum()
    return out


@kernel(error_model="numpy")
def _refined_lee(
    power: np.ndarray, mean: np.ndarray, variance: np.ndarray, halves: np.ndarray, speckle: float
) -> np.ndarray:
    """`power` has a frame of `HALF` pixels of NaN; `mean` and `variance`, of 3 x 3 windows, one of `APART`."""
    rows, cols = mean.shape[0] - 2 * APART, mean.shape[1] - 2 * APART
    out = np.empty((rows, cols), np.float32)
    # runs of values, squares and counts: row of the window, length, column of the first pixel
    runs = np.empty((3, SIDE, SIDE + 1, STRIP_COLS + SIDE - 1), np.float32)
    full, best, level = np.zeros(SIDE, np.bool_), np.empty(STRIP_COLS, np.float32), np.empty(STRIP_COLS, np.float32)
    side, total, square = np.empty_like(best), np.empty_like(best), np.empty_like(best)
    count, half, nine = np.empty_like(best), np.empty_like(best), np.empty(9)
    level[:] = speckle
    flat, starts = runs.reshape(3, -1), np.empty((8, SIDE), np.int64)
    for left in range(0, cols, STRIP_COLS):
        width = min(STRIP_COLS, cols - left)
        for row in range(rows + SIDE - 1):
            full[row % SIDE] = _runs_into(runs, row % SIDE, power[row][left : left + width + SIDE - 1])
            top = row - SIDE + 1
            if top < 0:
                continue
            _sides_into(side[:width], best, mean, top, left)
            if speckle <= 0:
                for col in range(width):
                    level[col] = _level(nine, mean, variance, top, left + col)
            # the slot of a row of the window, then the length of the run
            _starts_into(starts, halves, row + 1, runs.shape[3])
            count[:] = HALF_PIXELS
            _chosen_into(total[:width], half, side, flat[0], starts)
            _chosen_into(square[:width], half, side, flat[1], starts)
            rows_known = 0
            for known in full:
                rows_known += int(known)
            if rows_known < SIDE:
                _chosen_into(count[:width], half, side, flat[2], starts)
            own = power[top + HALF][left + HALF : left + HALF + width]
            _shrink_into(out[top][left : left + width], own, total, square, count, level)
    return out


@kernel
def _runs_into(runs: np.ndarray, slot: int, source: np.ndarray) -> bool:
    """Write the runs of a row, of every length and from every pixel on; return whether no pixel is NaN."""
    size = source.size
    value, square, one = runs[0, slot, 1][:size], runs[1, slot, 1][:size], runs[2, slot, 1][:size]
    known = np.int32(0)
    for col in range(size):
        v = source[col]
        is_known = v == v
        value[col] = v if is_known else ZERO
        known += np.int32(is_known)
    for col in range(size):
        square[col] = value[col] * value[col]
        one[col] = ONE if source[col] == source[col] else ZERO
    for quantity in range(2 if known == size else 3):
        for length in range(2, SIDE + 1):
            longer, shorter = runs[quantity, slot, length], runs[quantity, slot, length - 1]
            last = runs[quantity, slot, 1][length - 1 : size]
            for col in range(last.size):
                longer[col] = shorter[col] + last[col]
    return known == size


@kernel
def _sides_into(side: np.ndarray, best: np.ndarray, mean: np.ndarray, top: int, left: int) -> None:
    """Write the number of the half window beside the strongest edge; ties go to the first."""
    side[:] = 0
    best[:] = -1
    middle = mean[top + APART][left + APART :]
    for k in range(4):
        down, right = APART * ENDS[k, 0], APART * ENDS[k, 1]
        one = mean[top + APART + down][left + APART + right :]
        other = mean[top + APART - down][left + APART - right :]
        _stronger_into(side, best, one, other, middle, np.float32(2 * k))  # type: ignore[arg-type]


@kernel
def _stronger_into(
    side: np.ndarray, best: np.ndarray, one: np.ndarray, other: np.ndarray, middle: np.ndarray, number: float
) -> None:
    """Replace the side where this gradient is larger; comparisons with NaN are false."""
    for col in range(side.size):
        a, b, z, old_side, old_best = one[col], other[col], middle[col], side[col], best[col]
        gradient = abs(a - b)
        new_side = number if abs(a - z) <= abs(b - z) else number + ONE
        is_better = gradient > old_best
        side[col] = new_side if is_better else old_side
        best[col] = gradient if is_better else old_best


@kernel
def _starts_into(starts: np.ndarray, halves: np.ndarray, first: int, width: int) -> None:
    """Write the places of runs in the flat array of all runs; `first` is the slot of the first row of the window."""
    for k in range(starts.shape[0]):
        for j in range(SIDE):
            row, col, length = halves[k, j, 0], halves[k, j, 1], halves[k, j, 2]
            starts[k, j] = ((first + row) % SIDE * (SIDE + 1) + length) * width + col


@kernel
def _chosen_into(chosen: np.ndarray, half: np.ndarray, side: np.ndarray, runs: np.ndarray, starts: np.ndarray) -> None:
    """Write the sum over the half window of each pixel, from the places of its runs in the flat array of all runs."""
    chosen[:] = 0
    for k in range(starts.shape[0]):
        # slices of a flat array: each further index costs as much as the sum of 30 pixels
        a, b, c, d = runs[starts[k, 0] :], runs[starts[k, 1] :], runs[starts[k, 2] :], runs[starts[k, 3] :]
        # N and S
        if k in (2, 3):
            _add_four_into(half[: chosen.size], a, b, c, d)
        else:
            e, f, g = runs[starts[k, 4] :], runs[starts[k, 5] :], runs[starts[k, 6] :]
            _add_seven_into(half[: chosen.size], a, b, c, d, e, f, g)
        _keep_into(chosen, half, side, np.float32(k))  # type: ignore[arg-type]


@kernel
def _keep_into(chosen: np.ndarray, half: np.ndarray, side: np.ndarray, number: float) -> None:
    for col in range(chosen.size):
        # a sum with 0, because of a choice between two values the compiler makes a branch
        new = half[col]
        chosen[col] += new if side[col] == number else ZERO


@kernel
def _add_four_into(out: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    for col in range(out.size):
        out[col] = (a[col] + b[col]) + (c[col] + d[col])


@kernel
def _add_seven_into(
    out: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    d: np.ndarray,
    e: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
) -> None:
    for col in range(out.size):
        out[col] = ((a[col] + b[col]) + (c[col] + d[col])) + ((e[col] + f[col]) + g[col])


@kernel(error_model="numpy")
def _shrink_into(
    out: np.ndarray, power: np.ndarray, total: np.ndarray, square: np.ndarray, count: np.ndarray, level: np.ndarray
) -> None:
    """Write Lee's estimate; the variance of a single value is 0."""
    for col in range(out.size):
        n, z, noise = count[col], power[col], level[col]
        mean = total[col] / n
        rest, degrees = square[col] - total[col] * mean, n - ONE
        # rounding can make the variance of a constant window slightly negative
        spread = (rest if rest > ZERO else ZERO) / (degrees if degrees > ONE else ONE)
        b = (spread - mean * mean * noise) / (ONE + noise) / spread
        value = mean + b * (z - mean) if b > ZERO else mean
        out[col] = value if z == z else np.float32(np.nan)


@kernel(error_model="numpy")
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
