"""What a training of a network needs before its first step: chips, normalisation, loaders and the network."""

from collections.abc import Callable, Mapping
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
from lsbatch.settings import Config, TrainSettings

#: Maximum weight of landslide pixels in the loss; a larger weight makes outlines too wide.
LARGEST_WEIGHT = 10.0


@dataclass(frozen=True)
class Prepared:
    """A training before its first step.

    Attributes
    ----------
    recipe : NetworkRecipe
    chips : Chips
    statistics : BandStatistics
    loaders : mapping of split to DataLoader
    learner : Learner
    """

    recipe: NetworkRecipe
    chips: Chips
    statistics: BandStatistics
    loaders: Mapping[str, Any]
    learner: Learner


def prepare(job: TrainingJob, folder: Path, timer: Timer | None, progress: Callable[[str], None]) -> Prepared:
    """Cut the chips into a folder, or find them there, and build the network.

    Raises
    ------
    NoDataError
        If no training or no validation chip has a landslide.
    ModelError
        If the weights to start from do not fit.
    """
    config, settings = job.config, job.config.train
    pl.seed_everything(settings.seed, verbose=False)
    recipe = families.of(config).training
    assert isinstance(recipe, NetworkRecipe)
    chips = cutting.collect(job.sources, config.inputs, settings, folder, recipe.halo_px(settings))
    statistics = fine_tuning.statistics(job.start, recipe, chips)
    loaders = _loaders(config, recipe, chips, statistics)
    network = recipe.build(len(config.inputs), settings)
    fine_tuning.restore(network, job.start)
    share = cutting.landslide_share(chips, "train")
    weight = positive_weight(settings, share)
    steps = optimiser_steps(len(chips.of("train")), settings)
    frozen = fine_tuning.frozen_levels(recipe, network, config)
    learner = Learner(network, settings, weight, steps, timer, frozen)
    progress(_line(chips, share, weight))
    return Prepared(recipe, chips, statistics, loaders, learner)


def _loaders(config: Config, recipe: NetworkRecipe, chips: Chips, statistics: BandStatistics) -> dict[str, Any]:
    turns = chip_dataset.turns(config.inputs) if config.train.symmetries else []
    side_m = config.grid.resolution_m
    return chip_dataset.loaders(chips, statistics, turns, config.train, partial(_prepared, recipe.prepare, side_m))


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
