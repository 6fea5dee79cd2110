"""Watch the tasks in flight on Dask workers, so that a run never stands still without a word.

`Supervisor.look` reports silent workers and slow tiles in one sentence each. After a bound it has a silent worker
restarted, and returns the slow tiles that are to be given to another worker. While nothing finishes, it says once a
minute what the run waits for. `stragglers` holds the rules.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from distributed import Client

from lsbatch.engine import scheduler_state, stragglers
from lsbatch.engine.stragglers import Observed, Silence, Slowness
from lsbatch.engine.tile_task import Task
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.storage.receipts import Receipt

#: Seconds without a finished tile after which the driver says what it waits for, and seconds between two such lines.
QUIET_S = 60.0


@dataclass
class Supervisor:
    """What the driver knows of the tasks in flight.

    Attributes
    ----------
    client : Client
    say : callable
        Called with each sentence.
    """

    client: Client
    say: Callable[[str], None]
    _observed: Observed | None = None
    _unanswered_since: float | None = None
    #: Seconds of the last tiles that succeeded, by stage.
    _seconds: dict[str, "deque[float]"] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=stragglers.RECENT))
    )
    _reported: set[Hashable] = field(default_factory=set)
    #: Keys of slow tasks for which something was done.
    _given_up: set[str] = field(default_factory=set)
    #: Monotonic seconds at which the restart of a worker was last asked for.
    _restarted: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._looked_at = self._finished_at = self._said_at = time.monotonic()

    @property
    def answers(self) -> bool:
        """Return whether the scheduler answered when it was asked last."""
        return self._unanswered_since is None

    @property
    def is_due(self) -> bool:
        """Return whether it is time for the next look."""
        return time.monotonic() - self._looked_at >= stragglers.LOOK_S

    def done(self, receipt: Receipt) -> None:
        """Count a tile that has finished or failed."""
        self._finished_at = self._said_at = time.monotonic()
        if receipt:
            self._seconds[receipt.stage].append(receipt.seconds)

    def look(self, tasks: Mapping[str, Task], resources: Mapping[str, Mapping[str, float]]) -> dict[str, list[str]]:
        """Look at the workers; report and mend what stands still.

        Parameters
        ----------
        tasks : mapping of str to Task
            Everything in flight, by the key of its Dask task.
        resources : mapping of str to mapping
            Resources that a task needs, by its stage.

        Returns
        -------
        dict of str to list of str
            Keys of the tasks to give to another worker, with the addresses of the workers that can take them.

        Raises
        ------
        LsbatchError
            If the scheduler has not answered for `stragglers.LOST_S`.
        """
        if not tasks:
            self._looked_at = self._finished_at = self._said_at = time.monotonic()
            return {}
        observed = self._observe()
        self._looked_at = time.monotonic()
        if observed is None:
            return {}
        for silence in stragglers.silences(observed):
            self._on_silence(silence, tasks)
        moves = {}
        for slow in stragglers.slow_tasks(observed, self._medians(tasks)):
            addresses = stragglers.others(observed, slow.worker, resources.get(tasks[slow.task].stage, {}))
            if self._on_slowness(slow, tasks, bool(addresses)):
                moves[slow.task] = addresses
        self._say_what_it_waits_for(observed, tasks)
        return moves

    def free(self, key: str) -> None:
        """Restart the worker that still computes a task which another worker has finished."""
        for worker in () if self._observed is None else self._observed.workers:
            if key in worker.executing:
                self._restart(worker.address, "it still computes what another worker has finished")

    def _observe(self) -> Observed | None:
        """Ask the scheduler; None if it does not answer."""
        asked = time.monotonic()
        try:
            workers = scheduler_state.workers(self.client)
        except (OSError, TimeoutError):
            # of a scheduler that has ended the futures tell
            self._on_no_answer(asked)
            return None
        self._unanswered_since = None
        self._observed = stragglers.observe(self._observed, workers, time.monotonic())
        return self._observed

    def _on_no_answer(self, asked: float) -> None:
        if self._unanswered_since is None:
            self._unanswered_since = asked
        seconds = time.monotonic() - self._unanswered_since
        if self.client.scheduler is None:
            return
        message = f"the Dask scheduler at {self.client.scheduler.address} has not answered since "
        message += stragglers.clock(seconds)
        if seconds >= stragglers.LOST_S:
            raise LsbatchError(
                f"{message}; finished tiles are kept: end it, start it again, then run the same command again to "
                "continue"
            )
        if seconds >= stragglers.SILENT_S:
            self._report(("scheduler", self._unanswered_since), f"{message[0].upper()}{message[1:]}")

    def _on_silence(self, silence: Silence, tasks: Mapping[str, Task]) -> None:
        since = stragglers.clock(silence.seconds)
        self._report(
            (silence.worker, silence.since),
            f"Worker {silence.worker} has been silent since {since}; it has {_names(silence.tasks, tasks)}",
        )
        if silence.lost:
            self._restart(silence.worker, f"it has been silent since {since}")

    def _restart(self, worker: str, reason: str) -> None:
        """Have a worker restarted, or removed; ask again after a while if it is still there."""
        now = time.monotonic()
        if now - self._restarted.get(worker, -math.inf) < stragglers.LOST_S:
            return
        self._restarted[worker] = now
        self.say(f"Worker {worker} is given up and restarted: {reason}; its tiles go to other workers")
        try:
            scheduler_state.restart(self.client, [worker])
        except (OSError, TimeoutError):
            self._on_no_answer(now)

    def _on_slowness(self, slow: Slowness, tasks: Mapping[str, Task], has_others: bool) -> bool:
        """Report a slow task; return whether it is to be given to another worker."""
        name = _name(tasks[slow.task])
        self._report(
            slow.task,
            f"{name} has been computed on {slow.worker} since {stragglers.clock(slow.seconds)}; "
            f"the median of its stage is {slow.median_s:.1f} s",
        )
        if not slow.lost or slow.task in self._given_up:
            return False
        self._given_up.add(slow.task)
        if not has_others:
            self._restart(slow.worker, f"{name} takes too long, and no other worker can take it")
            return False
        self.say(f"{name} is given to another worker; the first answer counts")
        return True

    def _medians(self, tasks: Mapping[str, Task]) -> dict[str, float]:
        """Return the median seconds of the stage of each task, where it is known."""
        known = {stage: stragglers.median_s(seconds) for stage, seconds in self._seconds.items()}
        found = {key: known.get(task.stage) for key, task in tasks.items()}
        return {key: median for key, median in found.items() if median is not None}

    def _report(self, what: Hashable, line: str) -> None:
        if what not in self._reported:
            self._reported.add(what)
            self.say(line)

    def _say_what_it_waits_for(self, observed: Observed, tasks: Mapping[str, Task]) -> None:
        if observed.at - self._said_at >= QUIET_S:
            self._said_at = observed.at
            tiles = {key: (task.stage, _tile(task)) for key, task in tasks.items()}
            self.say(stragglers.waiting(observed, tiles, observed.at - self._finished_at))


def _tile(task: Task) -> str:
    return tile_id(*task.position) if task.position else "all"


def _name(task: Task) -> str:
    return f"{task.stage} {_tile(task)}"


def _names(keys: Iterable[str], tasks: Mapping[str, Task]) -> str:
    """Return the names of tasks for a sentence: the first three, and how many more."""
    names = [_name(tasks[key]) for key in keys if key in tasks]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "no tile"
