"""The loops of bilinear interpolation."""

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.resampling.coordinates import BITS, FRACTION, ONE, SCALE, SHIFT, fixed, row_ends


@kernel(inline="always")
def _blend(a, b, c, d, down, right):  # type: ignore[no-untyped-def]
    """Return the bilinear interpolation of four valid neighbours: upper left, upper right, lower left, lower right."""
    upper, lower = a + (b - a) * right, c + (d - c) * right
    return upper + (lower - upper) * down


@kernel(inline="always", error_model="numpy")
def _blend_valid(a, b, c, d, ok_a, ok_b, ok_c, ok_d, down, right):  # type: ignore[no-untyped-def]
    """Return the same of the valid neighbours, with their weights rescaled."""
    zero, up, west = np.float32(0), np.float32(1) - down, np.float32(1) - right
    # an invalid value may be NaN, which a weight of 0 would not remove
    weight_a, weight_b = up * west if ok_a else zero, up * right if ok_b else zero
    weight_c, weight_d = down * west if ok_c else zero, down * right if ok_d else zero
    total = (a if ok_a else zero) * weight_a + (b if ok_b else zero) * weight_b
    total = total + (c if ok_c else zero) * weight_c + (d if ok_d else zero) * weight_d
    return total / (weight_a + weight_b + weight_c + weight_d)


