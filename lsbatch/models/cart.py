"""The paper's CART: a decision tree on points of eight classes, merged to landslide and other."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.errors import ModelError, NoDataError
from lsbatch.kernels import decision_trees
from lsbatch.models import cards

LANDSLIDE = "landslide"
#: Fewer points than this cannot hold eight classes; the paper has 130.
FEWEST_POINTS = 16


def fit(samples: np.ndarray, classes: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Fit a tree and return it as plain arrays.

    The settings are those of the paper's smileCart: no limit on nodes, a leaf may hold one point. The tree learns all
    classes; its prediction is 1 if the class is landslide, else 0.

    Parameters
    ----------
    samples : array (n, bands)
        Points with NaN in any band are left out.
    classes : array (n,) of text
        `LANDSLIDE` or any other name.
    seed : int
        Ties between equally good splits are broken at random.

    Raises
    ------
    NoDataError
        If too few points are left, or none of them is a landslide, or all are.
    """
    whole = np.isfinite(samples).all(axis=1)
    kept, names = np.asarray(samples[whole], np.float32), np.asarray(classes)[whole]
    slides = int(np.count_nonzero(names == LANDSLIDE))
    if len(names) < FEWEST_POINTS or slides in (0, len(names)):
        raise NoDataError(
            f"cart needs at least {FEWEST_POINTS} points with all bands, of {LANDSLIDE!r} and of other classes; there "
            f"are {len(names)} of {len(whole)}, {slides} of them landslides"
        )
    # imported here because it takes 1 s, and prediction does not need it
    from sklearn.tree import DecisionTreeClassifier

    return as_arrays(DecisionTreeClassifier(random_state=seed).fit(kept, names))


def as_arrays(tree: Any) -> dict[str, np.ndarray]:
    """Return a fitted DecisionTreeClassifier as arrays for `decision_trees.walk`; no pickle."""
    inner = tree.tree_
    named = tree.classes_[inner.value[:, 0, :].argmax(axis=1)]
    return {
        "feature": inner.feature.astype(np.int32),
        "threshold": inner.threshold.astype(np.float64),
        "left": inner.children_left.astype(np.int32),
        "right": inner.children_right.astype(np.int32),
        "answer": (named == LANDSLIDE).astype(np.float32),
    }


def card(bands: tuple[str, ...], **known: Any) -> cards.Card:
    """Return the card of a tree: no normalisation, no halo."""
    count = len(bands)
    return cards.Card("cart", bands, (0.0,) * count, (1.0,) * count, {}, 0, 1, **known)


def answer(path: Path, block: np.ndarray) -> np.ndarray:
    """Return 0 or 1 for each pixel of a block (bands, rows, cols); undefined where a band is NaN."""
    tree = _tree(path, cards.card(path).checksum)
    pixels = np.ascontiguousarray(block.reshape(len(block), -1), np.float32)
    return decision_trees.walk(pixels, **tree).reshape(block.shape[1:])


@lru_cache(maxsize=4)
def _tree(path: Path, _checksum: str) -> Mapping[str, np.ndarray]:
    tree = cards.arrays(path)
    if set(tree) != set(decision_trees.ARRAYS) or not decision_trees.is_tree(len(cards.card(path).bands), **tree):
        raise ModelError(f"{path}: its arrays are no decision tree; run lsbatch train again")
    return tree
