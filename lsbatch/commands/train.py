"""The command `lsbatch train`: train weights from surveys with known landslides."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from lsbatch.catalog import plan
from lsbatch.catalog.survey import open_survey
from lsbatch.commands import run
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models import base, families
from lsbatch.models.cards import Card
from lsbatch.models.family import NetworkRecipe, Training, TrainingJob
from lsbatch.models.training import trainer
from lsbatch.models.training.spatial_split import Source
from lsbatch.settings import Config, TruthSettings, digest
from lsbatch.storage import objects, receipts, vectors
from lsbatch.storage.files import exists


def train(configs: Sequence[Config], screen: Screen, *, out: Path | None, fresh: bool, hold_out: bool = False) -> None:
    """Update the STACK of every survey, then train the model of the first survey on all of them.

    Parameters
    ----------
    hold_out : bool
        Leave out the samples in test blocks. A network always does.

    Raises
    ------
    ConfigError
        If a survey has no mapped landslides, or its bands differ from those of the first survey.
    NoDataError
        If STACK of a tile failed, or there is no training data.
    """
    first = configs[0]
    training = families.of(first).training
    if training is None:
        raise ConfigError(
            f"model.family = {first.model.family!r}: there is nothing to train, its parameters come with lsbatch; "
            "run 'lsbatch run'"
        )
    for config in configs:
        _check(config, first)
    if isinstance(training, NetworkRecipe):
        training.check(first)
    for config in configs:
        if run.survey(config, screen, until="stack"):
            raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status', then train again")
    target = out or base.default_path(first)
    if objects.is_remote(target):
        raise ConfigError(
            f"{target}: chips and checkpoints need a disk; train with --out FILE, then set model.weights to that file "
            "or copy it there"
        )
    card = _fit(training, configs, target, screen, fresh, hold_out)
    screen.text(f"Weights: {target} ({card.checksum})")


def _fit(
    training: NetworkRecipe | Training,
    configs: Sequence[Config],
    target: Path,
    screen: Screen,
    fresh: bool,
    hold_out: bool,
) -> Card:
    """Train with the network trainer, or as the family itself does it."""
    sources = tuple(source(config) for config in configs)
    job = TrainingJob(sources, configs[0], target, learned(configs, hold_out), hold_out)
    if isinstance(training, NetworkRecipe):
        return trainer.fit(job, resume=not fresh, progress=screen.text)
    return training(job)


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


def learned(configs: Sequence[Config], hold_out: bool) -> str:
    """Return the digest of everything that a training depends on: settings, truth and STACK."""
    first = configs[0]
    regions = []
    for config in configs:
        truth, ready = cast(TruthSettings, config.truth), open_survey(config)
        stacked = receipts.read_stage(ready.workspace.receipts, "stack")
        files = [receipts.checksum(file) for file in (truth.file, truth.points) if file is not None]
        regions.append([config.survey.id, files, truth.date_field, sorted((t, r.digest) for t, r in stacked.items())])
    return digest([first.model.family, first.inputs, first.train, hold_out, regions, *_pretrained(first)])


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
        truth=lambda tile: vectors.truth_mask(truth, windows, tile.geobox),
        points=None if truth.points is None else lambda: vectors.read_points(truth, config.grid.crs),
        scenes={key: (row["least"], row["most"]) for key, row in plan.load(config.output).summary["scenes"].items()},
        windows=windows,
    )
