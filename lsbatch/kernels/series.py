"""Folds over time."""

import numpy as np
from numba import njit


def masked_median(stack: np.ndarray) -> np.ndarray:
    """Median over the first axis of what is not NaN; NaN where nothing is.

    Parameters
    ----------
    stack : array (time, rows, cols)

    Returns
    -------
    array (rows, cols), float32
    """
    stack = np.ascontiguousarray(stack, np.float32)
    if stack.shape[0] == 0:
        return np.full(stack.shape[1:], np.nan, np.float32)
    return _masked_median(stack)


@njit(nogil=True)
def _masked_median(stack):  # type: ignore[no-untyped-def]
    times, rows, cols = stack.shape
    out = np.empty((rows, cols), np.float32)
    # one row of all dates at a time: the row of each date is contiguous, so the reads stream
    columns = np.empty((cols, times), np.float32)
    counts = np.empty(cols, np.int64)
    for row in range(rows):
        counts[:] = 0
        for t in range(times):
            for col in range(cols):
                value = stack[t, row, col]
                if not np.isnan(value):
                    # insertion keeps each column sorted; for some 10 to 60 dates it beats a general sort
                    i = counts[col]
                    while i > 0 and columns[col, i - 1] > value:
                        columns[col, i] = columns[col, i - 1]
                        i -= 1
                    columns[col, i] = value
                    counts[col] += 1
        for col in range(cols):
            n = counts[col]
            if n == 0:
                out[row, col] = np.nan
            elif n % 2:
                out[row, col] = columns[col, n // 2]
            else:
                out[row, col] = np.float32(0.5) * (columns[col, n // 2 - 1] + columns[col, n // 2])
    return out
