"""Label 8-connected regions tile by tile and join them across tile edges."""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

EIGHT = np.ones((3, 3), np.int32)
TOP, BOTTOM, LEFT, RIGHT = range(4)

Position = tuple[int, int]


def label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the 8-connected regions of a bool array (rows, cols). Return int32 labels 1..n, 0 elsewhere, and n.

    Parameters
    ----------
    mask : bool array (rows, cols)

    Returns
    -------
    labels : array (rows, cols), int32
        1..n, 0 where `mask` is False.
    count : int
        n.
    """
    labels, count = ndimage.label(mask, EIGHT, output=np.int32)
    return labels, int(count)


def edges(labels: np.ndarray) -> np.ndarray:
    """Return the labels along top and bottom row and left and right column of a square tile, (4, side) int32.

    Parameters
    ----------
    labels : array (side, side), int32

    Returns
    -------
    array (4, side), int32
    """
    return np.stack([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).astype(np.int32)


def join(edge_labels: Mapping[Position, np.ndarray], counts: Mapping[Position, int]) -> dict[Position, np.ndarray]:
    """Number the regions of the whole area from those of its tiles.

    Parameters
    ----------
    edge_labels : mapping of (row, col) to array (4, side)
        From `edges`; tiles without a region may be left out.
    counts : mapping of (row, col) to int
        Regions of the tile.

    Returns
    -------
    mapping of (row, col) to array (n,)
        Component of each of the tile's labels 1..n; components count from 0 in order of tile and label.
    """
    start, total = {}, 0
    for position in sorted(counts):
        start[position] = total
        total += counts[position]
    parent = list(range(total))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for here, there, mine, theirs in _contacts(edge_labels):
        a, b = root(start[here] + mine - 1), root(start[there] + theirs - 1)
        # the smaller number becomes the representative, so that the result does not depend on the order of contacts
        parent[max(a, b)] = min(a, b)
    roots = np.array([root(i) for i in range(total)], np.int64)
    number = np.unique(roots, return_inverse=True)[1]
    return {position: number[start[position] : start[position] + counts[position]] for position in sorted(counts)}


def _contacts(edge_labels: Mapping[Position, np.ndarray]) -> set[tuple[Position, Position, int, int]]:
    """Return the pairs of labels that touch across an edge or a corner."""
    found: set[tuple[Position, Position, int, int]] = set()
    for (row, col), mine in edge_labels.items():
        here = (row, col)
        for there, one, other in (((row, col + 1), RIGHT, LEFT), ((row + 1, col), BOTTOM, TOP)):
            if there in edge_labels:
                found |= {(here, there, a, b) for a, b in _touching(mine[one], edge_labels[there][other])}
        for there, a, last in (((row + 1, col + 1), mine[BOTTOM][-1], 0), ((row + 1, col - 1), mine[BOTTOM][0], -1)):
            if there in edge_labels:
                b = edge_labels[there][TOP][last]
                if a and b:
                    found.add((here, there, int(a), int(b)))
    return found


def _touching(one: np.ndarray, other: np.ndarray) -> set[tuple[int, int]]:
    """Return the labels that face each other along an edge, straight or diagonally."""
    pairs: set[tuple[int, int]] = set()
    for a, b in ((one, other), (one[1:], other[:-1]), (one[:-1], other[1:])):
        both = (a > 0) & (b > 0)
        pairs |= set(zip(a[both].tolist(), b[both].tolist(), strict=True))
    return pairs
