"""Slope and aspect by Horn's method."""

import numpy as np


def _gradient(dem: np.ndarray, dx_m: float, dy_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Eastward and southward derivative by Horn (1981); NaN in the border and beside NaN."""
    z = np.asarray(dem, np.float64)
    east = np.full(z.shape, np.nan)
    south = np.full(z.shape, np.nan)
    if min(z.shape) >= 3:
        a, b, c = z[:-2, :-2], z[:-2, 1:-1], z[:-2, 2:]
        d, f = z[1:-1, :-2], z[1:-1, 2:]
        g, h, i = z[2:, :-2], z[2:, 1:-1], z[2:, 2:]
        middle = np.where(np.isnan(z[1:-1, 1:-1]), np.nan, 0.0)
        east[1:-1, 1:-1] = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * dx_m) + middle
        south[1:-1, 1:-1] = ((g + 2 * h + i) - (a + 2 * b + c)) / (8 * dy_m) + middle
    return east, south


def slope(dem: np.ndarray, dx_m: float, dy_m: float) -> np.ndarray:
    """Slope in degrees, float32."""
    east, south = _gradient(dem, dx_m, dy_m)
    return np.degrees(np.arctan(np.hypot(east, south))).astype(np.float32)


def aspect(dem: np.ndarray, dx_m: float, dy_m: float) -> np.ndarray:
    """Azimuth of the downhill direction in degrees clockwise from north, float32; NaN on flat ground."""
    east, south = _gradient(dem, dx_m, dy_m)
    # downhill is against the gradient: (-east, -north) with north = -south
    degrees = np.degrees(np.arctan2(-east, south)) % 360
    return np.where((east == 0) & (south == 0), np.nan, degrees).astype(np.float32)
