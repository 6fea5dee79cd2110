"""The family unet: a U-Net trained on polygons and evaluated in tiles."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lsbatch.kernels import inference_windows
from lsbatch.models import cards, devices, ensembles, tiled_inference, unet
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, FamilyBase, NetworkRecipe, unprepared
from lsbatch.models.training import chips
from lsbatch.settings import Config, PredictSettings, TrainSettings


def _build(bands: int, settings: TrainSettings) -> nn.Module:
    return unet.UNet(bands, settings.depth, settings.width, settings.dropout)


def _card(config: Config, statistics: BandStatistics, known: Mapping[str, Any]) -> Card:
    means, stds = (tuple(values.tolist()) for values in statistics)
    settings = config.train
    return unet.card(config.inputs, settings.depth, settings.width, settings.dropout, means=means, stds=stds, **known)


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


class UNetFamily(FamilyBase):
    """The U-Net."""

    name = "unet"
    summary = "U-Net, trained on polygons; tiles give the same result as the whole image"
    mirrors = True
    is_unet = True
    training = NetworkRecipe(
        halo_px=lambda settings: unet.halo_px(settings.depth),
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
            tiled_inference.most_px(card, predict.memory_gb)

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the halo of the tiling: that of the network, or that of blended windows."""
        return inference_windows.blend_px() if predict.tiling == "blend" else card.halo_px

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict window by window with each member; with ``predict.flips`` also on mirror images."""
        of = cards.card(path)
        networks, _ = loaded(path, of.checksum, predict.device)
        return tiled_inference.answers(networks, of, block, halo_px, predict, seen)
