"""The family unet: a U-Net trained on polygons and evaluated in tiles."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsbatch.kernels import inference_windows
from lsbatch.models import cards, window_memory
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, FamilyBase, NetworkRecipe, unprepared
from lsbatch.models.training import chips
from lsbatch.settings import Config, PredictSettings, TrainSettings

if TYPE_CHECKING:
    from torch import nn


def _build(bands: int, settings: TrainSettings) -> "nn.Module":
    from lsbatch.models import unet

    return unet.UNet(bands, settings.depth, settings.width, settings.dropout)


def _card(config: Config, statistics: BandStatistics, known: Mapping[str, Any]) -> Card:
    from lsbatch.models import unet

    means, stds = (tuple(values.tolist()) for values in statistics)
    settings = config.train
    return unet.card(config.inputs, settings.depth, settings.width, settings.dropout, means=means, stds=stds, **known)


def _halo_px(settings: TrainSettings) -> int:
    from lsbatch.models import unet

    return unet.halo_px(settings.depth)


class UNetFamily(FamilyBase):
    """The U-Net."""

    name = "unet"
    summary = "U-Net, trained on polygons; tiles give the same result as the whole image"
    structure = ("depth", "width", "dropout")
    mirrors = True
    is_unet = True
    training = NetworkRecipe(
        halo_px=_halo_px,
        build=_build,
        statistics=chips.statistics,
        prepare=unprepared,
        card=_card,
        structure=("depth", "width"),
        levels=lambda network: tuple(network.down),
    )

    def check(self, card: Card, predict: PredictSettings) -> None:
        """Check that the smallest window fits in ``predict.memory_gb``."""
        if predict.tiling == "exact":
            window_memory.most_px(card, predict.memory_gb)

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the halo of the tiling: that of the network, or that of blended windows."""
        return inference_windows.blend_px() if predict.tiling == "blend" else card.halo_px

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict window by window with each member; with ``predict.flips`` also on mirror images."""
        from lsbatch.models import tiled_inference, unet_weights

        of = cards.card(path)
        networks, _ = unet_weights.loaded(path, of.checksum, predict.device)
        return tiled_inference.answers(networks, of, block, halo_px, predict, seen)
