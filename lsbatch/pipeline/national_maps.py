"""National maps as COGs, put together from the blocks of the tiles (which maps: `lsbatch.pipeline.map_contents`).

The parts of the tiles are read twice. First only the sizes of the blocks, from which follows where each block lies in
the file, and the shares for the coarse overviews. Then the blocks are copied. All maps are written at the same
time, so that a part in object storage is not read for each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from lsbatch.catalog.survey import Position, Survey
from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid, tile_id
from lsbatch.imagery.prefetch import in_order
from lsbatch.pipeline import map_contents
from lsbatch.pipeline.coarse_levels import CoarseLevels
from lsbatch.pipeline.map_blocks import COLUMNS
from lsbatch.pipeline.types import Reduction
from lsbatch.settings import Config
from lsbatch.storage import cog, files, receipts, vectors
from lsbatch.storage.cog import Content

#: Parts that are read in advance. In object storage each waits for its own requests.
AHEAD = 8


@dataclass(frozen=True)
class _Map:
    """A map that is being written.

    Attributes
    ----------
    content : Content
    target : Path
    sizes : list of uint32 arrays (rows, cols of blocks)
        Bytes of the blocks by level; 0 where no block is known.
    coarse : CoarseLevels
    file : binary file
        The map, still under another name.
    """

    content: Content
    target: Path
    sizes: list[np.ndarray]
    coarse: CoarseLevels
    file: BinaryIO


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Write ``maps/*.tif``, and remove maps that the settings do not ask for any more."""
    wanted = map_contents.wanted(config)
    done = receipts.read_stage(survey.workspace.receipts, "map_blocks")
    tiles = [position for position in survey.positions if done.get(tile_id(*position))]
    # a tile without any block has no part
    stored = [position for position in tiles if done[tile_id(*position)].sums]
    with ExitStack() as stack:
        maps = {name: _begin(stack, survey, name, one.content) for name, one in wanted.items()}
        _measure(survey, stored, maps)
        offsets = {name: _start(one, survey.grid) for name, one in maps.items()}
        for position, table in _tables(survey, stored, ["block"]):
            _copy(table, maps, offsets, _part(survey, position))
        for one in maps.values():
            one.file.close()
            Path(one.file.name).replace(stack.enter_context(files.aside(one.target)))
    for name in map_contents.MAPS.keys() - wanted.keys():
        files.remove(survey.workspace.maps / f"{name}.tif")
    return {"maps": len(maps), "tiles": len(tiles)}


def _begin(stack: ExitStack, survey: Survey, name: str, content: Content) -> _Map:
    grid = survey.grid
    target, block = survey.workspace.maps / f"{name}.tif", cog.block_px(grid.tile_px)
    files.sweep(target)
    folder = stack.enter_context(files.scratch(beside=target))
    spool, file = (stack.enter_context((folder / name).open("w+b")) for name in ("coarse", "whole.tif"))
    shapes, sizes = cog.level_shapes(grid.shape, block), cog.no_blocks(grid.shape, block)
    coarse = CoarseLevels(content, shapes, cog.tile_levels(grid.tile_px), sizes, block, spool)
    return _Map(content, target, sizes, coarse, file)


def _part(survey: Survey, position: Position) -> Path:
    return survey.workspace.part("map_blocks", tile_id(*position))


def _tables(
    survey: Survey, positions: Sequence[Position], columns: list[str]
) -> Iterator[tuple[Position, pd.DataFrame]]:
    """Return the tables of tiles in order, with these columns beside `COLUMNS`."""
    wanted = [*COLUMNS, *columns]
    calls = [partial(vectors.read_columns, _part(survey, position), wanted) for position in positions]
    yield from zip(positions, in_order(calls, AHEAD), strict=True)


def _measure(survey: Survey, positions: Sequence[Position], maps: Mapping[str, _Map]) -> None:
    """Note the sizes of the tiles' blocks, and make the coarse levels from the tiles' shares."""
    side = survey.grid.tile_px >> cog.tile_levels(survey.grid.tile_px)
    rows = {row: list(each) for row, each in groupby(positions, key=lambda position: position[0])}
    tables = _tables(survey, positions, ["share"])
    for row in range(survey.grid.tile_shape[0]):
        strips = {name: one.content.blank(side, survey.grid.tile_shape[1] * side) for name, one in maps.items()}
        for _ in rows.get(row, ()):
            position, table = next(tables)
            where = _part(survey, position)
            _insist(table, survey.grid, position, where, maps)
            _note_sizes(table, maps)
            for name, col, share in table.loc[table["size"] == 0, ["map", "col", "share"]].itertuples(index=False):
                content = maps[name].content
                strips[name][:, col * side : (col + 1) * side] = _pixels(share, content, side, where)
        for name, one in maps.items():
            one.coarse.add(strips[name])


def _pixels(share: bytes, content: Content, side: int, where: Path) -> np.ndarray:
    try:
        return cog.decompress(share, content.dtype, content.shape(side, side))
    except StaleStoreError as error:
        raise vectors.damaged(where, error) from None


def _note_sizes(table: pd.DataFrame, maps: Mapping[str, _Map]) -> None:
    for (name, level), rows in table[table["size"] > 0].groupby(["map", "level"]):
        maps[name].sizes[level][rows["row"], rows["col"]] = rows["size"]


def _insist(table: pd.DataFrame, grid: Grid, position: Position, where: Path, maps: Mapping[str, _Map]) -> None:
    """Raise if a part names blocks outside its tile: they would overwrite the blocks of other tiles."""
    levels = cog.tile_levels(grid.tile_px)
    is_share = (table["size"] == 0).to_numpy()
    level = table["level"].to_numpy()
    level_fits = (level >= 0) & np.where(is_share, level == levels, level < levels)
    if not (level_fits & table["map"].isin(maps) & (table["size"] >= 0)).all():
        raise vectors.damaged(where, "it has an unknown map, level or size")
    # blocks of a tile along a side, by level; a share stands for the whole tile
    count = np.where(is_share, 1, (grid.tile_px // cog.block_px(grid.tile_px)) >> level)
    if any((table[axis] // count != place).any() for axis, place in zip(("row", "col"), position, strict=True)):
        raise vectors.damaged(where, "it has blocks of another tile")
    if table.duplicated(["map", "level", "row", "col"]).any():
        raise vectors.damaged(where, "it has a block twice")


def _start(one: _Map, grid: Grid) -> list[np.ndarray]:
    """Write the header and the coarse levels; return the offsets of all blocks."""
    head, offsets = cog.header(one.target, grid, one.content, one.sizes)
    one.file.write(head)
    for level, row, col, block in one.coarse.blocks():
        cog.put(one.file, int(offsets[level][row, col]), block)
    return offsets


def _copy(
    table: pd.DataFrame, maps: Mapping[str, _Map], offsets: Mapping[str, Sequence[np.ndarray]], where: Path
) -> None:
    blocks = table.loc[table["size"] > 0, ["map", "level", "row", "col", "block"]]
    for name, level, row, col, block in blocks.itertuples(index=False):
        if len(block) != maps[name].sizes[level][row, col]:
            raise vectors.damaged(where, "a block has another size than the table says")
        cog.put(maps[name].file, int(offsets[name][level][row, col]), block)


REDUCTION = Reduction(
    name="rasters",
    version=3,
    apply=apply,
    settings=map_contents.settings,
    after=("map_blocks",),
)
