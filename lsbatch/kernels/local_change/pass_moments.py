"""Mean backscatter of the passes of one relative orbit in dB, and how much it varies from pass to pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.local_change import surroundings
from lsbatch.kernels.local_change.decibels import PART, decibels_into

#: Subtracted before squares are summed, so that float32 is exact enough. It is near the mean of land.
ORIGIN_DB = np.float32(-12)
#: Cells on each side of the middle one over which the variance is pooled: some 240 m.
POOLED_CELLS = 1
#: Rows of which moments are computed together, whole cells.
BAND_ROWS = surroundings.LARGEST_CELL_PX


@dataclass(frozen=True)
class Moments:
    """Passes of one relative orbit in one window.

    Attributes
    ----------
    count : uint8 array (rows, cols)
        Passes that observed the pixel, at most 255.
    mean_db : float32 array (rows, cols)
        Mean of their gamma0 in dB; NaN without a pass.
    squares : float32 array (cells, cells)
        Sum of the squared deviations from the mean of each pixel, in dB^2.
    spare : float32 array (cells, cells)
        Number of deviations less the number of means: the degrees of freedom of `squares`.
    """

    count: np.ndarray
    mean_db: np.ndarray
    squares: np.ndarray
    spare: np.ndarray


def empty(shape: tuple[int, int], cell_px: int) -> Moments:
    """Return the moments of no pass.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns, multiples of `cell_px`.
    cell_px : int

    Returns
    -------
    Moments
    """
    cells = shape[0] // cell_px, shape[1] // cell_px
    return Moments(
        np.zeros(shape, np.uint8), np.full(shape, np.nan, np.float32),
        np.zeros(cells, np.float32), np.zeros(cells, np.float32),
    )  # fmt: skip


def fill(into: Moments, rows: slice, passes: Sequence[np.ndarray], cell_px: int) -> None:
    """Compute the moments of a strip of rows.

    Parameters
    ----------
    into : Moments
        Its rows of the strip are replaced.
    rows : slice
        A whole number of cells.
    passes : sequence of float32 arrays (rows, cols)
        gamma0, linear power; NaN where not observed. At least one.
    cell_px : int
    """
    # a few rows at a time, whose sums stay in the cache
    for top in range(0, rows.stop - rows.start, BAND_ROWS):
        band = slice(rows.start + top, min(rows.start + top + BAND_ROWS, rows.stop))
        _fill_band(into, band, [power[top : top + BAND_ROWS] for power in passes], cell_px)


def _fill_band(into: Moments, rows: slice, passes: Sequence[np.ndarray], cell_px: int) -> None:
    count, total, squares = (np.zeros(passes[0].shape, np.float32) for _ in range(3))
    for power in passes:
        _add(count.ravel(), total.ravel(), squares.ravel(), power.ravel())
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    squares -= np.where(count > 0, mean * total, 0)
    into.count[rows] = np.minimum(count, 255)
    into.mean_db[rows] = mean + ORIGIN_DB
    cells = slice(rows.start // cell_px, rows.stop // cell_px)
    into.squares[cells] = surroundings.sums(np.maximum(squares, 0), cell_px)
    into.spare[cells] = surroundings.sums(np.maximum(count - 1, 0), cell_px)


@kernel
def _add(count, total, squares, power):  # type: ignore[no-untyped-def]
    scratch, db = np.empty(PART, np.float32), np.empty(PART, np.float32)
    for first in range(0, power.size, PART):
        last = min(first + PART, power.size)
        part = slice(first, last)
        decibels_into(db[: last - first], power[part], scratch)
        _add_part(count[part], total[part], squares[part], db)


@kernel
def _add_part(count, total, squares, db):  # type: ignore[no-untyped-def]
    for i in range(count.size):
        value = db[i] - ORIGIN_DB
        seen = value == value
        value = value if seen else np.float32(0)
        count[i] += np.float32(seen)
        total[i] += value
        squares[i] += value * value


def looks(before: Moments, after: Moments) -> np.ndarray:
    """Return the passes before and after.

    Parameters
    ----------
    before, after : Moments

    Returns
    -------
    uint16 array (rows, cols)
        0 where a window has none.
    """
    both = (before.count > 0) & (after.count > 0)
    return np.where(both, before.count.astype(np.uint16) + after.count, np.uint16(0))


def change(before: Moments, after: Moments, side_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of one relative orbit less that of the surroundings, and its variance.

    The change of mean dB less the median change around it (`surroundings.median`). Its variance is the variance from
    pass to pass, pooled over both windows and the cells around, times 1 / passes before + 1 / passes after. The
    variance of the median is left out: it is that of some 3,000 pixels.

    Parameters
    ----------
    before, after : Moments
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    change_db, variance_db2 : float32 arrays (rows, cols)
        NaN where a window has no pass, or where neither has a second one nearby.
    """
    difference = after.mean_db - before.mean_db
    difference -= surroundings.shared(difference, side_m)
    cell_px, _ = surroundings.sizes(side_m)
    squares, spare = (_pooled(sums) for sums in (before.squares + after.squares, before.spare + after.spare))
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = surroundings.between(np.where(spare > 0, squares / spare, np.float32(np.nan)), cell_px)
        variance *= np.float32(1) / before.count + np.float32(1) / after.count
    difference[~(variance > 0)] = np.nan
    variance[np.isnan(difference)] = np.nan
    return difference, variance


def _pooled(cells: np.ndarray) -> np.ndarray:
    """Return the sum of each cell and those around it."""
    padded = np.pad(cells, POOLED_CELLS)
    side = 2 * POOLED_CELLS + 1
    windows = [padded[i : i + len(cells), j : j + cells.shape[1]] for i in range(side) for j in range(side)]
    return np.asarray(sum(windows[1:], start=windows[0]), np.float32)


def combined(changes: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of all relative orbits together, and the same divided by its standard error.

    Orbits are weighted by the inverse of their variances; the standard error is that of the weighted mean.

    Parameters
    ----------
    changes : iterable of (change_db, variance_db2)
        From `change`, at least one.

    Returns
    -------
    change_db, standardised : float32 arrays (rows, cols)
        NaN where no orbit has a value.
    """
    total: np.ndarray = np.zeros(0, np.float32)
    weight = total
    for difference, variance in changes:
        if not total.size:
            total, weight = (np.zeros(difference.shape, np.float32) for _ in range(2))
        _weigh(total.ravel(), weight.ravel(), difference.ravel(), variance.ravel())
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / weight, np.where(weight > 0, total / np.sqrt(weight), np.float32(np.nan))


@kernel
def _weigh(total, weight, difference, variance):  # type: ignore[no-untyped-def]
    for i in range(total.size):
        if difference[i] == difference[i]:
            share = np.float32(1) / variance[i]
            total[i] += difference[i] * share
            weight[i] += share
