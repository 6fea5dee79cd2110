"""What is pending, computing it, committing it: the only maker of Dask graphs.

A stage is mapped over the table of tiles, one task a tile. Each tile reads its own halo from the cube, so workers
never exchange pixels, and the only state is the receipt that a tile leaves when its data are on disk.
"""

import os
import resource
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from distributed import Client, as_completed

from lsbatch.archive import cube, plan, receipts, vectors
from lsbatch.archive.workspace import Workspace
from lsbatch.config import Config, digest
from lsbatch.errors import LsbatchError
from lsbatch.grid import Grid, Tile
from lsbatch.layers import Layer
from lsbatch.records import Block, Fold, Receipt, Stage
from lsbatch.stages import LAYERS, PIPELINE

Position = tuple[int, int]


@dataclass(frozen=True)
class Survey:
    """A survey that is planned: settings, lattice and the tiles of the region in grid order."""

    config: Config
    grid: Grid
    positions: tuple[Position, ...]

    @property
    def workspace(self) -> Workspace:
        """Its folder."""
        return Workspace(self.config.output)

    def tile(self, position: Position) -> Tile:
        """The tile at (row, col)."""
        return self.grid.tile(*position)


@dataclass(frozen=True)
class Todo:
    """What a stage still has to do.

    Attributes
    ----------
    digests : mapping of position to text
        Tiles to compute now, in grid order, each with the digest its receipt will carry.
    done : int
        Tiles with a fresh receipt.
    blocked : tuple of position
        Tiles whose own earlier stage failed.
    waiting : tuple of position
        Tiles that need an earlier stage, of their own or of a neighbour, that was not run yet.
    """

    digests: Mapping[Position, str] = field(default_factory=dict)
    done: int = 0
    blocked: tuple[Position, ...] = ()
    waiting: tuple[Position, ...] = ()


def open_survey(config: Config) -> Survey:
    """The survey of a plan that was saved."""
    saved = plan.load(config.output)
    return Survey(config, saved.grid, saved.tiles)


def stages(config: Config) -> tuple[Stage | Fold, ...]:
    """The steps that these settings ask for, in order."""
    return tuple(step for step in PIPELINE if step.wanted(config))


def step_named(name: str) -> Stage | Fold:
    """A step of the pipeline by name."""
    for step in PIPELINE:
        if step.name == name:
            return step
    raise LsbatchError(f"{name!r} is no stage; stages are {', '.join(s.name for s in PIPELINE)}")


# ---------------------------------------------------------------- what is pending


def pending(survey: Survey, stage: Stage, part: tuple[int, int] = (1, 1)) -> Todo:
    """Tiles without a fresh receipt, in grid order.

    Parameters
    ----------
    survey : Survey
    stage : Stage
    part : (i, n)
        Only every n-th tile from the i-th (from 1): the shares of n jobs are disjoint and together whole, without
        a scheduler.
    """
    folder = survey.workspace.receipts
    mine = receipts.read_stage(folder, stage.name)
    upstream = {name: receipts.read_stage(folder, name) for name in stage.after}
    base = _base_digest(survey, stage)
    halo = stage.halo_px(survey.config)
    planned = frozenset(survey.positions)
    index, count = part
    todo: dict[Position, str] = {}
    done, blocked, waiting = 0, [], []
    for position in survey.positions[index - 1 :: count]:
        near = _neighbours(survey, planned, position) if halo else ()
        state = _upstream_state(survey, upstream, position, near)
        if state is None or isinstance(state, Receipt):
            (waiting if state is None else blocked).append(position)
            continue
        key = digest([base, state, _source_digest(survey, stage, position)])
        receipt = mine.get(survey.tile(position).id)
        if receipt and receipt.digest == key:
            done += 1
        else:
            todo[position] = key
    return Todo(todo, done, tuple(blocked), tuple(waiting))


def _base_digest(survey: Survey, stage: Stage | Fold) -> str:
    halo = stage.halo_px(survey.config) if isinstance(stage, Stage) else 0
    return digest([stage.name, stage.version, halo, stage.settings(survey.config), survey.grid])


def _source_digest(survey: Survey, stage: Stage, position: Position) -> str:
    """A source stage depends on what the plan found for the tile."""
    if not stage.source:
        return ""
    return receipts.checksum(plan.tile_file(survey.config.output, survey.tile(position).id))


def _neighbours(survey: Survey, planned: frozenset[Position], position: Position) -> tuple[Position, ...]:
    return tuple(p for p in survey.grid.neighbours(*position) if p in planned)


def _upstream_state(
    survey: Survey, upstream: Mapping[str, Mapping[str, Receipt]], position: Position, near: tuple[Position, ...]
) -> list[str] | Receipt | None:
    """Digests of what a tile reads; the receipt that failed if its own did; None if something was not run yet.

    A neighbour that failed is read as nodata. Its digest is then 'failed', so the tile is done again when the
    neighbour has been mended.
    """
    found = []
    for by_tile in upstream.values():
        own = by_tile.get(survey.tile(position).id)
        if own is None or not own:
            return own
        found.append(own.digest)
        for other in near:
            receipt = by_tile.get(survey.tile(other).id)
            if receipt is None:
                return None
            found.append(receipt.digest if receipt else "failed")
    return found


