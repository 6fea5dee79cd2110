"""The loops of nearest neighbour and of the mean of the covered pixels."""

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.resampling.coordinates import BITS, HALF, fixed, row_ends


@kernel(error_model="numpy")
def nearest_into(out, source, rows, cols, step, first_row, first_col, top, left, least, most):  # type: ignore[no-untyped-def]
    height, width = source.shape
    for row in range(out.shape[0]):
        for cell in range(first_col // step, (first_col + out.shape[1] - 1) // step + 1):
            start, stop = max(0, cell * step - first_col), min(out.shape[1], (cell + 1) * step - first_col)
            row_0, row_1, col_0, col_1 = row_ends(rows, cols, step, first_row + row, cell)
            if not np.isfinite(row_0 + row_1 + col_0 + col_1):
                continue
            whole_r, rest_r, step_r = fixed(row_0, row_1, step)
            whole_c, rest_c, step_c = fixed(col_0, col_1, step)
            for col in range(start, stop):
                part = first_col + col - cell * step
                r = whole_r - top + ((rest_r + part * step_r + HALF) >> BITS)
                c = whole_c - left + ((rest_c + part * step_c + HALF) >> BITS)
                if 0 <= r < height and 0 <= c < width:
                    value = source[r, c]
                    if least <= value <= most:
                        out[row, col] = value


@kernel(error_model="numpy")
def mean_into(out, source, rows, cols, step, first_row, first_col, top, left, least, most, rounds):  # type: ignore[no-untyped-def]
    height, width = source.shape
    for row in range(out.shape[0]):
        i = first_row + row
        for col in range(out.shape[1]):
            j = first_col + col
            cell = j // step
            row_0, row_1, col_0, col_1 = row_ends(rows, cols, step, i, cell)
            part = (j - cell * step) / step
            r, c = row_0 + (row_1 - row_0) * part - top, col_0 + (col_1 - col_0) * part - left
            if not (0 <= r < height and 0 <= c < width and least <= source[np.int64(r), np.int64(c)] <= most):
                continue
            # steps in the source by one target pixel to the right and down
            above = i // step
            right_r = (rows[above, cell + 1] - rows[above, cell]) / step
            right_c = (cols[above, cell + 1] - cols[above, cell]) / step
            down_r = (rows[above + 1, cell] - rows[above, cell]) / step
            down_c = (cols[above + 1, cell] - cols[above, cell]) / step
            area = down_r * right_c - down_c * right_r
            reach_r, reach_c = (abs(right_r) + abs(down_r)) / 2, (abs(right_c) + abs(down_c)) / 2
            total, count = 0.0, 0
            for y in range(max(0, int(np.floor(r - reach_r))), min(height, int(np.ceil(r + reach_r)) + 1)):
                for x in range(max(0, int(np.floor(c - reach_c))), min(width, int(np.ceil(c + reach_c)) + 1)):
                    away_r, away_c = y + 0.5 - r, x + 0.5 - c
                    # position in the target pixel, -0.5 to 0.5
                    down = (away_r * right_c - away_c * right_r) / area
                    right = (away_c * down_r - away_r * down_c) / area
                    if -0.5 <= down < 0.5 and -0.5 <= right < 0.5 and least <= source[y, x] <= most:
                        total += source[y, x]
                        count += 1
            if count:
                value = total / count
                out[row, col] = np.floor(value + 0.5) if rounds else value


@kernel
def keep_valid_into(values, least, most, fill):  # type: ignore[no-untyped-def]
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            value = values[row, col]
            values[row, col] = value if least <= value <= most else fill
