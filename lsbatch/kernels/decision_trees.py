"""Evaluate a decision tree on pixels."""

import numpy as np

from lsbatch.kernels.compilation import kernel

#: Child of a leaf, as scikit-learn numbers it.
LEAF = -1


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
