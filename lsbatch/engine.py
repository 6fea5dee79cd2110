"""Running stages over tiles: the only maker of Dask graphs.

A stage is mapped over the table of tiles, one task a tile. Each tile reads its own halo from the cube, so workers
never exchange pixels, and the graph has one task a tile.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from distributed import Client, KilledWorker, as_completed

from lsbatch.archive import cube, receipts
from lsbatch.archive.survey import Position, Survey
from lsbatch.config import Config
from lsbatch.errors import LsbatchError
from lsbatch.grid import Grid, tile_id
from lsbatch.records import Fold, Receipt, Stage
from lsbatch.work import (
    Fault,
    Todo,
    commit,
    compute,
    fault_of,
    fold_digest,
    make_receipt,
    pending,
    stages,
    step_named,
)


@dataclass(frozen=True)
class Progress:
    """Who hears what happens; the command line draws bars, tests count.

    Attributes
    ----------
    begins : callable (step name, Todo or None)
        A stage begins; None for a fold.
    done : callable (Receipt)
        A tile, or a fold, is done or failed.
    """

    begins: Callable[[str, Todo | None], None] = lambda name, todo: None
    done: Callable[[Receipt], None] = lambda receipt: None


def run(
    survey: Survey,
    client: Client | None = None,
    *,
    until: str | None = None,
    part: tuple[int, int] = (1, 1),
    progress: Progress = Progress(),
) -> int:
    """Do all that is pending, stage after stage; the number of tiles, and folds, that failed.

    A tile whose earlier stage failed is not counted again. With `part` = (i, n) only every n-th tile is done and folds are left to a run without `part`, because they read
    every tile.
    """
    faults = 0
    for step in stages(survey.config):
        if isinstance(step, Stage):
            faults += _run_stage(survey, step, client, part, progress)
        elif part == (1, 1):
            progress.begins(step.name, None)
            receipt = run_fold(survey, step)
            if receipt is not None:
                progress.done(receipt)
                faults += not receipt
        if step.name == until:
            break
    return faults


def _run_stage(survey: Survey, stage: Stage, client: Client | None, part: tuple[int, int], progress: Progress) -> int:
    todo = pending(survey, stage, part)
    progress.begins(stage.name, todo)
    for position in (*todo.blocked, *todo.waiting):
        # what an earlier run left for this tile no longer follows from the tile's input
        receipts.remove(survey.workspace.receipts, stage.name, tile_id(*position))
    layer = stage.writes(survey.config)
    if layer is not None:
        cube.create(survey.workspace.store, survey.grid, layer)
    faults = 0
    for receipt in run_tiles(survey, stage, todo, client):
        progress.done(receipt)
        faults += not receipt
    return faults


def run_tiles(survey: Survey, stage: Stage, todo: Todo, client: Client | None) -> Iterator[Receipt]:
    """Commit every tile of `todo`; yields each receipt as it comes, also of those that failed."""
    work = list(todo.digests.items())
    if client is not None:
        yield from _distributed(survey, stage, work, client)
        return
    for position, key in work:
        yield commit(survey.config, survey.grid, stage.name, position, key)


def _distributed(survey: Survey, stage: Stage, work: list[tuple[Position, str]], client: Client) -> Iterator[Receipt]:
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
            future = client.compute(task, resources=resources)
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


def _tasks(survey: Survey, stage: Stage, work: list[tuple[Position, str]]) -> Iterable[tuple[Position, Any]]:
    """`map_blocks` over the table of tiles: block i commits tile i."""
    for start in range(0, len(work), survey.config.cluster.in_flight):
        batch = work[start : start + survey.config.cluster.in_flight]
        table = da.from_array(np.arange(len(batch)), chunks=1)
        blocks = table.map_blocks(
            _commit_row, config=survey.config, grid=survey.grid, stage_name=stage.name, work=tuple(batch), dtype=object,
            meta=np.empty(0, object),
        )
        yield from zip((position for position, _ in batch), blocks.to_delayed().ravel(), strict=True)


def _commit_row(
    row: np.ndarray, config: Config, grid: Grid, stage_name: str, work: tuple[tuple[Position, str], ...]
) -> np.ndarray:
    position, key = work[int(row[0])]
    out = np.empty(1, dtype=object)
    out[0] = commit(config, grid, stage_name, position, key)
    return out


def _lost(survey: Survey, stage: Stage, position: Position, future: Any) -> Receipt:
    """Receipt of a task that never answered: its worker died too often, or the task was cancelled."""
    error = future.exception() if future.status == "error" else None
    if error is None:
        fault = Fault("the task was cancelled, because the scheduler or the last worker went away")
    elif isinstance(error, KilledWorker):
        fault = Fault(f"the worker was killed, mostly for want of memory ({error.allowed_failures} tries); raise cluster.memory_gb or lower grid.tile_px")
    else:
        fault = fault_of(error)
    receipt = make_receipt(stage.name, tile_id(*position), "", time.perf_counter(), fault=fault)
    receipts.write(survey.workspace.receipts, receipt)
    return receipt


def run_fold(survey: Survey, fold: Fold) -> Receipt | None:
    """Do a fold; its receipt carries the tile name 'all'. None if it was fresh."""
    key = fold_digest(survey, fold)
    folder = survey.workspace.receipts
    old = receipts.read_stage(folder, fold.name).get("all")
    if old and old.digest == key:
        return None
    began, tally, fault = time.perf_counter(), {}, None
    receipts.remove(folder, fold.name, "all")
    try:
        tally = fold.apply(survey, survey.config)
    except Exception as error:
        fault = fault_of(error)
    receipt = make_receipt(fold.name, "all", key, began, tally=tally, fault=fault)
    receipts.write(folder, receipt)
    return receipt


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
        stage_name=name,
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
    table: np.ndarray, config: Config, grid: Grid, stage_name: str, positions: tuple[Position, ...]
) -> np.ndarray:
    stage = step_named(stage_name)
    assert isinstance(stage, Stage)
    layer = stage.writes(config)
    assert layer is not None
    index = int(table[0, 0])
    if index < 0:
        return np.full((len(layer.bands), grid.tile_px, grid.tile_px), np.nan, np.float32)
    block = compute(config, grid, stage, positions[index])
    # through the store's own rounding, so that lazy and stored answers are the same values
    return np.stack([cube.decode(cube.encode(block.bands[b.name], b), b).astype(np.float32) for b in layer.bands])
