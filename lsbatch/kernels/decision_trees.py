"""Evaluate a decision tree on pixels."""

import numpy as np

from lsbatch.kernels.compilation import kernel

#: Child of a leaf, as scikit-learn numbers it.
LEAF = -1
#: Arrays of a tree, in the order of `walk`.
ARRAYS = ("feature", "threshold", "left", "right", "answer")


def is_tree(
    bands: int, feature: np.ndarray, threshold: np.ndarray, left: np.ndarray, right: np.ndarray, answer: np.ndarray
) -> bool:
    """Return whether arrays are a tree that `walk` can walk: it reads only inside the arrays, and it ends.

    Children have higher numbers than their node, as scikit-learn numbers them.

    Parameters
    ----------
    bands : int
        Bands of the values that are tested.
    feature, threshold, left, right, answer : array
        As for `walk`.

    Returns
    -------
    bool
    """
    count = len(answer) if np.ndim(answer) == 1 else 0
    if not count or any(np.shape(one) != (count,) for one in (feature, threshold, left, right)):
        return False
    if not all(np.issubdtype(one.dtype, np.integer) for one in (feature, left, right)):
        return False
    if not all(np.issubdtype(one.dtype, np.floating) for one in (threshold, answer)):
        return False
    inner = np.flatnonzero(left != LEAF)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    tested = feature[inner].astype(np.int64)
    return bool(
        (children > np.tile(inner, 2)).all() and (children < count).all() and ((tested >= 0) & (tested < bands)).all()
    )


@kernel
def walk(
    values: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    answer: np.ndarray,
) -> np.ndarray:
    """Return the value of the leaf of each pixel.

    Parameters
    ----------
    values : array (bands, pixels) float32
        No NaN; a pixel with NaN goes right at every node, because a comparison with NaN is false.
    feature, left, right : array (nodes,) integer
        Band tested in each node, and the child nodes; children of a leaf are `LEAF`.
    threshold : array (nodes,) float64
        A pixel goes left if its value is not above.
    answer : array (nodes,) float32
        Value of each leaf.

    Returns
    -------
    array (pixels,) float32
    """
    out = np.empty(values.shape[1], np.float32)
    for pixel in range(values.shape[1]):
        node = 0
        while left[node] != LEAF:
            # float32 against float64, as scikit-learn compares
            node = left[node] if values[feature[node], pixel] <= threshold[node] else right[node]
        out[pixel] = answer[node]
    return out
