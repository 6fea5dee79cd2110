"""Source coordinates of target pixels, interpolated between nodes of the target lattice."""

import numpy as np

from lsbatch.kernels.compilation import kernel

#: Coordinates inside a cell of nodes are fixed-point numbers with this many bits after the point: they are added and
#: cut by 32-bit vector instructions, twice as fast as double precision. Rounding moves a pixel by 2e-6 px at most.
BITS = 24
ONE = np.int64(2**BITS)
UNIT, HALF = np.float64(2.0**BITS), np.int64(2 ** (BITS - 1))
SCALE, FRACTION, SHIFT = np.float32(2.0**-BITS), np.int32(2**BITS - 1), np.int32(BITS)


@kernel(inline="always")
def row_ends(rows, cols, step, i, cell):  # type: ignore[no-untyped-def]
    """Return the coordinates on target row `i` at both ends of a cell of nodes: rows, then columns."""
    above, part = i // step, (i % step) / step
    if step == 1:
        # a node at every pixel; the next one may have no place in the source
        return rows[above, cell], rows[above, cell], cols[above, cell], cols[above, cell]
    row_0 = rows[above, cell] + (rows[above + 1, cell] - rows[above, cell]) * part
    row_1 = rows[above, cell + 1] + (rows[above + 1, cell + 1] - rows[above, cell + 1]) * part
    col_0 = cols[above, cell] + (cols[above + 1, cell] - cols[above, cell]) * part
    col_1 = cols[above, cell + 1] + (cols[above + 1, cell + 1] - cols[above, cell + 1]) * part
    return row_0, row_1, col_0, col_1


@kernel(inline="always")
def fixed(first, last, step):  # type: ignore[no-untyped-def]
    """Return whole pixel, fixed-point rest and fixed-point step of coordinates from the centre of the first pixel."""
    whole = np.floor(first - 0.5)
    return (
        np.int64(whole),
        np.int64(np.rint((first - 0.5 - whole) * UNIT)),
        np.int64(np.rint((last - first) / step * UNIT)),
    )


@kernel
def bounds_of(rows, cols, step, first_row, first_col, n_rows, n_cols):  # type: ignore[no-untyped-def]
    least_r = least_c = np.inf
    most_r = most_c = -np.inf
    for i in range(first_row, first_row + n_rows):
        # the first and last row, and rows of nodes
        if i != first_row and i != first_row + n_rows - 1 and i % step:
            continue
        for j in range(first_col, first_col + n_cols):
            if j != first_col and j != first_col + n_cols - 1 and j % step:
                continue
            cell = j // step
            row_0, row_1, col_0, col_1 = row_ends(rows, cols, step, i, cell)
            part = (j - cell * step) / step
            r, c = row_0 + (row_1 - row_0) * part, col_0 + (col_1 - col_0) * part
            if np.isfinite(r) and np.isfinite(c):
                least_r, most_r = min(least_r, r), max(most_r, r)
                least_c, most_c = min(least_c, c), max(most_c, c)
    return least_r, most_r, least_c, most_c
