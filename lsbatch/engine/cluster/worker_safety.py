"""Put safe settings onto every Dask worker, whoever started it.

A plugin does it when a worker is met: at once for those that are connected, and for others when they join. It reaches
workers that lsbatch did not start (`cluster.kind: address`, Kubernetes). The settings are those of
`network.WORKER_CONFIG`, which says why.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import cloudpickle
from distributed import Client, Status, Worker, WorkerPlugin
from distributed.protocol.pickle import dumps

# The plugin is sent by value, so that a worker without lsbatch, or with another version, can load it. Therefore it uses
# nothing of lsbatch.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

#: Topic of the events in which workers report problems to the driver.
TOPIC = "lsbatch-worker"
#: Error of Dask's worker whose traceback is not printed.
HEARTBEAT = "Failed to communicate with scheduler during heartbeat."
#: Seconds in which all workers should have answered. A worker that is stopped never answers.
ANSWER_S = 20.0


class SafeSettings(WorkerPlugin):
    """Stop the profiler and the pausing of a worker; report what cannot be changed after its start.

    Parameters
    ----------
    threads : mapping of str to str
        Environment variables that limit threads, with the wanted values.
    """

    name = "lsbatch-safe-settings"

    def __init__(self, threads: Mapping[str, str]) -> None:
        self.threads = dict(threads)

    def setup(self, worker: Worker) -> None:
        """Change a worker. Dask calls it in the event loop of the worker, when no profile is being taken."""
        stop_profiler(worker)
        stop_pausing(worker)
        drop_heartbeat_errors()
        if find_spec("lsbatch") is None:
            # a paused worker gets no tiles; otherwise every tile would fail there, quickly
            worker.status = Status.paused
        problem = worker_problem(self.threads)
        if problem is not None:
            worker.log_event(TOPIC, {"address": worker.address, "problem": problem})


def stop_profiler(worker: Worker) -> None:
    """Stop the two periodic callbacks of the profiler; they are removed, so that Dask does not start them again.

    In Python 3.11 nothing else reads the frames of other threads: Dask starts its second profiler, the thread that
    watches the event loop, only in other versions. Python 3.12 and later do not have the fault (python/cpython#106883).
    """
    for name in ("profile", "profile-cycle"):
        callback = worker.periodic_callbacks.pop(name, None)
        if callback is not None:
            callback.stop()


def stop_pausing(worker: Worker) -> None:
    """Switch off the pause at 80 % of the memory, and end a pause that has begun."""
    if worker.memory_manager is not None:
        worker.memory_manager.memory_pause_fraction = False
    if worker.status is Status.paused:
        worker.status = Status.running


def drop_heartbeat_errors() -> None:
    """Drop the traceback of a heartbeat without an answer. The driver itself reports silent workers.

    At the end of a run the scheduler may close during a heartbeat; a demo on Python 3.13 printed 25 lines for it.
    """
    logger = logging.getLogger("distributed.worker")
    names = {getattr(one, "__name__", "") for one in logger.filters}
    if is_no_heartbeat_error.__name__ not in names:
        logger.addFilter(is_no_heartbeat_error)


def is_no_heartbeat_error(record: logging.LogRecord) -> bool:
    """Return whether a message is to be printed."""
    return record.msg != HEARTBEAT


def worker_problem(threads: Mapping[str, str]) -> str | None:
    """Return what a person must change where this worker is started; None if nothing."""
    if find_spec("lsbatch") is None:
        return "lsbatch is not installed there, so it gets no tiles; install the same version of lsbatch on it"
    wrong = {name: os.environ.get(name) for name, value in threads.items() if os.environ.get(name) != value}
    if not wrong:
        return None
    found = ", ".join(f"{name} is {value or 'not set'}" for name, value in wrong.items())
    wanted = " ".join(f"{name}={threads[name]}" for name in wrong)
    return f"{found}; start it with {wanted}, which fits cluster.threads"


def make_safe(client: Client, threads: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Put the safe settings onto all workers of a scheduler, present and future.

    Parameters
    ----------
    client : Client
    threads : mapping of str to str
        Environment variables that limit threads, with the wanted values.
    say : callable
        Called with a sentence for each kind of problem that a worker reports.
    """
    reported: set[str] = set()

    def report(event: tuple[float, Mapping[str, Any]]) -> None:
        _, found = event
        if found["problem"] not in reported:
            reported.add(found["problem"])
            say(f"Worker {found['address']}: {found['problem']} (said once, also for other workers)")

    assert client.scheduler is not None
    client.subscribe_topic(TOPIC, report)
    plugin = SafeSettings(threads)
    try:
        # like Client.register_plugin, which would wait for ever for a worker that is stopped
        answers = client.sync(
            client.scheduler.register_worker_plugin,
            plugin=dumps(plugin),
            name=plugin.name,
            idempotent=False,
            callback_timeout=ANSWER_S,
        )
    except (OSError, TimeoutError) as error:
        say(
            f"Not all workers answered within {ANSWER_S:.0f} s ({type(error).__name__}); those that do not are "
            "given up later, others get their settings when they join"
        )
        return
    for address, answer in answers.items():
        if answer["status"] != "OK":
            say(f"Worker {address}: its settings could not be changed ({answer.get('text', answer['status'])})")
