"""The command `lsbatch train`: train weights from surveys with known landslides."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

import lsbatch
from lsbatch.bands import STACK
from lsbatch.catalog.survey import open_survey
from lsbatch.commands import run
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.grid import Tile
from lsbatch.models import base, cards, cart, tehrani
from lsbatch.models.training import chips
from lsbatch.models.training import trainer as network
from lsbatch.models.training.chips import Source
from lsbatch.settings import Config, TruthSettings, digest
from lsbatch.storage import cube, objects, receipts, vectors

#: Pixels of each tile from which tehrani's classes are learned.
SAMPLED_PX = 50_000


def train(configs: Sequence[Config], screen: Screen, *, out: Path | None, fresh: bool, hold_out: bool = False) -> None:
    """Update the STACK of every survey, then train the model of the first survey on all of them.

    Parameters
    ----------
    hold_out : bool
        Keep a tree's points out of the test blocks, too, as a network's chips always are.

    Raises
    ------
    ConfigError
        If a survey names no truth, or its bands differ from the first one's.
    NoDataError
        If a tile could not be stacked, or there is nothing to learn from.
    """
    first = configs[0]
    if first.model.family == "ccdc":
        raise ConfigError(
            "model.family ccdc: learns from nothing but each pixel's own years; there is nothing to train, run 'lsbatch run'"
        )
    for config in configs:
        _checked(config, first)
    for config in configs:
        if run.survey(config, screen, until="stack"):
            raise NoDataError(
                f"{config.survey.id}: not every tile could be stacked; see 'lsbatch status', then train again"
            )
    target = out or base.default_path(first)
    if objects.is_remote(target):
        raise ConfigError(
            f"{target}: chips and checkpoints need a disk; train with --out FILE, then name that file as model.weights or copy it there"
        )
    if first.model.family == "cart":
        card = _cart(configs, target, hold_out)
    elif first.model.family == "tehrani":
        card = _tehrani(configs, target, hold_out)
    else:
        known = {"learned": learned(configs, hold_out)}
        sources = [source(config) for config in configs]
        card = network.fit(sources, first, target, resume=not fresh, progress=screen.text, known=known)
    screen.text(f"Weights: {target} ({card.checksum})")


def _checked(config: Config, first: Config) -> None:
    if config.truth is None:
        raise ConfigError(f"{config.survey.id}: names no truth to learn from; set truth.file")
    if first.model.family == "cart" and config.truth.points is None:
        raise ConfigError(f"{config.survey.id}: names no points for cart to learn from; set truth.points")
    if config.inputs != first.inputs:
        raise ConfigError(
            f"{config.survey.id}: has bands {config.bands}, {first.survey.id} has {first.bands}; train on one band setting"
        )


def learned(configs: Sequence[Config], hold_out: bool) -> str:
    """Return the digest of all that a training depends on: settings, truth and STACK."""
    first = configs[0]
    regions = []
    for config in configs:
        truth, ready = cast(TruthSettings, config.truth), open_survey(config)
        stacked = receipts.read_stage(ready.workspace.receipts, "stack")
        files = [receipts.checksum(file) for file in (truth.file, truth.points) if file is not None]
        regions.append([config.survey.id, files, truth.date_field, sorted((t, r.digest) for t, r in stacked.items())])
    return digest([first.model.family, first.inputs, first.train, hold_out, regions])


def source(config: Config) -> Source:
    """Return a survey as the trainer needs it: cube, tiles and the truth of a tile."""
    ready = open_survey(config)
    truth, windows = cast(TruthSettings, config.truth), config.survey.windows
    return Source(
        name=config.survey.id,
        store=ready.workspace.store,
        grid=ready.grid,
        tiles=tuple(ready.tile(p) for p in ready.positions),
        truth=lambda tile: vectors.truth_mask(truth, windows, tile.geobox),
    )


def _cart(configs: Sequence[Config], target: Path, hold_out: bool) -> cards.Card:
    split = chips.deal([source(config) for config in configs], configs[0].train) if hold_out else None
    found = [_samples(config, split, index) for index, config in enumerate(configs)]
    samples, classes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    first = configs[0]
    card = cart.card(
        first.inputs,
        settings={"seed": first.train.seed, "points": len(classes)},
        made_by=_made_by(configs, hold_out, split),
    )
    return cards.save(target, cart.fit(samples, classes, first.train.seed), card)


def _tehrani(configs: Sequence[Config], target: Path, hold_out: bool) -> cards.Card:
    """Train tehrani in two passes: class centres from a sample of the change, then segments and their classes."""
    first = configs[0]
    sources = [source(config) for config in configs]
    split = chips.deal(sources, first.train) if hold_out else None
    dice = np.random.default_rng(first.train.seed)
    changes = []
    for _, _, block, _ in _blocks(sources, 0):
        values = tehrani.change(block).ravel()
        values = values[np.isfinite(values)]
        changes.append(dice.permutation(values)[:SAMPLED_PX])
    middle = tehrani.centres(np.concatenate(changes), first.train.seed)
    side_m = first.grid.resolution_m
    features, slides = [], []
    for index, tile, block, truth in _blocks(sources, tehrani.HALO_PX):
        found = tehrani.cut(block, middle, side_m)
        mine = _own(found.first - tehrani.HALO_PX, tile, None if split is None else (split, index))
        shares = tehrani.shares(found.labels, truth)
        features.append(found.features[mine])
        slides.append(shares[mine] >= 0.5)
    samples, landslide = np.concatenate(features), np.concatenate(slides)
    card = tehrani.card(
        side_m,
        settings={"seed": first.train.seed, "segments": len(landslide), "landslides": int(landslide.sum())},
        made_by=_made_by(configs, hold_out, split),
    )
    return cards.save(target, tehrani.fit(samples, landslide, middle, first.train.seed), card)


def _blocks(sources: Sequence[Source], halo_px: int) -> Iterator[tuple[int, Tile, np.ndarray, np.ndarray]]:
    """Yield source, tile, bands and truth of tehrani, with a halo."""
    for index, source in enumerate(sources):
        for tile in source.tiles:
            found = cube.read(source.store, source.grid, STACK, tile, halo_px, tehrani.BANDS)
            truth = source.truth(replace(tile, geobox=tile.padded(halo_px)))
            yield index, tile, np.stack([found[name] for name in tehrani.BANDS]), truth


def _own(places: np.ndarray, tile: Tile, split: tuple[chips.Split, int] | None) -> np.ndarray:
    """Return the segments whose first pixel lies in the tile and not in a test block."""
    side = [span.stop - span.start for span in tile.region]
    mine = ((places >= 0) & (places < side)).all(axis=1)
    if split is not None and mine.any():
        shares = split[0].pixels(split[1], *tile.region)
        mine[mine] = shares[tuple(places[mine].T)] != chips.TEST
    return mine


def _made_by(configs: Sequence[Config], hold_out: bool, split: chips.Split | None) -> dict[str, Any]:
    return {
        "software": f"lsbatch {lsbatch.__version__}",
        "surveys": [config.survey.id for config in configs],
        "learned": learned(configs, hold_out),
        **({} if split is None else {"split": chips.told([source(config) for config in configs], split)}),
    }


def _samples(config: Config, split: chips.Split | None, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bands (points, bands) and classes of the training points of a survey that lie on its tiles.

    With a split of the blocks, points in test blocks are left out, too.
    """
    ready, names = open_survey(config), config.inputs
    x, y, classes = vectors.read_points(cast(TruthSettings, config.truth), config.grid.crs)
    cols, rows = (np.floor(place).astype(int) for place in ~ready.grid.geobox.transform @ (x, y))
    samples, labels = [], []
    for position in ready.positions:
        tile = ready.tile(position)
        tall, wide = tile.region
        here = (rows >= tall.start) & (rows < tall.stop) & (cols >= wide.start) & (cols < wide.stop)
        if split is not None:
            shares = split.pixels(index, tall, wide)
            here[here] = shares[rows[here] - tall.start, cols[here] - wide.start] != chips.TEST
        if here.any():
            bands = cube.read(ready.workspace.store, ready.grid, STACK, tile, 0, names)
            places = rows[here] - tall.start, cols[here] - wide.start
            samples.append(np.stack([bands[name][places] for name in names], axis=1))
            labels.append(classes[here])
    if not samples:
        raise NoDataError(f"{config.survey.id}: none of its truth.points lies on a tile of the survey")
    return np.concatenate(samples), np.concatenate(labels)
