"""Hairline voids of an elevation model."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.kernels import hairline_voids


def plane():
    rows, cols = np.indices((40, 50))
    return (3 * rows + 7 * cols).astype(np.float32)


def test_narrow_voids_of_a_plane_get_its_heights():
    for void in (np.s_[:, 20:23], np.s_[10:13, :], np.s_[5:8, 30:33]):
        elevation = plane()
        elevation[void] = np.nan
        filled, is_filled = hairline_voids.fill(elevation, 3)
        np.testing.assert_allclose(filled, plane(), atol=1e-4)
        assert is_filled.sum() == np.isnan(elevation).sum()


def test_wider_voids_and_voids_at_the_edge_stay():
    elevation = plane()
    elevation[:, 20:24] = np.nan
    elevation[:, :2] = np.nan
    filled, is_filled = hairline_voids.fill(elevation, 3)
    assert not is_filled.any()
    np.testing.assert_array_equal(filled, elevation)


def test_the_narrower_direction_is_taken():
    elevation = np.zeros((9, 9), np.float32)
    elevation[4, 2:7] = np.nan
    elevation[5:] = 10
    filled, _ = hairline_voids.fill(elevation, 6)
    assert (filled[4, 2:7] == 5).all()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_a_part_with_its_halo_equals_the_whole(top, left, seed):
    rng = np.random.default_rng(seed)
    elevation = rng.random((60, 60)).astype(np.float32)
    elevation[rng.random((60, 60)) < 0.4] = np.nan
    whole, _ = hairline_voids.fill(elevation, 3)
    part, _ = hairline_voids.fill(elevation[top : top + 30, left : left + 30], 3)
    np.testing.assert_array_equal(part[3:-3, 3:-3], whole[top + 3 : top + 27, left + 3 : left + 27])
