"""The description of a model.

It is apart from `lsbatch.models.cards`, which reads and writes it, so that the networks can be imported without the
storage.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Names of bands that are differences: diffVV, dNDVI.
_CHANGE = re.compile(r"diff[A-Z]|d[A-Z]")


@dataclass(frozen=True)
class Applicability:
    """Description of what a network learned from, to tell where it may be believed (docs/applicability.md).

    Attributes
    ----------
    means, stds : tuple of float
        Of each feature (`lsbatch.kernels.statistics.dissimilarity.features`) over the sample of training cells.
    distance : float
        Mean distance of two cells of the sample, in standardised features.
    limit : float
        Dissimilarity index above which a pixel is outside.
    quantiles : mapping of band to tuple of float
        1, 25, 50, 75 and 99 % of the pixels of the training chips.
    changes : mapping of change to (least, most)
        Medians of the training chips: "VV" is postVV minus preVV.
    resolution_m : (least, most)
        Sides of a pixel of the training surveys.
    scenes : mapping of plan key to (least, most)
        Scenes of a tile; empty if not known.
    seasons : tuple of (first, last)
        Days of the training images, MM-DD; empty if not known.
    folds : str
        Parts of the cross-validation, in words.
    surveys : tuple of str
    checksum : str
        Of the sample and of all fields that affect the result.
    """

    means: tuple[float, ...]
    stds: tuple[float, ...]
    distance: float
    limit: float
    quantiles: Mapping[str, tuple[float, ...]]
    changes: Mapping[str, tuple[float, float]]
    resolution_m: tuple[float, float]
    scenes: Mapping[str, tuple[int, int]]
    seasons: tuple[tuple[str, str], ...]
    folds: str
    surveys: tuple[str, ...]
    checksum: str


@dataclass(frozen=True)
class Card:
    """Description of a model that is read without loading it.

    Attributes
    ----------
    family : str
        Name of the model family.
    bands : tuple of str
        STACK bands in the model's order.
    means, stds : tuple of float
        Normalisation of each band, only from training blocks.
    network : mapping
        Structure, e.g. depth and width.
    halo_px, lattice_px : int
        Pixels that the exact tiling needs around a block, and the lattice of its windows.
    settings : mapping
        Training settings.
    scores : mapping
        Counts and scores on held-out blocks.
    made_by : mapping
        Software, surveys and time it took.
    checksum : str
        Of the arrays and of all fields above that affect a prediction.
    applicability : Applicability or None
        None for a family without a network, and for weights of older versions.
    """

    family: str
    bands: tuple[str, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    network: Mapping[str, Any]
    halo_px: int
    lattice_px: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""
    applicability: Applicability | None = None


def changes(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the changes that a set of bands shows: a name, and the bands after and before, or the one difference."""
    found: dict[str, tuple[str, ...]] = {name.removeprefix("diff"): (name,) for name in bands if _CHANGE.match(name)}
    for name in bands:
        term = name.removeprefix("post")
        if term != name and f"pre{term}" in bands:
            found.setdefault(term, (name, f"pre{term}"))
    return found
