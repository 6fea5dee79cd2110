"""What the driver says and does about silent workers, slow tiles and a scheduler that does not answer."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lsbatch.engine import scheduler_state, supervision
from lsbatch.engine.scheduler_state import WorkerState
from lsbatch.engine.supervision import Supervisor
from lsbatch.engine.tile_task import Task, make_receipt
from lsbatch.errors import LsbatchError

TASKS = {"t": Task("stack", (0, 1), "digest"), "u": Task("stack", (0, 2), "digest")}
ADDRESS = "tcp://127.0.0.1:8786"


class Stage:
    """A scheduler whose workers stand as they are told, and a clock that goes on by five seconds a look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.beat = 1000.0, 0
        self.workers: list[WorkerState] = []
        self.error: Exception | None = None
        self.restarted: list[str] = []
        self.lines: list[str] = []
        monkeypatch.setattr(supervision, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(scheduler_state, "workers", self._answer)
        monkeypatch.setattr(scheduler_state, "restart", lambda client, names: self.restarted.extend(names))
        client = SimpleNamespace(scheduler=SimpleNamespace(address=ADDRESS))
        self.supervisor = Supervisor(client, self._say)  # type: ignore[arg-type]

    def _say(self, line: str) -> None:
        self.lines.append(re.sub(r"\d\d:\d\d:\d\d", "TIME", line))

    def _answer(self, client: object) -> list[WorkerState]:
        if self.error is not None:
            raise self.error
        self.beat += 1
        # a worker whose last heartbeat is below zero is silent
        return [one if one.last_seen < 0 else replace(one, last_seen=self.beat) for one in self.workers]

    def look(self, seconds: float, tasks: Mapping[str, Task] = TASKS) -> dict[str, list[str]]:
        """Look for a while; what is to be moved."""
        moves: dict[str, list[str]] = {}
        for _ in range(int(seconds / 5)):
            self.now += 5.0
            assert self.supervisor.is_due
            moves |= self.supervisor.look(tasks, {"stack": {}})
        return moves

    def finish(self, count: int, seconds: float) -> None:
        """Tiles that succeed."""
        for _ in range(count):
            receipt = make_receipt(Task("stack", (5, 5), "digest"), 0.0)
            self.supervisor.done(replace(receipt, seconds=seconds))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def state(name: str, executing: tuple[str, ...] = (), last_seen: float = 0.0) -> WorkerState:
    return WorkerState(name, last_seen, 0.5, True, {}, executing, executing)


def test_a_silent_worker_is_reported_and_then_restarted(stage: Stage) -> None:
    stage.workers = [state("a", ("t",), last_seen=-1.0), state("b", ("u",))]
    stage.look(60)
    assert not any(line.startswith("Worker") for line in stage.lines)
    stage.look(5)
    stage.lines = [line for line in stage.lines if not line.startswith("Nothing")]
    assert stage.lines[0] == "Worker a has been silent since TIME; it has stack r000c001"
    stage.look(115)
    assert stage.restarted == []
    stage.look(5)
    assert stage.restarted == ["a"]
    told = [line for line in stage.lines if not line.startswith("Nothing")]
    assert told[1:] == [
        "Worker a is given up and restarted: it has been silent since TIME; its tiles go to other workers"
    ]
    # asked for once, and again only if it is still there after a while
    stage.look(150)
    assert stage.restarted == ["a"]
    stage.look(50)
    assert stage.restarted == ["a", "a"]


def test_a_slow_tile_is_reported_and_then_moved_once(stage: Stage) -> None:
    stage.workers = [state("a", ("t",)), state("b")]
    assert stage.look(600) == {}, "no median is known"
    stage.lines.clear()
    stage.finish(5, 30.0)
    assert stage.look(5) == {"t": ["b"]}
    assert stage.lines == [
        "stack r000c001 has been computed on a since TIME; the median of its stage is 30.0 s",
        "stack r000c001 is given to another worker; the first answer counts",
    ]
    assert stage.look(600) == {}
    # when the other has answered, the worker of the first is freed
    stage.supervisor.free("t")
    assert stage.restarted == ["a"]


def test_without_another_worker_its_own_is_restarted_once(stage: Stage) -> None:
    stage.finish(5, 1.0)
    stage.workers = [state("a", ("t",)), state("b", ("u",), last_seen=-1.0)]
    assert stage.look(125) == {}
    assert stage.restarted == ["a"]
    assert "Worker a is given up and restarted: stack r000c001 takes too long, and no other worker can take it; " in (
        " ".join(stage.lines)
    )
    stage.look(50)
    assert stage.restarted == ["a"]


def test_it_says_once_a_minute_what_it_waits_for(stage: Stage) -> None:
    stage.look(55)
    assert stage.lines == []
    stage.look(5)
    assert stage.lines == [
        "Nothing has finished since TIME; in flight: 2 stack; no worker is connected; the run continues when one is"
    ]
    stage.look(55)
    stage.finish(1, 1.0)
    stage.look(55)
    assert len(stage.lines) == 1
    stage.look(5)
    assert len(stage.lines) == 2


def test_a_scheduler_that_does_not_answer(stage: Stage) -> None:
    stage.error = TimeoutError()
    stage.look(60)
    assert not stage.supervisor.answers
    assert stage.lines == []
    stage.look(5)
    assert stage.lines == [f"The Dask scheduler at {ADDRESS} has not answered since TIME"]
    stage.look(110)
    with pytest.raises(
        LsbatchError, match=r"has not answered since .* finished tiles are kept: end it, start it again"
    ):
        stage.look(10)


def test_a_scheduler_that_answers_again(stage: Stage) -> None:
    stage.workers = [state("a", ("t",), last_seen=-1.0)]
    stage.look(50)
    stage.error = OSError()
    stage.look(100)
    stage.error = None
    # the silence of the workers counts anew
    stage.look(60)
    assert stage.supervisor.answers
    assert stage.restarted == []
    assert not any(line.startswith("Worker") for line in stage.lines)
