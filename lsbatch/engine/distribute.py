"""Run tile tasks in this process or on Dask workers, and retry transient failures.

A tile with a transient failure is put back in the queue and retried later, while other tiles are done. A tile with a
permanent failure, or with too many failures, keeps its receipt with the reason and is not retried
(see `todo.is_quarantined`).
"""

import heapq
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future, KilledWorker

from lsbatch.catalog.survey import Survey
from lsbatch.engine import stragglers
from lsbatch.engine.schedule import Resources, Schedule
from lsbatch.engine.supervision import Supervisor
from lsbatch.engine.tile_task import Fault, Task, commit, fault_of, make_receipt
from lsbatch.engine.todo import is_quarantined
from lsbatch.errors import LsbatchError
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt

#: Seconds for a receipt to come from the worker that holds it.
RESULT_S = 10.0

#: Function that returns the Dask client for tasks with these resources; None means this process.
ClientFor = Callable[[Mapping[str, float]], Client | None]


def no_client(resources: Mapping[str, float]) -> Client | None:
    """Return None: this process does all work."""
    del resources
    return None


@dataclass
class _RetryQueue:
    """A queue of failed tasks by the time of their next try."""

    heap: list[tuple[float, int, Task]] = field(default_factory=list)

    def put(self, task: Task, config: Config) -> None:
        """Add a task with a wait that doubles with each attempt."""
        due = time.monotonic() + config.cluster.wait_s * 2 ** (task.attempt - 1)
        heapq.heappush(self.heap, (due, len(self.heap), replace(task, attempt=task.attempt + 1)))

    def due(self) -> Iterator[Task]:
        """Yield the tasks that are due."""
        while self.heap and self.heap[0][0] <= time.monotonic():
            yield heapq.heappop(self.heap)[2]

    def wait_s(self) -> float | None:
        """Return the seconds until the first task is due; None without tasks."""
        return max(0.0, self.heap[0][0] - time.monotonic()) if self.heap else None


def run_tiles(
    survey: Survey,
    schedule: Schedule,
    client_for: ClientFor = no_client,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Receipt]:
    """Run the tasks of a schedule; yield the last receipt of each task, also of failed ones.

    `say` is called with a sentence about workers and tiles that make the run wait.

    Raises
    ------
    LsbatchError
        If the scheduler ended or does not answer, or workers died while they were started. Finished tiles are kept, and
        the next run continues.
    """
    if schedule.next_stage() is None and not schedule.refresh():
        return
    stage = schedule.next_stage()
    assert stage is not None
    if _client(client_for, schedule, stage) is None:
        yield from _run_in_process(survey, schedule)
    else:
        yield from _Workers(survey, schedule, client_for, say).run()


def _client(client_for: ClientFor, schedule: Schedule, stage: str) -> Client | None:
    """Return the client for the tasks of a stage."""
    try:
        return client_for(dict(schedule.resources_of(stage)))
    except (RuntimeError, OSError) as error:
        # Dask raises this for a worker that was killed before it had started
        raise LsbatchError(
            f"no workers could be started for {stage} ({error}); finished tiles are kept: run the same command again "
            "to continue"
        ) from None


def _run_in_process(survey: Survey, schedule: Schedule) -> Iterator[Receipt]:
    later = _RetryQueue()
    while True:
        task = next(later.due(), None) or schedule.next()
        if task is not None:
            receipt = commit(survey.config, survey.grid, task)
            yield from _settle(task, receipt, survey.config, schedule, later)
        elif (wait_s := later.wait_s()) is not None:
            time.sleep(wait_s)
        elif not schedule.refresh():
            return


def _settle(task: Task, receipt: Receipt, config: Config, schedule: Schedule, later: _RetryQueue) -> Iterator[Receipt]:
    """Put a task with a transient failure back; yield the receipt of any other task, which is final."""
    if not receipt and not is_quarantined(receipt, config):
        later.put(task, config)
        return
    assert task.position is not None
    schedule.finish(receipt, task.position)
    yield receipt


