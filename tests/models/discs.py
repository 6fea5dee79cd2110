"""A country of discs in noise that a network learns in seconds."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lsbatch import settings
from lsbatch.bands import STACK
from lsbatch.grid import Grid, Tile
from lsbatch.models.cards import Card
from lsbatch.models.family import TrainingJob
from lsbatch.models.training import trainer
from lsbatch.models.training.spatial_split import Source
from lsbatch.storage import cube

SIDE, TILE = 512, 256
TRAIN = settings.TrainSettings(
    chip_px=64, stride_px=64, block_px=128, depth=2, width=8, batch=4, epochs=4, empty_share=0.3, learning_rate=0.01
)


def source(folder: Path) -> Source:
    """Discs that are 1.5 times the noise darker in dNDVI; a threshold on one pixel finds few of them."""
    dice, (rows, cols) = np.random.default_rng(1), np.mgrid[:SIDE, :SIDE]
    truth = np.zeros((SIDE, SIDE), bool)
    for row, col in dice.integers(0, SIDE, (60, 2)):
        truth |= (rows - row) ** 2 + (cols - col) ** 2 < 49
    bands = {name: dice.normal(0, 1, truth.shape) for name in ("preVV", "postVV", "dNDVI")}
    bands["dNDVI"] = 0.1 * (bands["dNDVI"] - 1.5 * truth)
    bands["preVV"][200:216] = np.nan
    grid = Grid.snapped("EPSG:25833", 10, TILE, (0, 0, SIDE * 10, SIDE * 10))
    store = folder / "cube.zarr"
    store.mkdir()
    cube.create(store, grid, STACK)
    for tile in grid.tiles():
        empty = {band.name: np.full((TILE, TILE), np.nan if band.scale else 0) for band in STACK.bands}
        cube.write(store, STACK, tile, empty | {name: band[tile.region] for name, band in bands.items()})

    def truth_of(tile: Tile) -> np.ndarray:
        box, whole = tile.geobox.boundingbox, grid.geobox.boundingbox
        row, col = (round(d / 10) + SIDE for d in (whole.top - box.top, box.left - whole.left))
        return np.pad(truth, SIDE)[row : row + tile.geobox.shape[0], col : col + tile.geobox.shape[1]]

    return Source("discs", store, grid, grid.tiles(), truth_of)


def config(**changes: object) -> settings.Config:
    """Settings with another training."""
    return settings.example().model_copy(update={"train": TRAIN.model_copy(update=changes)})


def job(country: Source, of: settings.Config, out: Path) -> TrainingJob:
    """A training as the command makes it."""
    return TrainingJob((country,), of, out, "digest", True)


def fit(
    country: Source,
    of: settings.Config,
    out: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> Card:
    """Train."""
    return trainer.fit(job(country, of, out), progress=progress)


def log(out: Path) -> list[dict[str, str]]:
    """Rows of the log."""
    with (out.with_name(f"{out.stem}-training") / "log.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
