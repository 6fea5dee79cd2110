"""Speckle filters on linear power."""

import numpy as np
from scipy import ndimage


def lee(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """Lee filter: zbar + b (z - zbar), b = clip(1 - (1 / looks) / ci^2, 0, 1), ci^2 = variance / zbar^2.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power, NaN as nodata: a hole stays a hole and does not take part in its neighbours' statistics.
    size : int
        Side of the window, odd.
    looks : float
        Equivalent number of looks.

    Returns
    -------
    array (rows, cols), float32
    """
    z = np.asarray(power, np.float64)
    good = np.isfinite(z)
    filled = np.where(good, z, 0.0)
    count, total, square = (
        ndimage.uniform_filter(a, size, mode="constant") * size**2 for a in (good.astype(np.float64), filled, filled**2)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        # sample variance, as Orfeo ToolBox has it
        variance = (square - count * mean**2) / (count - 1)
        b = np.clip(1 - (1 / looks) * mean**2 / variance, 0, 1)
    b = np.where(np.isfinite(b), b, 0.0)
    return np.where(good, mean + b * (z - mean), np.nan).astype(np.float32)
