"""Resample a source raster to a target lattice: nearest, bilinear, mean of the covered pixels.

Source coordinates are given at nodes of the target lattice, every `step` pixels, and are interpolated bilinearly
between them (`lsbatch.imagery.lattice_mapping` chooses the step so that the error stays below 1e-3 px).
Coordinates count from the upper left corner of the source: the centre of its first pixel is 0.5.

Validity comes before interpolation. A source pixel is valid if its value lies between `least` and `most`; NaN is not.
A target pixel is valid where its nearest source pixel is. Bilinear weights of invalid neighbours, and of neighbours
outside the source, are dropped, and the others are rescaled to a sum of 1. So an invalid value changes no valid one.

Every target pixel is computed from the nodes around it in the same order of operations, so tiles equal the whole bit
for bit.
"""

from typing import NamedTuple

import numpy as np

from lsbatch.kernels.resampling import bilinear as bilinear_loops
from lsbatch.kernels.resampling import coordinates, nearest_and_mean


class Nodes(NamedTuple):
    """Source coordinates at nodes of the target lattice.

    Attributes
    ----------
    rows, cols : arrays (node rows, node cols), float64
        Source coordinates in pixels; not finite where the target has no place in the source.
    step : int
        Target pixels between two nodes.
    row, col : int
        Position of the first target pixel, in target pixels from the first node; 0 or more.
    """

    rows: np.ndarray
    cols: np.ndarray
    step: int
    row: int
    col: int


def nearest(
    out: np.ndarray, source: np.ndarray, nodes: Nodes, origin: tuple[int, int], limits: tuple[float, float]
) -> None:
    """Write the value of the nearest source pixel where it is valid.

    Parameters
    ----------
    out : array (rows, cols)
        Changed where the nearest source pixel is valid.
    source : array (rows, cols)
        A window of the source.
    nodes : Nodes
    origin : (int, int)
        Row and column of the window in the source.
    limits : (float, float)
        Least and most value of a valid pixel, both included.
    """
    nearest_and_mean.nearest_into(out, source, *nodes, *origin, *_limits(source, limits))


def bilinear(
    out: np.ndarray, source: np.ndarray, nodes: Nodes, origin: tuple[int, int], limits: tuple[float, float]
) -> None:
    """Write the bilinear interpolation of the valid source pixels where the nearest one is valid.

    Integers are rounded to the nearest. Weights are in single precision.

    Parameters
    ----------
    out, source, nodes, origin, limits
        As in `nearest`.
    """
    if source.dtype.kind == "f":
        bilinear_loops.unrounded_into(out, source, *nodes, *origin, *_limits(source, limits))
    else:
        bilinear_loops.rounded_into(out, source, *nodes, *origin, *_limits(source, limits))


def mean(
    out: np.ndarray, source: np.ndarray, nodes: Nodes, origin: tuple[int, int], limits: tuple[float, float]
) -> None:
    """Write the mean of the valid source pixels whose centre lies in the target pixel, where the nearest is valid.

    The outline of a target pixel in the source is a parallelogram by the difference of the nodes around it.

    Parameters
    ----------
    out, source, nodes, origin, limits
        As in `nearest`.
    """
    nearest_and_mean.mean_into(out, source, *nodes, *origin, *_limits(source, limits), source.dtype.kind != "f")


def keep_valid(values: np.ndarray, limits: tuple[float, float], fill: float) -> None:
    """Replace invalid values by `fill`, for a source on the same lattice.

    Parameters
    ----------
    values : array (rows, cols)
        Changed.
    limits : (float, float)
        As in `nearest`.
    fill : float
    """
    nearest_and_mean.keep_valid_into(values, *_limits(values, limits), values.dtype.type(fill))


def bounds(nodes: Nodes, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the extent of the coordinates of target pixels.

    Parameters
    ----------
    nodes : Nodes
    shape : (rows, cols)
        Of the target.

    Returns
    -------
    first_row, last_row, first_col, last_col : float
        Smallest and largest coordinates of the centres of the outermost target pixels and of the nodes between them;
        inf and -inf if none is finite.
    """
    return coordinates.bounds_of(*nodes, *shape)


def _limits(source: np.ndarray, limits: tuple[float, float]) -> tuple[np.generic, np.generic]:
    """Return the limits in the type of the source, so that they are compared without conversion."""
    kind = source.dtype.type
    if source.dtype.kind == "f":
        return kind(limits[0]), kind(limits[1])
    info = np.iinfo(source.dtype)
    return kind(max(np.ceil(limits[0]), info.min)), kind(min(np.floor(limits[1]), info.max))
