"""Slope, aspect and hillshade by Horn's method, and cast shadow.

Horn (1981), Hill shading and the reflectance map, Proceedings of the IEEE 69. The reference implementation is
`gdaldem`. The outermost rows and columns, and the neighbours of NaN, are NaN: tiles need a halo of 1 px.
"""

import numpy as np

from lsbatch.kernels.cast_shadow import shadow
from lsbatch.kernels.compilation import kernel

__all__ = ["aspect", "hillshade", "shadow", "slope", "slope_aspect_hillshade"]

SLOPE, ASPECT, HILLSHADE = 1, 2, 4

# typed, otherwise numba computes in double precision
ZERO, ONE, GREYS, NAN = (np.float32(value) for value in (0, 1, 254, np.nan))
QUARTER_TURN, HALF_TURN, TURN = (np.float32(value) for value in (90, 180, 360))
#: Coefficients of atan(q) in degrees by q, in powers of q^2.
C0 = np.float32(57.295778469649186)
C1 = np.float32(-19.098423217967884)
C2 = np.float32(11.454498918343885)
C3 = np.float32(-8.134738919862972)
C4 = np.float32(6.083878228188254)
C5 = np.float32(-4.272463099988435)
C6 = np.float32(2.414307990636367)
C7 = np.float32(-0.9013341813099114)
C8 = np.float32(0.15849636961894936)


def slope(dem: np.ndarray, dx_m: float, dy_m: float) -> np.ndarray:
    """Return the slope in degrees.

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
    return _terrain(dem, dx_m, dy_m, (0.0, 0.0, 1.0), SLOPE)[0]


def aspect(dem: np.ndarray, dx_m: float, dy_m: float) -> np.ndarray:
    """Return the azimuth of the downhill direction in degrees clockwise from north, 0 to 360; NaN on flat ground.

    Parameters
    ----------
    dem, dx_m, dy_m
        As in `slope`.

    Returns
    -------
    array (rows, cols), float32
    """
    return _terrain(dem, dx_m, dy_m, (0.0, 0.0, 1.0), ASPECT)[1]


def hillshade(
    dem: np.ndarray, dx_m: float, dy_m: float, azimuth_deg: float = 315, altitude_deg: float = 45
) -> np.ndarray:
    """Return shaded relief from 1 (turned away from the sun) to 255, as `gdaldem` before rounding.

    Parameters
    ----------
    dem, dx_m, dy_m
        As in `slope`.
    azimuth_deg, altitude_deg : float
        Direction to the sun, clockwise from north and above the horizon.

    Returns
    -------
    array (rows, cols), float32
    """
    return _terrain(dem, dx_m, dy_m, _sun(azimuth_deg, altitude_deg), HILLSHADE)[2]


def slope_aspect_hillshade(
    dem: np.ndarray, dx_m: float, dy_m: float, azimuth_deg: float = 315, altitude_deg: float = 45
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `slope`, `aspect` and `hillshade` in one pass over the elevation.

    Parameters
    ----------
    dem, dx_m, dy_m, azimuth_deg, altitude_deg
        As in `slope` and `hillshade`.

    Returns
    -------
    slope, aspect, hillshade : arrays (rows, cols), float32
    """
    return _terrain(dem, dx_m, dy_m, _sun(azimuth_deg, altitude_deg), SLOPE | ASPECT | HILLSHADE)


def _sun(azimuth_deg: float, altitude_deg: float) -> tuple[float, float, float]:
    """Return the unit vector to the sun: east, north, up."""
    azimuth, altitude = np.radians(azimuth_deg), np.radians(altitude_deg)
    level = np.cos(altitude)
    return float(level * np.sin(azimuth)), float(level * np.cos(azimuth)), float(np.sin(altitude))


