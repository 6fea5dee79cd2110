"""Speckle filters on linear power.

NaN is nodata: it stays NaN and is not used in its neighbours' statistics; pixels outside the array are also not used.
Tile by tile equals the whole bit for bit, with a halo of half a window (refined Lee 3 px, Lee sigma `size // 2`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.speckle.frost_filter import frost
from lsbatch.kernels.speckle.improved_lee_sigma import lee_sigma
from lsbatch.kernels.speckle.moments import GAMMA, SHRINK, window_rule
from lsbatch.kernels.speckle.refined_lee_filter import refined_lee

__all__ = [
    "FILTERS",
    "FilterSettings",
    "boxcar",
    "frost",
    "gamma_map",
    "kuan",
    "lee",
    "lee_sigma",
    "multitemporal",
    "refined_lee",
]


def boxcar(power: np.ndarray, size: int) -> np.ndarray:
    """Return the mean of the window.

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
    return window_rule(power, size, SHRINK)[0]


def lee(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """Lee's filter (Lee 1980): zbar + b (z - zbar), b = clip(1 - (1 / looks) / ci^2, 0, 1), ci^2 = variance / zbar^2.

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
    return window_rule(power, size, SHRINK, looks, 1.0)[0]


def kuan(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """Kuan's filter (Kuan et al. 1985): as `lee` with b = clip((1 - (1 / looks) / ci^2) / (1 + 1 / looks), 0, 1).

    Parameters
    ----------
    power, size, looks
        As in `lee`.

    Returns
    -------
    array (rows, cols), float32
    """
    return window_rule(power, size, SHRINK, looks, 1 / (1 + 1 / looks))[0]


def gamma_map(power: np.ndarray, size: int, looks: float) -> np.ndarray:
    """Maximum a posteriori filter for a gamma-distributed scene (Lopes et al. 1990).

    With cu = 1 / sqrt(looks) and ci = sd / zbar: zbar where ci <= cu, z where ci >= sqrt(2) cu, and between them, with
    alpha = (1 + cu^2) / (ci^2 - cu^2) and B = alpha - looks - 1,
    (zbar B + sqrt(zbar^2 B^2 + 4 alpha looks z zbar)) / (2 alpha).

    Parameters
    ----------
    power, size, looks
        As in `lee`.

    Returns
    -------
    array (rows, cols), float32
    """
    return window_rule(power, size, GAMMA, looks)[0]


def multitemporal(stack: np.ndarray, size: int) -> np.ndarray:
    """Multitemporal filter (Quegan and Yu 2001): local mean of a date times the mean over dates of value / local mean.

    Parameters
    ----------
    stack : array (time, rows, cols)
        Linear power of one relative orbit. A date with NaN at a pixel is not used there.
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
        _add_ratio_into(total, count, np.ascontiguousarray(power, np.float32), out[date])
    with np.errstate(invalid="ignore"):
        total /= count
    for mean in out:
        np.multiply(mean, total, out=mean, casting="same_kind")
    return out


@kernel(error_model="numpy")
def _add_ratio_into(total: np.ndarray, count: np.ndarray, power: np.ndarray, mean: np.ndarray) -> None:
    rows, cols = power.shape
    for row in range(rows):
        for col in range(cols):
            ratio = np.float64(power[row, col]) / np.float64(mean[row, col])
            good = ratio - ratio == 0
            total[row, col] += ratio if good else 0.0
            count[row, col] += good


@dataclass(frozen=True)
class FilterSettings:
    """Parameters of the filters in `FILTERS`; each filter uses those that it needs.

    Attributes
    ----------
    size : int
        Side of the window in pixels, odd.
    looks : float
        Equivalent number of looks of the scene.
    damping : float
        Damping of Frost's filter.
    bright : float or None
        Power from which the improved Lee sigma filter keeps point targets; None keeps none.
    """

    size: int
    looks: float
    damping: float = 2.0
    bright: float | None = None


#: Filters of a single scene by the name of the setting `composite.speckle`: power (rows, cols) to power (rows, cols).
FILTERS: Mapping[str, Callable[[np.ndarray, FilterSettings], np.ndarray]] = {
    "none": lambda power, by: power,
    "boxcar": lambda power, by: boxcar(power, by.size),
    "lee": lambda power, by: lee(power, by.size, by.looks),
    "kuan": lambda power, by: kuan(power, by.size, by.looks),
    "gamma_map": lambda power, by: gamma_map(power, by.size, by.looks),
    "frost": lambda power, by: frost(power, by.size, by.damping),
    "refined_lee": lambda power, by: refined_lee(power, by.looks),
    "lee_sigma": lambda power, by: lee_sigma(power, by.looks, by.size, bright=by.bright),
}
