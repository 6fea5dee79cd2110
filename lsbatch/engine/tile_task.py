"""Compute one tile of one stage and write it with its receipt. This module does not use Dask.

The only state is the receipt, which is written after the data.
"""

import errno
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import Layer
from lsbatch.catalog.survey import Position
from lsbatch.engine.todo import step_named
from lsbatch.errors import AbandonedError, LsbatchError, SceneError
from lsbatch.grid import Grid, tile_id
from lsbatch.pipeline.types import LAYERS, Block, Stage
from lsbatch.settings import Config
from lsbatch.storage import cube, files, objects, receipts, vectors
from lsbatch.storage.documents import tile_edges
from lsbatch.storage.lease import Lease
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace

#: Permanent errors. Any other system error of a file is treated as transient, for example a full disk.
LASTING = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)


@dataclass(frozen=True)
class Fault:
    """A failure. The traceback is kept only for errors of the program."""

    error: str
    trace: str | None = None
    may_pass: bool = False


def fault_of(error: Exception) -> Fault:
    """Convert an exception: one sentence for an error that a user can correct, else the sentence and the traceback."""
    if isinstance(error, LsbatchError) and not isinstance(error, OSError):
        return Fault(str(error), may_pass=isinstance(error, SceneError) and error.may_pass)
    error = objects.as_os_error(error) or error
    if isinstance(error, OSError) and error.strerror:
        return Fault(f"{error.filename or 'storage'}: {error.strerror}", may_pass=error.errno not in LASTING)
    return Fault(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Task:
    """One stage of one tile, as it is sent to a worker; or a reduction over all tiles.

    Attributes
    ----------
    stage : str
    position : Position or None
        None for a reduction.
    key : str
        Digest for the receipt.
    attempt : int
        Number of the attempt, from 1.
    lease : Lease or None
        Lease of the run. Results of a run that lost its lease are not written.
    """

    stage: str
    position: Position | None
    key: str
    attempt: int = 1
    lease: Lease | None = None


def compute(config: Config, grid: Grid, stage: Stage, position: Position) -> Block:
    """Read a tile with its halo and apply the stage; write nothing."""
    tile = grid.tile(*position)
    halo = stage.halo_px(config)
    store = Workspace(config.output).store
    bands: dict[str, np.ndarray] = {}
    for name, wanted in stage.reads(config).items():
        bands |= cube.read(store, grid, LAYERS[name](config), tile, halo, wanted)
    return stage.apply(Block(tile, halo, bands), config)


def commit(config: Config, grid: Grid, task: Task) -> Receipt:
    """Compute a tile, write it, and write the receipt last.

    Any failure is recorded in the receipt: one tile never stops the others. If another attempt has finished the same
    task in the meantime, on another worker, its receipt is returned and nothing is written.
    """
    stage, workspace = step_named(task.stage), Workspace(config.output)
    assert isinstance(stage, Stage)
    assert task.position is not None
    began, before = time.perf_counter(), used()
    block, fault, sums = None, None, {}
    try:
        if task.lease is not None:
            # also at the beginning: tasks of a run that lost it may still be with the scheduler
            task.lease.check()
        if finished := _finished_elsewhere(workspace, task):
            return finished
        # removed first, so that a kill before the new receipt leaves the tile pending
        receipts.remove(workspace.receipts, task.stage, tile_id(*task.position))
        block = compute(config, grid, stage, task.position)
        _insist(block, task, config)
        if task.lease is not None:
            task.lease.check()
        if finished := _finished_elsewhere(workspace, task):
            return finished
        sums = _write(workspace, stage.writes(config), task.stage, block)
    except AbandonedError as error:
        return make_receipt(task, began, fault=fault_of(error))
    except Exception as error:
        fault = fault_of(error)
    since = {name: round(value - before[name], 4) for name, value in used().items()}
    receipt = replace(make_receipt(task, began, pixels=grid.tile_px**2, block=block, fault=fault, sums=sums), **since)
    try:
        if fault and (finished := _finished_elsewhere(workspace, task)):
            return finished
        receipts.write(workspace.receipts, receipt)
    except OSError as error:
        # a full disk cannot store the receipt either; the driver still receives it
        fault = fault or Fault(f"the receipt cannot be written: {error.strerror or error}", may_pass=True)
        receipt = make_receipt(task, began, fault=fault)
    return receipt


def _finished_elsewhere(workspace: Workspace, task: Task) -> Receipt | None:
    """Return the receipt of another attempt at the same task that has succeeded; None if there is none.

    A worker that stood still may go on after its tile was given to another. It must then neither remove nor replace the
    receipt of the other, above all not by that of a failure.
    """
    assert task.position is not None
    found = receipts.read(workspace.receipts, task.stage, tile_id(*task.position))
    return found if found and found.digest == task.key else None


def _insist(block: Block, task: Task, config: Config) -> None:
    """Raise if an outage made scenes unreadable, so that the tile is retried; the last attempt uses the others."""
    hidden = [one.reason for one in block.dropped if one.may_pass]
    if hidden and task.attempt < config.cluster.attempts:
        more = f", and {len(hidden) - 1} scenes more" if len(hidden) > 1 else ""
        raise SceneError(f"{hidden[0]}{more}", may_pass=True)


def _write(workspace: Workspace, layer: Layer | None, name: str, block: Block) -> dict[str, str]:
    """Write the result of a stage; return the checksums."""
    if layer is not None:
        return cube.write(workspace.store, layer, block.tile, block.bands)
    table, edges = (workspace.part(name, block.tile.id, suffix) for suffix in (".parquet", ".npy"))
    if block.part is None or not len(block.part):
        files.remove(table)
        files.remove(edges)
        return {}
    if "edges" not in block.bands:
        vectors.write_table(table, block.part)
        return {table.name: receipts.checksum(table)}
    tile_edges.write(edges, block.bands["edges"])
    vectors.write_parquet(table, block.part)
    return {path.name: receipts.checksum(path) for path in (table, edges)}


def make_receipt(
    task: Task,
    began: float,
    *,
    pixels: int = 0,
    block: Block | None = None,
    tally: Mapping[str, Any] | None = None,
    fault: Fault | None = None,
    sums: Mapping[str, str] | None = None,
) -> Receipt:
    """Make the receipt of a task that this process has finished; `began` is its `time.perf_counter`."""
    return Receipt(
        stage=task.stage,
        tile=tile_id(*task.position) if task.position else "all",
        digest=task.key,
        seconds=round(time.perf_counter() - began, 4),
        pixels=pixels,
        # maximum of the process so far: an upper bound for the tile
        peak_mb=round(peak_mb(), 1),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        tally=dict(tally or (block.tally if block and not fault else {})),
        scenes=block.scenes if block else (),
        dropped=tuple(one.reason for one in block.dropped) if block else (),
        error=fault.error if fault else None,
        trace=fault.trace if fault else None,
        attempts=task.attempt,
        may_pass=fault.may_pass if fault else False,
        sums=dict(sums or {}),
    )


def used() -> dict[str, Any]:
    """Return CPU seconds and megabytes read and written by this process, by the names of a receipt."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").split()
    except OSError:
        # not Linux, or not permitted
        return {"cpu_s": time.process_time(), "read_mb": 0.0, "written_mb": 0.0}
    io = dict(zip(lines[::2], map(int, lines[1::2]), strict=True))
    return {"cpu_s": time.process_time(), "read_mb": io["rchar:"] / 1e6, "written_mb": io["wchar:"] / 1e6}


def peak_mb() -> float:
    """Return the peak memory of this process.

    Linux reports it as VmHWM, which starts at zero for a new program. The ru_maxrss of a worker starts at the memory of
    its parent (1,432 MB after a country was simulated).
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10
