"""The command `lsbatch train`: train weights from surveys with known landslides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands import reviewed as reviews
from lsbatch.commands import run
from lsbatch.commands.reviewed import Lessons
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models import base, families
from lsbatch.models.cards import Card
from lsbatch.models.family import NetworkRecipe, Training, TrainingJob
from lsbatch.models.training import trainer
from lsbatch.models.training.spatial_split import Source
from lsbatch.settings import Config, TruthSettings, digest
from lsbatch.storage import objects, receipts, vectors


def train(
    configs: Sequence[Config],
    screen: Screen,
    *,
    out: Path | None,
    fresh: bool,
    hold_out: bool = False,
    reviewed: Sequence[Config] = (),
) -> None:
    """Update the STACK of every survey, then train the model of the first survey on all of them.

    Parameters
    ----------
    reviewed : sequence of Config
        Surveys whose answers by reviewers are used instead of mapped landslides, also if they are in `configs`.
    hold_out : bool
        Leave out the samples in test blocks. A network always does.

    Raises
    ------
    ConfigError
        If a survey has no mapped landslides, or its bands differ from those of the first survey.
    NoDataError
        If STACK of a tile failed, or there is no training data, or nothing was answered in a reviewed survey.
    """
    first = configs[0]
    training = families.of(first).training
    if training is None:
        raise ConfigError(
            f"model.family = {first.model.family!r}: there is nothing to train, its parameters come with lsbatch; "
            "run 'lsbatch run'"
        )
    reviewed = tuple({config.output: config for config in reviewed}.values())
    mapped = tuple(config for config in configs if config.output not in {one.output for one in reviewed})
    for config in mapped:
        _check(config, first)
    lessons = _lessons(training, reviewed, first, screen)
    for config in (*mapped, *reviewed):
        if run.survey(config, screen, until="stack"):
            raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status', then train again")
    target = out or base.default_path(first)
    if objects.is_remote(target):
        raise ConfigError(
            f"{target}: chips and checkpoints need a disk; train with --out FILE, then set model.weights to that file "
            "or copy it there"
        )
    sources = (*map(source, mapped), *map(reviewed_source, lessons))
    facts = {"reviewed": [one.counts() for one in lessons]} if lessons else {}
    job = TrainingJob(sources, first, target, learned(mapped, hold_out, lessons, first), hold_out, facts)
    card = _fit(training, job, screen, fresh)
    screen.text(f"Weights: {target} ({card.checksum})")


def _fit(training: NetworkRecipe | Training, job: TrainingJob, screen: Screen, fresh: bool) -> Card:
    """Train with the network trainer, or as the family itself does it."""
    if isinstance(training, NetworkRecipe):
        return trainer.fit(job, resume=not fresh, progress=screen.text)
    return training(job)


def _check(config: Config, first: Config) -> None:
    if config.truth is None:
        raise ConfigError(f"{config.survey.id}: has no mapped landslides to train on; set truth.file")
    if families.of(first).needs_points and config.truth.points is None:
        raise ConfigError(f"{config.survey.id}: has no points to train {first.model.family} on; set truth.points")
    _check_bands(config, first)


def _check_bands(config: Config, first: Config) -> None:
    if config.inputs != first.inputs:
        raise ConfigError(
            f"{config.survey.id}: has bands {config.bands_text}; {first.survey.id} has {first.bands_text}; train on "
            "the same bands"
        )


def _lessons(
    training: NetworkRecipe | Training, reviewed: Sequence[Config], first: Config, screen: Screen
) -> list[Lessons]:
    """Read the answers of the reviewed surveys, and show their numbers."""
    if reviewed and not isinstance(training, NetworkRecipe):
        raise ConfigError(
            f"model.family = {first.model.family!r}: cannot be trained on reviews; use unet or prakash, or leave out "
            "--reviewed"
        )
    for config in reviewed:
        _check_bands(config, first)
    found = [reviews.read(config) for config in reviewed]
    for one in found:
        screen.text(one.text())
    return found


def learned(
    configs: Sequence[Config], hold_out: bool, lessons: Sequence[Lessons] = (), first: Config | None = None
) -> str:
    """Return the digest of everything that a training depends on: settings, truth, answers of reviewers and STACK.

    The settings are those of `first`, by default the first of `configs`.
    """
    first = first or configs[0]
    regions = []
    for config in configs:
        truth, ready = cast(TruthSettings, config.truth), open_survey(config)
        files = [receipts.checksum(file) for file in (truth.file, truth.points) if file is not None]
        regions.append([config.survey.id, files, truth.date_field, _stacked(ready)])
    for one in lessons:
        regions.append([one.config.survey.id, "reviewed", one.checksum(), _stacked(open_survey(one.config))])
    return digest([first.model.family, first.inputs, first.train, hold_out, regions])


def _stacked(survey: Survey) -> list[tuple[str, str]]:
    """Return the digest of STACK of each tile."""
    done = receipts.read_stage(survey.workspace.receipts, "stack")
    return sorted((tile, receipt.digest) for tile, receipt in done.items())


def source(config: Config) -> Source:
    """Return a survey in the form that the trainer needs: cube, tiles and the truth of a tile."""
    truth, windows = cast(TruthSettings, config.truth), config.survey.windows
    return Source(
        truth=lambda tile: vectors.truth_mask(truth, windows, tile.geobox),
        points=None if truth.points is None else lambda: vectors.read_points(truth, config.grid.crs),
        **_ground(config),
    )


def reviewed_source(lessons: Lessons) -> Source:
    """Return a reviewed survey in the form that the trainer needs; its truth is the answers of the reviewers."""
    return Source(
        truth=lambda tile: reviews.truth(lessons, tile.geobox),
        weight=lambda tile: reviews.weight(lessons, tile.geobox),
        **_ground(lessons.config),
    )


def _ground(config: Config) -> dict[str, Any]:
    """Return the fields of a source that do not depend on its truth."""
    ready = open_survey(config)
    return {
        "name": config.survey.id,
        "store": ready.workspace.store,
        "grid": ready.grid,
        "tiles": tuple(ready.tile(p) for p in ready.positions),
        "scenes": {key: (row["least"], row["most"]) for key, row in plan.load(config.output).summary["scenes"].items()},
        "windows": config.survey.windows,
    }
