"""Where weights may be believed: the dissimilarity index of a block, from the description in their card."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from lsbatch.bands import FULL_STACK
from lsbatch.errors import ModelError
from lsbatch.kernels.statistics import dissimilarity as kernels
from lsbatch.models import base, cards
from lsbatch.models.cards import Applicability
from lsbatch.models.model_card import changes
from lsbatch.settings import Config


def described(config: Config) -> Applicability | None:
    """Return what the weights of a survey learned from.

    None if the weights have no description, are of other bands, or cannot be read yet: `lsbatch plan` and `lsbatch
    train` need no weights, and a run refuses wrong ones with the reason.
    """
    try:
        card = cards.card(base.resolve(config))
    except ModelError:
        return None
    return card.applicability if (card.family, card.bands) == (config.model.family, config.inputs) else None


def changed(bands: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return each change that the bands show, after minus before (`lsbatch.models.model_card.changes`)."""
    return {
        name: bands[terms[0]] if len(terms) == 1 else bands[terms[0]] - bands[terms[1]]
        for name, terms in changes(names).items()
    }


def features(bands: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """Return the features of each cell: of every band, and the texture of each change between two bands.

    Parameters
    ----------
    bands : mapping of str to array (rows, cols) float32
        NaN as nodata. Rows and columns are multiples of a cell, and the block starts on a cell.
    names : tuple of str
        Bands of the model.

    Returns
    -------
    array (cell rows, cell cols, features) float64
    """
    between = [name for name, terms in changes(names).items() if len(terms) > 1]
    change = changed(bands, names)
    channels = np.stack([*(bands[name] for name in names), *(change[name] for name in between)])
    steps = [FULL_STACK[name].scale or 1.0 for name in (*names, *(changes(names)[name][0] for name in between))]
    every = kernels.features(channels, np.array(steps))
    # the mean of a change follows from the means of its two bands
    first = len(names) * kernels.FEATURES
    return np.delete(every, [first + i * kernels.FEATURES for i in range(len(between))], axis=-1)


def index(path: Path, bands: Mapping[str, np.ndarray], halo_px: int) -> np.ndarray:
    """Return the dissimilarity index of each pixel in the core of a block.

    Parameters
    ----------
    path : Path
        Weights with a description.
    bands : mapping of str to array (rows + 2 halo, cols + 2 halo) float32
        At least the model's bands, NaN as nodata. The core starts on the national lattice.
    halo_px : int
        `lsbatch.kernels.statistics.dissimilarity.HALO_PX`.

    Returns
    -------
    array (rows, cols) float64
        NaN where any of the model's bands is NaN.

    Raises
    ------
    ModelError
        If the card has no description.
    """
    of = cards.card(path)
    inner = slice(halo_px, -halo_px or None)
    ring = slice(halo_px // kernels.CELL_PX, -(halo_px // kernels.CELL_PX) or None)
    found = kernels.spread(_cells(path, features(bands, of.bands)[ring, ring]))
    known = np.logical_and.reduce([np.isfinite(bands[name][inner, inner]) for name in of.bands])
    return np.where(known, found, np.nan)


def _cells(path: Path, found: np.ndarray) -> np.ndarray:
    of = cards.card(path).applicability
    if of is None:
        raise ModelError(f"{path}: has no description of its training")
    if found.shape[-1] != len(of.means):
        raise ModelError(f"{path}: its description of the training was written by another version of lsbatch")
    return kernels.nearest(_tree(path, of.checksum), (found - np.array(of.means)) / np.array(of.stds)) / of.distance


@lru_cache(maxsize=2)
def _tree(path: Path, _checksum: str) -> cKDTree:
    """Return the search tree of the sample; it is kept for the next tile of this process."""
    return cKDTree(cards.sample(path).astype(np.float64))
