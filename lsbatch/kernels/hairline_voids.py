"""Fill hairline voids of an elevation model, as between the tiles of an archive."""

import numpy as np

from lsbatch.kernels.compilation import kernel


def fill(elevation: np.ndarray, widest_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate voids that are narrow in a row or in a column, linearly across the narrower direction.

    Wider voids stay, and so do voids at the edge of the array: a tile needs a halo of `widest_px`.

    Parameters
    ----------
    elevation : array (rows, cols), float32
        NaN where unknown.
    widest_px : int
        Most unknown pixels between two known ones.

    Returns
    -------
    filled : array (rows, cols), float32
    is_filled : bool array (rows, cols)
    """
    filled = elevation.copy()
    return filled, _fill_into(filled, np.ascontiguousarray(elevation), widest_px)


@kernel
def _gap(line, at, widest):  # type: ignore[no-untyped-def]
    """Return the known pixels on both sides of an unknown one; -1, -1 if they are too far apart or missing."""
    first, last = at - 1, at + 1
    while first >= 0 and np.isnan(line[first]):
        first -= 1
        if at - first > widest:
            return -1, -1
    while last < line.size and np.isnan(line[last]):
        last += 1
        if last - at > widest:
            return -1, -1
    if first < 0 or last == line.size or last - first - 1 > widest:
        return -1, -1
    return first, last


@kernel
def _fill_into(filled, elevation, widest):  # type: ignore[no-untyped-def]
    is_filled = np.zeros(elevation.shape, np.bool_)
    for row in range(elevation.shape[0]):
        for col in range(elevation.shape[1]):
            if not np.isnan(elevation[row, col]):
                continue
            west, east = _gap(elevation[row], col, widest)
            north, south = _gap(elevation[:, col], row, widest)
            if west < 0 and north < 0:
                continue
            across = north < 0 or (west >= 0 and east - west <= south - north)
            line, at, first, last = elevation[:, col], row, north, south
            if across:
                line, at, first, last = elevation[row], col, west, east
            part = (at - first) / (last - first)
            filled[row, col] = line[first] + (line[last] - line[first]) * part
            is_filled[row, col] = True
    return is_filled
