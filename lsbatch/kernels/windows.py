"""Where windows lie on a block, and how their answers are put together; pure arithmetic.

A block is a tile's core with a halo on each side. Its core starts on a multiple of the tile's side in the national
array, so a window that is aligned to the core is aligned to the nation.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """A square of a block.

    Attributes
    ----------
    read : (slice, slice)
        Rows and columns of the block that the network sees.
    keep : (slice, slice)
        Rows and columns of the core (without halo) that its answer is for.
    trim : (slice, slice)
        The same pixels in the window's own rows and columns.
    """

    read: tuple[slice, slice]
    keep: tuple[slice, slice]
    trim: tuple[slice, slice]


def exact(core_shape: tuple[int, int], halo_px: int, window_px: int, lattice_px: int) -> tuple[Window, ...]:
    """Windows of one size, at most `window_px` with halo, that cover the core and start on the lattice.

    Parameters
    ----------
    core_shape : (rows, cols)
        Multiples of `lattice_px`.
    halo_px : int
        Multiple of `lattice_px`, at least the receptive field's radius.
    window_px : int
        Largest side, halo included.
    lattice_px : int
        2^depth of the network.

    Raises
    ------
    ValueError
        If a size is off the lattice, or no pixel is left between two halos.
    """
    for name, value in (("rows", core_shape[0]), ("cols", core_shape[1]), ("halo_px", halo_px)):
        if value % lattice_px:
            raise ValueError(f"{name}={value} is not a multiple of the network's lattice of {lattice_px} px")
    axes = [_spans(size, halo_px, window_px, lattice_px) for size in core_shape]
    return tuple(
        Window(
            (slice(r, r + h + 2 * halo_px), slice(c, c + w + 2 * halo_px)),
            (slice(r, r + h), slice(c, c + w)),
            (slice(halo_px, halo_px + h), slice(halo_px, halo_px + w)),
        )
        for r, h in axes[0]
        for c, w in axes[1]
    )


def _spans(size: int, halo_px: int, window_px: int, lattice_px: int) -> list[tuple[int, int]]:
    """(start, length) of equal spans that cover an axis; the last one is moved back to end with the core."""
    largest = (window_px - 2 * halo_px) // lattice_px * lattice_px
    if largest <= 0:
        raise ValueError(f"window_px={window_px} leaves nothing between two halos of {halo_px} px; it must be at least {2 * halo_px + lattice_px}")
    count = -(-size // largest)
    length = -(-size // count // lattice_px) * lattice_px
    return [(min(i * length, size - length), length) for i in range(count)]


def blend(core_shape: tuple[int, int], window_px: int, stride_px: int) -> tuple[tuple[slice, slice], ...]:
    """Sliding windows of a block whose halo is `window_px - stride_px`, complete for every pixel of the core.

    They start on multiples of the stride from the national origin, so neighbouring tiles use the same windows.
    """
    halo_px = window_px - stride_px
    starts = [range(0, size + halo_px, stride_px) for size in core_shape]
    for size in core_shape:
        if size % stride_px or halo_px % stride_px:
            raise ValueError(f"{size} px and a halo of {halo_px} px must be multiples of the stride of {stride_px} px")
    return tuple((slice(r, r + window_px), slice(c, c + window_px)) for r in starts[0] for c in starts[1])


def hann(window_px: int) -> np.ndarray:
    """Weights (window_px, window_px), float32, largest in the middle and above 0 everywhere.

    Sampled half a pixel inside the Hann window's zeros: a weight of 0 would give 0/0 where windows end together.
    """
    one = np.sin(np.pi * (np.arange(window_px) + 0.5) / window_px) ** 2
    return np.outer(one, one).astype(np.float32)


def add_into(total: np.ndarray, weight: np.ndarray, place: tuple[slice, slice], values: np.ndarray, weights: np.ndarray) -> None:
    """Add a window's weighted answer and its weights; divide `total` by `weight` once, at the end."""
    total[place] += weights * values
    weight[place] += weights


def receptive_radius_px(depth: int) -> int:
    """How far an input pixel can be from an output pixel that it changes, in a U-Net of this house.

    Two 3x3 convolutions a level, 2x2 pooling, 2x2 upsampling; found by following the interval of one output pixel
    back through the deepest way, for each of the 2^depth positions on the lattice.
    """
    worst = 0
    for pixel in range(2**depth):
        low = high = pixel + 2**depth * 64
        start = low
        for _ in range(depth):
            # two convolutions of the decoder, then the coarser cells that were upsampled
            low, high = (low - 2) // 2, (high + 2) // 2
        low, high = low - 2, high + 2
        for _ in range(depth):
            # the pixels that a coarse cell was pooled from, then two convolutions of the encoder
            low, high = 2 * low - 2, 2 * high + 1 + 2
        worst = max(worst, start - low, high - start)
    return worst
