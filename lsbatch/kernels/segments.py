"""Segments of a classified image: regions of one class, small ones merged into their neighbours.

A segment depends only on its own area and `reach_px` around it, so tiles with a sufficient halo equal the whole.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lsbatch.kernels.compilation import kernel

NONE = 0
#: Number of merging rounds. On a synthetic country 87, 30, 5 and 4 % of the pixels are still in small regions after 1,
#: 2, 3 and 5 rounds.
ROUNDS = 3


def reach_px(longest_px: int, smallest_px: int) -> int:
    """Return the halo with which segments up to `longest_px` are equal in all tiles.

    The size of a neighbouring region is known if `smallest_px` more pixels are read, and this repeats for every round.

    Parameters
    ----------
    longest_px : int
        Longest side of a segment.
    smallest_px : int
        Pixels below which regions are merged.

    Returns
    -------
    int
    """
    return longest_px + (ROUNDS + 1) * smallest_px


def regions(classes: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the 8-connected regions of equal class in order of their first pixel; return int32 labels 1..n, and n.

    Parameters
    ----------
    classes : array (rows, cols) uint8
        0 belongs to no region.

    Returns
    -------
    labels : array (rows, cols), int32
    count : int
    """
    classes = np.ascontiguousarray(classes, np.uint8)
    labels = np.zeros(classes.shape, np.int32)
    return labels, int(_regions_into(labels, classes))


@kernel
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _regions_into(labels: np.ndarray, classes: np.ndarray) -> int:
    rows, cols = classes.shape
    parent = np.empty(rows * cols + 1, np.int32)
    count = 0
    for row in range(rows):
        for col in range(cols):
            kind = classes[row, col]
            if kind == NONE:
                continue
            own = 0
            for down, right in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                r, c = row + down, col + right
                if r >= 0 and 0 <= c < cols and classes[r, c] == kind:
                    other = _root(parent, labels[r, c])
                    if own == 0:
                        own = other
                    elif other != own:
                        # the older label is kept, so that labels follow the first pixel
                        own, other = min(own, other), max(own, other)
                        parent[other] = own
            if own == 0:
                count += 1
                parent[count] = count
                own = count
            labels[row, col] = own
    number = np.zeros(count + 1, np.int32)
    found = 0
    for i in range(1, count + 1):
        if parent[i] == i:
            found += 1
            number[i] = found
        else:
            number[i] = number[_root(parent, i)]
    for row in range(rows):
        for col in range(cols):
            labels[row, col] = number[labels[row, col]] if labels[row, col] > 0 else 0
    return found


def merged(
    labels: np.ndarray, count: int, kinds: np.ndarray, centres: np.ndarray, smallest_px: int, rounds: int = ROUNDS
) -> np.ndarray:
    """Return labels after regions below `smallest_px` have joined the neighbour with the most similar class.

    The class of a region is that of its largest part. Of equally similar neighbours the one with the longest common
    border is selected, then the one whose first pixel is first. Regions that are still small after the last round
    become 0.

    Parameters
    ----------
    labels : array (rows, cols) int32
        As `regions` gives.
    count : int
        Largest label.
    kinds : array (rows, cols) uint8
        The classes given to `regions`, 1 and more.
    centres : array (classes,)
        Value of class 1, 2, ...; similarity is the difference of values.
    smallest_px : int
    rounds : int

    Returns
    -------
    array (rows, cols) int32
        1..n in order of the first pixel, 0 for none.
    """
    kind = np.zeros(count + 1, np.int64)
    kind[labels.ravel()] = kinds.ravel()
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    pairs, shared = _borders(labels, count)
    now = np.arange(count + 1)
    for _ in range(rounds):
        small = (sizes < smallest_px) & (np.arange(count + 1) == now)
        small[NONE] = False
        ends = now[pairs]
        apart = ends[:, 0] != ends[:, 1]
        both = np.concatenate([ends[apart], ends[apart][:, ::-1]])
        both, weights = both[small[both[:, 0]]], np.concatenate([shared[apart]] * 2)[small[both[:, 0]]]
        if not len(both):
            break
        found, border = _summed(both, weights, count)
        unlike = np.abs(centres[kind[found[:, 0]] - 1] - centres[kind[found[:, 1]] - 1])
        order = np.lexsort((found[:, 1], -border, unlike, found[:, 0]))
        first = np.unique(found[order, 0], return_index=True)[1]
        now = _joined(now, found[order[first]])
        # the class of the largest part; of equals that of the first
        parts = np.flatnonzero(np.bincount(now, minlength=count + 1))
        by_size = np.lexsort((np.arange(count + 1), -sizes, now))
        largest = by_size[np.unique(now[by_size], return_index=True)[1]]
        sizes_now = np.bincount(now, sizes, minlength=count + 1).astype(np.int64)
        kind[parts] = kind[largest]
        sizes = sizes_now
        sizes[np.arange(count + 1) != now] = 0
    final = now[labels]
    final[sizes[final] < smallest_px] = NONE
    kept, first_pixel, numbers = np.unique(final, return_index=True, return_inverse=True)
    rank = np.zeros(len(kept), np.int32)
    real = np.flatnonzero(kept != NONE)
    rank[real[np.argsort(first_pixel[real])]] = np.arange(1, len(real) + 1)
    return rank[numbers.reshape(labels.shape)]


def _joined(now: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Return the representative (smallest label) of each region after the joins."""
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(len(now), len(now)))
    groups = connected_components(graph, directed=False)[1]
    smallest = np.full(groups.max() + 1, len(now))
    np.minimum.at(smallest, groups, np.arange(len(now)))
    return smallest[groups][now]


def _summed(pairs: np.ndarray, weights: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct pairs in order and the sum of their weights (1 if none are given)."""
    # as one number a pair: numpy sorts rows of two ten times slower
    keys, inverse = np.unique(pairs[:, 0].astype(np.int64) * (count + 1) + pairs[:, 1], return_inverse=True)
    return np.column_stack(np.divmod(keys, count + 1)), np.bincount(inverse, weights)


def _borders(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of touching regions, (n, 2), and the number of touching pixel pairs."""
    rows, cols = labels.shape
    found = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = labels[: rows - down, max(0, -right) : cols - max(0, right)]
        there = labels[down:, max(0, right) : cols - max(0, -right)]
        touching = (here != there) & (here != NONE) & (there != NONE)
        found.append(np.sort(np.column_stack([here[touching], there[touching]]), axis=1))
    return _summed(np.concatenate(found), None, count)
