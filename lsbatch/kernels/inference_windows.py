"""Cut a padded block into inference windows so that tiles agree with the whole image.

There are two methods. `exact` reads windows with a halo of the network's receptive field and keeps the part that no
border affects. `blend` moves the paper's 128 px windows by 64 px and averages with weights. Both are anchored on the
national lattice: the core of a block starts at a multiple of the tile's side, which is a multiple of 128. With windows
anchored on each tile instead, seams of up to 0.46 in probability were measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

#: The paper's sliding window.
BLEND_WINDOW_PX, BLEND_STRIDE_PX = 128, 64
#: Smaller than every weight that `hann` gives such a window.
LEAST = 1e-9


@dataclass(frozen=True)
class Window:
    """A rectangle that is read, and the part of its prediction that is kept.

    Attributes
    ----------
    read : (rows, cols) slices of the padded block
    inner : (rows, cols) slices of the window's prediction, which has no halo in `exact`
    keep : (rows, cols) slices of the block's core, without halo; as large as `inner`
    """

    read: tuple[slice, slice]
    inner: tuple[slice, slice]
    keep: tuple[slice, slice]


def exact(
    core: tuple[int, int], halo_px: int, lattice_px: int, most_px: int, seen: np.ndarray | None = None
) -> tuple[Window, ...]:
    """Return windows whose kept parts tile the core of a block, each with the whole halo.

    All windows have one shape and at most `most_px` pixels. Of the even divisions of the core, the one with the least
    work is used: large windows have less halo, small ones skip more of the sea. A batch of windows would need the
    memory of one larger window, which is less work.

    Parameters
    ----------
    core : (rows, cols)
        Multiples of `lattice_px`.
    halo_px : int
        A multiple of `lattice_px`, at least the network's receptive field.
    lattice_px : int
        2^depth of the network; windows start on its multiples.
    most_px : int
        Most pixels of a window, halo included.
    seen : array (rows, cols) of bool or None
        Pixels of the core that are needed. Windows without any are left out. None: all.

    Returns
    -------
    tuple of Window
        In row-major order.

    Raises
    ------
    ValueError
        If the halo or the core is off the lattice, or no window fits.
    """
    if halo_px % lattice_px or any(size % lattice_px for size in core):
        raise ValueError(f"{halo_px=} and {core=} must be multiples of {lattice_px=}")
    rows, cols = (size // lattice_px for size in core)
    cells = (
        np.ones((rows, cols), bool)
        if seen is None
        else seen.reshape(rows, lattice_px, cols, lattice_px).any(axis=(1, 3))
    )
    work = {}
    for steps in product(_steps(rows), _steps(cols)):
        read_px = math.prod(step * lattice_px + 2 * halo_px for step in steps)
        if read_px <= most_px:
            # a third of a U-Net's work is done for all pixels read, two thirds only for the pixels kept
            work[steps] = _wanted(cells, steps).sum() * (read_px + 2 * math.prod(steps) * lattice_px**2)  # type: ignore[arg-type]
    if not work:
        raise ValueError(f"{most_px=} must hold {lattice_px} px with two halos of {halo_px} px, each way")
    steps = min(work, key=lambda steps: work[steps])
    axes = (_exact_axis(size, halo_px, step * lattice_px) for size, step in zip(core, steps, strict=True))
    cut = (_crossed(row, col) for row, col in product(*axes))
    return tuple(window for window, wanted in zip(cut, _wanted(cells, steps).flat, strict=True) if wanted)  # type: ignore[arg-type]


def _wanted(cells: np.ndarray, steps: tuple[int, int]) -> np.ndarray:
    """Return which windows hold an observed cell, (windows down, windows across) bool."""
    for axis, step in enumerate(steps):
        cells = np.logical_or.reduceat(cells, range(0, cells.shape[axis], step), axis=axis)
    return cells


def _steps(cells: int) -> list[int]:
    """Return the numbers of cells that a window may keep along an axis: all, a half, a third, ... one."""
    return sorted({math.ceil(cells / count) for count in range(1, cells + 1)}, reverse=True)


def _exact_axis(core_px: int, halo_px: int, step_px: int) -> list[tuple[slice, slice, slice]]:
    """Return the slices (read, inner, keep) along one axis."""
    found = []
    for first in range(0, core_px, step_px):
        # the last window is moved back into the block; pixels predicted by the window before are not kept twice
        start = min(first, core_px - step_px)
        stop = start + step_px
        found.append((slice(start, stop + 2 * halo_px), slice(first - start, step_px), slice(first, stop)))
    return found


def blend_px(window_px: int = BLEND_WINDOW_PX, stride_px: int = BLEND_STRIDE_PX) -> int:
    """Return the halo that `blend` needs, so that every window that touches the core is whole.

    Parameters
    ----------
    window_px, stride_px : int

    Returns
    -------
    int
        Pixels on each side of the core.
    """
    return window_px - stride_px


def blend(
    core: tuple[int, int],
    window_px: int = BLEND_WINDOW_PX,
    stride_px: int = BLEND_STRIDE_PX,
    seen: np.ndarray | None = None,
) -> tuple[Window, ...]:
    """Return every window of the national lattice that touches the core of a block, in row-major order.

    `inner` and `keep` are the part of each window that lies in the core. Neighbouring tiles both compute the windows
    that they share, from the same pixels, and add the same products in the same order, so they equal the whole bit for
    bit. With `seen` (rows, cols), windows without such a pixel are left out. None: all are used.

    Parameters
    ----------
    core : (rows, cols)
        Multiples of `stride_px`.
    window_px, stride_px : int
    seen : bool array (rows, cols) or None

    Returns
    -------
    tuple of Window

    Raises
    ------
    ValueError
        If the core is not a multiple of the stride, or the window is not one.
    """
    if window_px % stride_px or any(size % stride_px for size in core):
        raise ValueError(f"{window_px=} and {core=} must be multiples of {stride_px=}")
    rows, cols = (_blend_axis(size, blend_px(window_px, stride_px), window_px, stride_px) for size in core)
    cut = (_crossed(row, col) for row in rows for col in cols)
    return tuple(window for window in cut if seen is None or seen[window.keep].any())


def _blend_axis(core_px: int, halo_px: int, window_px: int, stride_px: int) -> list[tuple[slice, slice, slice]]:
    found = []
    for first in range(stride_px - window_px, core_px, stride_px):
        keep = slice(max(0, first), min(core_px, first + window_px))
        inner = slice(keep.start - first, keep.stop - first)
        found.append((slice(halo_px + first, halo_px + first + window_px), inner, keep))
    return found


def _crossed(row: Sequence[slice], col: Sequence[slice]) -> Window:
    read, inner, keep = zip(row, col, strict=True)
    return Window(read, inner, keep)


def hann(window_px: int = BLEND_WINDOW_PX) -> np.ndarray:
    """Return the weights of a window, (window, window) float32: a Hann window at pixel centres, above 0 everywhere.

    Weights of 0 give 0/0 where only one window covers a pixel. At pixel centres the smallest weight is 2e-8.

    Parameters
    ----------
    window_px : int

    Returns
    -------
    array (window_px, window_px), float32
    """
    bell = np.sin(np.pi * (np.arange(window_px) + 0.5) / window_px) ** 2
    return np.outer(bell, bell).astype(np.float32)


def add_into(total: Any, weight: Any, answer: Any, window: Window, bell: Any) -> None:
    """Add w * p to `total` and w to `weight`: numpy arrays, or tensors of one device, of the size of the core.

    Parameters
    ----------
    total, weight : arrays or tensors (rows, cols)
        Changed.
    answer : array or tensor
        Prediction of the window.
    window : Window
    bell : array or tensor
        Weights of the window, from `hann`.
    """
    share = bell[window.inner]
    total[window.keep] += share * answer[window.inner]
    weight[window.keep] += share
