"""Where surveys are run, killed and resumed.

Processes on this machine, a dice that is loaded by a seed, and what is counted.
"""

import json
import math
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from lsbatch import settings, synthetic
from lsbatch.engine.registry import PIPELINE
from lsbatch.settings import to_yaml
from lsbatch.storage import lease
from tests import surveys
from tests.chaos.comparison import differences, half_written

ROOT = Path(__file__).parents[2]
#: A fortnight of each year: three scenes of radar and one or two of light are read as much as thirty are.
SEASON = ("06-24", "07-07")
WORKERS = 2
#: A survey that is not done after so long hangs.
PATIENCE_S = 300.0
#: Seconds of processor that pass before a kill that is due, on the average; a survey in peace takes about six.
EFFORT_S = 0.3
#: The longest stop of a process that goes on.
PAUSE_S = 15.0
#: What drivers say when they mend something.
MENDED = ("is given up and restarted", "is given to another worker", "has not answered since", "another run")
#: Receipts of a survey of four tiles: ten stages and four reductions.
RECEIPTS = 44


def make_country(folder: Path) -> Path:
    """A country of four tiles of 128 px; returns the settings of its undisturbed survey."""
    folder.mkdir(parents=True)
    raw = synthetic.simulate(folder, seed=surveys.SEED, rows=256, cols=256)
    config = surveys.configured(
        raw,
        folder / "undisturbed",
        grid={"tile_px": 128},
        survey={"season": list(SEASON)},
        truth={"file": "truth.gpkg", "date_field": None},
    )
    path = folder / "undisturbed.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    return path


