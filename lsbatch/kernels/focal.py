"""Focal filters in a circular window: mode, median, dilation, erosion.

A pixel belongs to the circle if its centre does, so a radius of 1.5 px is 3 x 3. Pixels outside the array are ignored:
tiles need a halo of `floor(radius_px)`.
"""

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.median_networks import median_into, middle

NODATA = 255
#: Columns processed together, so that the rows of a window stay in the first cache.
STRIP_COLS = 1024
FAR = 65535


def circle(radius_px: float) -> np.ndarray:
    """Return offsets (n, 2) in rows and columns of the pixels whose centre lies within the radius.

    Parameters
    ----------
    radius_px : float

    Returns
    -------
    array (n, 2), int
        Rows and columns, from the centre.
    """
    reach = int(np.floor(radius_px))
    span = np.arange(-reach, reach + 1)
    rows, cols = np.meshgrid(span, span, indexing="ij")
    inside = rows**2 + cols**2 <= radius_px**2
    return np.stack([rows[inside], cols[inside]], axis=1)


def mode(labels: np.ndarray, radius_px: float = 1.5) -> np.ndarray:
    """Return the most frequent label in a circle; ties go to the smaller label.

    Parameters
    ----------
    labels : array (rows, cols), uint8
        255 is nodata: it is unchanged and does not vote.
    radius_px : float

    Returns
    -------
    array (rows, cols), uint8
    """
    labels = np.ascontiguousarray(labels, np.uint8)
    out = np.full(labels.shape, NODATA, np.uint8)
    _mode_into(out, labels, circle(radius_px))
    return out


@kernel
def _mode_into(out: np.ndarray, labels: np.ndarray, offsets: np.ndarray) -> None:
    rows, cols = labels.shape
    reach = offsets[:, 0].max()
    present = np.zeros((rows, 256), np.bool_)
    for row in range(rows):
        for col in range(cols):
            present[row, labels[row, col]] = True
    votes = np.empty(cols, np.uint16)
    most = np.empty(cols, np.uint16)
    for row in range(rows):
        most[:] = 0
        top, bottom = max(0, row - reach), min(rows, row + reach + 1)
        # in ascending order, and only a larger count replaces: ties keep the smaller label
        for label in range(NODATA):
            if present[top:bottom, label].any():
                _count_into(votes, labels, row, np.uint8(label), offsets)  # type: ignore[arg-type]
                _win_into(out[row], most, votes, labels[row], np.uint8(label))  # type: ignore[arg-type]


@kernel
def _count_into(votes: np.ndarray, labels: np.ndarray, row: int, label: int, offsets: np.ndarray) -> None:
    rows, cols = labels.shape
    votes[:] = 0
    for k in range(offsets.shape[0]):
        r, shift = row + offsets[k, 0], offsets[k, 1]
        if 0 <= r < rows and abs(shift) < cols:
            width = cols - abs(shift)
            target = votes[max(0, -shift) :][:width]
            source = labels[r][max(0, shift) :][:width]
            for col in range(width):
                target[col] += np.uint16(source[col] == label)


@kernel
def _win_into(out: np.ndarray, most: np.ndarray, votes: np.ndarray, own: np.ndarray, label: int) -> None:
    for col in range(out.size):
        wins = (votes[col] > most[col]) & (own[col] != NODATA)
        most[col] = votes[col] if wins else most[col]
        out[col] = label if wins else out[col]


def median(values: np.ndarray, radius_px: float = 1.5) -> np.ndarray:
    """Return the median in a circle of the values that are not NaN; NaN stays NaN.

    Parameters
    ----------
    values : array (rows, cols)
    radius_px : float

    Returns
    -------
    array (rows, cols), float32
    """
    offsets = circle(radius_px)
    values = np.ascontiguousarray(values, np.float32)
    out = np.empty(values.shape, np.float32)
    _median_into(out, values, offsets, middle(len(offsets)))
    return out


@kernel
def _median_into(out: np.ndarray, values: np.ndarray, offsets: np.ndarray, exchanges: np.ndarray) -> None:
    rows, cols = values.shape
    width = min(cols, STRIP_COLS)
    window = np.empty((offsets.shape[0], width), np.float32)
    missing = np.empty(width, np.int32)
    for row in range(rows):
        for left in range(0, cols, width):
            right = min(cols, left + width)
            for k in range(offsets.shape[0]):
                _shift_into(window[k][: right - left], values, row + offsets[k, 0], left + offsets[k, 1])
            target, own = out[row, left:right], values[row, left:right]
            median_into(target, window, exchanges, missing)
            for col in range(target.size):
                target[col] = target[col] if own[col] == own[col] else np.float32(np.nan)


@kernel
def _shift_into(target: np.ndarray, values: np.ndarray, row: int, left: int) -> None:
    """Copy values[row, left:left + target.size]; NaN outside the array."""
    rows, cols = values.shape
    start, stop = max(0, -left), min(target.size, cols - left)
    if not 0 <= row < rows or stop <= start:
        target[:] = np.nan
        return
    target[:start] = np.nan
    target[start:stop] = values[row, left + start : left + stop]
    target[stop:] = np.nan


def dilate(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Return True within the radius of a True pixel, centre to centre.

    Parameters
    ----------
    mask : bool array (rows, cols)
    radius_px : float
        0 returns a copy.

    Returns
    -------
    bool array (rows, cols)
    """
    span = np.arange(int(np.floor(radius_px)) + 1)
    reach = np.floor(np.sqrt(radius_px**2 - span**2)).astype(np.uint16)
    mask = np.ascontiguousarray(mask, np.bool_)
    out = np.zeros(mask.shape, np.bool_)
    _dilate_into(out, mask, reach)
    return out


def erode(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Return True for pixels farther than the radius from every False pixel. Pixels outside the array are not False.

    Parameters
    ----------
    mask : bool array (rows, cols)
    radius_px : float
        0 returns a copy.

    Returns
    -------
    bool array (rows, cols)
    """
    return ~dilate(~np.asarray(mask, np.bool_), radius_px)


@kernel
def _dilate_into(out: np.ndarray, mask: np.ndarray, reach: np.ndarray) -> None:
    """Dilate a row. `reach[d]` is the reach along the row of a pixel that is d rows away."""
    rows, cols = mask.shape
    away = np.empty(cols, np.uint16)
    for row in range(rows):
        if not _distance_into(away, mask[row]):
            continue
        for d in range(reach.size):
            for r in (row - d, row + d):
                if 0 <= r < rows:
                    _near_into(out[r], away, reach[d])


@kernel
def _near_into(target: np.ndarray, away: np.ndarray, reach: int) -> None:
    for col in range(target.size):
        target[col] |= away[col] <= reach


@kernel
def _distance_into(away: np.ndarray, mask: np.ndarray) -> bool:
    """Write the distance in columns to the nearest True of the row; False if there is none."""
    last, found = FAR, False
    for col in range(mask.size):
        last = 0 if mask[col] else min(last + 1, FAR)
        found |= mask[col]
        away[col] = last
    last = FAR
    for col in range(mask.size - 1, -1, -1):
        last = 0 if mask[col] else min(last + 1, FAR)
        away[col] = min(np.int64(away[col]), last)
    return found
