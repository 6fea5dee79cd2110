"""From surveys with known landslides to weights. Apart from `runs`, because Lightning takes seconds to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

import lsbatch
from lsbatch import runs
from lsbatch.archive import cube, vectors
from lsbatch.archive.survey import open_survey
from lsbatch.config import Config, TruthSettings
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.layers import STACK
from lsbatch.models import base, cards, cart
from lsbatch.models import train as network
from lsbatch.runs import Screen


def train(configs: Sequence[Config], screen: Screen, *, out: Path | None, fresh: bool) -> None:
    """Bring every survey's STACK up to date, then train the first one's model on all of them.

    Raises
    ------
    ConfigError
        If a survey names no truth, or its bands differ from the first one's.
    NoDataError
        If a tile could not be stacked, or there is nothing to learn from.
    """
    first = configs[0]
    for config in configs:
        _checked(config, first)
    for config in configs:
        if runs.survey(config, screen, until="stack"):
            raise NoDataError(
                f"{config.survey.id}: not every tile could be stacked; see 'lsbatch status', then train again"
            )
    target = out or base.default_path(first)
    if first.model.family == "cart":
        card = _cart(configs, target)
    else:
        card = network.fit([_source(c) for c in configs], first, target, resume=not fresh, progress=screen.text)
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


def _source(config: Config) -> network.Source:
    """A survey as the trainer sees it: its cube, its tiles and the truth of a tile."""
    ready = open_survey(config)
    truth, windows = cast(TruthSettings, config.truth), config.survey.windows
    return network.Source(
        name=config.survey.id,
        store=ready.workspace.store,
        grid=ready.grid,
        tiles=tuple(ready.tile(p) for p in ready.positions),
        truth=lambda tile: vectors.truth_mask(truth, windows, tile.geobox),
    )


def _cart(configs: Sequence[Config], target: Path) -> cards.Card:
    found = [_samples(config) for config in configs]
    samples, classes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    first = configs[0]
    card = cart.card(
        first.inputs,
        settings={"seed": first.train.seed, "points": len(classes)},
        made_by={"software": f"lsbatch {lsbatch.__version__}", "surveys": [config.survey.id for config in configs]},
    )
    return cards.save(target, cart.fit(samples, classes, first.train.seed), card)


def _samples(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Bands (points, bands) under the training points of a survey, and their classes; points off its tiles are left out."""
    ready, names = open_survey(config), config.inputs
    x, y, classes = vectors.read_points(cast(TruthSettings, config.truth), config.grid.crs)
    cols, rows = (np.floor(place).astype(int) for place in ~ready.grid.geobox.transform @ (x, y))
    samples, labels = [], []
    for position in ready.positions:
        tile = ready.tile(position)
        tall, wide = tile.region
        here = (rows >= tall.start) & (rows < tall.stop) & (cols >= wide.start) & (cols < wide.stop)
        if here.any():
            bands = cube.read(ready.workspace.store, ready.grid, STACK, tile, 0, names)
            places = rows[here] - tall.start, cols[here] - wide.start
            samples.append(np.stack([bands[name][places] for name in names], axis=1))
            labels.append(classes[here])
    if not samples:
        raise NoDataError(f"{config.survey.id}: none of its truth.points lies on a tile of the survey")
    return np.concatenate(samples), np.concatenate(labels)
