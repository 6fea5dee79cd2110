"""Shadow that terrain casts on terrain.

From each pixel a ray goes to the sun. Following every ray costs as many steps as a shadow is long, so most pixels are
decided by bounds that all rays of a strip of the terrain share:

- Elevations are tilted: `n` steps of `rise_m` are added to row `n`, counted from the sun. A ray is then level, and a
  pixel is in shadow if any tilted elevation along its ray is higher than its own.
- Pixels of two rows belong to the same chain if a ray leads from one to the other, rounded down to whole columns. On
  the way, a ray of the chain is less than one pixel beside it. The highest and the lowest elevation of this interval,
  interpolated, are an upper and a lower bound of what the ray meets.
- The running maxima of both bounds along the chain decide most pixels. Rays of the others are followed, in groups of
  rows of which the upper bound is high enough.

The result equals that of following every ray, bit for bit (`tests/kernels/test_cast_shadow.py`).
"""

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.sun_rays import towards

#: Steps that are followed for every pixel. Where a slope faces away from the sun, the bounds alone decide little.
NEAR_STEPS = 3
#: Rows whose bounds are kept together.
GROUP_ROWS = 16
NEVER = np.float32(-np.inf)


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
    if sun_elevation_deg >= 90 or not dem.size:
        return np.zeros(dem.shape, np.bool_)
    down, right, step_m = towards(sun_azimuth_deg, dx_m, dy_m)
    rise_m = step_m * np.tan(np.radians(sun_elevation_deg))
    steps = int(min(distance_m / step_m, max(dem.shape)))
    if abs(down) == 1:
        return _shadow(dem, int(down), right, rise_m, steps)
    return _shadow(np.ascontiguousarray(dem.T), int(right), down, rise_m, steps).T.copy()


