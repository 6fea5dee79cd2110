"""Radiometric slope correction of Sentinel-1 backscatter."""

import math
from typing import Literal

import numpy as np

from lsbatch.kernels import focal
from lsbatch.kernels.compilation import kernel

MODELS = ("volume", "surface")
#: Inverse factorials: coefficients of the power series of sine and cosine. Multiplied, because a division takes longer.
S3, S5, S7, S9, S11 = (1 / math.factorial(n) for n in range(3, 12, 2))
C2, C4, C6, C8, C10 = (1 / math.factorial(n) for n in range(2, 11, 2))


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
    return np.multiply(np.asarray(sigma0, np.float32), factor, out=factor), valid


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
    if model not in MODELS:
        raise ValueError(f"{model=}. Must be one of: {', '.join(MODELS)}")
    slope, aspect = np.ascontiguousarray(slope_deg), np.ascontiguousarray(aspect_deg)
    incidence, look = (np.atleast_2d(np.asarray(a, np.float64)) for a in (incidence_deg, look_azimuth_deg))
    factor, valid = _slope_factor(incidence, look, slope, aspect, model == "surface")
    if buffer_px > 0:
        valid = focal.erode(valid, buffer_px)
        factor[~valid] = np.nan
    return factor, valid


@kernel(error_model="numpy")
def _slope_factor(
    incidence_deg: np.ndarray,
    look_azimuth_deg: np.ndarray,
    slope_deg: np.ndarray,
    aspect_deg: np.ndarray,
    is_surface: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and validity; incidence and look are of the shape of the slope, or (1, 1)."""
    rows, cols = slope_deg.shape
    factor, valid = np.empty((rows, cols), np.float32), np.empty((rows, cols), np.bool_)
    theta, towards = np.empty((3, cols)), np.empty(cols)
    along, across = np.empty(cols), np.empty(cols)
    for row in range(rows):
        if row == 0 or incidence_deg.size > 1:
            theta[0] = incidence_deg[row]
            _incidence_into(theta[0], theta[1], theta[2])
        if row == 0 or look_azimuth_deg.size > 1:
            # seen from the ground, the sensor is at the look azimuth plus 180 degrees
            towards[:] = look_azimuth_deg[row]
            towards += 180
        _inclinations_into(along, across, slope_deg[row], aspect_deg[row], towards)
        _factors_into(factor[row], valid[row], theta, along, across, is_surface)
    return factor, valid


@kernel(inline="always")
def _series(x: float) -> tuple[float, float]:
    """Return sine and cosine of at most 45 degrees, in radians, by their power series; error below 2e-10.

    The compiler makes vector instructions of this, which it cannot of calls into the C library.
    """
    y = -x * x
    sine = x * (1 + y * (S3 + y * (S5 + y * (S7 + y * (S9 + y * S11)))))
    return sine, 1 + y * (C2 + y * (C4 + y * (C6 + y * (C8 + y * C10))))


@kernel(inline="always")
def _of_quarters(degrees: float) -> tuple[float, float]:
    """Return sine and cosine of any angle, from the nearest multiple of 90 degrees."""
    quarters = np.floor(degrees * (1 / 90) + 0.5)
    sine, cosine = _series((degrees - 90 * quarters) * (np.pi / 180))
    halves = np.floor(quarters * 0.5)
    is_odd = quarters != 2 * halves
    sign = 1 - 2 * (halves - 2 * np.floor(halves * 0.5))
    return sign * (cosine if is_odd else sine), sign * (-sine if is_odd else cosine)


@kernel(inline="always")
def _of_half(degrees: float) -> tuple[float, float]:
    """Return sine and cosine of 0 to 90 degrees, from half the angle."""
    sine, cosine = _series(degrees * (np.pi / 360))
    return 2 * sine * cosine, cosine * cosine - sine * sine


@kernel(error_model="numpy")
def _incidence_into(tangent: np.ndarray, cotangent: np.ndarray, secant: np.ndarray) -> None:
    """Replace the incidence angles in `tangent` by their tangents, and write cotangents and 1 / cosine."""
    for col in range(tangent.size):
        sine, cosine = _of_half(tangent[col])
        tangent[col], cotangent[col], secant[col] = sine / cosine, cosine / sine, 1 / cosine


@kernel(error_model="numpy")
def _inclinations_into(
    along: np.ndarray, across: np.ndarray, slope_deg: np.ndarray, aspect_deg: np.ndarray, towards_deg: np.ndarray
) -> None:
    """Write the tangents of alpha_r and alpha_az."""
    for col in range(along.size):
        slope = np.float64(slope_deg[col])
        sine, cosine = _of_half(slope)
        steep = sine / cosine
        sine, cosine = _of_quarters(towards_deg[col] - aspect_deg[col])
        # flat ground has no aspect
        along[col] = 0.0 if slope == 0 else steep * cosine
        across[col] = 0.0 if slope == 0 else steep * sine


@kernel(error_model="numpy")
def _factors_into(
    factor: np.ndarray, valid: np.ndarray, theta: np.ndarray, along: np.ndarray, across: np.ndarray, is_surface: bool
) -> None:
    """Write 1 / (cos(theta) c); of the volume model, c is resolved by the addition theorem."""
    tangent, cotangent, secant = theta[0], theta[1], theta[2]
    for col in range(factor.size):
        a, b = along[col], across[col]
        c = np.sqrt((1 + a * a) * (1 + b * b)) if is_surface else 1 + a * tangent[col]
        is_valid = (a < tangent[col]) & (a > -cotangent[col])
        factor[col] = (1 - a * cotangent[col]) * secant[col] / c if is_valid else np.nan
        valid[col] = is_valid
