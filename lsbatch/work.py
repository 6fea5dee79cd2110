"""What is pending, computing a tile, committing it. No Dask here: one tile, one process, one receipt.

The only state is the receipt that a tile leaves when its data are on disk.
"""

import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.archive import cube, receipts, vectors
from lsbatch.archive.survey import Position, Survey
from lsbatch.archive.workspace import Workspace
from lsbatch.config import Config, digest
from lsbatch.errors import LsbatchError
from lsbatch.grid import Grid, tile_id
from lsbatch.layers import Layer
from lsbatch.records import Block, Fold, Receipt, Stage
from lsbatch.stages import LAYERS, PIPELINE


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


@dataclass(frozen=True)
class Fault:
    """What went wrong; the trace only where the program itself is to blame."""

    error: str
    trace: str | None = None


def fault_of(error: Exception) -> Fault:
    """One sentence for what a person can mend; the sentence and the trace for everything else."""
    if isinstance(error, LsbatchError):
        return Fault(str(error))
    if isinstance(error, OSError) and error.strerror:
        return Fault(f"{error.filename or 'storage'}: {error.strerror}")
    return Fault(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def stages(config: Config) -> tuple[Stage | Fold, ...]:
    """The steps that these settings ask for, in order."""
    return tuple(step for step in PIPELINE if step.wanted(config))


def step_named(name: str) -> Stage | Fold:
    """A step of the pipeline by name."""
    for step in PIPELINE:
        if step.name == name:
            return step
    raise LsbatchError(f"{name!r} is no stage; stages are {', '.join(s.name for s in PIPELINE)}")


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
    upstream = {name: receipts.read_stage(folder, name) for name in _before(stage)}
    base = _base_digest(survey, stage)
    halo = stage.halo_px(survey.config)
    planned = frozenset(survey.positions)
    index, count = part
    todo: dict[Position, str] = {}
    done, blocked, waiting = 0, [], []
    for position in survey.positions[index - 1 :: count]:
        near = _neighbours(survey, planned, position) if halo else ()
        state = _upstream_state(stage, upstream, position, near)
        if state is None or isinstance(state, Receipt):
            (waiting if state is None else blocked).append(position)
            continue
        key = digest([base, state, _source_digest(survey, stage, position)])
        receipt = mine.get(tile_id(*position))
        if receipt and receipt.digest == key:
            done += 1
        else:
            todo[position] = key
    return Todo(todo, done, tuple(blocked), tuple(waiting))


def _base_digest(survey: Survey, stage: Stage | Fold) -> str:
    halo = stage.halo_px(survey.config) if isinstance(stage, Stage) else 0
    return digest([stage.name, stage.version, halo, stage.settings(survey.config), survey.grid])


def _source_digest(survey: Survey, stage: Stage, position: Position) -> str:
    """A stage that reads scenes depends on what the plan found for the tile."""
    path = stage.scenes(survey.config, tile_id(*position))
    return "" if path is None else receipts.checksum(path)


def _neighbours(survey: Survey, planned: frozenset[Position], position: Position) -> tuple[Position, ...]:
    return tuple(p for p in survey.grid.neighbours(*position) if p in planned)


def _before(stage: Stage) -> set[str]:
    """Names of all stages that a stage follows, also from afar."""
    found: set[str] = set()
    for name in stage.after:
        earlier = step_named(name)
        found |= {name} | (_before(earlier) if isinstance(earlier, Stage) else set())
    return found


Receipts = Mapping[str, Mapping[str, Receipt]]


def _upstream_state(
    stage: Stage, upstream: Receipts, position: Position, near: tuple[Position, ...]
) -> list[str] | Receipt | None:
    """Digests of what a tile reads; the receipt that failed if its own did; None if something was not run yet.

    A neighbour that failed is read as nodata. Its digest is then 'failed', so the tile is done again when the
    neighbour has been mended.
    """
    found = []
    for name in stage.after:
        own = _state(name, upstream, tile_id(*position))
        if own is None or not own:
            return own
        found.append(own.digest)
        for other in near:
            receipt = _state(name, upstream, tile_id(*other))
            if receipt is None:
                return None
            found.append(receipt.digest if receipt else "failed")
    return found


def _state(name: str, upstream: Receipts, tile: str) -> Receipt | None:
    """Receipt of a tile in a stage; without one, that of the earlier stage that failed and blocks it, if there is one."""
    found = upstream[name].get(tile)
    if found is None:
        step = step_named(name)
        earlier = (_state(other, upstream, tile) for other in step.after if other in upstream)
        return next((receipt for receipt in earlier if receipt is not None and not receipt), None)
    return found


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
    tile, began = tile_id(*position), time.perf_counter()
    block, fault = None, None
    try:
        # first, so that a kill between here and the new receipt leaves the tile undone, not falsely done
        receipts.remove(workspace.receipts, name, tile)
        block = compute(config, grid, stage, position)
        _write(workspace, stage.writes(config), name, block)
    except Exception as error:
        fault = fault_of(error)
    receipt = make_receipt(name, tile, key, began, pixels=grid.tile_px**2, block=block, fault=fault)
    try:
        receipts.write(workspace.receipts, receipt)
    except OSError as error:
        # a full disk cannot take the receipt either; the driver still hears of it
        fault = fault or Fault(f"the receipt cannot be written: {error.strerror or error}")
        receipt = make_receipt(name, tile, key, began, fault=fault)
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


def make_receipt(
    name: str,
    tile: str,
    key: str,
    began: float,
    *,
    pixels: int = 0,
    block: Block | None = None,
    tally: Mapping[str, Any] | None = None,
    fault: Fault | None = None,
) -> Receipt:
    """Receipt of what was just done in this process; `began` is its `time.perf_counter`."""
    return Receipt(
        stage=name,
        tile=tile,
        digest=key,
        seconds=round(time.perf_counter() - began, 4),
        pixels=pixels,
        # of the process so far: an upper bound for the tile
        peak_mb=round(peak_mb(), 1),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        tally=dict(tally or (block.tally if block and not fault else {})),
        scenes=block.scenes if block else (),
        dropped=block.dropped if block else (),
        error=fault.error if fault else None,
        trace=fault.trace if fault else None,
    )


def fold_digest(survey: Survey, fold: Fold) -> str:
    """Everything the fold reads: all receipts of the steps before it."""
    folder = survey.workspace.receipts
    state = [
        [name, sorted((tile, r.digest if r else "failed") for tile, r in receipts.read_stage(folder, name).items())]
        for name in fold.after
    ]
    return digest([_base_digest(survey, fold), state])


def peak_mb() -> float:
    """Most memory that this process has held so far.

    Linux keeps it in VmHWM, which a new program starts at nothing; ru_maxrss of a worker begins at what its parent held
    when it was started (1,432 MB after a country was simulated).
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10
