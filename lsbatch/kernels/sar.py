"""Sentinel-1: decibels, equivalent number of looks, border noise, radiometric slope correction."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from lsbatch.kernels import focal

#: Allowed incidence angles in degrees. Outside lies the noise at the edge of the swath (Vollrath, Mullissa, Reiche
#: 2020).
INCIDENCE_LIMITS_DEG = (30.64, 45.24)
#: Rows processed together, so that intermediate arrays stay in the cache.
STRIP_ROWS = 16

#: 1 / c of tan(theta), tan(alpha_r), tan(alpha_az)
Inverse = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


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


def slope_correction(
    sigma0: np.ndarray,
    incidence_deg: np.ndarray | float,
    look_azimuth_deg: np.ndarray | float,
    slope_deg: np.ndarray,
    aspect_deg: np.ndarray,
    model: Literal["volume", "surface"] = "volume",
    buffer_px: float = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return backscatter corrected to flat ground, and where the correction is valid.

    Parameters
    ----------
    sigma0 : array (rows, cols)
        Linear power; NaN as nodata.
    incidence_deg, look_azimuth_deg, slope_deg, aspect_deg, model, buffer_px
        As in `slope_factor`.

    Returns
    -------
    gamma0_flat : array (rows, cols), float32
        NaN where sigma0 or the terrain is unknown, and where not valid.
    valid : bool array (rows, cols)
        Neither layover nor shadow. False where the terrain is unknown.
    """
    factor, valid = slope_factor(incidence_deg, look_azimuth_deg, slope_deg, aspect_deg, model, buffer_px)
    return np.asarray(sigma0, np.float32) * factor, valid


def slope_factor(
    incidence_deg: np.ndarray | float,
    look_azimuth_deg: np.ndarray | float,
    slope_deg: np.ndarray,
    aspect_deg: np.ndarray,
    model: Literal["volume", "surface"] = "volume",
    buffer_px: float = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor from sigma0 to gamma0 of flat ground, and where it is valid; equal for all passes of an orbit.

    Vollrath, Mullissa, Reiche (2020), Angular-Based Radiometric Slope Correction for Sentinel-1 on Google Earth Engine,
    Remote Sensing 12, 1867. With theta the incidence angle and alpha_r, alpha_az the slope in range and in azimuth:

        gamma0_flat = sigma0 / cos(theta) / c
        volume   c = tan(90 - theta + alpha_r) / tan(90 - theta)
        surface  c = cos(90 - theta) / (cos(alpha_az) cos(90 - theta + alpha_r))

    Parameters
    ----------
    incidence_deg : array (rows, cols) or a number
        On the ellipsoid, between 0 and 90.
    look_azimuth_deg : array (rows, cols) or a number
        Direction from the sensor to the ground, clockwise from north: near 78 for ascending and 282 for descending
        passes of Sentinel-1, which looks to the right.
    slope_deg, aspect_deg : arrays (rows, cols)
        From `terrain`; the aspect is the downhill direction and has no effect where the slope is 0.
    model : "volume" or "surface"
        Volume for vegetation, surface for bare ground.
    buffer_px : float
        Radius by which layover and shadow are grown; a tile needs the same halo.

    Returns
    -------
    factor : array (rows, cols), float32
        1 / (cos(theta) c); NaN where not valid.
    valid : bool array (rows, cols)
        Neither layover (alpha_r >= theta) nor shadow (alpha_r <= theta - 90). False where the terrain is unknown.
    """
    if model not in _MODELS:
        raise ValueError(f"{model=}. Must be one of: {', '.join(_MODELS)}")
    slope = np.asarray(slope_deg)
    factor = np.empty(slope.shape, np.float32)
    planes = [np.broadcast_to(a, slope.shape) for a in (incidence_deg, look_azimuth_deg, slope, aspect_deg)]
    for top in range(0, slope.shape[0], STRIP_ROWS):
        strip = slice(top, top + STRIP_ROWS)
        factor[strip] = _factor(*(p[strip].astype(np.float64) for p in planes), _MODELS[model])  # type: ignore[arg-type, call-arg]
    valid = ~np.isnan(factor)
    if buffer_px > 0:
        valid = focal.erode(valid, buffer_px)
        factor[~valid] = np.nan
    return factor, valid


def _factor(
    incidence_deg: np.ndarray,
    look_azimuth_deg: np.ndarray,
    slope_deg: np.ndarray,
    aspect_deg: np.ndarray,
    inverse: Inverse,
) -> np.ndarray:
    tan_theta = np.tan(np.radians(incidence_deg))
    steep = np.tan(np.radians(slope_deg))
    # seen from the ground, the sensor is at the look azimuth plus 180 degrees; flat ground has no direction
    angle = np.where(slope_deg == 0, 0, look_azimuth_deg + 180 - aspect_deg)
    # sine and cosine by the tangent of half the angle, which numpy has four times faster
    half = np.tan(np.radians(angle / 2))
    along, across = steep * (1 - half**2) / (1 + half**2), steep * 2 * half / (1 + half**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        # 1 / cos(theta) is sqrt(1 + tan(theta)^2)
        factor = inverse(tan_theta, along, across) * np.sqrt(1 + tan_theta**2)
    return np.where((along < tan_theta) & (along > -1 / tan_theta), factor, np.nan)


def _volume(tan_theta: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return 1 / c by the addition theorem; `along` and `across` are the tangents of alpha_r and alpha_az."""
    return (1 - along / tan_theta) / (1 + along * tan_theta)


def _surface(tan_theta: np.ndarray, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    return (1 - along / tan_theta) / np.sqrt((1 + along**2) * (1 + across**2))


_MODELS = {"volume": _volume, "surface": _surface}