@dataclass
class _Workers:
    """Tasks on Dask workers: a limited number in flight for each kind of worker, each future released with its receipt.

    512 futures in flight add 16 MB to the driver, 100,000 add 670 MB. Resources are given to `submit`, because graph
    optimisation loses `dask.annotate` around `map_blocks` (38 % of the blocks reached the GPU worker). Dask starts
    tasks of later stages first, by their priority.
    """

    survey: Survey
    schedule: Schedule
    client_for: ClientFor
    say: Callable[[str], None]
    flying: dict["Future[Receipt]", Task] = field(default_factory=dict)
    count: Counter[Resources] = field(default_factory=Counter)
    clients: dict[Resources, Client] = field(default_factory=dict)
    #: one for each client, by its id
    supervisors: dict[str, Supervisor] = field(default_factory=dict)
    #: both attempts at a slow task that was given to another worker, each with the other; the first success counts
    twins: dict["Future[Receipt]", "Future[Receipt]"] = field(default_factory=dict)
    later: _RetryQueue = field(default_factory=_RetryQueue)
    #: futures that have ended; callbacks of clients with different event loops put them here
    ended: "SimpleQueue[Future[Receipt]]" = field(default_factory=SimpleQueue)

    def run(self) -> Iterator[Receipt]:
        """Yield receipts as they arrive."""
        for name in ("batched", "client"):
            # Dask logs tracebacks when a scheduler dies; here it becomes one sentence
            logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
        try:
            while True:
                self._submit_ready()
                if self.flying or self.later.heap:
                    with suppress(Empty):
                        yield from self._receive(self.ended.get(timeout=self._wait_s()))
                    self._look()
                elif not self.schedule.refresh():
                    return
        finally:
            self._cancel()

    def _cancel(self) -> None:
        """Cancel the tasks that have not started, after an interruption; not if the scheduler is gone or silent."""
        for resources, client in self.clients.items():
            mine = [future for future, task in self.flying.items() if self._resources(task) == resources]
            if mine and client.status == "running" and self.supervisors[client.id].answers:
                with suppress(OSError, CancelledError):
                    client.cancel(mine)

    def _wait_s(self) -> float:
        """Return the seconds until something is to be done if no task ends before."""
        wait_s = self.later.wait_s()
        return stragglers.LOOK_S if wait_s is None else min(wait_s, stragglers.LOOK_S)

    def _look(self) -> None:
        """Report workers and tasks that stand still; give tasks that take far too long to other workers."""
        for supervisor in self.supervisors.values():
            if not supervisor.is_due:
                continue
            mine = {kind for kind, client in self.clients.items() if client is supervisor.client}
            futures = {str(future.key): future for future, task in self.flying.items() if self._resources(task) in mine}
            tasks = {key: self.flying[future] for key, future in futures.items()}
            needs = {task.stage: dict(self._resources(task)) for task in tasks.values()}
            for key, workers in supervisor.look(tasks, needs).items():
                task = replace(tasks[key], attempt=tasks[key].attempt + 1)
                copy = self._send(task, workers=workers, allow_other_workers=True)
                self.twins |= {copy: futures[key], futures[key]: copy}

    def _resources(self, task: Task) -> Resources:
        return self.schedule.resources_of(task.stage)

    def _submit_ready(self) -> None:
        """Send the tasks that are due or ready, up to the limit for each kind of worker."""
        self._submit(self.later.due())
        for resources in tuple(self.schedule.resources()):
            free = self.survey.config.cluster.in_flight - self.count[resources]
            tasks = (self.schedule.next(resources) for _ in range(free))
            self._submit(task for task in tasks if task is not None)

    def _submit(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            resources = self._resources(task)
            if resources not in self.clients:
                client = _client(self.client_for, self.schedule, task.stage)
                assert client is not None
                self.clients[resources] = client
                self.supervisors.setdefault(client.id, Supervisor(client, self.say))
            if self.clients[resources].status == "closed":
                raise self._gone(task)
            self._send(task)

    def _send(self, task: Task, **placement: Any) -> "Future[Receipt]":
        resources = self._resources(task)
        # pure=False: a second attempt must run, not return the first result
        future = self.clients[resources].submit(
            commit, self.survey.config, self.survey.grid, task, resources=dict(resources) or None, pure=False,
            priority=self.schedule.priority(task.stage), **placement,
        )  # fmt: skip
        self.flying[future] = task
        self.count[resources] += 1
        future.add_done_callback(self.ended.put)
        return future

    def _forget(self, future: "Future[Receipt]") -> Task:
        task = self.flying.pop(future)
        self.count[self._resources(task)] -= 1
        return task

    def _receive(self, future: "Future[Receipt]") -> Iterator[Receipt]:
        if future not in self.flying:
            # the other attempt at its task has succeeded, and this one was cancelled
            return
        task, twin = self._forget(future), self.twins.pop(future, None)
        has_twin = twin in self.flying
        if has_twin and future.status != "finished":
            return
        receipt = self._receipt(future, task)
        if has_twin and not receipt:
            # the other attempt decides
            return
        if receipt is None:
            self._submit([task])
            return
        future.release()
        supervisor = self.supervisors[self.clients[self._resources(task)].id]
        supervisor.done(receipt)
        if twin is not None and has_twin:
            if self._forget(twin).attempt < task.attempt:
                supervisor.free(str(twin.key))
            twin.cancel()
        yield from _settle(task, receipt, self.survey.config, self.schedule, self.later)

    def _gone(self, task: Task) -> LsbatchError:
        """Return the error for a scheduler that ended."""
        client = self.clients[self._resources(task)]
        return LsbatchError(
            "the Dask scheduler at "
            f"{self.survey.config.cluster.address or client.scheduler_info().get('address', 'unknown')} stopped "
            f"during {task.stage}; finished tiles are kept: run the same command again to continue"
        )

    def _receipt(self, future: "Future[Receipt]", task: Task) -> Receipt | None:
        """Return the receipt of a task; make one for a task whose workers died.

        None if its worker died or was stopped before the driver had the receipt. To commit a tile again does no harm.
        """
        if future.status == "lost":
            return None
        if future.status == "finished":
            try:
                return future.result(timeout=RESULT_S)
            except TimeoutError:
                return None
            except (OSError, CancelledError):
                # the worker died after it had reported the result and before it sent it
                raise self._gone(task) from None
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise self._gone(task)
        if isinstance(error, KilledWorker):
            tries = error.allowed_failures + 1
            by_others = self.survey.config.cluster.kind == "address"
            limit = "the memory limit of the workers (chart: workers.resources)" if by_others else "cluster.memory_gb"
            fault = Fault(
                f"the worker was killed, usually for lack of memory ({tries} workers); raise {limit} or lower "
                "grid.tile_px",
                may_pass=True,
            )
        else:
            fault = fault_of(error)
        receipt = make_receipt(task, time.perf_counter(), fault=fault)
        receipts.write(self.survey.workspace.receipts, receipt)
        return receipt
