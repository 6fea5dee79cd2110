"""State of the workers of a Dask scheduler, and the restart of workers that are silent.

The functions that run in the scheduler are sent by value, so that a scheduler without lsbatch can run them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
from distributed import Client
from distributed.core import Status
from distributed.scheduler import Scheduler, heartbeat_interval

cloudpickle.register_pickle_by_value(sys.modules[__name__])

#: Seconds in which a scheduler must answer.
ANSWER_S = 20.0
#: Seconds that the nanny of a worker has for killing it. After that the scheduler forgets the worker.
KILL_S = 15.0


@dataclass(frozen=True)
class WorkerState:
    """A worker as the scheduler knows it.

    Attributes
    ----------
    address : str
    last_seen : float
        Time of its last heartbeat, by the clock of the scheduler. It is only compared with itself.
    heartbeat_s : float
        Seconds between two heartbeats of a worker; with many workers Dask makes them rarer.
    takes_tasks : bool
        False if it is paused or ends.
    resources : mapping of str to float
    executing : tuple of str
        Keys of the tasks that it computes, as of its last heartbeat.
    assigned : tuple of str
        Keys of all tasks that were sent to it, also of those that wait there.
    """

    address: str
    last_seen: float
    heartbeat_s: float
    takes_tasks: bool
    resources: Mapping[str, float]
    executing: tuple[str, ...]
    assigned: tuple[str, ...]


def workers(client: Client) -> list[WorkerState]:
    """Ask the scheduler for the state of its workers.

    Raises
    ------
    TimeoutError
        If it does not answer within `ANSWER_S`.
    OSError
        If it cannot be reached.
    """
    rows = client.sync(client._run_on_scheduler, _rows, callback_timeout=ANSWER_S)
    return [WorkerState(**row) for row in rows]


def restart(client: Client, addresses: Sequence[str]) -> None:
    """Have workers killed and started again by their nannies; do not wait for it.

    A worker that has no nanny, or whose nanny does not answer, is removed. In each case Dask gives the tasks of the
    worker to others.

    Raises
    ------
    TimeoutError
        If the scheduler does not answer within `ANSWER_S`.
    OSError
        If it cannot be reached.
    """
    client.sync(client._run_on_scheduler, _restart, list(addresses), wait=False, callback_timeout=ANSWER_S)


def _rows(dask_scheduler: Scheduler) -> list[dict[str, Any]]:
    """Return the fields of `WorkerState`. It runs in the scheduler."""
    pause = heartbeat_interval(len(dask_scheduler.workers))
    return [
        {
            "address": worker.address,
            "last_seen": worker.last_seen,
            "heartbeat_s": pause,
            "takes_tasks": worker.status == Status.running,
            "resources": dict(worker.resources),
            "executing": tuple(task.key for task in worker.executing if task in worker.processing),
            "assigned": tuple(task.key for task in worker.processing),
        }
        for worker in dask_scheduler.workers.values()
    ]


async def _restart(addresses: list[str], dask_scheduler: Scheduler) -> None:
    """Restart workers. It runs in the scheduler."""
    await dask_scheduler.restart_workers(
        addresses, timeout=KILL_S, wait_for_workers=False, on_error="return", stimulus_id="lsbatch-silent-worker"
    )
