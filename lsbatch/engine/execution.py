"""Run stages over tiles and reductions over their results; show a stage as a lazy array.

A stage is mapped over the table of tiles, one task a tile. A task starts when its own inputs are there. Each tile reads
its own halo from the cube, so workers never exchange pixels.
"""

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pyarrow as pa
import xarray as xr

from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine.distribute import ClientFor, no_client, run_tiles
from lsbatch.engine.schedule import Schedule, stages_until
from lsbatch.engine.tile_task import Task, compute, fault_of, make_receipt
from lsbatch.engine.todo import Todo, reduction_digest, step_named, steps
from lsbatch.errors import LsbatchError
from lsbatch.grid import Grid
from lsbatch.pipeline.types import Reduction, Stage
from lsbatch.settings import Config
from lsbatch.storage import cube, receipts
from lsbatch.storage.band_encoding import decode, encode
from lsbatch.storage.lease import Lease
from lsbatch.storage.receipts import Receipt


@dataclass(frozen=True)
class Progress:
    """Progress callbacks. The command line draws bars with them; tests count calls.

    Attributes
    ----------
    begins : callable (step name, Todo or None)
        Called for all stages, in order, before the first tile, with the work that is known then: tiles that wait for
        earlier stages may turn out to be up to date. Called for each reduction when it begins, with None.
    done : callable (Receipt)
        Called when a tile or a reduction is done or failed. Tiles of different stages come in any order.
    ends : callable (step name, Todo or None)
        Called when the last tile of a stage has ended, with the final state of the stage, or after a reduction.
    says : callable (str)
        Called with a sentence about workers and tiles that make the run wait.
    """

    begins: Callable[[str, Todo | None], None] = lambda name, todo: None
    done: Callable[[Receipt], None] = lambda receipt: None
    ends: Callable[[str, Todo | None], None] = lambda name, todo: None
    says: Callable[[str], None] = lambda line: None


def run(
    survey: Survey,
    client_for: ClientFor = no_client,
    *,
    until: str | None = None,
    part: tuple[int, int] = (1, 1),
    progress: Progress = Progress(),
    lease: Lease | None = None,
) -> int:
    """Run all pending stages and reductions; return the number of failed tiles and reductions.

    A tile whose earlier stage failed is not counted again; a quarantined tile is counted. With `part` = (i, n) only
    every n-th tile is computed. Reductions then wait for a run without `part`, because they read all tiles. With
    `lease`, tiles that are computed after the lease was lost are not written.
    """
    faults = _run_stages(survey, stages_until(survey.config, until), client_for, part, progress, lease)
    if part == (1, 1):
        faults += _run_reductions(survey, until, progress, lease)
    return faults


def _run_stages(
    survey: Survey,
    stages: Sequence[Stage],
    client_for: ClientFor,
    part: tuple[int, int],
    progress: Progress,
    lease: Lease | None,
) -> int:
    schedule = Schedule(survey, stages, part, lease, partial(receipts.remove, survey.workspace.receipts))
    for name, work in schedule.todo().items():
        progress.begins(name, work)
    for layer in filter(None, (stage.writes(survey.config) for stage in stages)):
        cube.create(survey.workspace.store, survey.grid, layer)
    ended, failed = _tell_ends(schedule, set(), progress), 0
    for receipt in run_tiles(survey, schedule, client_for, progress.says):
        progress.done(receipt)
        failed += not receipt
        ended = _tell_ends(schedule, ended, progress)
    schedule.forget_waiting()
    final = schedule.todo()
    for name, work in final.items():
        if name not in ended:
            progress.ends(name, work)
    return failed + sum(len(work.quarantined) for work in final.values())


def _tell_ends(schedule: Schedule, ended: set[str], progress: Progress) -> set[str]:
    """Tell the stages that have ended since; return all that have."""
    now = schedule.ended()
    for name in now:
        if name not in ended:
            progress.ends(name, schedule.todo()[name])
    return set(now)


def _run_reductions(survey: Survey, until: str | None, progress: Progress, lease: Lease | None) -> int:
    faults = 0
    for step in steps(survey.config, until):
        if not isinstance(step, Reduction):
            continue
        progress.begins(step.name, None)
        if lease is not None:
            lease.check()
        receipt = run_reduction(survey, step)
        if receipt is not None:
            progress.done(receipt)
            faults += not receipt
        progress.ends(step.name, None)
    return faults


def run_reduction(survey: Survey, reduction: Reduction) -> Receipt | None:
    """Run a reduction; its receipt has the tile name 'all'. Return None if it was up to date."""
    key = reduction_digest(survey, reduction)
    folder = survey.workspace.receipts
    old = receipts.read_stage(folder, reduction.name).get("all")
    if old and old.digest == key:
        return None
    began, fault, task = time.perf_counter(), None, Task(reduction.name, None, key)
    tally: Mapping[str, Any] = {}
    receipts.remove(folder, reduction.name, "all")
    try:
        tally = reduction.apply(survey, survey.config)
    except Exception as error:
        fault = fault_of(error)
    receipt = make_receipt(task, began, tally=tally, fault=fault)
    receipts.write(folder, receipt)
    _return_memory()
    return receipt


def _return_memory() -> None:
    """Return freed memory to the system: the inventory of 52,000 landslides leaves 145 of 390 MB with the process."""
    pa.default_memory_pool().release_unused()
    libc = ctypes.CDLL(None)
    # of glibc
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def lazy(survey: Survey, name: str) -> xr.DataArray:
    """Return the result of a stage as a labelled, lazy array (band, y, x); nothing is written.

    The layers that the stage reads must be in the cube. Tiles outside the region are nodata.
    """
    stage = step_named(name)
    layer = stage.writes(survey.config) if isinstance(stage, Stage) else None
    if layer is None:
        raise LsbatchError(f"stage {name} writes no layer, so it has no array")
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
    # encoded and decoded like the store, so that lazy and stored results are equal
    return np.stack([decode(encode(block.bands[b.name], b), b).astype(np.float32) for b in layer.bands])
