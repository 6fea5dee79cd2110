"""Slope, aspect and hillshade by Horn's method, and cast shadow.

Horn (1981), Hill shading and the reflectance map, Proceedings of the IEEE 69; `gdaldem` is the reference. The outermost
rows and columns, and the neighbours of NaN, are NaN: tiles read a halo of 1 px.
"""

import numpy as np
from numba import njit

from lsbatch.kernels.rays import shadow

__all__ = ["aspect", "hillshade", "shadow", "slope", "slope_aspect_hillshade"]

SLOPE, ASPECT, HILLSHADE = 1, 2, 4


def slope(dem: np.ndarray, dx_m: float, dy_m: float) -> np.ndarray:
    """Slope in degrees.

    Parameters
    ----------
    dem : array (rows, cols)
        Elevation in metres, first row in the north.
    dx_m, dy_m : float
        Sides of a pixel, both positive.

    Returns
    -------
    array (rows, cols), float32
    """
    return _terrain(_elevation(dem), dx_m, dy_m, (0.0, 0.0, 1.0), SLOPE)[0]


def aspect(dem: np.ndarray, dx_m: float, dy_m: float) -> np.ndarray:
    """Azimuth of the downhill direction in degrees clockwise from north, 0 to 360; NaN on flat ground.

    Parameters and return as in `slope`.
    """
    return _terrain(_elevation(dem), dx_m, dy_m, (0.0, 0.0, 1.0), ASPECT)[1]


def hillshade(
    dem: np.ndarray, dx_m: float, dy_m: float, azimuth_deg: float = 315, altitude_deg: float = 45
) -> np.ndarray:
    """Shaded relief from 1 (turned away from the sun) to 255, as `gdaldem` before it rounds.

    Parameters
    ----------
    dem, dx_m, dy_m
        As in `slope`.
    azimuth_deg, altitude_deg : float
        Where the sun stands, clockwise from north and above the horizon.

    Returns
    -------
    array (rows, cols), float32
    """
    return _terrain(_elevation(dem), dx_m, dy_m, _sun(azimuth_deg, altitude_deg), HILLSHADE)[2]


