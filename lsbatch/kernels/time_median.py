"""Median over time."""

from collections.abc import Sequence

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.median_networks import median_into, middle

#: Columns sorted together: with 24 dates 24 KiB, which fits in the first cache.
STRIP_COLS = 256


def masked_median(stack: np.ndarray) -> np.ndarray:
    """Return the median over the first axis of the values that are not NaN; NaN if there are none.

    Parameters
    ----------
    stack : array (time, rows, cols)
        Without any date the result is NaN everywhere.

    Returns
    -------
    array (rows, cols), float32
        The mean of the two middle values if their number is even.
    """
    return masked_median_and_count(stack)[0]


def masked_median_and_count(stack: np.ndarray, times: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the median over the first axis, and the number of values.

    Parameters
    ----------
    stack : array (time, rows, cols)
    times : sequence of int, optional
        Places along the first axis that are used; all by default.

    Returns
    -------
    median : array (rows, cols), float32
    count : array (rows, cols), uint8
        Values that are not NaN, at most 255.
    """
    stack = np.ascontiguousarray(stack, np.float32)
    places = np.arange(len(stack)) if times is None else np.asarray(times, np.int64)
    shape = stack.shape[1:]
    if places.size == 0:
        return np.full(shape, np.nan, np.float32), np.zeros(shape, np.uint8)
    # allocated by numpy, which requests huge pages
    out, count = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    _masked_median_into(out, count, stack, places, middle(places.size))
    return out, count


@kernel
def _masked_median_into(
    out: np.ndarray, count: np.ndarray, stack: np.ndarray, places: np.ndarray, exchanges: np.ndarray
) -> None:
    _, rows, cols = stack.shape
    times = places.size
    values = np.empty((times, STRIP_COLS), np.float32)
    missing = np.empty(STRIP_COLS, np.int32)
    for row in range(rows):
        for left in range(0, cols, STRIP_COLS):
            width = min(STRIP_COLS, cols - left)
            for t in range(times):
                # not slice to slice: numba's code for its error message took 2.2 of this kernel's 3.3 s of compilation
                line = stack[places[t], row]
                for col in range(width):
                    values[t, col] = line[left + col]
            median_into(out[row, left : left + width], values, exchanges, missing)
            for col in range(width):
                count[row, left + col] = min(times - missing[col], 255)
