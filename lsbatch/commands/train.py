"""The command `lsbatch train`: train weights from surveys with known landslides, public sets and reviews."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands import reviewed as reviews
from lsbatch.commands import run
from lsbatch.commands.reviewed import Lessons
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.grid import Tile
from lsbatch.models import base, families
from lsbatch.models.family import NetworkRecipe, Training, TrainingJob
from lsbatch.models.training import fine_tuning, rate_finder, trainer
from lsbatch.models.training.public_sets import formats
from lsbatch.models.training.public_sets.chip_folder import ChipFolder
from lsbatch.models.training.spatial_split import UNKNOWN, Source
from lsbatch.settings import Config, TruthSettings, Windows, digest
from lsbatch.storage import objects, receipts, vectors
from lsbatch.storage.files import exists


@dataclass(frozen=True)
class Extras:
    """What a training uses besides the mapped landslides of its surveys.

    Attributes
    ----------
    start : Path or None
        Weights from which a network starts (fine-tuning); None: random weights.
    chips, chip_formats : tuples of Path and of str
        Folders of public training sets, and the format of each. A survey without mapped landslides then gives only
        settings, and its STACK is not needed.
    reviewed : tuple of Config
        Surveys whose answers by reviewers are used instead of mapped landslides, also if they are among the surveys.
    """

    start: Path | None = None
    chips: tuple[Path, ...] = ()
    chip_formats: tuple[str, ...] = ()
    reviewed: tuple[Config, ...] = ()


#: A training of mapped landslides only.
NONE = Extras()


def train(
    configs: Sequence[Config],
    screen: Screen,
    *,
    out: Path | None,
    fresh: bool,
    hold_out: bool = False,
    extras: Extras = NONE,
) -> None:
    """Update the STACK of every survey, then train the model of the first survey on all of them.

    Parameters
    ----------
    configs : sequence of Config
    screen : Screen
    out : Path or None
        File of weights; None: in the folder of the first survey.
    fresh : bool
        Start again instead of resuming an interrupted training.
    hold_out : bool
        Leave out the samples in test blocks. A network always does.
    extras : Extras

    Raises
    ------
    ConfigError
        If a survey has no mapped landslides, or its bands differ from those of the first survey.
    ModelError
        If the weights to start from do not fit.
    NoDataError
        If STACK of a tile failed, there is no training data, or nothing was answered in a reviewed survey.
    """
    training, job = _job(configs, screen, out, hold_out, extras)
    if isinstance(training, NetworkRecipe):
        card = trainer.fit(job, resume=not fresh, progress=screen.text)
    else:
        card = training(job)
    screen.text(f"Weights: {job.out} ({card.checksum})")


def find_rate(configs: Sequence[Config], screen: Screen, *, out: Path | None, extras: Extras = NONE) -> None:
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
    _, job = _job(configs, screen, out, False, extras)
    rate = rate_finder.find_rate(job, screen.text)
    screen.text(
        f"Suggested learning rate: set train.learning_rate to {rate:.1e} (now {job.config.train.learning_rate})"
    )


def _job(
    configs: Sequence[Config], screen: Screen, out: Path | None, hold_out: bool, extras: Extras
) -> tuple[NetworkRecipe | Training, TrainingJob]:
    """Check the surveys, update their STACK and return what is to be trained."""
    training = families.of(configs[0]).training
    if training is None:
        family = configs[0].model.family
        raise ConfigError(f"model.family = {family!r}: there is nothing to train; run 'lsbatch run'")
    chip_sets = _chip_sets(training, extras, configs[0])
    reviewed = tuple({config.output: config for config in extras.reviewed}.values())
    mapped = _mapped(configs, reviewed, bool(chip_sets))
    lessons = _lessons(training, reviewed, configs[0], screen)
    first = fine_tuning.adopted(configs[0], extras.start, screen.text)
    if isinstance(training, NetworkRecipe):
        training.check(first)
    target = out or base.default_path(first)
    if objects.is_remote(target):
        raise ConfigError(
            f"{target}: chips and checkpoints need a disk; train with --out FILE, then set model.weights to that file "
            "or copy it there"
        )
    for config in (*mapped, *reviewed):
        if run.survey(config, screen, until="stack"):
            raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status', then train again")
    sources = (*map(source, mapped), *map(reviewed_source, lessons))
    known = learned(mapped, hold_out, first, start=extras.start, chip_sets=chip_sets, lessons=lessons)
    facts = {"reviewed": [one.counts() for one in lessons]} if lessons else {}
    return training, TrainingJob(sources, first, target, known, hold_out, extras.start, chip_sets, facts)


def _mapped(configs: Sequence[Config], reviewed: Sequence[Config], has_chips: bool) -> tuple[Config, ...]:
    """Return the surveys whose mapped landslides are learned from, and check them."""
    others = {config.output for config in reviewed}
    found = []
    for config in configs:
        _check_bands(config, configs[0])
        if config.output in others or (has_chips and config.truth is None):
            continue
        _check_truth(config, configs[0])
        found.append(config)
    return tuple(found)


def _chip_sets(training: NetworkRecipe | Training, extras: Extras, first: Config) -> tuple[ChipFolder, ...]:
    """Open the public sets; refuse them for a model that is no network."""
    if extras.chips and not isinstance(training, NetworkRecipe):
        raise ConfigError(f"--chips: model.family = {first.model.family!r} is no network; use unet, prakash or smp")
    return formats.open_folders(extras.chips, extras.chip_formats, first) if extras.chips or extras.chip_formats else ()


def _check_truth(config: Config, first: Config) -> None:
    if config.truth is None:
        raise ConfigError(f"{config.survey.id}: has no mapped landslides to train on; set truth.file")
    if families.of(first).needs_points and config.truth.points is None:
        raise ConfigError(f"{config.survey.id}: has no points to train {first.model.family} on; set truth.points")


def _check_bands(config: Config, first: Config) -> None:
    if config.inputs != first.inputs:
        raise ConfigError(
            f"{config.survey.id}: has bands {config.bands_text}; {first.survey.id} has {first.bands_text}; train on "
            "the same bands"
        )


def _lessons(
    training: NetworkRecipe | Training, reviewed: Sequence[Config], first: Config, screen: Screen
) -> tuple[Lessons, ...]:
    """Read the answers of the reviewed surveys, and show their numbers."""
    if reviewed and not isinstance(training, NetworkRecipe):
        raise ConfigError(
            f"model.family = {first.model.family!r}: cannot be trained on reviews; use unet, prakash or smp, or leave "
            "out --reviewed"
        )
    for config in reviewed:
        _check_bands(config, first)
    found = tuple(reviews.read(config) for config in reviewed)
    for one in found:
        screen.text(one.text())
    return found


def learned(
    configs: Sequence[Config],
    hold_out: bool,
    first: Config | None = None,
    *,
    start: Path | None = None,
    chip_sets: Sequence[ChipFolder] = (),
    lessons: Sequence[Lessons] = (),
) -> str:
    """Return the digest of all that a training depends on: settings, truth, STACK, sets, reviews, first weights.

    The settings are those of `first`, by default the first of `configs`.
    """
    first = first or configs[0]
    regions: list[Any] = []
    for config in configs:
        truth, ready = cast(TruthSettings, config.truth), open_survey(config)
        files = [receipts.checksum(f) for f in (truth.file, truth.points, truth.mapped_area) if f is not None]
        regions.append([config.survey.id, files, truth.date_field, _stacked(ready)])
    for one in lessons:
        regions.append([one.config.survey.id, "answers", one.checksum(), _stacked(open_survey(one.config))])
    begun = [] if start is None else [base.card(start).checksum]
    sets = [one.digest for one in chip_sets]
    inputs = [first.model.family, first.inputs, first.train, hold_out, regions]
    return digest([*inputs, *begun, *_pretrained(first), *sets])


def _stacked(survey: Survey) -> list[tuple[str, str]]:
    """Return the digest of STACK of each tile."""
    done = receipts.read_stage(survey.workspace.receipts, "stack")
    return sorted((tile, receipt.digest) for tile, receipt in done.items())


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
    truth, windows = cast(TruthSettings, config.truth), config.survey.windows
    return Source(
        truth=lambda tile: _labels(truth, windows, tile),
        points=None if truth.points is None else lambda: vectors.read_points(truth, config.grid.crs),
        **_ground(config),
    )


def _labels(truth: TruthSettings, windows: Windows, tile: Tile) -> np.ndarray:
    """Return 1 in mapped landslides, 0 in the rest of the mapped area, UNKNOWN elsewhere."""
    slid = vectors.truth_mask(truth, windows, tile.geobox)
    return np.where(vectors.mapped_mask(truth, tile.geobox), slid, UNKNOWN).astype(np.uint8)


def reviewed_source(lessons: Lessons) -> Source:
    """Return a reviewed survey in the form that the trainer needs; its truth is the answers of the reviewers."""
    return Source(
        truth=lambda tile: reviews.truth(lessons, tile.geobox),
        weight=lambda tile: reviews.weight(lessons, tile.geobox),
        is_reviewed=True,
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
