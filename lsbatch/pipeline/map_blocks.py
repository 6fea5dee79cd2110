"""Stage that compresses a tile's blocks of the national maps, at each level whose blocks lie within the tile.

The reduction `national_maps` then copies bytes. It makes only the overviews whose blocks span tiles, from the tile's
pixels of the first such level (`share`).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from lsbatch.grid import Tile
from lsbatch.kernels.resampling.overviews import METHODS
from lsbatch.pipeline import map_contents
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config
from lsbatch.storage import cog
from lsbatch.storage.cog import Content

#: Columns of a tile's table: map; level, 0 for the full resolution; row and column of the block in the national map;
#: bytes of the block; the block. A share has the row and column of its tile, no block and 0 bytes.
COLUMNS = {"map": "str", "level": "int8", "row": "int32", "col": "int32", "size": "int32"}


def apply(block: Block, config: Config) -> Block:
    """Return the table of a tile's blocks and shares; those of nodata only are left out."""
    rows = [
        row
        for name, one in map_contents.wanted(config).items()
        for row in _rows(name, one.content, np.asarray(one.pixels(block.bands), one.content.dtype), block.tile)
    ]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "block", "share"])
    return Block(block.tile, 0, {}, part=frame.astype(COLUMNS))


def _rows(name: str, content: Content, values: np.ndarray, tile: Tile) -> Iterator[tuple[Any, ...]]:
    side = cog.block_px(len(values))
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
    settings=map_contents.settings,
    reads=map_contents.reads,
    after=("stack", "applicability", "predict", "clean"),
)
