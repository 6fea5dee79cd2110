"""What the surroundings of a pixel share: means of cells, the median of the cells around, values between cells.

A cell is a square of pixels. The median of cell means over some 500 m is not moved by a landslide that is smaller than
half of this area, and not by speckle.
"""

import numpy as np

from lsbatch.kernels.compilation import kernel

#: Largest side of a cell, and the side of the square of cells that count as surroundings, in metres.
CELL_M, AROUND_M = 80.0, 560.0
#: Most pixels along the side of a cell. It divides the side of every tile, so that all tiles have the same cells.
LARGEST_CELL_PX = 16
#: Share of the cells around that must have a value.
LEAST_SHARE = 0.25


def sizes(side_m: float) -> tuple[int, int]:
    """Return the pixels along a cell, and the cells on each side of the middle one that count as surroundings.

    Parameters
    ----------
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    cell_px, reach_cells : int
        A cell is a power of two; at least one cell on each side counts.
    """
    cell_px = 1
    while cell_px < LARGEST_CELL_PX and 2 * cell_px * side_m <= CELL_M:
        cell_px *= 2
    return cell_px, half_width(AROUND_M, cell_px * side_m)


def half_width(width_m: float, side_m: float) -> int:
    """Return the cells or pixels on each side of the middle one that make up a width, at least one.

    Parameters
    ----------
    width_m, side_m : float
        Of the whole window, and of a cell or pixel, in metres.

    Returns
    -------
    int
    """
    return max(1, round((width_m / side_m - 1) / 2))


def halo_px(side_m: float) -> int:
    """Return the pixels around a tile on which its surroundings depend: whole cells, one more for `between`.

    Parameters
    ----------
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    int
    """
    cell_px, reach = sizes(side_m)
    return (reach + 1) * cell_px


def shared(values: np.ndarray, side_m: float) -> np.ndarray:
    """Return what the surroundings share at each pixel: the median of the cell means around it, between cells.

    Parameters
    ----------
    values : float array (rows, cols)
        NaN is nodata. Rows and columns are multiples of a cell; the first pixel begins a cell of the national grid.
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    float32 array (rows, cols)
    """
    cell_px, reach = sizes(side_m)
    return between(median(means(values, cell_px), reach), cell_px)


def sums(values: np.ndarray, cell_px: int) -> np.ndarray:
    """Return the sum of each cell; NaN counts as 0.

    Parameters
    ----------
    values : array (rows, cols)
        Rows and columns are multiples of `cell_px`.
    cell_px : int

    Returns
    -------
    float32 array (rows / cell_px, cols / cell_px)
    """
    out = np.zeros((values.shape[0] // cell_px, values.shape[1] // cell_px), np.float32)
    _sums_into(out, values, cell_px)
    return out


def means(values: np.ndarray, cell_px: int) -> np.ndarray:
    """Return the mean of the finite values of each cell; NaN if fewer than half are finite.

    Parameters
    ----------
    values, cell_px
        As in `sums`.

    Returns
    -------
    float32 array (rows / cell_px, cols / cell_px)
    """
    # float32 as the values: one compilation of the sums serves both
    count = sums(np.isfinite(values).astype(np.float32), cell_px)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= cell_px**2 / 2, sums(values, cell_px) / count, np.float32(np.nan))


def median(cells: np.ndarray, reach: int) -> np.ndarray:
    """Return the median of the finite cells in the square around each cell.

    Parameters
    ----------
    cells : array (rows, cols)
    reach : int
        Cells on each side of the middle one.

    Returns
    -------
    float32 array (rows, cols)
        NaN where fewer than `LEAST_SHARE` of the square are finite. Outside the array nothing is finite.
    """
    out = np.full(cells.shape, np.nan, np.float32)
    _median_into(out, np.ascontiguousarray(cells, np.float32), reach, LEAST_SHARE * (2 * reach + 1) ** 2)
    return out


def between(cells: np.ndarray, cell_px: int) -> np.ndarray:
    """Return the value at each pixel, bilinear between the middles of cells.

    Parameters
    ----------
    cells : array (rows, cols)
        NaN is left out, and the weights of the other cells are scaled to 1.
    cell_px : int

    Returns
    -------
    float32 array (rows * cell_px, cols * cell_px)
        At the border, the value of the nearest cells. NaN where the cell of the pixel is NaN.
    """
    out = np.empty((cells.shape[0] * cell_px, cells.shape[1] * cell_px), np.float32)
    _between_into(out, np.ascontiguousarray(cells, np.float32), cell_px)
    return out


@kernel
def _sums_into(out, values, cell_px):  # type: ignore[no-untyped-def]
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = values[row, col]
            if value == value:
                out[row // cell_px, col // cell_px] += value


@kernel
def _median_into(out, cells, reach, least):  # type: ignore[no-untyped-def]
    rows, cols = cells.shape
    found = np.empty((2 * reach + 1) ** 2, np.float32)
    for row in range(rows):
        for col in range(cols):
            count = 0
            for r in range(max(0, row - reach), min(rows, row + reach + 1)):
                for c in range(max(0, col - reach), min(cols, col + reach + 1)):
                    value = cells[r, c]
                    if value == value:
                        # insertion: with 49 cells as fast as a selection, and it compiles in a fraction of the time
                        at = count
                        while at > 0 and found[at - 1] > value:
                            found[at] = found[at - 1]
                            at -= 1
                        found[at] = value
                        count += 1
            if count >= least:
                out[row, col] = (found[(count - 1) // 2] + found[count // 2]) / np.float32(2)


@kernel
def _between_into(out, cells, cell_px):  # type: ignore[no-untyped-def]
    rows, cols = cells.shape
    for row in range(out.shape[0]):
        y = (row + 0.5) / cell_px - 0.5
        top = min(max(int(np.floor(y)), 0), rows - 1)
        bottom = min(top + 1, rows - 1)
        low = np.float32(min(max(y - top, 0.0), 1.0))
        for col in range(out.shape[1]):
            if cells[row // cell_px, col // cell_px] != cells[row // cell_px, col // cell_px]:
                out[row, col] = np.nan
                continue
            x = (col + 0.5) / cell_px - 0.5
            left = min(max(int(np.floor(x)), 0), cols - 1)
            right = min(left + 1, cols - 1)
            east = np.float32(min(max(x - left, 0.0), 1.0))
            total = np.float32(0)
            weight = np.float32(0)
            for r, share in ((top, np.float32(1) - low), (bottom, low)):
                for c, part in ((left, np.float32(1) - east), (right, east)):
                    value = cells[r, c]
                    if value == value:
                        total += share * part * value
                        weight += share * part
            out[row, col] = total / weight
