"""Find workers that are silent and tiles that take far longer than others of their stage.

The driver measures all times, from one look at the scheduler to the next. If the driver or the scheduler itself stood
still, as on a suspended laptop, nobody else is therefore taken for silent.
"""

import statistics
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lsbatch.engine.scheduler_state import WorkerState

#: Seconds between two looks. If more than three times as many have passed, the driver or the scheduler stood still.
LOOK_S = 5.0
#: Seconds without a heartbeat after which a worker is reported, and after which it is given up. Workers answer twice a
#: second, also while a tile is computed. Dask itself gives a worker up after 5 to 10 minutes.
SILENT_S = 60.0
LOST_S = 180.0
#: As many heartbeats must be missing, too, because 10,000 workers send one in 51 s.
MISSED_HEARTBEATS = 10
#: A tile is slow if it takes this many times the median of its stage, and at least SLOW_S seconds.
SLOW_FACTOR = 10.0
SLOW_S = 60.0
#: A slow tile is given to another worker after this many times the time after which it was reported.
PATIENCE = 2.0
#: Number of finished tiles of a stage that make its median known.
ENOUGH = 5
#: Number of last tiles of a stage of which the median is taken.
RECENT = 500


@dataclass(frozen=True)
class Silence:
    """A worker without a heartbeat; `lost` if it is to be given up.

    Attributes
    ----------
    worker : str
    since : float
        Monotonic seconds.
    seconds : float
    lost : bool
    tasks : tuple of str
        Keys of what it was given.
    """

    worker: str
    since: float
    seconds: float
    lost: bool
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Slowness:
    """A task that takes long; `lost` if it is to be given to another worker."""

    task: str
    worker: str
    seconds: float
    median_s: float
    lost: bool


@dataclass(frozen=True)
class Observed:
    """Workers at a look, and since when each is in its state.

    Attributes
    ----------
    at : float
        Monotonic seconds of the look.
    workers : tuple of WorkerState
    since : mapping
        Monotonic seconds of the first look that found this last heartbeat of a worker, or this task in execution on a
        worker.
    """

    at: float
    workers: tuple[WorkerState, ...] = ()
    since: Mapping[Hashable, float] = field(default_factory=dict)


def observe(before: Observed | None, workers: Iterable[WorkerState], now: float) -> Observed:
    """Add a look. After a gap without looks everything counts from now on."""
    found = tuple(workers)
    states: list[Hashable] = [(worker.address, worker.last_seen) for worker in found]
    states += [(worker.address, key) for worker in found for key in worker.executing]
    known = {} if before is None or now - before.at > 3 * LOOK_S else dict(before.since)
    return Observed(now, found, {state: known.get(state, now) for state in states})


def silences(observed: Observed) -> list[Silence]:
    """Return the workers that have been silent for at least `SILENT_S`."""
    found = []
    for worker in observed.workers:
        since = observed.since[worker.address, worker.last_seen]
        seconds = observed.at - since
        least = MISSED_HEARTBEATS * worker.heartbeat_s
        if seconds >= max(SILENT_S, least):
            found.append(Silence(worker.address, since, seconds, seconds >= max(LOST_S, least), worker.assigned))
    return found


def slow_tasks(observed: Observed, medians: Mapping[str, float]) -> list[Slowness]:
    """Return the tasks that take far longer than the median of their stage, except those of silent workers.

    Parameters
    ----------
    observed : Observed
    medians : mapping of str to float
        Median seconds of the stage of a task, by the key of the task. Tasks without one are not judged.
    """
    found = []
    silent = {silence.worker for silence in silences(observed)}
    for worker in observed.workers:
        for key in worker.executing:
            seconds, median = observed.at - observed.since[worker.address, key], medians.get(key)
            if median is None or worker.address in silent:
                continue
            bound = max(SLOW_S, SLOW_FACTOR * median)
            if seconds >= bound:
                found.append(Slowness(key, worker.address, seconds, median, seconds >= PATIENCE * bound))
    return found


def median_s(seconds: Sequence[float]) -> float | None:
    """Return the median of finished tiles of a stage; None if they are too few."""
    return statistics.median(seconds) if len(seconds) >= ENOUGH else None


def others(observed: Observed, worker: str, resources: Mapping[str, float]) -> list[str]:
    """Return the addresses of other workers that can take a task with these resources and are not silent."""
    silent = {silence.worker for silence in silences(observed)}
    return [
        one.address
        for one in observed.workers
        if one.address != worker
        and one.address not in silent
        and one.takes_tasks
        and all(one.resources.get(name, 0) >= amount for name, amount in resources.items())
    ]


def clock(seconds_ago: float) -> str:
    """Return the local time of day of a moment in the past."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - seconds_ago))


def waiting(observed: Observed, tiles: Mapping[str, tuple[str, str]], quiet_s: float) -> str:
    """Return a sentence on what the driver waits for.

    Parameters
    ----------
    observed : Observed
    tiles : mapping of str to (stage, tile)
        Everything in flight, by the key of its task.
    quiet_s : float
        Seconds since a tile finished last.
    """
    stages = Counter(stage for stage, _ in tiles.values())
    what = ", ".join(f"{count} {stage}" for stage, count in stages.items())
    start = f"Nothing has finished since {clock(quiet_s)}; in flight: {what}"
    if not observed.workers:
        return f"{start}; no worker is connected; the run continues when one is"
    if not any(worker.takes_tasks for worker in observed.workers):
        return f"{start}; none of the {len(observed.workers)} workers takes tiles"
    running = [(worker.address, key) for worker in observed.workers for key in worker.executing if key in tiles]
    if not running:
        return f"{start}; none of them has started on the {len(observed.workers)} workers"
    address, key = min(running, key=lambda one: observed.since[one])
    busy = len({worker for worker, _ in running})
    oldest = clock(observed.at - observed.since[address, key])
    return (
        f"{start}; {len(running)} are computed by {busy} of {len(observed.workers)} workers; the oldest is "
        f"{' '.join(tiles[key])} on {address} since {oldest}"
    )
