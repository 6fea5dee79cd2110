"""The way of steepest descent over a DEM."""

import numpy as np

from lsbatch.kernels.compilation import kernel


@kernel
def descend(z: np.ndarray, row: int, col: int, steps: int, stop_deg: float, resolution_m: float) -> np.ndarray:
    """Return the steepest descent from a pixel: (n, 2) rows and columns.

    Ends after `steps`, at a pit, at the edge, or where the descent over the last eight steps is below `stop_deg`.
    """
    out = np.empty((steps + 1, 2), np.int64)
    out[0, 0], out[0, 1] = row, col
    n = 1
    while n <= steps:
        best, best_fall = -1, 0.0
        for k in range(9):
            dr, dc = k // 3 - 1, k % 3 - 1
            r, c = row + dr, col + dc
            if (dr != 0 or dc != 0) and 0 <= r < z.shape[0] and 0 <= c < z.shape[1]:
                fall = (z[row, col] - z[r, c]) / np.sqrt(dr * dr + dc * dc)
                if fall > best_fall:
                    best, best_fall = k, fall
        if best < 0:
            break
        row, col = row + best // 3 - 1, col + best % 3 - 1
        out[n, 0], out[n, 1] = row, col
        n += 1
        if n > 8:
            drop = z[out[n - 9, 0], out[n - 9, 1]] - z[row, col]
            if drop < 8 * resolution_m * np.tan(np.radians(stop_deg)):
                break
    return out[:n]
