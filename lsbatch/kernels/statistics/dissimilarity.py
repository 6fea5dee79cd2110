"""Dissimilarity index and area of applicability (Meyer and Pebesma 2021, doi 10.1111/2041-210X.13650).

A network sees neighbourhoods, so what is compared is not one pixel but the level and the texture around it: three
features of each channel in a window of 3 x 3 cells. A cell has 8 x 8 pixels of the national lattice, and its features
count for all its pixels, which makes the search of the nearest neighbour 64 times cheaper than pixel by pixel.
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from lsbatch.kernels.compilation import kernel

#: Side of a cell in pixels. The side of every tile is a multiple of it.
CELL_PX = 8
#: Pixels around a block on which its features depend: one ring of cells.
HALO_PX = CELL_PX
#: Features of each channel: mean, logarithm of the standard deviation, and logarithm of the root mean square difference
#: of neighbouring pixels.
FEATURES = 3


def features(channels: np.ndarray, floors: np.ndarray) -> np.ndarray:
    """Return the features of each cell of a block.

    All sums are added in an order that depends on the place in the cell only, so tiles equal the whole bit by bit.

    Parameters
    ----------
    channels : array (channels, rows, cols) float32
        NaN is nodata; a pixel counts if all channels are known. Rows and columns are multiples of `CELL_PX`, and the
        block starts on a cell.
    floors : array (channels,)
        Smallest texture that is told from none, in the unit of the channel: its stored step.

    Returns
    -------
    array (rows / CELL_PX, cols / CELL_PX, channels * FEATURES) float64
        NaN where the window has no two known neighbours. A window at the edge of the block has fewer cells.
    """
    count, rows, cols = channels.shape
    sums = np.zeros((rows // CELL_PX, cols // CELL_PX, 2 + count * FEATURES))
    _cell_sums_into(sums, np.ascontiguousarray(channels, np.float32))
    sums = _around(sums)
    pixels, pairs = sums[..., :1], sums[..., 1:2]
    with np.errstate(invalid="ignore", divide="ignore"):
        means, squares = sums[..., 2::FEATURES] / pixels, sums[..., 3::FEATURES] / pixels
        steps = sums[..., 4::FEATURES] / pairs
        texture = np.sqrt(np.maximum([squares - means**2, steps], 0))
    out = np.stack([means, *np.log(np.maximum(texture, floors))], axis=-1)
    out[pairs[..., 0] == 0] = np.nan
    return out.reshape(*sums.shape[:2], -1)


@kernel
def _cell_sums_into(out: np.ndarray, channels: np.ndarray) -> None:
    """Add up each cell: known pixels, pairs of neighbours; then sum, squares and squared steps of each channel."""
    count, rows, cols = channels.shape
    for row in range(rows):
        for col in range(cols):
            if not _known(channels, row, col):
                continue
            cell = out[row // CELL_PX, col // CELL_PX]
            cell[0] += 1
            right = (col + 1) % CELL_PX > 0 and _known(channels, row, col + 1)
            below = (row + 1) % CELL_PX > 0 and _known(channels, row + 1, col)
            cell[1] += right + below
            for k in range(count):
                value = np.float64(channels[k, row, col])
                cell[2 + FEATURES * k] += value
                cell[3 + FEATURES * k] += value * value
                if right:
                    cell[4 + FEATURES * k] += (channels[k, row, col + 1] - value) ** 2
                if below:
                    cell[4 + FEATURES * k] += (channels[k, row + 1, col] - value) ** 2


@kernel
def _known(channels: np.ndarray, row: int, col: int) -> bool:
    for k in range(channels.shape[0]):  # noqa: SIM110
        if not np.isfinite(channels[k, row, col]):
            return False
    return True


def _around(cells: np.ndarray) -> np.ndarray:
    """Return the sum over the 3 x 3 cells around each cell of an array (rows, cols, sums)."""
    padded = np.pad(cells, ((1, 1), (1, 1), (0, 0)))
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]


def mean_distance(points: np.ndarray) -> float:
    """Return the mean Euclidean distance of all pairs of points.

    Parameters
    ----------
    points : array (points, features) float64

    Returns
    -------
    float
    """
    return float(pdist(points).mean())


def held_out_distances(points: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the distance of each point to the nearest point of another fold.

    Parameters
    ----------
    points : array (points, features) float64
    folds : array (points,)
        At least two different values.

    Returns
    -------
    array (points,) float64
    """
    out = np.empty(len(points))
    for fold in np.unique(folds):
        inside = folds == fold
        out[inside] = cKDTree(points[~inside]).query(points[inside])[0]
    return out


def outlier_limit(values: np.ndarray) -> float:
    """Return the limit of the area of applicability: upper quartile plus 1.5 interquartile ranges, at most the maximum.

    Parameters
    ----------
    values : array (points,) float64
        Dissimilarity index of the training points under cross-validation.

    Returns
    -------
    float
    """
    low, high = np.quantile(values, [0.25, 0.75])
    return float(min(high + 1.5 * (high - low), values.max()))


def nearest(tree: cKDTree, points: np.ndarray) -> np.ndarray:
    """Return the distance of each point to its nearest neighbour in the tree.

    Parameters
    ----------
    tree : cKDTree
    points : array (..., features) float64

    Returns
    -------
    array (...) float64
        Infinity for a point with a NaN.
    """
    flat = points.reshape(-1, points.shape[-1])
    known = np.isfinite(flat).all(axis=1)
    out = np.full(len(flat), np.inf)
    if known.any():
        out[known] = tree.query(flat[known])[0]
    return out.reshape(points.shape[:-1])


def spread(cells: np.ndarray) -> np.ndarray:
    """Return the value of each pixel's cell.

    Parameters
    ----------
    cells : array (rows, cols)

    Returns
    -------
    array (rows * CELL_PX, cols * CELL_PX)
    """
    return np.repeat(np.repeat(cells, CELL_PX, axis=0), CELL_PX, axis=1)
