"""The family smp: encoders and decoders of segmentation-models-pytorch."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lsbatch.errors import ConfigError
from lsbatch.kernels import inference_windows
from lsbatch.models import cards, devices, ensembles, smp_network, tiled_inference
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, FamilyBase, NetworkRecipe, unprepared
from lsbatch.models.smp_network import Segmenter
from lsbatch.models.training import chips
from lsbatch.settings import Config, PredictSettings, TrainSettings


def _build(bands: int, settings: TrainSettings) -> Segmenter:
    return smp_network.build(bands, settings.architecture, settings.encoder)


def _pretrain(network: nn.Module, settings: TrainSettings) -> None:
    assert isinstance(network, Segmenter)
    if settings.encoder_weights is not None:
        smp_network.load_encoder(network, settings.encoder_weights)


def _check(config: Config) -> None:
    """Check the settings with a network that is made, filled and applied once."""
    settings, bands = config.train, len(config.inputs)
    if settings.chip_px % smp_network.LATTICE_PX:
        raise ConfigError(
            f"train.chip_px = {settings.chip_px}: must be a multiple of {smp_network.LATTICE_PX} for model.family smp"
        )
    network = _build(bands, settings)
    _pretrain(network, settings)
    for side_px in {settings.chip_px, inference_windows.BLEND_WINDOW_PX}:
        smp_network.check_side(network, bands, side_px)


def _card(config: Config, statistics: BandStatistics, known: Mapping[str, Any]) -> Card:
    means, stds = (tuple(values.tolist()) for values in statistics)
    settings = config.train
    if settings.encoder_weights is not None:
        # a card may be given to others, whom the folder does not concern
        known = {**known, "settings": {**known["settings"], "encoder_weights": settings.encoder_weights.name}}
    return smp_network.card(config.inputs, settings.architecture, settings.encoder, means=means, stds=stds, **known)


@lru_cache(maxsize=2)
def loaded(path: Path, _checksum: str, name: str) -> tuple[tuple[Segmenter, ...], torch.device]:
    """Return the networks of a file, one for each member; they are kept for the next tile of this process."""
    where = devices.device(name)
    of = cards.card(path)
    members = (smp_network.restored(of, found) for found in ensembles.separated(cards.arrays(path), of))
    # memory_format is documented, but the type stubs of torch lack it
    return tuple(net.to(where, memory_format=torch.channels_last) for net in members), where  # type: ignore[call-overload]


class SmpFamily(FamilyBase):
    """A network of segmentation-models-pytorch. Their receptive fields are large, so windows are always blended."""

    name = "smp"
    summary = "encoder and decoder of segmentation-models-pytorch, trained on polygons"
    mirrors = True
    training = NetworkRecipe(
        # a pixel lies in windows that begin or end this far from it
        halo_px=lambda _: inference_windows.BLEND_WINDOW_PX,
        build=_build,
        statistics=chips.statistics,
        prepare=unprepared,
        card=_card,
        check=_check,
        pretrain=_pretrain,
        structure=("architecture", "encoder"),
        # an encoder of the library is frozen as a whole
        levels=lambda network: (network.network.encoder,),
    )

    def check(self, card: Card, predict: PredictSettings) -> None:
        """Check that the library is installed and has the network."""
        smp_network.check_card(card)

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the halo of blended windows."""
        return inference_windows.blend_px()

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict on blended windows with each member; with ``predict.flips`` also on mirror images."""
        of = cards.card(path)
        networks, _ = loaded(path, of.checksum, predict.device)
        blended = predict.model_copy(update={"tiling": "blend"})
        return tiled_inference.answers(networks, of, block, halo_px, blended, seen)
