"""The family prakash: a network with three streams for the images before and after and the terrain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsbatch.bands import OWN_BANDS
from lsbatch.errors import ConfigError
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, FamilyBase, NetworkRecipe
from lsbatch.models.training.chips import Chips
from lsbatch.settings import Config, PredictSettings, TrainSettings

if TYPE_CHECKING:
    from torch import nn


def _check(config: Config) -> None:
    if config.train.members > 1:
        raise ConfigError(f"train.members = {config.train.members}: model.family prakash is trained as one network")


def _card(config: Config, _: BandStatistics, known: Mapping[str, Any]) -> Card:
    from lsbatch.models import prakash

    return prakash.card(config.grid.resolution_m, config.train.width, config.train.dropout, **known)


def _halo_px(_: TrainSettings) -> int:
    from lsbatch.models import prakash

    return prakash.HALO_PX


def _build(_: int, settings: TrainSettings) -> "nn.Module":
    from lsbatch.models import prakash

    return prakash.build(settings)


def _statistics(_: Chips) -> BandStatistics:
    """Return the published normalisation."""
    from lsbatch.models import prakash

    return np.array(prakash.MEANS), np.array(prakash.STDS)


def _prepared(bands: np.ndarray, side_m: float) -> np.ndarray:
    from lsbatch.models import prakash

    return prakash.prepared(bands, side_m)


def _levels(network: Any) -> Sequence["nn.Module"]:
    """Return the levels; the first one: convolutions of each stream at full and at half resolution."""
    from torch import nn

    return nn.ModuleList([network.fine, network.stems]), *network.stages


class PrakashFamily(FamilyBase):
    """The three-stream network."""

    name = "prakash"
    summary = "three-stream network: images before and after, and terrain"
    structure = ("side_m", "width", "dropout")
    own_bands = OWN_BANDS["prakash"]
    training = NetworkRecipe(
        halo_px=_halo_px,
        build=_build,
        statistics=_statistics,
        prepare=_prepared,
        card=_card,
        structure=("width",),
        levels=_levels,
        check=_check,
    )

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict on windows of the national lattice."""
        from lsbatch.models import prakash

        return prakash.answer(path, block, halo_px, predict), None
