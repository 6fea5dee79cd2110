"""The description of a model.

It is apart from `lsbatch.models.cards`, which reads and writes it, so that the networks can be imported without the
storage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