@dataclass
class Nursery:
    """Starts programs quickly; see `tests.chaos.nursery`."""

    process: "subprocess.Popen[str]"
    undisturbed: settings.Config
    config: Path
    pids: list[int] = field(default_factory=list)

    def start(self, program: str, log: Path, *words: str, **more: Any) -> int:
        """Start lsbatch, a Dask scheduler or a Dask worker with its nanny; its process number."""
        pid = int(self._ask({"program": program, "words": list(words), "log": str(log), **more})["pid"])
        self.pids.append(pid)
        return pid

    def ended(self, pid: int) -> int | None:
        """Exit code of a program, negative for a signal; None while it runs."""
        return self._ask({"poll": pid})["code"]  # type: ignore[no-any-return]

    def wait(self, pid: int, seconds: float) -> int:
        """Exit code of a program that ends soon."""
        until = time.monotonic() + seconds
        while (code := self.ended(pid)) is None:
            assert time.monotonic() < until, f"process {pid} still runs after {seconds} s"
            time.sleep(0.02)
        return code

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.answer(60)

    def answer(self, seconds: float) -> dict[str, Any]:
        """What the nursery says next."""
        assert self.process.stdout
        assert select.select([self.process.stdout], [], [], seconds)[0], f"the nursery is silent for {seconds} s"
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """A nursery whose own survey is done; whatever it started is gone at the end."""
    config = make_country(folder)
    environment = os.environ | {
        # one thread a process, so that a fork finds no other; a worker is forked from its nanny, which compiled
        # everything
        "OMP_NUM_THREADS": "1",
        "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "fork",
        # as docs/failures.md says for schedulers and workers that others start
        "DASK_DISTRIBUTED__WORKER__USE_FILE_LOCKING": "False",
    }
    with (folder / "nursery.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery", str(config)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        found = Nursery(process, settings.load(config), config)
        try:
            assert found.answer(300) == {"faults": 0}
            yield found
        finally:
            for pid in found.pids:
                for member in of_session(pid):
                    end(member)
            assert process.stdin
            process.stdin.close()
            process.wait(30)
            process.stdout.close()  # type: ignore[union-attr]


def of_session(pid: int) -> list[int]:
    """Return the processes of the session of a program, also those with another parent now."""
    found = []
    for other in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(other) == pid and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
                found.append(other)
    return found


def children(pid: int) -> list[int]:
    """Processes that a process started itself: a nanny's worker, the workers of a driver that has no other cluster."""
    with suppress(psutil.NoSuchProcess):
        return sorted(child.pid for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE)
    return []


def end(pid: int) -> bool:
    """``kill -9``; whether there was something to kill."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def alive(pid: int | None) -> bool:
    """Whether a process runs."""
    with suppress(psutil.NoSuchProcess):
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Toll:
    """What was killed, and when."""

    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    surveys: int = 0
    drivers: Counter[int] = field(default_factory=Counter)
    retries: int = 0
    half_written: int = 0

    @property
    def total(self) -> int:
        """Kills."""
        return self.kills.total()

    def __str__(self) -> str:
        def told(counter: Counter[Any]) -> str:
            return ", ".join(f"{count} {name}" for name, count in sorted(counter.items(), key=lambda one: -one[1]))

        return (
            f"{self.total} kills in {self.surveys} surveys: {told(self.kills)}\n"
            f"{self.stops.total()} stops: {told(self.stops) or 'none'}\n"
            f"  what drivers did about them: {told(self.mended) or 'nothing'}\n"
            f"  while the last receipt was of: {told(self.moments)}\n"
            "  drivers that ended by themselves, by exit code: "
            f"{told(Counter({f'x code {k}': v for k, v in self.drivers.items()}))}; "
            f"lsbatch retry --all was needed {self.retries} times\n"
            f"  half-written files that kills left behind: {self.half_written}"
        )


@dataclass
class Cast:
    """Everybody who works on one survey.

    Attributes
    ----------
    kind : str
        ``local``: the driver starts its workers, and nannies and the scheduler live in it; ``address``: a scheduler and
        nannies with a worker each run beside it.
    """

    home: Nursery
    kind: str
    config: settings.Config
    path: Path
    port: int
    driver: int = 0
    scheduler: int | None = None
    nannies: list[int] = field(default_factory=list)
    #: Processes that were stopped, and when they go on (monotonic seconds, or never).
    stopped: dict[int, float] = field(default_factory=dict)
    #: Drivers, schedulers and nannies that never go on, and that a person has replaced.
    replaced: list[int] = field(default_factory=list)
    #: Programs that were killed: whatever descends from them must go by itself.
    killed: list[int] = field(default_factory=list)
    #: Seconds of processor that each had when last looked at, and of all together.
    cpu_s: dict[int, float] = field(default_factory=dict)
    effort_s: float = 0.0

    @classmethod
    def of(cls, home: Nursery, kind: str, folder: Path, attempts: int = 20) -> "Cast":
        """A new survey in a folder of its own."""
        port = free_port()
        cluster = {"kind": kind, "workers": WORKERS, "memory_gb": 2.0, "attempts": attempts, "wait_s": 0.1}
        if kind == "address":
            cluster["address"] = f"tcp://127.0.0.1:{port}"
        base = home.undisturbed
        config = base.model_copy(update={"output": folder / "s", "cluster": settings.ClusterSettings(**cluster)})
        folder.mkdir(parents=True)
        path = folder / "config.yaml"
        path.write_text(to_yaml(config), encoding="utf-8")
        return cls(home, kind, config, path, port)

    def muster(self) -> None:
        """Start whoever is not there, or will never go on. A worker that is stopped is left to the driver."""
        if self._is_lost(self.driver):
            self.replaced.append(self.driver)
            self.driver = 0
        if not self.driver:
            self.driver = self._start("lsbatch", "run", str(self.path))
        if self.kind == "local":
            return
        if not alive(self.scheduler):
            self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.replaced += [pid for pid in self.nannies if self._is_lost(pid)]
        self.nannies = [pid for pid in self.nannies if alive(pid) and pid not in self.replaced]
        while len(self.nannies) < WORKERS:
            words = ["--nthreads", "1", "--memory-limit", "2GB", "--no-dashboard", "--host", "127.0.0.1"]
            words += ["--local-directory", str(self.path.parent / "dask")]
            self.nannies.append(self._start("worker", self.config.cluster.address or "", *words))

    def _start(self, program: str, *words: str) -> int:
        return self.home.start(program, self.path.parent / f"{program}.log", *words)

    def look(self) -> float:
        """Seconds of processor that all have used so far: a clock that goes as slowly as they do on a busy machine."""
        for first in (self.driver, self.scheduler, *self.nannies):
            for pid in of_session(first) if first else ():
                with suppress(psutil.NoSuchProcess):
                    used = sum(psutil.Process(pid).cpu_times()[:2])
                    self.effort_s += max(0.0, used - self.cpu_s.get(pid, 0.0))
                    self.cpu_s[pid] = used
        return self.effort_s

    def _is_lost(self, pid: int | None) -> bool:
        """Whether a process was stopped for ever."""
        return self.stopped.get(pid or 0) == math.inf

    def kill(self, role: str, dice: random.Random) -> bool:
        """``kill -9`` of one of a role; whether there was one."""
        pid = self._choose(role, dice)
        if not pid or not end(pid):
            return False
        if role != "worker":
            self.killed.append(pid)
        return True

    def stop(self, role: str, dice: random.Random) -> str | None:
        """SIGSTOP of one of a role, half of them for ever; what was done, None if there was no such process."""
        seconds = dice.uniform(0.5, PAUSE_S) if dice.random() < 0.5 else math.inf
        pid = self._choose(role, dice)
        if not pid or pid in self.stopped:
            return None
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self.stopped[pid] = time.monotonic() + seconds
            return f"{role} {'for ever' if seconds == math.inf else 'for a while'}"
        return None

    def go_on(self) -> None:
        """SIGCONT of those whose time has come."""
        for pid in [pid for pid, until in self.stopped.items() if until <= time.monotonic()]:
            del self.stopped[pid]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _choose(self, role: str, dice: random.Random) -> int:
        """One process of a role; 0 if there is none."""
        parents = [self.driver] if self.kind == "local" else self.nannies
        there = {
            "driver": [self.driver],
            "scheduler": [self.scheduler] if self.scheduler else [],
            "nanny": self.nannies,
            "worker": [pid for parent in parents for pid in children(parent)],
        }[role]
        pids = [pid for pid in there if alive(pid)]
        chosen = dice.random()
        return pids[int(chosen * len(pids))] if pids else 0

    def dismiss(self) -> None:
        """End whoever is left, and see that nobody outlives those who were killed."""
        for pid in self.stopped:
            end(pid)
        for pid in (self.driver, self.scheduler, *self.nannies, *self.replaced):
            if pid:
                for member in of_session(pid):
                    end(member)
        until = time.monotonic() + 15
        while left := [member for pid in self.killed for member in of_session(pid)]:
            if time.monotonic() > until:
                raise AssertionError(f"outlived who started them: {left}, of {self.killed}\n{self.log(left)}")
            time.sleep(0.05)

    def stage(self) -> str:
        """The last step that has a receipt; what is being done is that step or the next."""
        folder = self.config.output / "receipts"
        return next((step.name for step in reversed(PIPELINE) if any(folder.glob(f"{step.name}/*.json"))), "beginning")

    def receipts(self) -> int:
        """How far the survey is."""
        return sum(1 for _ in (self.config.output / "receipts").glob("*/[!.]*.json"))

    def log(self, others: Iterable[int] = ()) -> str:
        """The last lines of everybody, and where they and others stand."""
        there = [pid for first in (self.driver, self.scheduler, *self.nannies) if first for pid in of_session(first)]
        for pid in (*there, *others):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
        time.sleep(1)
        logs = sorted(self.path.parent.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-9000:]}" for log in logs)


def moment(cast: Cast, dice: random.Random) -> Callable[[], bool]:
    """Return when the next kill is due: after random work, or when a file changes in a random folder."""
    due = cast.look() + dice.expovariate(1 / EFFORT_S)
    patterns = ("cube.zarr/stack/*/c/*", "cube.zarr/[mp]*/*/*/c/*", "receipts/*", "parts/*", "inventory", "cube.zarr/*")
    in_a_write, pattern, chosen = dice.random() < 0.5, dice.choice(patterns), dice.random()
    if not in_a_write:
        return lambda: cast.look() >= due
    seen: dict[Path, int] = {}

    def changed() -> bool:
        if cast.look() >= due + 2 * EFFORT_S:
            return True
        if not seen:
            folders = sorted(path for path in cast.config.output.glob(pattern) if path.is_dir())
            if folders:
                folder = folders[int(chosen * len(folders))]
                seen[folder] = folder.stat().st_mtime_ns
            return False
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            if any(folder.stat().st_mtime_ns != before for folder, before in seen.items()):
                return True
        return False

    return changed


#: What is killed how often. Where the driver has scheduler and nannies in itself, it is they that die with it.
WEIGHTS = {
    "local": {"worker": 0.6, "driver": 0.4},
    "address": {"worker": 0.4, "nanny": 0.25, "scheduler": 0.15, "driver": 0.2},
}


def siege(
    home: Nursery,
    folder: Path,
    *,
    seed: int,
    kills: int,
    minutes: float,
    each: int = 10,
    stops: int = 0,
    heard: Callable[[Toll], None] = lambda toll: None,
) -> Toll:
    """Run surveys with `each` kills on average, until enough processes were killed and stopped or the time is over.

    The seed decides whose turn it is, and when; what a moment finds depends on the machine.

    Raises
    ------
    AssertionError
        If anything in a survey that came to its end is not as in the undisturbed one.
    """
    toll, dice, began = Toll(), random.Random(seed), time.monotonic()
    pauses = round(2 * each * stops / max(kills, 1)) if kills else each
    while (toll.total < kills or toll.stops.total() < stops) and time.monotonic() - began < 60 * minutes:
        kind = ("address", "local")[toll.surveys % 2]
        cast = Cast.of(home, kind, folder / f"{toll.surveys:03d}")
        endure(
            cast,
            dice,
            dice.randint(each // 2, each + each // 2 + 1) if toll.total < kills else 0,
            toll,
            stops=dice.randint(0, pauses) if toll.stops.total() < stops else 0,
        )
        _judge(home, cast, toll)
        heard(toll)
        shutil.rmtree(cast.path.parent)
    return toll


def _judge(home: Nursery, cast: Cast, toll: Toll) -> None:
    root = cast.config.output
    toll.half_written += len(half_written(root))
    found = differences(root, home.undisturbed.output)
    assert not found, f"survey {toll.surveys} ({cast.kind}): {found}\n{cast.log()}"
    assert lease.holders(root) == []
    said = verified(home, cast.path)
    assert said == "40 of 40 match their checksums\n", said


def endure(cast: Cast, dice: random.Random, kills: int, toll: Toll, stops: int = 0) -> None:
    """Run a survey, kill and stop random processes, restart the missing ones, until the driver has finished.

    The kills and stops are spread over the survey by its receipts, not by the clock: the last stages take a tenth of
    the first one's time.
    """
    began, weights = time.monotonic(), WEIGHTS[cast.kind]
    waiting = sorted(
        ((dice.randrange(RECEIPTS), does_kill) for does_kill in [True] * kills + [False] * stops), reverse=True
    )
    due: Callable[[], bool] | None = None
    role = "driver"
    cast.muster()
    while (code := cast.home.ended(cast.driver)) != 0:
        assert time.monotonic() - began < PATIENCE_S, f"not done after {PATIENCE_S} s\n{cast.log()}"
        if code is not None:
            _look_into(cast, code, toll)
        cast.go_on()
        cast.muster()
        if due is None and waiting and cast.receipts() >= waiting[-1][0]:
            due = moment(cast, dice)
            role = dice.choices(list(weights), list(weights.values()))[0]
        if due is not None and due():
            if _strike(cast, role, dice, toll, does_kill=waiting[-1][1]):
                waiting.pop()
            due = None
        time.sleep(0.01)
    cast.dismiss()
    said = (cast.path.parent / "lsbatch.log").read_text(errors="replace")
    toll.mended.update({words: said.count(words) for words in MENDED if words in said})
    toll.drivers[0] += 1
    toll.surveys += 1


def _strike(cast: Cast, role: str, dice: random.Random, toll: Toll, *, does_kill: bool) -> bool:
    """Kill or stop one of a role; whether there was one."""
    stage = cast.stage()
    if does_kill:
        if not cast.kill(role, dice):
            return False
        toll.kills[role] += 1
    else:
        what = cast.stop(role, dice)
        if what is None:
            return False
        toll.stops[what] += 1
    toll.moments[stage] += 1
    return True


def _look_into(cast: Cast, code: int, toll: Toll) -> None:
    """What a person does whose driver ended before all was done."""
    cast.driver = 0
    if cast.scheduler and cast.stopped.get(cast.scheduler) == math.inf:
        # the driver has said that it does not answer
        cast.replaced.append(cast.scheduler)
        end(cast.scheduler)
    assert code in (1, 2, -signal.SIGKILL), f"exit code {code}\n{cast.log()}"
    if code > 0:
        toll.drivers[code] += 1
        said = (cast.path.parent / "lsbatch.log").read_text(errors="replace")
        # workers of a driver that was killed say what they like; of the driver itself there is no traceback
        assert "cli/program.py" not in said, said
        assert code == 1 or "\nlsbatch: " in said, said
    if code == 1:
        # tiles whose workers were killed too often are left alone until somebody says so
        retry = cast.home.start("lsbatch", cast.path.parent / "retry.log", "retry", "--all", str(cast.path))
        assert cast.home.wait(retry, 60) == 0, cast.log()
        toll.retries += 1


def verified(home: Nursery, path: Path) -> str:
    """What ``lsbatch verify`` says of a survey; it must say that all is well."""
    log = path.parent / "verify.log"
    code = home.wait(home.start("lsbatch", log, "verify", str(path)), 120)
    said = log.read_text()
    assert code == 0, f"verify ended with {code}: {said}"
    return said
