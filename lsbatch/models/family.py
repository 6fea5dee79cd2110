"""The interface of a model family: what the program needs from every model.

A new family is one file in `lsbatch.models.families`, one entry in its registry, and one row in the table of
`tests/laws/test_families.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lsbatch.models.cards import Card
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.public_sets.chip_folder import ChipFolder
from lsbatch.models.training.spatial_split import Source
from lsbatch.settings import Config, PredictSettings, TrainSettings

if TYPE_CHECKING:
    from torch import nn

#: Mean and standard deviation of each band, arrays (bands,).
BandStatistics = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TrainingJob:
    """The input of a training.

    Attributes
    ----------
    sources : tuple of Source
        The surveys.
    config : Config
        Settings of the first survey. Its `train` section and its bands are used.
    out : Path
        File of weights to write.
    learned : str
        Digest of everything that the training depends on; goes into the card.
    hold_out : bool
        Keep the samples of the test blocks out of the training. A network always does.
    start : Path or None
        Weights from which a network starts; its structure is then in `config` (`fine_tuning.adopted`). None: random
        weights.
    chip_sets : tuple of ChipFolder
        Public training sets, for a network.
    made_by : mapping
        Further fields of `made_by` of the card.
    """

    sources: tuple[Source, ...]
    config: Config
    out: Path
    learned: str
    hold_out: bool
    start: Path | None = None
    chip_sets: tuple[ChipFolder, ...] = ()
    made_by: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkRecipe:
    """What the trainer of networks needs from a family that is a neural network.

    Attributes
    ----------
    halo_px : callable TrainSettings -> int
        Pixels around a pixel on which its prediction depends.
    build : callable (number of bands, TrainSettings) -> nn.Module
        A network with random weights.
    statistics : callable Chips -> BandStatistics
        Normalisation of each band.
    prepare : callable (bands, side of a pixel in metres) -> bands
        Transformation of raw bands (bands, rows, cols) before the normalisation.
    card : callable (Config, BandStatistics, fields) -> Card
        The card of a trained network; `fields` are settings, scores, temperature and made_by.
    structure : tuple of str
        Names of the settings of the training that are also in `Card.network` and give the shapes of the weights.
    levels : callable nn.Module -> sequence of nn.Module
        Levels of the encoder, the first level first, which a fine-tuning may freeze.
    check : callable Config -> None
        Raises an error if a training with these settings is impossible. It is called before STACK is made.
    pretrain : callable (nn.Module, TrainSettings) -> None
        Replaces random weights of a new network by those of a file in the settings, if there is one.
    """

    halo_px: Callable[[TrainSettings], int]
    build: Callable[[int, TrainSettings], "nn.Module"]
    statistics: Callable[[Chips], BandStatistics]
    prepare: Callable[[np.ndarray, float], np.ndarray]
    card: Callable[[Config, BandStatistics, Mapping[str, Any]], Card]
    structure: tuple[str, ...] = ()
    levels: Callable[[Any], Sequence["nn.Module"]] = lambda network: ()
    check: Callable[[Config], None] = lambda config: None
    pretrain: Callable[["nn.Module", TrainSettings], None] = lambda network, settings: None


def unprepared(bands: np.ndarray, side_m: float) -> np.ndarray:
    """Return the bands as they are. A function with a name, because processes of a training exchange it."""
    return bands


#: How a family without a network is trained: writes the weights and returns their card.
Training = Callable[[TrainingJob], Card]


class Family(Protocol):
    """A model family.

    Attributes
    ----------
    name : str
        Value of ``model.family``.
    summary : str
        One line for ``lsbatch models``.
    own_bands : tuple of str or None
        Bands that belong to the method; None: those of the band setting.
    structure : tuple of str
        Names that `Card.network` must have.
    training : NetworkRecipe, callable or None
        How weights are trained; None: its parameters come with lsbatch, or from others.
    needs_points : bool
        Training needs ``truth.points``.
    reads_archive : bool
        Predictions read the scene history of each pixel, besides the STACK.
    dates_pixels : bool
        Writes the days before and after the change of each pixel beside the probability.
    mirrors : bool
        Can average over mirror images (``predict.flips``).
    is_unet : bool
        Its weights are a U-Net: throughput can be measured, and they can be exported to ONNX and ArcGIS.
    makes_segments : bool
        Classifies segments, which ``lsbatch segments`` writes.
    has_false_alarm_rate : bool
        ``predict.false_alarm_rate`` changes its predictions.
    """

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def own_bands(self) -> tuple[str, ...] | None: ...
    @property
    def structure(self) -> tuple[str, ...]: ...
    @property
    def training(self) -> NetworkRecipe | Training | None: ...
    @property
    def needs_points(self) -> bool: ...
    @property
    def reads_archive(self) -> bool: ...
    @property
    def dates_pixels(self) -> bool: ...
    @property
    def mirrors(self) -> bool: ...
    @property
    def is_unet(self) -> bool: ...
    @property
    def makes_segments(self) -> bool: ...
    @property
    def has_false_alarm_rate(self) -> bool: ...

    def check(self, card: Card, predict: PredictSettings) -> None:
        """Check that predictions with these weights are possible on this machine.

        Raises
        ------
        ModelError
            If a library or memory is missing.
        """

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the number of pixels that a block must carry around its core."""

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the probability in the core of a block and its spread over mirror images and members.

        Parameters
        ----------
        path : Path
            Weights.
        block : array (bands, rows + 2 halo, cols + 2 halo) float32
            Bands in the order of the card, NaN as nodata.
        halo_px : int
            Pixels that `block` carries on each side.
        predict : PredictSettings
        seen : bool array (rows, cols)
            Pixels of the core with all bands; the result is not used elsewhere.
        side_m : float
            Side of a pixel in metres.

        Returns
        -------
        probability : array (rows, cols) float32
        spread : array (rows, cols) float32, or None
            None without ``predict.flips`` and with one network.
        """


class FamilyBase:
    """Defaults of a family: a model without a network that reads only the STACK."""

    own_bands: tuple[str, ...] | None = None
    structure: tuple[str, ...] = ()
    training: NetworkRecipe | Training | None = None
    needs_points = False
    reads_archive = False
    dates_pixels = False
    mirrors = False
    is_unet = False
    makes_segments = False
    has_false_alarm_rate = False

    def check(self, card: Card, predict: PredictSettings) -> None:
        """Accept all weights."""

    def halo_px(self, card: Card, predict: PredictSettings, side_m: float) -> int:
        """Return the halo of the card."""
        return card.halo_px
