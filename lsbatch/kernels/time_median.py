"""Median over time."""

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
    stack = np.ascontiguousarray(stack, np.float32)
    if stack.shape[0] == 0:
        return np.full(stack.shape[1:], np.nan, np.float32)
    # allocated by numpy, which requests huge pages
    out = np.empty(stack.shape[1:], np.float32)
    _masked_median_into(out, stack, middle(stack.shape[0]))
    return out


@kernel
def _masked_median_into(out: np.ndarray, stack: np.ndarray, exchanges: np.ndarray) -> None:
    times, rows, cols = stack.shape
    values = np.empty((times, STRIP_COLS), np.float32)
    missing = np.empty(STRIP_COLS, np.int32)
    for row in range(rows):
        for left in range(0, cols, STRIP_COLS):
            width = min(STRIP_COLS, cols - left)
            for t in range(times):
                # not slice to slice: numba's code for its error message took 2.2 of this kernel's 3.3 s of compilation
                for col in range(width):
                    values[t, col] = stack[t, row, left + col]
            median_into(out[row, left : left + width], values, exchanges, missing)
