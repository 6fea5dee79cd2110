"""What a training of a network needs before its first step: chips, normalisation, loaders and the network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from lsbatch.models import families
from lsbatch.models.family import BandStatistics, NetworkRecipe, TrainingJob
from lsbatch.models.training import chip_dataset, fine_tuning, processes, spatial_split
from lsbatch.models.training import chips as cutting
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.learner import Learner
from lsbatch.models.training.public_sets import set_chips
from lsbatch.settings import Config, TrainSettings

#: Maximum weight of landslide pixels in the loss; a larger weight makes outlines too wide.
LARGEST_WEIGHT = 10.0


@dataclass(frozen=True)
class Prepared:
    """A training before its first step, which the members of an ensemble share.

    Attributes
    ----------
    recipe : NetworkRecipe
    chips : Chips
    statistics : BandStatistics
    positive_weight : float
        Weight of a landslide pixel in the loss.
    """

    recipe: NetworkRecipe
    chips: Chips
    statistics: BandStatistics
    positive_weight: float


def prepare(job: TrainingJob, folder: Path, progress: Callable[[str], None]) -> Prepared:
    """Cut the chips into a folder, or find them there, and measure their statistics.

    Raises
    ------
    NoDataError
        If no training or no validation chip has a landslide.
    """
    config, settings = job.config, job.config.train
    recipe = families.of(config).training
    assert isinstance(recipe, NetworkRecipe)
    chips = cutting.collect(job.sources, config.inputs, settings, folder, recipe.halo_px(settings), job.chip_sets)
    for line in (*(note for one in job.chip_sets for note in one.notes), *map(set_chips.sentence, chips.sets)):
        progress(line)
    share = cutting.landslide_share(chips, "train")
    weight = positive_weight(settings, share)
    progress(_line(chips, share, weight))
    return Prepared(recipe, chips, fine_tuning.statistics(job.start, recipe, chips), weight)


def learner(
    prepared: Prepared, job: TrainingJob, settings: TrainSettings, number: int = 0, timer: Timer | None = None
) -> Learner:
    """Build a network with its first weights, and its loss.

    Parameters
    ----------
    prepared : Prepared
    job : TrainingJob
    settings : TrainSettings
        Those of the member of an ensemble.
    number : int
        Of the member.
    timer : Timer, optional

    Raises
    ------
    ModelError
        If the weights to start from do not fit.
    """
    pl.seed_everything(settings.seed, verbose=False)
    network = prepared.recipe.build(len(job.config.inputs), settings)
    prepared.recipe.pretrain(network, settings)
    fine_tuning.restore(network, job.start, number)
    frozen = fine_tuning.frozen_levels(prepared.recipe, network, job.config)
    steps = optimiser_steps(len(prepared.chips.of("train")), settings)
    return Learner(network, settings, prepared.positive_weight, steps, timer, frozen)


def loaders(prepared: Prepared, config: Config, settings: TrainSettings) -> dict[str, Any]:
    """Return a loader for each split; `settings` are those of the member of an ensemble."""
    turns = chip_dataset.turns(config.inputs) if settings.symmetries else []
    prepare_bands = partial(_prepared, prepared.recipe.prepare, config.grid.resolution_m)
    return chip_dataset.loaders(prepared.chips, prepared.statistics, turns, settings, prepare_bands)


def _prepared(function: Callable[[np.ndarray, float], np.ndarray], side_m: float, raw: np.ndarray) -> np.ndarray:
    """Call a function with its arguments in another order; `partial` of this can be sent to another process."""
    return function(raw, side_m)


def positive_weight(settings: TrainSettings, landslide_share: float) -> float:
    """Return the weight of a landslide pixel: that of the settings, or the root of the ratio of the classes."""
    if settings.positive_weight is not None:
        return settings.positive_weight
    ratio = (1 - landslide_share) / max(landslide_share, 1e-9)
    return float(np.clip(np.sqrt(ratio), 1, LARGEST_WEIGHT))


def optimiser_steps(chips: int, settings: TrainSettings) -> int:
    """Return the steps of the longest training, and one more, so that the learning rate of the last one is not 0.

    Each device gets its part of the chips. An epoch ends with a step, also if fewer batches than `accumulate` are left.
    """
    for share in (processes.count(settings), settings.batch, settings.accumulate):
        chips = -(-chips // share)
    return max(1, chips) * settings.epochs + 1


def counts(chips: Chips) -> dict[str, int]:
    """Return the number of chips of each split."""
    return {name: len(chips.of(name)) for name in spatial_split.SPLITS}


def _line(chips: Chips, share: float, weight: float) -> str:
    return (
        f"Chips: {', '.join(f'{n} {name}' for name, n in counts(chips).items())}; landslide {share:.2%} of the "
        f"training pixels, weight {weight:.1f}"
    )
