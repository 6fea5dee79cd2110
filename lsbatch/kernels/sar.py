"""Sentinel-1: decibels, equivalent number of looks, border noise."""

import numpy as np

from lsbatch.kernels import focal

#: Allowed incidence angles in degrees. Outside lies the noise at the edge of the swath (Vollrath, Mullissa, Reiche
#: 2020).
INCIDENCE_LIMITS_DEG = (30.64, 45.24)


def to_db(power: np.ndarray) -> np.ndarray:
    """Return 10 log10(power), float32; NaN if power is not positive.

    Parameters
    ----------
    power : array

    Returns
    -------
    array of the same shape, float32
    """
    # contiguous, because numpy's logarithm of any other layout differs in the last bit
    power = np.ascontiguousarray(power, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        db = np.float32(10) * np.log10(power)
    return np.where(power > 0, db, np.float32(np.nan)).astype(np.float32)


def from_db(db: np.ndarray) -> np.ndarray:
    """Return linear power of decibels, float32.

    Parameters
    ----------
    db : array

    Returns
    -------
    array of the same shape, float32
    """
    return np.power(np.float32(10), np.ascontiguousarray(db, np.float32) / np.float32(10), dtype=np.float32)


def enl(power: np.ndarray) -> float:
    """Return the equivalent number of looks of a homogeneous area: mean^2 / sample variance of finite values.

    NaN with fewer than two values; infinite where nothing varies.

    Parameters
    ----------
    power : array
        Linear power.

    Returns
    -------
    float
    """
    values = np.asarray(power, np.float64)
    values = values[np.isfinite(values)]
    if values.size < 2:
        return float("nan")
    variance = float(values.var(ddof=1))
    return float(values.mean() ** 2 / variance) if variance > 0 else float("inf")


def border_noise(
    power: np.ndarray,
    incidence_deg: np.ndarray | float | None = None,
    limits_deg: tuple[float, float] = INCIDENCE_LIMITS_DEG,
    floor_db: float = -30.0,
    depth_px: float = 50,
) -> np.ndarray:
    """Return power without the noise at the border of a swath.

    Removed are pixels with incidence angles outside the limits, and the fringe: pixels below the floor within
    `depth_px` of a solid area of nodata (one that contains a circle of 2 px). Single pixels without power make no
    fringe, and dark water far from the border is kept.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power. Values that are not positive are nodata.
    incidence_deg : array (rows, cols), a number, or None if unknown
        On the ellipsoid.
    limits_deg : pair of float
        Smallest and largest incidence angle, both excluded.
    floor_db : float
        Upper limit of the power of the fringe.
    depth_px : float
        Width of the fringe; a tile needs a halo of `depth_px` + 4.

    Returns
    -------
    array (rows, cols), float32; NaN where dropped.
    """
    out = np.array(power, np.float32)
    nodata = ~(out > 0)
    if nodata.any():
        # the solid core lies 2 px inside the nodata area
        near = focal.dilate(focal.erode(nodata, 2), depth_px + 2)
        nodata |= near & (out < np.float32(10 ** (floor_db / 10)))
    if incidence_deg is not None:
        low, high = limits_deg
        # a comparison with NaN is false, so NaN is removed
        nodata |= ~((np.asarray(incidence_deg) > low) & (np.asarray(incidence_deg) < high))
    out[nodata] = np.nan
    return out
