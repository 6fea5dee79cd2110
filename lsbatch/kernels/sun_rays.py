"""Rays to the sun: their steps over a grid, and the shadow of clouds."""

import numpy as np

from lsbatch.kernels.compilation import kernel


def towards(sun_azimuth_deg: float, dx_m: float, dy_m: float) -> tuple[float, float, float]:
    """Return the step of a ray to the sun, along the axis that is closer to its direction.

    Parameters
    ----------
    sun_azimuth_deg : float
        Clockwise from north.
    dx_m, dy_m : float
        Sides of a pixel.

    Returns
    -------
    down, right : float
        Rows southwards and columns eastwards, one of them exactly 1 or -1.
    step_m : float
        Length of the step.
    """
    azimuth = np.radians(sun_azimuth_deg)
    # rows count southwards; rounded, so that the cosine of 90 degrees is 0
    down, right = -np.round(np.cos(azimuth), 12) / dy_m, np.round(np.sin(azimuth), 12) / dx_m
    longer = max(abs(down), abs(right))
    return float(down / longer), float(right / longer), float(1 / longer)


def cast(mask: np.ndarray, sun_azimuth_deg: float, distance_m: float, dx_m: float, dy_m: float) -> np.ndarray:
    """Return True where a True pixel lies within the distance in the direction of the sun.

    The ray goes from pixel to pixel along the axis closer to its direction, and uses the nearest pixel of the other
    axis.

    Parameters
    ----------
    mask : bool array (rows, cols)
    sun_azimuth_deg : float
        Clockwise from north.
    distance_m : float
    dx_m, dy_m : float
        Sides of a pixel.

    Returns
    -------
    bool array (rows, cols)
    """
    down, right, step_m = towards(sun_azimuth_deg, dx_m, dy_m)
    steps = np.arange(int(distance_m / step_m) + 1)
    offsets = np.rint(np.stack([steps * down, steps * right], axis=1)).astype(np.int64)
    return _cast(np.ascontiguousarray(mask, np.bool_), offsets)


@kernel
def _cast(mask: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    rows, cols = mask.shape
    out = np.zeros((rows, cols), np.bool_)
    for row in range(rows):
        if not mask[row].any():
            continue
        for k in range(offsets.shape[0]):
            r, shift = row - offsets[k, 0], -offsets[k, 1]
            if 0 <= r < rows and abs(shift) < cols:
                width = cols - abs(shift)
                target = out[r][max(0, shift) :][:width]
                source = mask[row][max(0, -shift) :][:width]
                for col in range(width):
                    target[col] |= source[col]
    return out