# ---------------------------------------------------------------- compute and commit


def compute(config: Config, grid: Grid, stage: Stage, position: Position) -> Block:
    """Read a tile with its halo and apply the stage; writes nothing."""
    tile = grid.tile(*position)
    halo = stage.halo_px(config)
    store = Workspace(config.output).store
    bands: dict[str, np.ndarray] = {}
    for name, wanted in stage.reads(config).items():
        bands |= cube.read(store, grid, LAYERS[name](config), tile, halo, wanted)
    return stage.apply(Block(tile, halo, bands), config)


def commit(config: Config, grid: Grid, name: str, position: Position, key: str) -> Receipt:
    """Compute a tile, write its region, and leave the receipt last.

    Whatever goes wrong becomes the receipt's error: one tile stops no other.
    """
    stage, workspace = step_named(name), Workspace(config.output)
    assert isinstance(stage, Stage)
    tile, began = grid.tile(*position), time.perf_counter()
    block, error, trace = None, None, None
    try:
        # first, so that a kill between here and the new receipt leaves the tile undone, not falsely done
        receipts.remove(workspace.receipts, name, tile.id)
        block = compute(config, grid, stage, position)
        _write(workspace, stage.writes(config), name, block)
    except LsbatchError as fault:
        error = str(fault)
    except Exception as fault:
        error, trace = f"{type(fault).__name__}: {fault}", traceback.format_exc()
    receipt = _receipt(name, tile, key, began, block, error, trace)
    try:
        receipts.write(workspace.receipts, receipt)
    except OSError as fault:
        # a full disk cannot take the receipt either; the driver still hears of it
        reason = error or f"receipt cannot be written: {fault.strerror or fault}"
        receipt = _receipt(name, tile, key, began, block, reason, trace)
    return receipt


def _write(workspace: Workspace, layer: Layer | None, name: str, block: Block) -> None:
    if layer is not None:
        cube.write(workspace.store, layer, block.tile, block.bands)
        return
    table, edges = (workspace.part(name, block.tile.id, suffix) for suffix in (".parquet", ".npy"))
    if block.part is None or block.part.empty:
        table.unlink(missing_ok=True)
        edges.unlink(missing_ok=True)
        return
    vectors.write_edges(edges, block.bands["edges"])
    vectors.write_parquet(table, block.part)


def _receipt(
    name: str, tile: Tile, key: str, began: float, block: Block | None, error: str | None, trace: str | None
) -> Receipt:
    rows, cols = tile.geobox.shape
    return Receipt(
        stage=name,
        tile=tile.id,
        digest=key,
        seconds=round(time.perf_counter() - began, 4),
        pixels=rows * cols,
        # of the process so far: an upper bound for the tile
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        tally=dict(block.tally) if block and error is None else {},
        scenes=block.scenes if block else (),
        dropped=block.dropped if block else (),
        error=error,
        trace=trace,
    )


# ---------------------------------------------------------------- run


def run_stage(
    survey: Survey, stage: Stage, todo: Todo, client: Client | None, on_done: Callable[[Receipt], None]
) -> None:
    """Commit every tile of `todo`; `on_done` hears each receipt as it comes, also of those that failed."""
    layer = stage.writes(survey.config)
    if layer is not None:
        cube.create(survey.workspace.store, survey.grid, layer)
    work = list(todo.digests.items())
    done = _serial(survey, stage, work) if client is None else _distributed(survey, stage, work, client)
    for receipt in done:
        on_done(receipt)


def _serial(survey: Survey, stage: Stage, work: list[tuple[Position, str]]) -> Iterator[Receipt]:
    for position, key in work:
        yield commit(survey.config, survey.grid, stage.name, position, key)


def _distributed(
    survey: Survey, stage: Stage, work: list[tuple[Position, str]], client: Client
) -> Iterator[Receipt]:
    """One task a tile, a bounded number in flight, each future released when its receipt is here.

    512 futures in flight add 16 MB to the driver where 100,000 add 670 MB. Resources are given to `compute`,
    because `dask.annotate` around `map_blocks` is lost by fusion (38 % of the blocks reached the GPU worker).
    """
    tasks = iter(_tasks(survey, stage, work))
    resources = dict(stage.resources(survey.config)) or None
    waiting: dict[Any, Position] = {}
    pool = as_completed()

    def submit(count: int) -> None:
        for position, task in islice(tasks, count):
            future = client.compute(task, resources=resources, pure=False)
            waiting[future] = position
            pool.add(future)

    submit(survey.config.cluster.in_flight)
    for future in pool:
        position = waiting.pop(future)
        if future.status == "finished":
            yield future.result().item()
        else:
            yield _lost(survey, stage, position, future)
        future.release()
        submit(1)