def _bilinear_kernel(rounds: bool):  # type: ignore[no-untyped-def]
    """Return the kernel for integers, whose results are rounded, or for floating-point numbers."""

    @kernel(inline="always")
    def stored(value):  # type: ignore[no-untyped-def]
        if not rounds:
            return value
        # rounded down by a comparison: there is no vector instruction for np.floor in the compiled loop
        whole = np.int32(value + np.float32(0.5))
        return whole - np.int32(whole > value + np.float32(0.5))

    @kernel
    def places_into(places, down, right, rest_r, step_r, rest_c, step_c, first, width):  # type: ignore[no-untyped-def]
        for i in range(places.size):
            r, c = rest_r + np.int32(i) * step_r, rest_c + np.int32(i) * step_c
            down[i], right[i] = np.float32(r & FRACTION) * SCALE, np.float32(c & FRACTION) * SCALE
            places[i] = first + (r >> SHIFT) * width + (c >> SHIFT)

    @kernel
    def neighbours_into(a, b, c, d, flat, places, width):  # type: ignore[no-untyped-def]
        for i in range(places.size):
            k = places[i]
            a[i], b[i], c[i], d[i] = flat[k], flat[k + 1], flat[k + width], flat[k + width + 1]

    @kernel
    def all_valid(values, least, most):  # type: ignore[no-untyped-def]
        bad = np.uint8(0)
        for i in range(values.size):
            # in this form also true for NaN
            bad |= np.uint8(not (values[i] >= least)) | np.uint8(not (values[i] <= most))
        return bad == 0

    @kernel
    def valid_into(line, a, b, c, d, down, right):  # type: ignore[no-untyped-def]
        for i in range(line.size):
            upper_left, upper_right = np.float32(a[i]), np.float32(b[i])
            lower_left, lower_right = np.float32(c[i]), np.float32(d[i])
            line[i] = stored(_blend(upper_left, upper_right, lower_left, lower_right, down[i], right[i]))

    @kernel(inline="always", error_model="numpy")
    def chosen(a, b, c, d, ok_a, ok_b, ok_c, ok_d, down, right, before):  # type: ignore[no-untyped-def]
        # the result of one pixel, which stays as it was `before` if its nearest neighbour is invalid
        a, b, c, d = np.float32(a), np.float32(b), np.float32(c), np.float32(d)
        some = _blend_valid(a, b, c, d, ok_a, ok_b, ok_c, ok_d, down, right)
        value = stored(_blend(a, b, c, d, down, right) if ok_a and ok_b and ok_c and ok_d else some)
        above, below = ok_b if right >= np.float32(0.5) else ok_a, ok_d if right >= np.float32(0.5) else ok_c
        return value if (below if down >= np.float32(0.5) else above) else before

    @kernel(error_model="numpy")
    def partly_valid_into(line, a, b, c, d, down, right, least, most):  # type: ignore[no-untyped-def]
        for i in range(line.size):
            line[i] = chosen(
                a[i], b[i], c[i], d[i],
                least <= a[i] <= most, least <= b[i] <= most, least <= c[i] <= most, least <= d[i] <= most,
                down[i], right[i], line[i],
            )  # fmt: skip

    @kernel(error_model="numpy")
    def border_into(line, source, first, fixed_r, fixed_c, top, left, least, most):  # type: ignore[no-untyped-def]
        height, width = source.shape
        for i in range(line.size):
            r, c = fixed_r[1] + (first + i) * fixed_r[2], fixed_c[1] + (first + i) * fixed_c[2]
            upper, lower = fixed_r[0] - top + (r >> BITS), fixed_c[0] - left + (c >> BITS)
            if not (-1 <= upper < height and -1 <= lower < width):
                continue
            down, right = np.float32(r & FRACTION) * SCALE, np.float32(c & FRACTION) * SCALE
            has_up, has_low, has_west, has_east = upper >= 0, upper + 1 < height, lower >= 0, lower + 1 < width
            up, low, west, east = max(upper, 0), min(upper + 1, height - 1), max(lower, 0), min(lower + 1, width - 1)
            a, b, c_, d = source[up, west], source[up, east], source[low, west], source[low, east]
            line[i] = chosen(
                a, b, c_, d,
                has_up and has_west and least <= a <= most, has_up and has_east and least <= b <= most,
                has_low and has_west and least <= c_ <= most, has_low and has_east and least <= d <= most,
                down, right, line[i],
            )  # fmt: skip

    @kernel(error_model="numpy")
    def into(out, source, rows, cols, step, first_row, first_col, top, left, least, most):  # type: ignore[no-untyped-def]
        height, width = source.shape
        n_cols, flat = out.shape[1], source.ravel()
        # of one row: places first, then the four neighbours, then the result, each by vector instructions
        places = np.empty(n_cols, np.int32)
        down, right = np.empty(n_cols, np.float32), np.empty(n_cols, np.float32)
        a, b = np.empty(n_cols, source.dtype), np.empty(n_cols, source.dtype)
        c, d = np.empty(n_cols, source.dtype), np.empty(n_cols, source.dtype)
        for row in range(out.shape[0]):
            begin = end = first_place = 0
            straight = False
            for cell in range(first_col // step, (first_col + n_cols - 1) // step + 2):
                start, stop = max(0, cell * step - first_col), min(n_cols, (cell + 1) * step - first_col)
                inside = False
                if start < stop:
                    row_0, row_1, col_0, col_1 = row_ends(rows, cols, step, first_row + row, cell)
                    finite = np.isfinite(row_0 + row_1 + col_0 + col_1)
                    # coordinates are linear in a cell, so its ends tell whether all neighbours lie in the window;
                    # steep cells would overflow
                    inside = (
                        finite
                        and min(row_0, row_1) - top >= 0.6
                        and max(row_0, row_1) - top < height - 0.6
                        and min(col_0, col_1) - left >= 0.6
                        and max(col_0, col_1) - left < width - 0.6
                        and max(abs(row_1 - row_0), abs(col_1 - col_0)) < 120
                    )
                    if finite:
                        fixed_r, fixed_c = fixed(row_0, row_1, step), fixed(col_0, col_1, step)
                if inside:
                    part = first_col + start - cell * step
                    place = (fixed_r[0] - top) * width + fixed_c[0] - left + (part if fixed_c[2] == ONE else 0)
                    # of a shifted lattice the neighbours lie side by side, so they need not be collected
                    is_straight = fixed_r[2] == 0 and fixed_c[2] == ONE
                    if end == 0:
                        begin, straight, first_place = start, is_straight, place
                    elif straight:
                        straight = is_straight and place == first_place + start - begin
                    end = stop
                    places_into(
                        places[start:stop], down[start:stop], right[start:stop],
                        np.int32(fixed_r[1] + part * fixed_r[2]), np.int32(fixed_r[2]),
                        np.int32(fixed_c[1] + part * fixed_c[2]), np.int32(fixed_c[2]),
                        np.int32((fixed_r[0] - top) * width + fixed_c[0] - left), np.int32(width),
                    )  # fmt: skip
                    continue
                if end > 0:
                    run, n = slice(begin, end), end - begin
                    if straight:
                        near = (
                            flat[first_place : first_place + n], flat[first_place + 1 : first_place + 1 + n],
                            flat[first_place + width : first_place + width + n],
                            flat[first_place + width + 1 : first_place + width + 1 + n],
                        )  # fmt: skip
                    else:
                        near = a[run], b[run], c[run], d[run]
                        neighbours_into(near[0], near[1], near[2], near[3], flat, places[run], np.int32(width))
                    if (
                        all_valid(near[0], least, most) and all_valid(near[1], least, most)
                        and all_valid(near[2], least, most) and all_valid(near[3], least, most)
                    ):  # fmt: skip
                        valid_into(out[row, run], near[0], near[1], near[2], near[3], down[run], right[run])
                    else:
                        partly_valid_into(
                            out[row, run], near[0], near[1], near[2], near[3], down[run], right[run], least, most
                        )
                    begin = end = 0
                if start < stop and finite:
                    part = first_col + start - cell * step
                    border_into(out[row, start:stop], source, part, fixed_r, fixed_c, top, left, least, most)

    return into


rounded_into, unrounded_into = _bilinear_kernel(rounds=True), _bilinear_kernel(rounds=False)
