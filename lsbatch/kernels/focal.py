"""Focal filters on labels."""

import numpy as np
from numba import njit

NODATA = 255


def circle(radius_px: float) -> np.ndarray:
    """Offsets (n, 2) in rows and columns of the pixels whose centre lies within the radius."""
    reach = int(np.floor(radius_px))
    span = np.arange(-reach, reach + 1)
    rows, cols = np.meshgrid(span, span, indexing="ij")
    inside = rows**2 + cols**2 <= radius_px**2
    return np.stack([rows[inside], cols[inside]], axis=1)


def mode(labels: np.ndarray, radius_px: float = 1.5) -> np.ndarray:
    """Most frequent label in a circle, one pass; ties go to the smaller label.

    Parameters
    ----------
    labels : array (rows, cols), uint8
        255 is nodata: it stays, and does not vote.
    radius_px : float

    Returns
    -------
    array (rows, cols), uint8
    """
    return _mode(np.ascontiguousarray(labels, np.uint8), circle(radius_px))


@njit(nogil=True)
def _mode(labels, offsets):  # type: ignore[no-untyped-def]
    rows, cols = labels.shape
    out = np.empty_like(labels)
    votes = np.zeros(256, np.int32)
    for row in range(rows):
        for col in range(cols):
            if labels[row, col] == NODATA:
                out[row, col] = NODATA
                continue
            best, best_votes = np.uint8(NODATA), 0
            for k in range(offsets.shape[0]):
                r, c = row + offsets[k, 0], col + offsets[k, 1]
                if 0 <= r < rows and 0 <= c < cols and labels[r, c] != NODATA:
                    votes[labels[r, c]] += 1
            for k in range(offsets.shape[0]):
                r, c = row + offsets[k, 0], col + offsets[k, 1]
                if 0 <= r < rows and 0 <= c < cols and labels[r, c] != NODATA:
                    label = labels[r, c]
                    if votes[label] > best_votes or (votes[label] == best_votes and label < best):
                        best, best_votes = label, votes[label]
            for k in range(offsets.shape[0]):
                r, c = row + offsets[k, 0], col + offsets[k, 1]
                if 0 <= r < rows and 0 <= c < cols:
                    votes[labels[r, c]] = 0
            out[row, col] = best
    return out