def slope_aspect_hillshade(
    dem: np.ndarray, dx_m: float, dy_m: float, azimuth_deg: float = 315, altitude_deg: float = 45
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`slope`, `aspect` and `hillshade` in one pass over the elevation."""
    return _terrain(_elevation(dem), dx_m, dy_m, _sun(azimuth_deg, altitude_deg), SLOPE | ASPECT | HILLSHADE)


def _elevation(dem: np.ndarray) -> np.ndarray:
    """Contiguous; float64 stays, because float32 knows a mountain to half a millimetre only."""
    return np.ascontiguousarray(dem, np.result_type(np.asarray(dem).dtype, np.float32))


def _sun(azimuth_deg: float, altitude_deg: float) -> tuple[float, float, float]:
    """Unit vector to the sun: east, north, up."""
    azimuth, altitude = np.radians(azimuth_deg), np.radians(altitude_deg)
    level = np.cos(altitude)
    return float(level * np.sin(azimuth)), float(level * np.cos(azimuth)), float(np.sin(altitude))


@njit(nogil=True)
def _terrain(
    dem: np.ndarray, dx_m: float, dy_m: float, sun: tuple[float, float, float], wanted: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, aspect and hillshade; an empty array for what is not wanted."""
    rows, cols = dem.shape
    slopes = _framed(rows if wanted & SLOPE else 0, cols)
    aspects = _framed(rows if wanted & ASPECT else 0, cols)
    shades = _framed(rows if wanted & HILLSHADE else 0, cols)
    inner = max(cols - 2, 0)
    east, south = np.empty(inner), np.empty(inner)
    for row in range(1, rows - 1):
        _gradient_into(east, south, dem[row - 1], dem[row], dem[row + 1], 1 / (8 * dx_m), 1 / (8 * dy_m))
        if wanted & SLOPE:
            _slope_into(slopes[row][1 : 1 + inner], east, south)
        if wanted & ASPECT:
            _aspect_into(aspects[row][1 : 1 + inner], east, south)
        if wanted & HILLSHADE:
            _hillshade_into(shades[row][1 : 1 + inner], east, south, sun)
    return slopes, aspects, shades


@njit(nogil=True)
def _framed(rows: int, cols: int) -> np.ndarray:
    """Not yet filled, with NaN in the outermost rows and columns."""
    out = np.empty((rows, cols), np.float32)
    if out.size > 0:
        out[0] = out[-1] = np.nan
        out[:, 0] = out[:, -1] = np.nan
    return out


@njit(nogil=True)
def _gradient_into(
    east: np.ndarray, south: np.ndarray, above: np.ndarray, here: np.ndarray, below: np.ndarray, kx: float, ky: float
) -> None:
    """Rise per metre eastwards and southwards; NaN beside NaN."""
    a, b, c = above, above[1:], above[2:]
    d, e, f = here, here[1:], here[2:]
    g, h, i = below, below[1:], below[2:]
    for col in range(east.size):
        hole = e[col] - e[col]
        # in the elevation's own type and in this order, as gdaldem does: its rounding is then ours
        rise_east = (((c[col] + f[col]) + f[col]) + i[col]) - (((a[col] + d[col]) + d[col]) + g[col])
        rise_south = (((g[col] + h[col]) + h[col]) + i[col]) - (((a[col] + b[col]) + b[col]) + c[col])
        east[col] = np.float64(rise_east + hole) * kx
        south[col] = np.float64(rise_south + hole) * ky


@njit(nogil=True, error_model="numpy")
def _slope_into(out: np.ndarray, east: np.ndarray, south: np.ndarray) -> None:
    for col in range(out.size):
        out[col] = _angle_deg(np.sqrt(east[col] * east[col] + south[col] * south[col]), 1.0)


@njit(nogil=True, error_model="numpy")
def _aspect_into(out: np.ndarray, east: np.ndarray, south: np.ndarray) -> None:
    for col in range(out.size):
        # downhill is against the gradient: (-east, south) in the directions east and north
        x, y = abs(east[col]), abs(south[col])
        angle = _angle_deg(x, y)
        angle = angle if south[col] >= 0 else 180 - angle
        angle = angle if east[col] <= 0 else 360 - angle
        angle = np.float32(angle)
        angle = angle if angle < 360 else np.float32(0)
        out[col] = angle if x + y > 0 else np.float32(np.nan)


@njit(nogil=True, error_model="numpy")
def _hillshade_into(out: np.ndarray, east: np.ndarray, south: np.ndarray, sun: tuple[float, float, float]) -> None:
    for col in range(out.size):
        light = sun[2] - sun[0] * east[col] + sun[1] * south[col]
        light /= np.sqrt(1 + east[col] * east[col] + south[col] * south[col])
        out[col] = 1 + 254 * (light if not light < 0 else 0.0)


@njit(nogil=True, error_model="numpy", inline="always")
def _angle_deg(y, x):  # type: ignore[no-untyped-def]
    """Angle of (x, y), both not negative, in degrees; 0 for (0, 0).

    Chebyshev interpolation of atan(q) / q in q^2 for q in 0..1, relative error 5e-10. A polynomial, because the loop
    around it is then vectorised: atan of the C library would take four times as long.
    """
    large = x if x > y else y
    small = y if x > y else x
    q = small / (large if large > 0 else 1.0)
    u = q * q
    p = 0.00105760717468 * u + -0.00703066814987
    p = p * u + 0.0219129430387
    p = p * u + -0.0439284073621
    p = p * u + 0.0668528127274
    p = p * u + -0.0878504317056
    p = p * u + 0.110507712442
    p = p * u + -0.142785760195
    p = p * u + 0.199995580999
    p = p * u + -0.333333224889
    p = p * u + 0.999999999554
    angle = p * q * 57.29577951308232
    angle = 90 - angle if y > x else angle
    return angle + (x - x) + (y - y)
