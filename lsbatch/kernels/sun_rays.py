"""Rays to the sun: shadow of terrain and shadow of clouds."""

import numpy as np
from numba import njit

#: Columns in a block whose highest and lowest elevation is computed before rays are followed.
BLOCK_COLS = 128
#: Steps after which pixels already in shadow are removed from the search.
LOOK_AGAIN = 8


def shadow(
    dem: np.ndarray,
    dx_m: float,
    dy_m: float,
    sun_azimuth_deg: float,
    sun_elevation_deg: float,
    distance_m: float = np.inf,
) -> np.ndarray:
    """Return the ground in shadow: facing away from the sun, or behind higher ground.

    From each pixel a ray goes to the sun in steps of one pixel along the axis that is closer to its direction; between
    two pixels of the other axis the elevation is interpolated.

    Parameters
    ----------
    dem, dx_m, dy_m
        As in `terrain.slope`; NaN casts no shadow and is not in shadow.
    sun_azimuth_deg, sun_elevation_deg : float
        Direction to the sun, clockwise from north and above the horizon. At or below the horizon all is in shadow.
    distance_m : float
        Maximum distance of a shadow, which limits the halo of a tile. No limit by default: a mountain of 1000 m casts a
        shadow of 1000 m / tan(elevation).

    Returns
    -------
    bool array (rows, cols)
    """
    dem = np.ascontiguousarray(dem, np.float32)
    if sun_elevation_deg <= 0:
        return ~np.isnan(dem)
    if sun_elevation_deg >= 90:
        return np.zeros(dem.shape, np.bool_)
    down, right, step_m = _towards(sun_azimuth_deg, dx_m, dy_m)
    rise_m = step_m * np.tan(np.radians(sun_elevation_deg))
    steps = int(min(distance_m / step_m, max(dem.shape)))
    if abs(down) == 1:
        return _shadow(dem, int(down), right, rise_m, steps)
    return _shadow(np.ascontiguousarray(dem.T), int(right), down, rise_m, steps).T.copy()


def _towards(sun_azimuth_deg: float, dx_m: float, dy_m: float) -> tuple[float, float, float]:
    """Return rows and columns of a step to the sun, one of them exactly 1 or -1, and its length in metres."""
    azimuth = np.radians(sun_azimuth_deg)
    # rows count southwards; rounded, so that the cosine of 90 degrees is 0
    down, right = -np.round(np.cos(azimuth), 12) / dy_m, np.round(np.sin(azimuth), 12) / dx_m
    longer = max(abs(down), abs(right))
    return float(down / longer), float(right / longer), float(1 / longer)


@njit(nogil=True)
def _shadow(dem: np.ndarray, down: int, right: float, rise_m: float, steps: int) -> np.ndarray:
    """Return the shadow for steps of `down` (1 or -1) rows and `right` (-1 to 1) columns."""
    rows, cols = dem.shape
    out = np.zeros((rows, cols), np.bool_)
    peaks, lows = _extremes(dem)
    summit = peaks.max()
    for row in range(rows):
        for block in range(peaks.shape[1]):
            left = block * BLOCK_COLS
            width = min(BLOCK_COLS, cols - left)
            low = lows[row, block]
            for step in range(1, steps + 1):
                there = row + step * down
                # no ground is high enough any more, or all is in shadow
                if not 0 <= there < rows or summit <= low + step * rise_m:
                    break
                shift = step * right
                start = left + int(np.floor(shift))
                if _peak(peaks[there], start, start + width) > low + step * rise_m:
                    share = np.float32(shift - np.floor(shift))
                    _shade_into(out[row], dem[row], dem[there], left, width, start - left, share, step * rise_m)  # type: ignore[arg-type]
                    if step % LOOK_AGAIN == 0:
                        low = _lowest(dem[row, left : left + width], out[row, left : left + width])
    return out


@njit(nogil=True)
def _lowest(ground: np.ndarray, shaded: np.ndarray) -> float:
    """Return the lowest ground that is not in shadow; inf if there is none."""
    low = np.inf
    for col in range(ground.size):
        if not shaded[col] and ground[col] < low:
            low = np.float64(ground[col])
    return low


@njit(nogil=True)
def _extremes(dem: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return highest and lowest value of every BLOCK_COLS pixels of each row; -inf and inf if all are NaN."""
    rows, cols = dem.shape
    blocks = (cols + BLOCK_COLS - 1) // BLOCK_COLS
    peaks = np.full((rows, blocks), -np.inf)
    lows = np.full((rows, blocks), np.inf)
    for row in range(rows):
        for col in range(cols):
            block = col // BLOCK_COLS
            peaks[row, block] = max(peaks[row, block], dem[row, col])
            lows[row, block] = min(lows[row, block], dem[row, col])
    return peaks, lows


@njit(nogil=True)
def _peak(peaks: np.ndarray, start: int, stop: int) -> float:
    """Return an upper bound of the ground in columns start..stop, both included."""
    highest = -np.inf
    for block in range(max(start // BLOCK_COLS, 0), min(stop // BLOCK_COLS + 1, peaks.size)):
        highest = max(highest, peaks[block])
    return highest


@njit(nogil=True)
def _shade_into(
    out: np.ndarray,
    here: np.ndarray,
    there: np.ndarray,
    left: int,
    width: int,
    shift: int,
    share: float,
    rise_m: float,
) -> None:
    """Shade the pixels of `here` that lie `rise_m` below `there`, which is `shift` + `share` columns to the right."""
    # the right neighbour has weight 0, and may be missing, if the ray meets a pixel centre
    beyond = 1 if share > 0 else 0
    first, last = max(left, -shift), min(left + width, here.size - shift - beyond)
    if last <= first:
        return
    ground = here[first:last]
    near, far = there[first + shift : last + shift], there[first + shift + beyond : last + shift + beyond]
    target = out[first:last]
    rise = np.float32(rise_m)
    for col in range(ground.size):
        target[col] |= near[col] + (far[col] - near[col]) * share > ground[col] + rise


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
    down, right, step_m = _towards(sun_azimuth_deg, dx_m, dy_m)
    steps = np.arange(int(distance_m / step_m) + 1)
    offsets = np.rint(np.stack([steps * down, steps * right], axis=1)).astype(np.int64)
    return _cast(np.ascontiguousarray(mask, np.bool_), offsets)


@njit(nogil=True)
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
