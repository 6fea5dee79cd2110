"""Cast shadow against following every ray to its end."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from lsbatch.kernels.cast_shadow import GROUP_ROWS, NEAR_STEPS, shadow
from lsbatch.kernels.sun_rays import towards

#: Distances in metres around the lengths at which the kernel changes its way, for pixels of 10 m.
REACHES = [10, 10 * NEAR_STEPS, 10 * (NEAR_STEPS + 1), 10 * (NEAR_STEPS + GROUP_ROWS), 200, 230, 410, np.inf]


def every_ray(dem: np.ndarray, azimuth_deg: float, elevation_deg: float, distance_m: float) -> np.ndarray:
    """Follow all rays of all pixels, one step at a time; in single precision, as the kernel compares."""
    down, right, step_m = towards(azimuth_deg, 10, 10)
    if abs(down) != 1:
        return every_ray(dem.T, 270 - azimuth_deg, elevation_deg, distance_m).T
    rise_m = step_m * np.tan(np.radians(elevation_deg))
    rows, cols = np.indices(dem.shape)
    out = np.zeros(dem.shape, bool)
    for k in range(1, int(min(distance_m / step_m, max(dem.shape))) + 1):
        share = np.float32(k * right - np.floor(k * right))
        there, near = rows + k * int(down), cols + int(np.floor(k * right))
        far = near + (share > 0)
        is_inside = (there >= 0) & (there < dem.shape[0]) & (near >= 0) & (far < dem.shape[1])
        there, near, far = there[is_inside], near[is_inside], far[is_inside]
        height = dem[there, near] + (dem[there, far] - dem[there, near]) * share
        out[is_inside] |= height > dem[is_inside] + np.float32(k * rise_m)
    return out


def relief(shape: tuple[int, int], smooth_px: float, height_m: float, holes: float, seed: int) -> np.ndarray:
    """Hills of a size, with holes."""
    dice = np.random.default_rng(seed)
    dem = ndimage.gaussian_filter(dice.standard_normal(shape), smooth_px) * (1 + smooth_px) * height_m
    return np.where(dice.random(shape) < holes, np.nan, dem).astype(np.float32)


reliefs = st.builds(
    relief,
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.sampled_from([0.0, 2.0, 30.0, 300.0]),
    st.sampled_from([0.0, 0.02, 0.5]),
    st.integers(0, 2**32 - 1),
)
azimuths = st.sampled_from([0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0]) | st.floats(0, 360)


@given(reliefs, azimuths, st.floats(0.5, 80), st.sampled_from(REACHES))
@example(relief((90, 60), 4, 100, 0, 1), 160.0, 20.0, np.inf)
@example(relief((90, 60), 4, 100, 0.02, 2), 200.0, 5.0, 410.0)
@example(relief((60, 90), 4, 100, 0.02, 3), 100.0, 5.0, 410.0)
def test_equals_following_every_ray(
    dem: np.ndarray, azimuth_deg: float, elevation_deg: float, distance_m: float
) -> None:
    expected = every_ray(dem, azimuth_deg, elevation_deg, distance_m)
    np.testing.assert_array_equal(shadow(dem, 10, 10, azimuth_deg, elevation_deg, distance_m), expected)


@pytest.mark.parametrize("azimuth_deg", [15, 100, 160, 200, 290])
def test_tile_by_tile_is_the_whole(azimuth_deg: float) -> None:
    dem, reach_px = relief((200, 180), 6, 60, 0.001, 4), 40
    whole = shadow(dem, 10, 10, azimuth_deg, 12, 10 * reach_px)
    assert 0.1 < whole.mean() < 0.9
    part = shadow(dem[20:160, 30:150], 10, 10, azimuth_deg, 12, 10 * reach_px)
    inner = np.s_[reach_px:-reach_px, reach_px:-reach_px]
    np.testing.assert_array_equal(part[inner], whole[20:160, 30:150][inner])
