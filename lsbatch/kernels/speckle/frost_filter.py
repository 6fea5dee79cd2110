"""Frost's speckle filter."""

from functools import cache

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.speckle.moments import ONE, ZERO, moments, padded

STRIP_COLS = 512
#: Exponents beyond this change nothing: the weight of the pixel itself is 1, and exp(-80) is 1e-35.
LARGEST_EXPONENT = np.float32(80)
LOG2_E, HALF = np.float32(np.log2(np.e)), np.float32(0.5)
#: 2^23 and the bias of the exponent: the lowest bits of `SHIFTED` less a whole number are an exponent.
SHIFTED, MANTISSA_BITS = np.float32(2**23 + 127), 23
#: Coefficients of the power series of 2^x.
E1, E2, E3, E4, E5, E6, E7 = (np.float32(np.log(2) ** k / np.prod(np.arange(1.0, k + 1))) for k in range(1, 8))


def frost(power: np.ndarray, size: int, damping: float) -> np.ndarray:
    """Frost's filter (Frost et al. 1982): mean weighted by exp(-damping ci^2 distance), distance in pixels.

    Parameters
    ----------
    power : array (rows, cols)
        Linear power.
    size : int
        Side of the window, odd.
    damping : float
        Damping factor; 0 gives the boxcar mean. Orfeo's `deramp`.

    Returns
    -------
    array (rows, cols), float32
    """
    mean, variance = moments(power, size)
    half = size // 2
    return _frost(padded(power, half), mean, variance, *_rings(half), np.float32(damping))  # type: ignore[arg-type]


