"""Run tile tasks in this process or on Dask workers, and retry transient failures.

A tile with a transient failure is put back in the queue and retried later, while other tiles are done. A tile with a
permanent failure, or with too many failures, keeps its receipt with the reason and is not retried
(see `todo.is_quarantined`).
"""

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from lsbatch.catalog.survey import Survey
from lsbatch.engine.tile_task import Fault, Task, commit, fault_of, make_receipt
from lsbatch.engine.todo import Todo, is_quarantined
from lsbatch.errors import LsbatchError
from lsbatch.pipeline.types import Stage
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.lease import Lease
from lsbatch.storage.receipts import Receipt

#: Function that returns the Dask client for a stage with these resources; None means this process.
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

    def sleep(self) -> None:
        """Sleep until the first task is due."""
        time.sleep(max(0.0, self.heap[0][0] - time.monotonic()))


def run_tiles(
    survey: Survey, stage: Stage, todo: Todo, client_for: ClientFor = no_client, lease: Lease | None = None
) -> Iterator[Receipt]:
    """Run every tile of `todo`; yield the last receipt of each tile, also of failed ones.

    Raises
    ------
    LsbatchError
        If the scheduler ended, or workers died while they were started. Finished tiles are kept, and the next run
        continues.
    """
    work = [
        Task(stage.name, position, key, todo.tries.get(position, 0) + 1, lease)
        for position, key in todo.digests.items()
    ]
    if not work:
        return
    try:
        client = client_for(stage.resources(survey.config))
    except (RuntimeError, OSError) as error:
        # Dask raises this for a worker that was killed before it had started
        raise LsbatchError(
            f"no workers could be started for {stage.name} ({error}); finished tiles are kept: run the same command "
            "again to continue"
        ) from None
    yield from _run_in_process(survey, work) if client is None else _Workers(survey, stage, client).run(work)


def _run_in_process(survey: Survey, work: list[Task]) -> Iterator[Receipt]:
    later = _RetryQueue()
    while work:
        for task in work:
            receipt = commit(survey.config, survey.grid, task)
            if _worth_another_try(receipt, survey.config):
                later.put(task, survey.config)
            else:
                yield receipt
        if later.heap:
            later.sleep()
        work = list(later.due())


def _worth_another_try(receipt: Receipt, config: Config) -> bool:
    return not receipt and not is_quarantined(receipt, config)


@dataclass
class _Workers:
    """Tasks on Dask workers: one a tile, a limited number in flight, each future released with its receipt.

    512 futures in flight add 16 MB to the driver, 100,000 add 670 MB. Resources are given to `submit`, because graph
    optimisation loses `dask.annotate` around `map_blocks` (38 % of the blocks reached the GPU worker).
    """

    survey: Survey
    stage: Stage
    client: Client
    flying: dict["Future[Receipt]", Task] = field(default_factory=dict)
    pool: Any = field(default_factory=as_completed)

    def run(self, work: list[Task]) -> Iterator[Receipt]:
        """Yield receipts as they arrive."""
        config, later, waiting = self.survey.config, _RetryQueue(), iter(work)
        for name in ("batched", "client"):
            # Dask logs tracebacks when a scheduler dies; here it becomes one sentence
            logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
        try:
            self._submit(islice(waiting, config.cluster.in_flight))
            while self.flying or later.heap:
                if not self.flying:
                    later.sleep()
                    self._submit(later.due())
                for future in self.pool:
                    task = self.flying.pop(future)
                    receipt = self._receipt(future, task)
                    future.release()
                    if _worth_another_try(receipt, config):
                        later.put(task, config)
                    else:
                        yield receipt
                    self._submit(later.due())
                    self._submit(islice(waiting, max(0, config.cluster.in_flight - len(self.flying))))
        finally:
            if self.flying and self.client.status == "running":
                # interrupted: tasks that have not started are cancelled, which has no effect if the scheduler is gone
                with suppress(OSError, CancelledError):
                    self.client.cancel(list(self.flying))

    def _gone(self, task: Task) -> LsbatchError:
        """Return the error for a scheduler that ended."""
        return LsbatchError(
            "the Dask scheduler at "
            f"{self.survey.config.cluster.address or self.client.scheduler_info().get('address', 'unknown')} stopped "
            f"during {task.stage}; finished tiles are kept: run the same command again to continue"
        )

    def _submit(self, tasks: Iterable[Task]) -> None:
        resources = dict(self.stage.resources(self.survey.config)) or None
        for task in tasks:
            if self.client.status == "closed":
                raise self._gone(task)
            # pure=False: a second attempt must run, not return the first result
            future = self.client.submit(
                commit, self.survey.config, self.survey.grid, task, resources=resources, pure=False
            )
            self.flying[future] = task
            self.pool.add(future)

    def _receipt(self, future: "Future[Receipt]", task: Task) -> Receipt:
        """Return the receipt of a task; make one for a task whose workers died."""
        if future.status == "finished":
            try:
                return future.result()
            except (OSError, CancelledError):
                # the worker died after it had reported the result and before it sent it
                raise self._gone(task) from None
        error = future.exception() if future.status == "error" else None
        if error is None:
            raise self._gone(task)
        if isinstance(error, KilledWorker):
            tries = error.allowed_failures + 1
            fault = Fault(
                f"the worker was killed, usually for lack of memory ({tries} workers); raise cluster.memory_gb or "
                "lower grid.tile_px",
                may_pass=True,
            )
        else:
            fault = fault_of(error)
        receipt = make_receipt(task, time.perf_counter(), fault=fault)
        receipts.write(self.survey.workspace.receipts, receipt)
        return receipt
