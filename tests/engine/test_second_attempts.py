"""A slow task that was given to another worker: the first success counts, and the schedule hears of it once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lsbatch import settings
from lsbatch.catalog.survey import Survey
from lsbatch.engine import distribute, stragglers
from lsbatch.engine.schedule import Schedule
from lsbatch.engine.supervision import Supervisor
from lsbatch.engine.tile_task import Fault, Task, make_receipt
from lsbatch.engine.todo import step_named
from lsbatch.grid import Grid
from lsbatch.pipeline.types import Stage
from lsbatch.storage.receipts import Receipt


@dataclass(eq=False)
class FakeFuture:
    """A future that ends when the test says so."""

    client: "FakeClient"
    key: str
    task: Task
    placement: Mapping[str, Any]
    status: str = "pending"
    receipt: Receipt | None = None
    callbacks: list[Any] = field(default_factory=list)

    def add_done_callback(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def end(self, *, error: str | None = None, status: str = "finished") -> None:
        self.status = status
        self.receipt = make_receipt(self.task, 0.0, fault=Fault(error) if error else None)
        for callback in self.callbacks:
            callback(self)

    def result(self, timeout: float) -> Receipt:
        assert self.receipt is not None
        return self.receipt

    def cancel(self) -> None:
        self.end(status="cancelled")
        self.client.cancelled.append(self)

    def release(self) -> None:
        pass


class FakeClient:
    id = "client"
    status = "running"

    def __init__(self) -> None:
        self.futures: list[FakeFuture] = []
        self.cancelled: list[FakeFuture] = []

    def submit(self, function: Any, config: Any, grid: Any, task: Task, **more: Any) -> FakeFuture:
        placement = {key: more[key] for key in ("workers", "allow_other_workers") if key in more}
        self.futures.append(FakeFuture(self, f"task-{len(self.futures)}", task, placement))
        return self.futures[-1]


class Run:
    """A run of one tile, at the moment at which it was given to another worker."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client, self.freed, self.moves = FakeClient(), list[str](), {"task-0": ["tcp://other"]}
        monkeypatch.setattr(Supervisor, "is_due", property(lambda supervisor: True))
        monkeypatch.setattr(Supervisor, "look", lambda supervisor, tasks, needs: self._look(tasks))
        monkeypatch.setattr(Supervisor, "free", lambda supervisor, key: self.freed.append(key))
        monkeypatch.setattr(stragglers, "LOOK_S", 0.01)
        config = settings.example().model_copy(update={"output": folder})
        side = config.grid.tile_px
        grid = Grid("EPSG:25833", 10.0, side, (0.0, 0.0, side * 10.0, side * 10.0))
        survey = Survey(config, grid, ((0, 0),))
        stage = step_named("areas")
        assert isinstance(stage, Stage)
        stage = replace(stage, settings=lambda config: {}, after=(), scenes=lambda config, tile: None)
        self.workers = distribute._Workers(
            survey,
            Schedule(survey, (stage,)),
            lambda resources: self.client,  # type: ignore[arg-type, return-value]
            lambda line: None,
        )

    def _look(self, tasks: Mapping[str, Task]) -> dict[str, list[str]]:
        found = {key: workers for key, workers in self.moves.items() if key in tasks}
        self.moves = {key: workers for key, workers in self.moves.items() if key not in tasks}
        return found

    def __iter__(self) -> Iterator[Receipt]:
        """Receipts; the two attempts are in flight when the first is asked for."""
        self.workers._submit_ready()
        self.workers._look()
        return self.workers.run()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def test_it_is_sent_to_the_other_workers_with_a_new_attempt(run: Run) -> None:
    tiles = iter(run)
    first, second = run.client.futures
    assert second.task == replace(first.task, attempt=2)
    assert (first.placement, second.placement) == ({}, {"workers": ["tcp://other"], "allow_other_workers": True})
    second.end()
    assert [receipt.attempts for receipt in tiles] == [2]


def test_the_second_succeeds_first(run: Run) -> None:
    tiles = iter(run)
    first, second = run.client.futures
    second.end()
    assert [receipt.attempts for receipt in tiles] == [2]
    assert run.client.cancelled == [first]
    assert run.freed == [first.key], "its worker still computes"
    assert not run.workers.flying
    assert run.workers.count.total() == 0


def test_the_first_succeeds_after_all(run: Run) -> None:
    tiles = iter(run)
    first, second = run.client.futures
    first.end()
    assert [receipt.attempts for receipt in tiles] == [1]
    assert run.client.cancelled == [second]
    assert run.freed == []
    assert run.workers.count.total() == 0


@pytest.mark.parametrize("status", ["finished", "error", "lost"])
def test_a_failure_of_one_leaves_it_to_the_other(run: Run, status: str) -> None:
    tiles = iter(run)
    first, second = run.client.futures
    first.end(error="gone", status=status)
    second.end()
    assert [(bool(receipt), receipt.attempts) for receipt in tiles] == [(True, 2)]
    assert run.client.cancelled == []
    assert len(run.client.futures) == 2


def test_both_fail(run: Run) -> None:
    tiles = iter(run)
    first, second = run.client.futures
    second.end(error="broken")
    first.end(error="broken")
    assert [bool(receipt) for receipt in tiles] == [False]


def test_a_result_that_does_not_come_is_asked_for_again(run: Run) -> None:
    """Its worker was stopped after it had reported the end of the task."""
    run.moves = {}
    tiles = iter(run)
    [first] = run.client.futures

    def wait(timeout: float) -> Receipt:
        assert timeout == distribute.RESULT_S
        raise TimeoutError

    first.result = wait  # type: ignore[method-assign]
    first.end()
    assert list(run.workers._receive(run.workers.ended.get())) == []
    run.client.futures[1].end()
    assert [receipt.attempts for receipt in tiles] == [1]
