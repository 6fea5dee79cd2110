"""Rings of unchanged ground around regions, each pixel with its nearest region."""

import numpy as np
from scipy import ndimage


def around(inside: np.ndarray, owners: np.ndarray, unknown: np.ndarray, gap_px: float, reach_px: float) -> np.ndarray:
    """Return the region whose ring a pixel lies in.

    Parameters
    ----------
    inside : array (rows, cols), bool
        Pixels of all regions, also of those that `owners` does not number.
    owners : array (rows, cols), int32
        Number of the region, from 1; 0 elsewhere and in regions of other tiles.
    unknown : array (rows, cols), bool
        Not observed.
    gap_px, reach_px : float
        Pixels of a ring are farther than the first from all of `inside` and `unknown`, and not farther than the second
        from the nearest of `inside`.

    Returns
    -------
    array (rows, cols), int32
        Owner of the nearest pixel of `inside`. Of equally near pixels the first in row-major order is used, so a part
        of the image with 2 `reach_px` around it gives the same result as the whole.
    """
    out = np.zeros(inside.shape, np.int32)
    nearest = _offsets(reach_px)
    near = ndimage.binary_dilation(inside, _disc(gap_px)) | ndimage.binary_dilation(unknown, _disc(gap_px))
    rows, cols = np.nonzero(ndimage.binary_dilation(inside, _disc(reach_px)) & ~near)
    for down, right in nearest:
        r, c = rows + down, cols + right
        there = (r >= 0) & (r < inside.shape[0]) & (c >= 0) & (c < inside.shape[1])
        there[there] = inside[r[there], c[there]]
        out[rows[there], cols[there]] = owners[r[there], c[there]]
        rows, cols = rows[~there], cols[~there]
    return out


def _offsets(reach_px: float) -> list[tuple[int, int]]:
    """Return offsets to all pixels within reach, nearest first, then in row-major order."""
    size = int(reach_px)
    steps = range(-size, size + 1)
    found = [(down**2 + right**2, down, right) for down in steps for right in steps]
    return [(down, right) for square, down, right in sorted(found) if square <= reach_px**2]


def _disc(radius_px: float) -> np.ndarray:
    size = int(radius_px)
    down, right = np.mgrid[-size : size + 1, -size : size + 1]
    return np.asarray(down**2 + right**2 <= radius_px**2)
