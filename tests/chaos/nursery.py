"""A process that has loaded and compiled everything, and forks drivers, schedulers and workers that begin at once.

    python -m tests.chaos.nursery CONFIG

A fresh interpreter imports for 5 s and compiles kernels for 12 s before it reads its first pixel: of 200 that are
killed, most would die in that time, and a test would prove little. What is forked here runs the programs' own `main`.

It first runs the survey of CONFIG itself, serially and undisturbed; that is what the others are compared with. Then it
answers a line of JSON on its input by a line on its output, until the input ends.
"""

import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet

import dask
from distributed import nanny
from distributed.cli import dask_scheduler, dask_worker
from distributed.process import AsyncProcess

from lsbatch import cli, settings
from lsbatch.cli.terminal import Screen
from lsbatch.commands import run
from lsbatch.engine import distribute, scheduler_state, stragglers, supervision, tile_task
from lsbatch.engine.cluster import local, worker_safety
from lsbatch.storage import lease
from tests import programs
from tests.chaos import hosts

Program = Callable[[], Any]

#: Workers that a nanny of this process started.
_STARTED: "WeakSet[AsyncProcess]" = WeakSet()


def main() -> None:
    """Warm up, then serve."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    nanny.AsyncProcess = _Remembered  # type: ignore[misc]
    os.register_at_fork(after_in_child=_let_go)
    # a program that hangs can be asked where it stands
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    _hurry()
    faults = run.survey(settings.load(Path(sys.argv[1])), Screen())
    # what is here now stays: the garbage collector would write to every page of it, and so copy it, in every child
    gc.freeze()
    Path.replace = _slowly(Path.replace)  # type: ignore[method-assign]
    program = _serve(answers, {"faults": faults})
    if program is not None:
        programs.end_with(program)


def _hurry() -> None:
    """Give up sooner than a real run, whose tiles take minutes: a stop for ever then costs seconds."""
    stragglers.LOOK_S, stragglers.SILENT_S, stragglers.LOST_S = 1.0, 4.0, 8.0
    scheduler_state.KILL_S, scheduler_state.ANSWER_S = 5.0, 3.0
    worker_safety.ANSWER_S = 5.0
    local.START_S = 10.0
    distribute.RESULT_S = 2.0
    supervision.QUIET_S = 5.0
    lease.SECONDS = 20.0


def _slowly(replace: Callable[[Path, Any], Path]) -> Callable[[Path, Any], Path]:
    """Wait before a file gets its name, as on a slow disk: of 202 kills without it none found a file half-written."""

    def slow(path: Path, target: Any) -> Path:
        time.sleep(0.005)
        return replace(path, target)

    return slow


def _serve(answers: Any, greeting: dict[str, Any]) -> Program | None:
    """None when the input has ended; in a child, what it is to do."""
    answer: dict[str, Any] = greeting
    ended: dict[int, int] = {}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.buffer.readline()
        if not line:
            return None
        asked = json.loads(line)
        if "poll" in asked:
            _reap(ended)
            answer = {"code": ended.get(asked["poll"])}
            continue
        pid = os.fork()
        if pid == 0:
            return _child(asked, answers)
        # numbers of processes are used again: 32,768 of them lasted twenty minutes
        ended.pop(pid, None)
        answer = {"pid": pid}


def _reap(ended: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            ended[pid] = os.waitstatus_to_exitcode(status)


def _child(asked: dict[str, Any], answers: Any) -> Program:
    """A session of its own, by which all that descends from it can be found; the nursery's own pipes are closed."""
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2), (nothing, answers.fileno())):
        os.dup2(source, target)
    words = asked["words"]
    if "clock" in asked:
        _set_clock(*asked["clock"])
    if "host" in asked:
        hosts.enter(asked["host"])
    if "lost_s" in asked:
        stragglers.LOST_S = asked["lost_s"]
    if "environment" in asked:
        os.environ.update(asked["environment"])
        dask.config.refresh()
    sys.argv = [asked["program"], *words]
    return {
        "lsbatch": cli.main,
        "scheduler": lambda: dask_scheduler.main(words),
        "worker": lambda: dask_worker.main(words),
    }[asked["program"]]


def _set_clock(first_s: float, after_s: float, then_s: float) -> None:
    """Let this process's clock be wrong by `first_s`, and after a while by `then_s`.

    What the kernel writes to files stays right.
    """
    real, began = time.time, time.monotonic()

    def now() -> float:
        return real() + (first_s if time.monotonic() - began < after_s else then_s)

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(now(), tz)

    time.time = now
    for module in (tile_task, lease):
        assert module.datetime is datetime  # type: ignore[attr-defined]
        module.datetime = Wrong  # type: ignore[attr-defined]


def _let_go() -> None:
    """What a forked worker inherits of its driver, and a spawned one does not.

    The file of a lease that was just being renewed: its lock would be held for ever. The pipes by whose end other
    workers hear of the driver's death: two workers that hold each other's would outlive it.
    """
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(link.readlink()).endswith("/.lock"):
                os.close(int(link.name))
    for other in list(_STARTED):
        other._keep_child_alive.close()


class _Remembered(AsyncProcess):
    """Known, so that its pipe can be found."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        _STARTED.add(self)


if __name__ == "__main__":
    main()
