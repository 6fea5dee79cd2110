"""Stage that compresses a tile's blocks of the national maps, at each level whose blocks lie within the tile.

The reduction `national_maps` then copies bytes. It makes only the overviews whose blocks span tiles, from the tile's
pixels of the first such level (`share`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lsbatch.bands import STACK
from lsbatch.grid import Tile
from lsbatch.kernels.resampling.overviews import METHODS
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config
from lsbatch.storage import cog
from lsbatch.storage.cog import Content
from lsbatch.storage.rasters import Legend

NO_PERCENT = 255
NO_DAY = -32768
#: Maps by name; docs/inventory.md describes each.
MAPS: Mapping[str, Content] = {
    "probability": Content(np.uint8, NO_PERCENT, "average", Legend("probability of a landslide", "1", 0.01)),
    "mask": Content(np.uint8, UNOBSERVED, "nearest", Legend("1 landslide, 0 none, 255 not observed")),
    "date": Content(
        np.int16,
        NO_DAY,
        "nearest",
        Legend("day of the clear look after, where there is a landslide", "days since 1970-01-01"),
    ),
    "observed": Content(np.uint8, None, "mode", Legend(STACK["observed"].description)),
}
#: Columns of a tile's table: map; level, 0 for the full resolution; row and column of the block in the national map;
#: bytes of the block; the block. A share has the row and column of its tile, no block and 0 bytes.
COLUMNS = {"map": "str", "level": "int8", "row": "int32", "col": "int32", "size": "int32"}


def apply(block: Block, config: Config) -> Block:
    """Return the table of a tile's blocks and shares; those of nodata only are left out."""
    del config
    rows = [
        row
        for name, values in pixels(block.bands).items()
        for row in _rows(name, np.asarray(values, MAPS[name].dtype), block.tile)
    ]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "block", "share"])
    return Block(block.tile, 0, {}, part=frame.astype(COLUMNS))


def pixels(bands: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the pixels of each map from the bands of the cube."""
    found, chance = bands["landslide"], bands["probability"]
    return {
        "probability": np.where(np.isnan(chance), NO_PERCENT, np.rint(chance * 100)).astype(np.uint8),
        "mask": found,
        "date": np.where(found == 1, bands["post_date"], NO_DAY).astype(np.int16),
        "observed": bands["observed"],
    }


def _rows(name: str, values: np.ndarray, tile: Tile) -> Iterator[tuple[Any, ...]]:
    content, side = MAPS[name], cog.block_px(len(values))
    levels = cog.tile_levels(len(values))
    for level in range(levels):
        count = len(values) // side
        for row, col in np.ndindex(count, count):
            block = values[row * side : (row + 1) * side, col * side : (col + 1) * side]
            if (block != content.fill).any():
                data = cog.compress(block)
                yield name, level, tile.row * count + row, tile.col * count + col, len(data), data, b""
        values = METHODS[content.overviews](values, content.nodata)
    if (values != content.fill).any():
        yield name, levels, tile.row, tile.col, 0, b"", cog.compress(values)


STAGE = Stage(
    name="map_blocks",
    version=1,
    apply=apply,
    settings=lambda config: {"model": config.model.family},
    reads=lambda config: {
        "probability": ("probability",),
        "mask": ("landslide",),
        "stack": ("post_date", "observed"),
    },
    after=("stack", "predict", "clean"),
)
