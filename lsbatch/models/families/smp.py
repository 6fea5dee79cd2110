"""The family smp: encoders and decoders of segmentation-models-pytorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsbatch.errors import ConfigError
from lsbatch.kernels import inference_windows
from lsbatch.models import cards
from lsbatch.models.cards import Card
from lsbatch.models.family import BandStatistics, FamilyBase, NetworkRecipe, unprepared
from lsbatch.models.training import chips
from lsbatch.settings import Config, PredictSettings, TrainSettings

if TYPE_CHECKING:
    from torch import nn

    from lsbatch.models.smp_network import Segmenter


def _build(bands: int, settings: TrainSettings) -> "Segmenter":
    from lsbatch.models import smp_network

    return smp_network.build(bands, settings.architecture, settings.encoder)


def _pretrain(network: "nn.Module", settings: TrainSettings) -> None:
    from lsbatch.models import smp_network

    assert isinstance(network, smp_network.Segmenter)
    if settings.encoder_weights is not None:
        smp_network.load_encoder(network, settings.encoder_weights)


def _check(config: Config) -> None:
    """Check the settings with a network that is made, filled and applied once."""
    from lsbatch.models import smp_network

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
    from lsbatch.models import smp_network

    means, stds = (tuple(values.tolist()) for values in statistics)
    settings = config.train
    if settings.encoder_weights is not None:
        # a card may be given to others, whom the folder does not concern
        known = {**known, "settings": {**known["settings"], "encoder_weights": settings.encoder_weights.name}}
    return smp_network.card(config.inputs, settings.architecture, settings.encoder, means=means, stds=stds, **known)


class SmpFamily(FamilyBase):
    """A network of segmentation-models-pytorch. Their receptive fields are large, so windows are always blended."""

    name = "smp"
    summary = "encoder and decoder of segmentation-models-pytorch, trained on polygons"
    structure = ("architecture", "encoder")
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
        from lsbatch.models import smp_network

        smp_network.check_card(card)

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the halo of blended windows."""
        return inference_windows.blend_px()

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict on blended windows with each member; with ``predict.flips`` also on mirror images."""
        from lsbatch.models import smp_network, tiled_inference

        of = cards.card(path)
        networks, _ = smp_network.loaded(path, of.checksum, predict.device)
        blended = predict.model_copy(update={"tiling": "blend"})
        return tiled_inference.answers(networks, of, block, halo_px, blended, seen)
