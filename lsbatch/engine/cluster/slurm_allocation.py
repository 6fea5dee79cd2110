"""Scheduler, driver and workers as the tasks of one SLURM allocation: ``srun lsbatch run CONFIG``.

Task 0 is the scheduler, task 1 the driver, the others are workers. When the driver ends, all end with its exit code.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Scheduler, SchedulerPlugin

from lsbatch.engine.cluster import jobqueue, network
from lsbatch.errors import LsbatchError
from lsbatch.models import gpus
from lsbatch.settings import Config
from lsbatch.storage import objects

SCHEDULER, DRIVER = 0, 1
#: Seconds in which all tasks of an allocation must start.
START_S = 600.0


class _UntilDriverLeaves(SchedulerPlugin):
    """A scheduler plugin that ends the scheduler and workers when the driver has left or never connects."""

    async def start(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._came = False
        scheduler.loop.call_later(START_S, self._give_up)

    def add_client(self, scheduler: Scheduler, client: str) -> None:
        self._came = True

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        scheduler.loop.add_callback(scheduler.close)

    def _give_up(self) -> None:
        if not self._came:
            self._scheduler.loop.add_callback(self._scheduler.close)


@contextmanager
def driver(config: Config) -> Iterator[Client]:
    """Yield the client of the driver. The other tasks do not return from this function.

    Raises
    ------
    LsbatchError
        In the driver, or in a single task: if there are fewer than three tasks, or no scheduler starts.
    """
    rank, size = _place()
    if size < 3:
        raise LsbatchError(
            f"cluster.kind = 'allocation': needs at least three tasks (scheduler, driver, worker); srun started {size}"
        )
    dask.config.set(network.SAFE_CONFIG)
    file = _meeting_point(config)
    interface = network.interface(config.cluster) if rank == DRIVER else config.cluster.interface or network.LOOPBACK
    if rank != DRIVER:
        _serve(config, rank, interface, file)
    limit = time.monotonic() + START_S
    while not file.exists():
        if time.monotonic() > limit:
            raise LsbatchError(
                f"the first task of the allocation started no scheduler within {START_S:.0f} s; see its output"
            )
        time.sleep(0.2)
    security = network.security(config.cluster)
    punctual = network.PunctualClient(scheduler_file=str(file), security=security, timeout="60s")  # type: ignore[no-untyped-call]
    with punctual as client:
        yield client


def _place() -> tuple[int, int]:
    """Return the number of this task and the number of all tasks."""
    try:
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    except KeyError:
        raise LsbatchError(
            "cluster.kind = 'allocation': start it with srun, like deploy/slurm/allocation.sbatch"
        ) from None


def _meeting_point(config: Config) -> Path:
    """Return the file for the scheduler's address; a new file for each start of the job."""
    folder = Path.cwd() if objects.is_remote(config.output) else config.output / "slurm"
    folder.mkdir(parents=True, exist_ok=True)
    env = os.environ
    return (
        folder
        / f"scheduler-{env['SLURM_JOB_ID']}-{env.get('SLURM_STEP_ID', '0')}-{env.get('SLURM_RESTART_COUNT', '0')}.json"
    )


def _serve(config: Config, rank: int, interface: str, file: Path) -> None:
    """Run the scheduler or a worker until the driver has left; then end this process with code 0."""
    # SLURM sends the stop signal to every task; only the driver handles it, and the others end after the driver
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # the signal that SLURMRunner sends to itself when it has finished
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    security = network.security(config.cluster)
    shared: dict[str, Any] = {
        "interface": interface,
        "security": security,
        "protocol": "tcp://" if security is None else "tls://",
    }
    dask.config.set(network.worker_config(config.cluster))
    logging.getLogger("distributed").setLevel(logging.ERROR)
    jobqueue.SLURMRunner(
        scheduler_file=str(file),
        scheduler_options={**shared, "dashboard_address": network.DASHBOARD, "plugins": [_UntilDriverLeaves()]},
        # each worker has a nanny: a worker that is killed for lack of memory is started again
        worker_class="distributed.Nanny",
        worker_options={**shared, **_worker_options(config)},
    )
    raise AssertionError(f"task {rank} returned from its work")


def _worker_options(config: Config) -> dict[str, Any]:
    own: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": f"{config.cluster.memory_gb}GB",
        "dashboard": False,
        "death_timeout": START_S,
    }
    # a worker that is stopped logs an error about its queue
    own["silence_logs"] = logging.CRITICAL
    if config.predict.device == "cuda":
        found, turn = gpus.visible(), _turn()
        has_one = 0 <= turn < len(found)
        own |= {
            "resources": {"GPU": 1} if has_one else None,
            "env": {"CUDA_VISIBLE_DEVICES": found[turn] if has_one else ""},
        }
    return own


def _turn() -> int:
    """Return the number of this worker on its node; 0 if srun gives each task GPUs of its own."""
    if "SLURM_GPUS_PER_TASK" in os.environ:
        return 0
    on_first_node = int(os.environ["SLURM_PROCID"]) == int(os.environ["SLURM_LOCALID"])
    return int(os.environ["SLURM_LOCALID"]) - (2 if on_first_node else 0)


def await_workers(client: Client, config: Config) -> None:
    """Wait until all tasks have joined.

    Raises
    ------
    LsbatchError
        If they do not start, or predictions need a GPU and no task has one.
    """
    _, size = _place()
    try:
        client.wait_for_workers(size - 2, timeout=START_S)
    except TimeoutError:
        raise LsbatchError(f"not all {size - 2} workers started within {START_S:.0f} s; see their output") from None
    if config.predict.device == "cuda":
        found = client.scheduler_info(n_workers=-1)["workers"].values()
        if not any(worker["resources"].get("GPU") for worker in found):
            raise LsbatchError(
                "predict.device = 'cuda': torch sees no GPU in any task of the allocation; request one with --gres, or "
                "set predict.device to auto"
            )
