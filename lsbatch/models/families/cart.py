"""The family cart: a decision tree trained on points of eight classes."""

from pathlib import Path

import numpy as np

from lsbatch.bands import FULL_STACK
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models import cards, cart
from lsbatch.models.cards import Card
from lsbatch.models.family import FamilyBase, TrainingJob
from lsbatch.models.training import spatial_split
from lsbatch.models.training.spatial_split import Source, Split
from lsbatch.settings import PredictSettings
from lsbatch.storage import cube


def train(job: TrainingJob) -> Card:
    """Train a tree on the points of all surveys and write it."""
    config = job.config
    split = spatial_split.held_out_split(job.sources, config.train, job.hold_out)
    parts = [samples(source, config.inputs, split, index) for index, source in enumerate(job.sources)]
    values, classes = (np.concatenate(part) for part in zip(*parts, strict=True))
    card = cart.card(
        config.inputs,
        settings={"seed": config.train.seed, "points": len(classes)},
        made_by=spatial_split.made_by(job.sources, job.learned, split),
    )
    return cards.save(job.out, cart.fit(values, classes, config.train.seed), card)


def samples(source: Source, names: tuple[str, ...], split: Split | None, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bands (points, bands) under the training points of a survey, and the class of each point.

    Points outside the tiles are left out. With a split, points in test blocks are left out, too.

    Raises
    ------
    ConfigError
        If the survey has no training points.
    NoDataError
        If no point is left.
    """
    if source.points is None:
        raise ConfigError(f"{source.name}: has no truth.points for cart to train on; set truth.points")
    x, y, classes = source.points()
    cols, rows = (np.floor(place).astype(int) for place in ~source.grid.geobox.transform @ (x, y))
    values, labels = [], []
    for tile in source.tiles:
        tall, wide = tile.region
        inside = (rows >= tall.start) & (rows < tall.stop) & (cols >= wide.start) & (cols < wide.stop)
        if split is not None:
            shares = split.pixels(index, tall, wide)
            inside[inside] = shares[rows[inside] - tall.start, cols[inside] - wide.start] != spatial_split.TEST
        if inside.any():
            bands = cube.read(source.store, source.grid, FULL_STACK, tile, 0, names)
            places = rows[inside] - tall.start, cols[inside] - wide.start
            values.append(np.stack([bands[name][places] for name in names], axis=1))
            labels.append(classes[inside])
    if not values:
        raise NoDataError(f"{source.name}: none of its truth.points lies on a tile of the survey")
    return np.concatenate(values), np.concatenate(labels)


class CartFamily(FamilyBase):
    """The decision tree."""

    name = "cart"
    summary = "decision tree on points of eight classes (the paper's)"
    needs_points = True
    # a function of the class would become a method
    training = staticmethod(train)

    def predict(
        self, path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings, seen: np.ndarray, side_m: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return 1 for landslide and 0 for all other classes."""
        rows, cols = block.shape[1:]
        return cart.answer(path, block[:, halo_px : rows - halo_px, halo_px : cols - halo_px]), None