@cache
def _rings(half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of a window around its middle, and the distance of each group of equally distant pixels.

    Returns
    -------
    offsets : int array (groups, pixels, 2)
        Rows and columns; a group with fewer pixels than the largest repeats its first.
    groups : float array (groups, 3)
        Number of pixels; distance of the base; multiple of it. A distance is a multiple of the distance whose square
        has no square factor, and the weight a power of its weight, so five exponentials are enough for a 7 x 7 window.
    """
    span = range(-half, half + 1)
    offsets = [(row, col) for row in span for col in span if row or col]
    squares = sorted({_split(row * row + col * col) for row, col in offsets})
    rings = [[o for o in offsets if o[0] ** 2 + o[1] ** 2 == base * multiple**2] for base, multiple in squares]
    longest = max((len(ring) for ring in rings), default=0)
    filled = [ring + ring[:1] * (longest - len(ring)) for ring in rings]
    groups = [(len(ring), np.sqrt(base), multiple) for ring, (base, multiple) in zip(rings, squares, strict=True)]
    shape = (len(rings), longest, 2)
    return np.array(filled, np.int64).reshape(shape), np.array(groups, np.float64).reshape(len(rings), 3)


def _split(square: int) -> tuple[int, int]:
    """Return (base, multiple) with base * multiple^2 equal to a square distance, the multiple as large as possible."""
    multiple = max(m for m in range(1, int(square**0.5) + 1) if square % (m * m) == 0)
    return square // multiple**2, multiple


@kernel(error_model="numpy")
def _frost(
    power: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    offsets: np.ndarray,
    groups: np.ndarray,
    damping: float,
) -> np.ndarray:
    rows, cols = mean.shape
    half = (power.shape[0] - rows) // 2
    out = np.empty((rows, cols), np.float32)
    strip = min(cols, STRIP_COLS)
    decay, base, level = np.empty(strip, np.float32), np.empty(strip, np.float32), np.empty(strip, np.float32)
    powers, values, count = np.empty(strip, np.float32), np.empty(strip, np.float32), np.empty(strip, np.float32)
    total, weight = np.empty(strip, np.float32), np.empty(strip, np.float32)
    for row in range(rows):
        for left in range(0, cols, strip):
            width = min(strip, cols - left)
            own = power[row + half][left + half :][:width]
            _decay_into(decay, mean[row][left : left + width], variance[row][left : left + width], damping)
            _start_into(total, weight, own)
            for g in range(groups.shape[0]):
                if groups[g, 2] == 1:
                    _exponential_into(base[:width], powers, decay, np.float32(groups[g, 1]))  # type: ignore[arg-type]
                _raise_into(level[:width], base, int(groups[g, 2]))
                values[:] = count[:] = 0
                # a group has 4 pixels, or a multiple of 4
                for k in range(0, int(groups[g, 0]), 4):
                    four = offsets[g, k : k + 4]
                    _gather_into(
                        values[:width],
                        count,
                        power[row + half + four[0, 0]][left + half + four[0, 1] :],
                        power[row + half + four[1, 0]][left + half + four[1, 1] :],
                        power[row + half + four[2, 0]][left + half + four[2, 1] :],
                        power[row + half + four[3, 0]][left + half + four[3, 1] :],
                    )
                _weigh_into(total[:width], weight, values, count, level)
            target = out[row][left : left + width]
            for col in range(width):
                target[col] = total[col] / weight[col] if own[col] == own[col] else np.float32(np.nan)
    return out


@kernel(error_model="numpy")
def _decay_into(decay: np.ndarray, mean: np.ndarray, variance: np.ndarray, damping: float) -> None:
    for col in range(mean.size):
        rate = damping * variance[col] / (mean[col] * mean[col])
        decay[col] = rate if rate >= ZERO else ZERO


@kernel
def _start_into(total: np.ndarray, weight: np.ndarray, own: np.ndarray) -> None:
    """Begin with the pixel itself, of weight 1."""
    for col in range(own.size):
        is_known = own[col] == own[col]
        total[col] = own[col] if is_known else ZERO
        weight[col] = ONE if is_known else ZERO


@kernel
def _exponential_into(out: np.ndarray, powers: np.ndarray, decay: np.ndarray, distance: float) -> None:
    """Write exp(-decay distance): 2 to a fraction by its power series, and 2 to a whole number by the exponent's bits.

    The compiler makes vector instructions of this, which it cannot of a call of `exp`. Relative error below 3e-7.
    """
    for col in range(out.size):
        x = decay[col] * distance
        x = (x if x < LARGEST_EXPONENT else LARGEST_EXPONENT) * LOG2_E
        whole = np.floor(x + HALF)
        y = whole - x
        out[col] = ONE + y * (E1 + y * (E2 + y * (E3 + y * (E4 + y * (E5 + y * (E6 + y * E7))))))
        powers[col] = SHIFTED - whole
    bits = powers.view(np.int32)
    for col in range(out.size):
        bits[col] = bits[col] << MANTISSA_BITS
    for col in range(out.size):
        out[col] *= powers[col]


@kernel
def _raise_into(level: np.ndarray, base: np.ndarray, multiple: int) -> None:
    """Write the base to the power of its multiple, from the power before."""
    for col in range(level.size):
        value, before = base[col], level[col]
        level[col] = value if multiple == 1 else before * value


@kernel
def _gather_into(
    values: np.ndarray, count: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> None:
    """Add four pixels; NaN is not counted. In two loops, because of one the compiler makes no vectors."""
    for col in range(values.size):
        one, two, three, four = a[col], b[col], c[col], d[col]
        values[col] += ((one if one == one else ZERO) + (two if two == two else ZERO)) + (
            (three if three == three else ZERO) + (four if four == four else ZERO)
        )
    for col in range(values.size):
        one, two, three, four = a[col], b[col], c[col], d[col]
        count[col] += ((ONE if one == one else ZERO) + (ONE if two == two else ZERO)) + (
            (ONE if three == three else ZERO) + (ONE if four == four else ZERO)
        )


@kernel
def _weigh_into(
    total: np.ndarray, weight: np.ndarray, values: np.ndarray, count: np.ndarray, level: np.ndarray
) -> None:
    for col in range(total.size):
        total[col] += level[col] * values[col]
        weight[col] += level[col] * count[col]
