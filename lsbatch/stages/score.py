"""MASK against mapped landslides: exact counts of surveyed pixels, of the tile and of small cells of it."""

import numpy as np

from lsbatch.archive import vectors
from lsbatch.archive.receipts import checksum
from lsbatch.config import Config
from lsbatch.kernels import scores
from lsbatch.records import Block, Stage
from lsbatch.stages.clean import UNOBSERVED

#: Side of a cell; every tile's side is a multiple of it. Small enough to leave out the rims of test blocks.
CELL_PX = 128


def apply(block: Block, config: Config) -> Block:
    """Confusion counts of a tile; pixels that were not observed are outside the survey."""
    assert config.truth is not None
    found = block.bands["landslide"]
    truth = vectors.truth_mask(config.truth, config.survey.windows, block.tile.geobox)
    cells = scores.by_cell(found == 1, truth, found != UNOBSERVED, CELL_PX)
    total = dict(zip(("tp", "fp", "fn", "tn"), cells.sum(axis=(0, 1)).tolist(), strict=True))
    # in cells of the nation; those that nobody saw are left out
    top, left = (span.start // CELL_PX for span in block.tile.region)
    places = np.argwhere(cells.sum(axis=2) > 0)
    told = np.column_stack([places + np.array([top, left]), cells[tuple(places.T)]])
    said = scores.reliability(block.bands["probability"], truth)
    return Block(block.tile, 0, {}, total | {"cells": told.tolist(), "reliability": said.tolist()})


def _settings(config: Config) -> dict[str, object]:
    assert config.truth is not None
    windows = config.survey.windows
    return {
        "truth": checksum(config.truth.file),
        "date_field": config.truth.date_field,
        "windows": windows.model_dump(mode="json"),
    }


STAGE = Stage(
    name="score",
    version=2,
    apply=apply,
    settings=_settings,
    reads=lambda config: {"mask": ("landslide",), "probability": ("probability",)},
    after=("clean",),
    wanted=lambda config: config.truth is not None,
)