def _terrain(
    dem: np.ndarray, dx_m: float, dy_m: float, sun: tuple[float, float, float], wanted: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return slope, aspect and hillshade; an empty array for those not requested."""
    # the elevation stays float64: float32 resolves the height of a mountain only to half a millimetre
    dem = np.ascontiguousarray(dem, np.result_type(np.asarray(dem).dtype, np.float32))
    rows, cols = dem.shape
    slopes, aspects, shades = (_framed(rows if wanted & one else 0, cols) for one in (SLOPE, ASPECT, HILLSHADE))
    scale = np.float32(1 / (8 * dx_m)), np.float32(1 / (8 * dy_m))
    _terrain_into(slopes, aspects, shades, dem, scale, tuple(np.float32(part) for part in sun), wanted)  # type: ignore[arg-type]
    return slopes, aspects, shades


def _framed(rows: int, cols: int) -> np.ndarray:
    """Return an empty array with NaN in the outermost rows and columns; numpy requests huge pages."""
    out = np.empty((rows, cols), np.float32)
    if out.size > 0:
        out[0] = out[-1] = np.nan
        out[:, 0] = out[:, -1] = np.nan
    return out


@kernel
def _terrain_into(
    slopes: np.ndarray,
    aspects: np.ndarray,
    shades: np.ndarray,
    dem: np.ndarray,
    scale: tuple[float, float],
    sun: tuple[float, float, float],
    wanted: int,
) -> None:
    rows, cols = dem.shape
    inner = max(cols - 2, 0)
    # single precision from here on: twice as many pixels an instruction, and slopes exact to 1e-5 degrees
    east, south = np.empty(inner, np.float32), np.empty(inner, np.float32)
    for row in range(1, rows - 1):
        _gradient_into(east, south, dem[row - 1], dem[row], dem[row + 1], scale)
        if wanted & SLOPE:
            _slope_into(slopes[row][1 : 1 + inner], east, south)
        if wanted & ASPECT:
            _aspect_into(aspects[row][1 : 1 + inner], east, south)
        if wanted & HILLSHADE:
            _hillshade_into(shades[row][1 : 1 + inner], east, south, sun)


@kernel
def _gradient_into(
    east: np.ndarray,
    south: np.ndarray,
    above: np.ndarray,
    here: np.ndarray,
    below: np.ndarray,
    scale: tuple[float, float],
) -> None:
    """Write the rise per metre eastwards and southwards; NaN beside NaN."""
    a, b, c = above, above[1:], above[2:]
    d, e, f = here, here[1:], here[2:]
    g, h, i = below, below[1:], below[2:]
    for col in range(east.size):
        hole = e[col] - e[col]
        # in the elevation's own type and in gdaldem's order, so that rounding is the same
        rise_east = (((c[col] + f[col]) + f[col]) + i[col]) - (((a[col] + d[col]) + d[col]) + g[col])
        rise_south = (((g[col] + h[col]) + h[col]) + i[col]) - (((a[col] + b[col]) + b[col]) + c[col])
        east[col] = np.float32(rise_east + hole) * scale[0]
        south[col] = np.float32(rise_south + hole) * scale[1]


@kernel(error_model="numpy")
def _slope_into(out: np.ndarray, east: np.ndarray, south: np.ndarray) -> None:
    for col in range(out.size):
        out[col] = _angle_deg(np.sqrt(east[col] * east[col] + south[col] * south[col]), ONE)


@kernel(error_model="numpy")
def _aspect_into(out: np.ndarray, east: np.ndarray, south: np.ndarray) -> None:
    for col in range(out.size):
        # downhill is against the gradient: (-east, south) in the directions east and north
        x, y = abs(east[col]), abs(south[col])
        angle = _angle_deg(x, y)
        angle = angle if south[col] >= ZERO else HALF_TURN - angle
        angle = angle if east[col] <= ZERO else TURN - angle
        angle = angle if angle < TURN else ZERO
        out[col] = angle if x + y > ZERO else NAN


@kernel(error_model="numpy")
def _hillshade_into(out: np.ndarray, east: np.ndarray, south: np.ndarray, sun: tuple[float, float, float]) -> None:
    for col in range(out.size):
        light = sun[2] - sun[0] * east[col] + sun[1] * south[col]
        light /= np.sqrt(ONE + east[col] * east[col] + south[col] * south[col])
        out[col] = ONE + GREYS * (light if not light < ZERO else ZERO)


@kernel(error_model="numpy", inline="always")
def _angle_deg(y, x):  # type: ignore[no-untyped-def]
    """Return the angle of (x, y), both not negative, in degrees; 0 for (0, 0).

    Chebyshev interpolation of atan(q) / q in q^2 for q in 0..1, relative error 5e-8, below single precision. The loop
    around a polynomial is vectorised; atan of the C library would take four times as long.
    """
    large = x if x > y else y
    small = y if x > y else x
    q = small / (large if large > ZERO else ONE)
    u = q * q
    p = C8 * u + C7
    p = p * u + C6
    p = p * u + C5
    p = p * u + C4
    p = p * u + C3
    p = p * u + C2
    p = p * u + C1
    p = p * u + C0
    angle = p * q
    angle = QUARTER_TURN - angle if y > x else angle
    return angle + (x - x) + (y - y)


@kernel
def descend(z: np.ndarray, row: int, col: int, steps: int, stop_deg: float, resolution_m: float) -> np.ndarray:
    """Follow the steepest descent from a pixel.

    It ends after `steps`, at a pit, at the edge, or where the descent over the last eight steps is below `stop_deg`.

    Parameters
    ----------
    z : array (rows, cols)
        Elevation in metres.
    row, col : int
        The first pixel.
    steps : int
        Most steps.
    stop_deg : float
        Degrees.
    resolution_m : float
        Side of a pixel.

    Returns
    -------
    array (n, 2), int64
        Rows and columns.
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