def _tasks(
    survey: Survey, stage: Stage, work: list[tuple[Position, str]]
) -> Iterable[tuple[Position, Any]]:
    """`map_blocks` over the table of tiles: block i commits tile i."""
    for start in range(0, len(work), survey.config.cluster.in_flight):
        batch = work[start : start + survey.config.cluster.in_flight]
        table = da.from_array(np.arange(len(batch)), chunks=1)
        blocks = table.map_blocks(
            _commit_row, config=survey.config, grid=survey.grid, name=stage.name, work=tuple(batch), dtype=object
        )
        yield from zip((position for position, _ in batch), blocks.to_delayed().ravel(), strict=True)


def _commit_row(
    row: np.ndarray, config: Config, grid: Grid, name: str, work: tuple[tuple[Position, str], ...]
) -> np.ndarray:
    position, key = work[int(row[0])]
    out = np.empty(1, dtype=object)
    out[0] = commit(config, grid, name, position, key)
    return out


def _lost(survey: Survey, stage: Stage, position: Position, future: Any) -> Receipt:
    """A task that never answered: its worker died too often, or the task was cancelled."""
    tile = survey.tile(position)
    reason = f"the worker was lost ({future.status}: {future.exception() if future.status == 'error' else 'cancelled'})"
    receipt = _receipt(stage.name, tile, "", time.perf_counter(), None, reason, None)
    receipts.write(survey.workspace.receipts, receipt)
    return receipt


def run_fold(survey: Survey, fold: Fold) -> Receipt:
    """Do a fold unless its receipt is fresh; a fold's receipt carries the tile name 'all'."""
    key = fold_digest(survey, fold)
    folder = survey.workspace.receipts
    old = receipts.read_stage(folder, fold.name).get("all")
    if old and old.digest == key:
        return old
    began, error, trace, tally = time.perf_counter(), None, None, {}
    receipts.remove(folder, fold.name, "all")
    try:
        tally = dict(fold.apply(survey, survey.config))
    except LsbatchError as fault:
        error = str(fault)
    except Exception as fault:
        error, trace = f"{type(fault).__name__}: {fault}", traceback.format_exc()
    receipt = Receipt(
        fold.name, "all", key, round(time.perf_counter() - began, 4), 0,
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        f"{socket.gethostname()}:{os.getpid()}", datetime.now(UTC).isoformat(timespec="seconds"),
        tally=tally, error=error, trace=trace,
    )  # fmt: skip
    receipts.write(folder, receipt)
    return receipt


def fold_digest(survey: Survey, fold: Fold) -> str:
    """Everything the fold reads: all receipts of the steps before it."""
    folder = survey.workspace.receipts
    state = [
        [name, sorted((tile, r.digest if r else "failed") for tile, r in receipts.read_stage(folder, name).items())]
        for name in fold.after
    ]
    return digest([_base_digest(survey, fold), state])


# ---------------------------------------------------------------- lazy


def lazy(survey: Survey, name: str) -> xr.DataArray:
    """A stage's answer as a labelled, lazy array (band, y, x) for notebooks; nothing is written.

    What the stage reads must be in the cube already. Tiles outside the region are nodata.
    """
    stage = step_named(name)
    layer = stage.writes(survey.config) if isinstance(stage, Stage) else None
    if layer is None:
        raise LsbatchError(f"stage {name} writes no layer, so there is nothing to show as an array")
    rows, cols = survey.grid.tile_shape
    table = np.full((rows, cols), -1)
    for i, position in enumerate(survey.positions):
        table[position] = i
    side = survey.grid.tile_px
    data = da.from_array(table, chunks=1).map_blocks(
        _compute_block,
        config=survey.config,
        grid=survey.grid,
        name=name,
        positions=survey.positions,
        new_axis=0,
        chunks=((len(layer.bands),), (side,) * rows, (side,) * cols),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    axes = {axis: survey.grid.geobox.coordinates[axis].values for axis in ("y", "x")}
    return xr.DataArray(
        data, dims=("band", "y", "x"), coords={"band": list(layer.names), **axes}, name=layer.name,
        attrs={"crs": survey.grid.crs},
    )  # fmt: skip


def _compute_block(
    table: np.ndarray, config: Config, grid: Grid, name: str, positions: tuple[Position, ...]
) -> np.ndarray:
    stage = step_named(name)
    assert isinstance(stage, Stage)
    layer = stage.writes(config)
    assert layer is not None
    index = int(table[0, 0])
    if index < 0:
        return np.full((len(layer.bands), grid.tile_px, grid.tile_px), np.nan, np.float32)
    block = compute(config, grid, stage, positions[index])
    # through the store's own rounding, so that lazy and stored answers are the same values
    return np.stack(
        [cube.decode(cube.encode(block.bands[b.name], b), b).astype(np.float32) for b in layer.bands]
    )
