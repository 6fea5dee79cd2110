"""U-Nets from a file of weights, loaded once a process."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from lsbatch.models import cards, devices, ensembles, unet
from lsbatch.models.cards import Card


@lru_cache(maxsize=2)
def loaded(path: Path, _checksum: str, name: str) -> tuple[tuple[unet.UNet, ...], torch.device]:
    """Return the networks of a file, one for each member; they are kept for the next tile of this process."""
    where = devices.device(name)
    of = cards.card(path)
    members = ensembles.separated(cards.arrays(path), of)
    return tuple(_ready(found, of, where) for found in members), where


def _ready(found: Mapping[str, np.ndarray], of: Card, where: torch.device) -> unet.UNet:
    network = unet.fused(unet.restore(unet.structure(of), found))
    unet.cooled(network.last, of)
    # memory_format is documented, but the type stubs of torch lack it
    return network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
