"""The family prakash: a network with three streams for the images before and after and the terrain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lsbatch.errors import ConfigError
from lsbatch.models import prakash
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, FamilyBase, NetworkRecipe
from lsbatch.settings import Config, PredictSettings


def _check(config: Config) -> None:
    if config.train.members > 1:
        raise ConfigError(f"train.members = {config.train.members}: model.family prakash is trained as one network")


def _card(config: Config, _: BandStatistics, known: Mapping[str, Any]) -> Card:
    return prakash.card(config.grid.resolution_m, config.train.width, config.train.dropout, **known)


class PrakashFamily(FamilyBase):
    """The three-stream network."""

    name = "prakash"
    summary = "three-stream network: images before and after, and terrain"
    own_bands = prakash.BANDS
    training = NetworkRecipe(
        halo_px=lambda _: prakash.HALO_PX,
        build=lambda _, settings: prakash.build(settings),
        # the published normalisation
        statistics=lambda _: (np.array(prakash.MEANS), np.array(prakash.STDS)),
        prepare=prakash.prepared,
        card=_card,
        structure=("width",),
        # the first level: convolutions of each stream at full and at half resolution
        levels=lambda network: (nn.ModuleList([network.fine, network.stems]), *network.stages),
        check=_check,
    )

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict on windows of the national lattice."""
        return prakash.answer(path, block, halo_px, predict), None