@kernel
def _shadow(dem: np.ndarray, down: int, right: float, rise_m: float, steps: int) -> np.ndarray:
    """Return the shadow for steps of `down` (1 or -1) rows and `right` (-1 to 1) columns.

    Of arrays over chains, chain `first + floor(n * right) + col` leads through column `col` of row `n`.
    """
    rows, cols = dem.shape
    out = np.zeros((rows, cols), np.bool_)
    # a reach shorter than a group is followed whole
    near = NEAR_STEPS if steps > NEAR_STEPS + GROUP_ROWS else steps
    shape = (rows // GROUP_ROWS + 2, cols + int(abs(np.floor(rows * right))) + 2)
    first = shape[1] - cols - 1 if right < 0 else 0
    # bounds of each group of rows, and the highest of all groups between it and the sun
    upper, lower, sunward = np.full(shape, NEVER), np.full(shape, NEVER), np.full(shape, NEVER)
    # the same of the groups before the present one, within reach
    reach_upper, reach_lower = np.full(shape[1], NEVER), np.full(shape[1], NEVER)
    padded, undecided = np.full(cols + 2, np.float32(np.nan)), np.zeros(cols, np.bool_)
    widest, margin = _widest(rows, right), _margin(dem, rise_m)
    for n in range(rows):
        row = n if down < 0 else rows - 1 - n
        for k in range(1, min(near, n) + 1):
            _follow_into(out[row], dem[row], dem[row + k * down], k * right, k * rise_m)
        # the nearest row that `_follow_into` has not seen
        m = n - near - 1
        if m < 0 or near == steps:
            continue
        group, chain = m // GROUP_ROWS, first + int(np.floor(m * right))
        if m % GROUP_ROWS == 0 and group > 0:
            _higher_into(sunward[group], sunward[group - 1], upper[group - 1])
            _highest_into(reach_upper, upper[:group], max(n - steps, 0) // GROUP_ROWS)
            # only groups that rays of all rows of this group reach whole
            _highest_into(
                reach_lower, lower[:group], (max(n - steps + GROUP_ROWS - 1, 0) + GROUP_ROWS - 1) // GROUP_ROWS
            )
        _frame_into(padded, dem[row + (near + 1) * down])
        high, low = upper[group], lower[group]
        _bound_into(high[chain:], low[chain:], padded, m * right - np.floor(m * right), widest, m * rise_m)
        chain = first + int(np.floor(n * right))
        bounds = (high[chain:], reach_upper[chain:], low[chain:], reach_lower[chain:])
        if _decide_into(out[row], undecided, dem[row], bounds, np.float32(n * rise_m), margin):  # type: ignore[arg-type]
            for col in range(cols):
                if not undecided[col]:
                    continue
                level = dem[row, col] + np.float32(n * rise_m) - margin
                ray = (row, col, n, down, right, rise_m)
                out[row, col] = _meets(dem, upper[:, chain + col], sunward[:, chain + col], ray, near, steps, level)
    return out


@kernel
def _widest(rows: int, right: float) -> float:
    """Return the largest fraction of a column by which any row is shifted; 0 for rays along the columns."""
    widest = 0.0
    for n in range(rows):
        widest = max(widest, n * right - np.floor(n * right))
    return widest


@kernel
def _margin(dem: np.ndarray, rise_m: float) -> float:
    """Return more than the rounding of tilted elevations in single precision, in metres."""
    most = np.float32(0)
    for row in range(dem.shape[0]):
        for col in range(dem.shape[1]):
            height = abs(dem[row, col])
            # not `max`, which may return NaN
            most = height if height > most else most
    return np.float32((most + dem.shape[0] * rise_m) * 5e-7 + 1e-4)  # type: ignore[return-value]


@kernel
def _frame_into(padded: np.ndarray, line: np.ndarray) -> None:
    # a loop: an assignment of slices compiles for seconds
    for col in range(line.size):
        padded[col + 1] = line[col]


@kernel
def _higher_into(out: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
    for chain in range(out.size):
        out[chain] = max(one[chain], other[chain])


@kernel
def _highest_into(out: np.ndarray, groups: np.ndarray, first: int) -> None:
    """Write the highest bound of the groups from `first` on for each chain; called again for each new group."""
    # as long as no group is out of reach, only the new one is added
    start = first if first > 0 else groups.shape[0] - 1
    if first > 0:
        out[:] = NEVER
    for i in range(start, groups.shape[0]):
        one = groups[i]
        for chain in range(out.size):
            out[chain] = max(out[chain], one[chain])


@kernel
def _follow_into(out: np.ndarray, ground: np.ndarray, there: np.ndarray, shift: float, rise_m: float) -> None:
    """Shade pixels of `ground` that lie `rise_m` below `there`, which is `shift` columns to the right."""
    start, share, rise = int(np.floor(shift)), np.float32(shift - np.floor(shift)), np.float32(rise_m)
    # the right neighbour has weight 0, and may be missing, if the ray meets a pixel centre
    beyond = 1 if share > 0 else 0
    left, right = max(0, -start), min(ground.size, ground.size - start - beyond)
    if right <= left:
        return
    near, far = there[left + start : right + start], there[left + start + beyond : right + start + beyond]
    target, own = out[left:right], ground[left:right]
    for col in range(own.size):
        target[col] |= near[col] + (far[col] - near[col]) * share > own[col] + rise


@kernel
def _bound_into(
    upper: np.ndarray, lower: np.ndarray, padded: np.ndarray, fraction: float, widest: float, tilt_m: float
) -> None:
    """Raise the bounds of the chains by a row, given with one pixel more on either side.

    Rays of a chain meet the row between `fraction` columns left of the pixel and `widest - fraction` columns right.
    """
    cols, offset = padded.size - 2, widest - fraction
    centre = padded[1 : cols + 1]
    left = padded[0:cols] if fraction > 0 else centre
    right = padded[2 : cols + 2] if offset > 0 else padded[0:cols] if offset < 0 else centre
    left_share, right_share, tilt = np.float32(fraction), np.float32(abs(offset)), np.float32(tilt_m)
    for col in range(cols):
        middle = centre[col] + tilt
        one = middle + (left[col] - centre[col]) * left_share
        other = middle + (right[col] - centre[col]) * right_share
        # comparisons with NaN are false: NaN raises no bound
        top, low = upper[col], middle
        top = middle if middle > top else top
        top = one if one > top else top
        upper[col] = other if other > top else top
        low = one if one < low else low
        low = other if other < low else low
        is_known = (one == one) & (other == other)
        lower[col] = low if is_known & (low > lower[col]) else lower[col]


@kernel
def _decide_into(
    out: np.ndarray,
    undecided: np.ndarray,
    ground: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    tilt: float,
    margin: float,
) -> bool:
    """Shade the pixels below the lower bound; mark those between the bounds, and return whether there are any."""
    group_upper, reach_upper, group_lower, reach_lower = bounds
    count = np.int32(0)
    for col in range(ground.size):
        level = ground[col] + tilt
        is_dark = out[col] | (level < max(group_lower[col], reach_lower[col]) - margin)
        is_open = (level < max(group_upper[col], reach_upper[col]) + margin) & (not is_dark)
        out[col], undecided[col] = is_dark, is_open
        count += np.int32(is_open)
    return bool(count)


@kernel
def _meets(
    dem: np.ndarray,
    upper: np.ndarray,
    sunward: np.ndarray,
    ray: tuple[int, int, int, int, float, float],
    near: int,
    steps: int,
    level: float,
) -> bool:
    """Return whether a ray meets higher ground more than `near` steps away; `level` is tilted, less the margin."""
    row, col, n, down, right, rise_m = ray
    m, last = n - near - 1, max(n - steps, 0)
    while m >= last:
        group = m // GROUP_ROWS
        if upper[group] > level:
            for k in range(n - m, n - max(group * GROUP_ROWS, last) + 1):
                start = col + int(np.floor(k * right))
                share = np.float32(k * right - np.floor(k * right))
                far = start + (1 if share > 0 else 0)
                if start >= 0 and far < dem.shape[1]:
                    one, other = dem[row + k * down, start], dem[row + k * down, far]
                    if one + (other - one) * share > dem[row, col] + np.float32(k * rise_m):
                        return True
        if level >= sunward[group]:
            return False
        m = group * GROUP_ROWS - 1
    return False
