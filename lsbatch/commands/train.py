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
from lsbatch.models.training.public_sets import formats
from lsbatch.models.training.public_sets.chip_folder import ChipFolder
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
    chips: Sequence[Path] = (),
    chip_formats: Sequence[str] = (),
) -> None:
    """Update the STACK of every survey, then train the model of the first survey on all of them.

    With public sets, a survey without mapped landslides gives only settings. Its STACK is not needed.

    Parameters
    ----------
    chips, chip_formats : sequences of Path and of str
        Folders of public training sets, and the format of each.
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
    chip_sets = _chip_sets(training, chips, chip_formats, first)
    if chip_sets:
        for config in configs:
            _check_bands(config, first)
        configs = [config for config in configs if config.truth is not None]
    for config in configs:
        _check(config, first)
    for config in configs:
        if run.survey(config, screen, until="stack"):
            raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status', then train again")
    target = out or base.default_path(first)
    if objects.is_remote(target):
        raise ConfigError(
            f"{target}: chips and checkpoints need a disk; train with --out FILE, then set model.weights to that file "
            "or copy it there"
        )
    sources = tuple(source(config) for config in configs)
    job = TrainingJob(sources, first, target, learned(configs, hold_out, first, chip_sets), hold_out, chip_sets)
    card = _fit(training, job, screen, fresh)
    screen.text(f"Weights: {target} ({card.checksum})")


def _fit(training: NetworkRecipe | Training, job: TrainingJob, screen: Screen, fresh: bool) -> Card:
    """Train with the network trainer, or as the family itself does it."""
    if isinstance(training, NetworkRecipe):
        return trainer.fit(job, resume=not fresh, progress=screen.text)
    return training(job)


def _chip_sets(
    training: NetworkRecipe | Training, folders: Sequence[Path], forms: Sequence[str], first: Config
) -> tuple[ChipFolder, ...]:
    """Open the public sets; refuse them for a model that is no network."""
    if folders and not isinstance(training, NetworkRecipe):
        raise ConfigError(f"--chips: model.family = {first.model.family!r} is no network; use unet or prakash")
    return formats.open_folders(folders, forms, first) if folders or forms else ()


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


def learned(
    configs: Sequence[Config], hold_out: bool, first: Config | None = None, chip_sets: Sequence[ChipFolder] = ()
) -> str:
    """Return the digest of everything that a training depends on: settings, truth, STACK and public sets.

    The settings are those of `first`, by default the first of `configs`.
    """
    first = first or configs[0]
    regions = []
    for config in configs:
        truth, ready = cast(TruthSettings, config.truth), open_survey(config)
        stacked = receipts.read_stage(ready.workspace.receipts, "stack")
        files = [receipts.checksum(file) for file in (truth.file, truth.points) if file is not None]
        regions.append([config.survey.id, files, truth.date_field, sorted((t, r.digest) for t, r in stacked.items())])
    sets = [one.digest for one in chip_sets]
    return digest([first.model.family, first.inputs, first.train, hold_out, regions, *sets])


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
