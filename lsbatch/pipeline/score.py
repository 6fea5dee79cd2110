"""Stage that compares MASK with mapped landslides: exact pixel counts of tiles and cells."""

import numpy as np

from lsbatch.grid import Tile
from lsbatch.kernels.statistics import score_intervals
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config
from lsbatch.storage import vectors
from lsbatch.storage.geometries import rasterize
from lsbatch.storage.receipts import checksum

#: Side of a cell in pixels. The side of every tile is a multiple of it. Small enough to exclude the margins of test
#: blocks.
CELL_PX = 128


def apply(block: Block, config: Config) -> Block:
    """Return the confusion counts of a tile; pixels that are unobserved or not mapped are not counted."""
    assert config.truth is not None
    found = block.bands["landslide"]
    truth = vectors.truth_mask(config.truth, config.survey.windows, block.tile.geobox)
    mapped = vectors.mapped_mask(config.truth, block.tile.geobox)
    seen = (found != UNOBSERVED) & mapped
    cells = score_intervals.by_cell(found == 1, truth, seen, CELL_PX)
    total = dict(zip(("tp", "fp", "fn", "tn"), cells.sum(axis=(0, 1)).tolist(), strict=True))
    probability = np.where(mapped, block.bands["probability"], np.nan)
    reliability = score_intervals.reliability(probability, truth)
    plots = {}
    for name, shape in vectors.read_plots(config.truth, config.grid.crs).items():
        if (inside := rasterize(shape, block.tile.geobox)).any():
            plots[name] = _cell_rows(score_intervals.by_cell(found == 1, truth, seen & inside, CELL_PX), block.tile)
    return Block(
        block.tile,
        0,
        {},
        total | {"cells": _cell_rows(cells, block.tile), "plots": plots, "reliability": reliability.tolist()},
    )


def _cell_rows(cells: np.ndarray, tile: Tile) -> list[list[int]]:
    """Return national row and column of the cells with observed pixels, and their counts."""
    top, left = (span.start // CELL_PX for span in tile.region)
    places = np.argwhere(cells.sum(axis=2) > 0)
    out: list[list[int]] = np.column_stack([places + np.array([top, left]), cells[tuple(places.T)]]).tolist()
    return out


def truth_settings(config: Config) -> dict[str, object]:
    """Return what the pixels of mapped landslides depend on."""
    assert config.truth is not None
    windows = config.survey.windows
    return {
        "truth": checksum(config.truth.file),
        # absent without the setting: digests of older surveys stay what they were
        **({} if config.truth.mapped_area is None else {"mapped_area": checksum(config.truth.mapped_area)}),
        "date_field": config.truth.date_field,
        "windows": windows.model_dump(mode="json"),
    }


def _settings(config: Config) -> dict[str, object]:
    assert config.truth is not None
    return {
        **truth_settings(config),
        # read once before the tiles, so that a wrong file gives one error and not one for each tile
        "plots": {name: shape.wkb_hex for name, shape in vectors.read_plots(config.truth, config.grid.crs).items()},
    }


STAGE = Stage(
    name="score",
    version=3,
    apply=apply,
    settings=_settings,
    reads=lambda config: {"mask": ("landslide",), "probability": ("probability",)},
    after=("clean",),
    wanted=lambda config: config.truth is not None,
)
