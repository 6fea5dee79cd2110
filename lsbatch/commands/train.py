"""The command `lsbatch train`: train weights from surveys with known landslides."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from lsbatch.catalog import plan
from lsbatch.catalog.survey import open_survey
from lsbatch.commands import run
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.grid import Tile
from lsbatch.models import base, families
from lsbatch.models.family import NetworkRecipe, Training, TrainingJob
from lsbatch.models.training import fine_tuning, rate_finder, trainer
from lsbatch.models.training.spatial_split import UNKNOWN, Source
from lsbatch.settings import Config, TruthSettings, Windows, digest
from lsbatch.storage import objects, receipts, vectors
from lsbatch.storage.files import exists


def train(
    configs: Sequence[Config],
    screen: Screen,
    *,
    out: Path | None,
    fresh: bool,
    hold_out: bool = False,
    start: Path | None = None,
) -> None:
    """Update the STACK of every survey, then train the model of the first survey on all of them.

    Parameters
    ----------
    hold_out : bool
        Leave out the samples in test blocks. A network always does.
    start : Path or None
        Weights from which a network starts (fine-tuning); None: random weights.

    Raises
    ------
    ConfigError
        If a survey has no mapped landslides, or its bands differ from those of the first survey.
    ModelError
        If the weights in `start` do not fit.
    NoDataError
        If STACK of a tile failed, or there is no training data.
    """
    training, job = _job(configs, screen, out, hold_out, start)
    if isinstance(training, NetworkRecipe):
        card = trainer.fit(job, resume=not fresh, progress=screen.text)
    else:
        card = training(job)
    screen.text(f"Weights: {job.out} ({card.checksum})")


def find_rate(configs: Sequence[Config], screen: Screen, *, out: Path | None, start: Path | None = None) -> None:
    """Update the STACK of every survey, then print a learning rate for the model of the first survey.

    No weights are written, and an interrupted training stays as it is.

    Raises
    ------
    ConfigError
        If the model is no network; otherwise as `train`.
    """
    family = configs[0].model.family
    if not isinstance(families.of(configs[0]).training, NetworkRecipe):
        raise ConfigError(f"model.family = {family!r}: has no learning rate; --find-rate is for networks")
    _, job = _job(configs, screen, out, False, start)
    rate = rate_finder.find_rate(job, screen.text)
    screen.text(
        f"Suggested learning rate: set train.learning_rate to {rate:.1e} (now {job.config.train.learning_rate})"
    )


def _job(
    configs: Sequence[Config], screen: Screen, out: Path | None, hold_out: bool, start: Path | None
) -> tuple[NetworkRecipe | Training, TrainingJob]:
    """Check the surveys, update their STACK and return what is to be trained."""
    training = families.of(configs[0]).training
    if training is None:
        family = configs[0].model.family
        raise ConfigError(f"model.family = {family!r}: there is nothing to train; run 'lsbatch run'")
    for config in configs:
        _check(config, configs[0])
    first = fine_tuning.adopted(configs[0], start, screen.text)
    if isinstance(training, NetworkRecipe):
        training.check(first)
    target = out or base.default_path(first)
    if objects.is_remote(target):
        raise ConfigError(
            f"{target}: chips and checkpoints need a disk; train with --out FILE, then set model.weights to that file "
            "or copy it there"
        )
    for config in configs:
        if run.survey(config, screen, until="stack"):
            raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status', then train again")
    sources = tuple(source(config) for config in configs)
    known = learned([first, *configs[1:]], hold_out, start)
    return training, TrainingJob(sources, first, target, known, hold_out, start)


def _check(config: Config, first: Config) -> None:
    if config.truth is None:
        raise ConfigError(f"{config.survey.id}: has no mapped landslides to train on; set truth.file")
    if families.of(first).needs_points and config.truth.points is None:
        raise ConfigError(f"{config.survey.id}: has no points to train {first.model.family} on; set truth.points")
    if config.inputs != first.inputs:
        raise ConfigError(
            f"{config.survey.id}: has bands {config.bands_text}; {first.survey.id} has {first.bands_text}; train on "
            "the same bands"
        )


def learned(configs: Sequence[Config], hold_out: bool, start: Path | None = None) -> str:
    """Return the digest of everything that a training depends on: settings, truth, STACK and the first weights."""
    first = configs[0]
    regions = []
    for config in configs:
        truth, ready = cast(TruthSettings, config.truth), open_survey(config)
        stacked = receipts.read_stage(ready.workspace.receipts, "stack")
        files = [receipts.checksum(f) for f in (truth.file, truth.points, truth.mapped_area) if f is not None]
        regions.append([config.survey.id, files, truth.date_field, sorted((t, r.digest) for t, r in stacked.items())])
    begun = [] if start is None else [base.card(start).checksum]
    return digest([first.model.family, first.inputs, first.train, hold_out, regions, *begun, *_pretrained(first)])


def _pretrained(config: Config) -> list[str]:
    """Return the checksum of the pretrained encoder, if there is one."""
    path = config.train.encoder_weights
    if path is None:
        return []
    if not exists(path):
        raise ConfigError(f"train.encoder_weights = {str(path)!r}: this file does not exist")
    return [receipts.checksum(path)]


def source(config: Config) -> Source:
    """Return a survey in the form that the trainer needs: cube, tiles and the truth of a tile."""
    ready = open_survey(config)
    truth, windows = cast(TruthSettings, config.truth), config.survey.windows
    return Source(
        name=config.survey.id,
        store=ready.workspace.store,
        grid=ready.grid,
        tiles=tuple(ready.tile(p) for p in ready.positions),
        truth=lambda tile: _labels(truth, windows, tile),
        points=None if truth.points is None else lambda: vectors.read_points(truth, config.grid.crs),
        scenes={key: (row["least"], row["most"]) for key, row in plan.load(config.output).summary["scenes"].items()},
        windows=windows,
    )


def _labels(truth: TruthSettings, windows: Windows, tile: Tile) -> np.ndarray:
    """Return 1 in mapped landslides, 0 in the rest of the mapped area, UNKNOWN elsewhere."""
    slid = vectors.truth_mask(truth, windows, tile.geobox)
    return np.where(vectors.mapped_mask(truth, tile.geobox), slid, UNKNOWN).astype(np.uint8)
