"""Two attempts at one task on two workers: the late answer of one never harms what the other has written."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lsbatch import settings
from lsbatch.engine import tile_task
from lsbatch.engine.tile_task import Task
from lsbatch.grid import Grid
from lsbatch.pipeline.types import Block
from lsbatch.storage import files, lease, receipts
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace

STAGE = "areas"
FIRST = Task(STAGE, (0, 0), "digest", attempt=1)
SECOND = replace(FIRST, attempt=2)
TABLE = pd.DataFrame({"value": [1, 2, 3]})


class Tile:
    """A tile whose stage makes a table, and what happens while it is computed or before it is written."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = settings.example().model_copy(update={"output": folder})
        side = self.config.grid.tile_px
        self.grid = Grid("EPSG:25833", 10.0, side, (0.0, 0.0, side * 10.0, side * 10.0))
        self.workspace = Workspace(folder)
        self.computed: list[int] = []
        self.written: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.before_writing: Callable[[], None] = lambda: None
        self._write = tile_task._write
        monkeypatch.setattr(tile_task, "compute", self._compute)
        monkeypatch.setattr(tile_task, "_write", self._write_late)

    def _compute(self, config: object, grid: Grid, stage: object, position: tuple[int, int]) -> Block:
        self.computed.append(1)
        happens, self.meanwhile = self.meanwhile, lambda: None
        happens()
        return Block(grid.tile(*position), 0, {}, part=TABLE)

    def _write_late(self, workspace: Workspace, layer: None, name: str, block: Block) -> dict[str, str]:
        happens, self.before_writing = self.before_writing, lambda: None
        happens()
        self.written.append(1)
        return self._write(workspace, layer, name, block)

    def commit(self, task: Task) -> Receipt:
        return tile_task.commit(self.config, self.grid, task)

    def second_finishes(self) -> None:
        assert self.commit(SECOND)

    def receipt(self) -> Receipt | None:
        return receipts.read(self.workspace.receipts, STAGE, "r000c000")

    def is_sound(self) -> bool:
        """Whether the receipt is that of a success, and fits the data."""
        found = self.receipt()
        part = self.workspace.part(STAGE, "r000c000", ".parquet")
        return bool(found) and found is not None and dict(found.sums) == {part.name: receipts.checksum(part)}


@pytest.fixture
def tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tile:
    return Tile(tmp_path, monkeypatch)


def test_alone(tile: Tile) -> None:
    assert tile.receipt() is None
    assert tile.commit(FIRST).attempts == 1
    assert tile.is_sound()


def test_a_late_success_is_ignored(tile: Tile) -> None:
    tile.meanwhile = tile.second_finishes
    assert tile.commit(FIRST).attempts == 2
    assert (len(tile.computed), len(tile.written)) == (2, 1)
    assert tile.is_sound()


def test_a_late_failure_does_not_replace_the_receipt(tile: Tile) -> None:
    def fail() -> None:
        tile.second_finishes()
        raise OSError(errno.ETIMEDOUT, "the connection is as old as the stop")

    tile.meanwhile = fail
    receipt = tile.commit(FIRST)
    assert receipt
    assert receipt.attempts == 2
    assert tile.is_sound()


def test_one_that_starts_late_neither_computes_nor_removes_the_receipt(
    tile: Tile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile.second_finishes()
    monkeypatch.setattr(receipts, "remove", lambda *arguments: pytest.fail("the receipt was removed"))
    assert tile.commit(FIRST).attempts == 2
    assert len(tile.computed) == 1
    assert tile.is_sound()


def test_both_write_at_once(tile: Tile) -> None:
    tile.before_writing = tile.second_finishes
    assert tile.commit(FIRST).attempts == 1
    assert len(tile.written) == 2
    # the same bytes, each put in its place as a whole
    assert tile.is_sound()


def test_a_failure_of_the_other_attempt_or_another_digest_is_no_answer(tile: Tile) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, "broken")

    tile.meanwhile = fail
    assert not tile.commit(SECOND)
    assert tile.commit(FIRST)
    assert tile.commit(replace(FIRST, key="another"))
    assert len(tile.computed) == 3
    assert tile.is_sound()


def test_a_receipt_that_is_damaged_is_no_answer(tile: Tile) -> None:
    tile.second_finishes()
    files.write_text(receipts.path(tile.workspace.receipts, STAGE, "r000c000"), '{"stage": "')
    assert tile.receipt() is None
    assert tile.commit(FIRST).attempts == 1
    assert tile.is_sound()


def test_a_task_of_a_run_that_lost_the_lease_is_not_even_computed(tile: Tile) -> None:
    with lease.acquire(tile.config.output) as held:
        task = replace(FIRST, lease=held)
    receipt = tile.commit(task)
    assert "no longer holds the lease" in str(receipt.error)
    assert tile.computed == []
    assert tile.receipt() is None
