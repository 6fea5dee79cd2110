"""Worker processes on this machine. With `predict.device: cuda`, two workers a GPU run the predictions."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import dask.system
from distributed import Client, Nanny, Scheduler, SpecCluster, Status
from distributed.process import AsyncProcess
from distributed.system import memory_limit

from lsbatch.engine.cluster import network
from lsbatch.errors import LsbatchError
from lsbatch.models import gpus
from lsbatch.settings import ClusterSettings, Config
from lsbatch.storage import objects

#: A worker that is stopped during a tile leaves semaphores. Python's resource tracker removes them and would print a
#: warning after Ctrl-C.
_UNTOLD = "ignore:resource_tracker:UserWarning"
#: Seconds for a worker to start; the next one in its place has twice as long. It takes 5 where libraries are on a fast
#: disk, and a minute where a whole cluster reads them over a network.
START_S = 120.0


def check(config: Config) -> None:
    """Refuse predictions on a GPU if there is none, before hours of STACK.

    Raises
    ------
    LsbatchError
        If torch sees no GPU.
    """
    if config.predict.device == "cuda" and not gpus.visible():
        raise LsbatchError("predict.device = 'cuda': torch sees no GPU on this machine; set it to auto or cpu")


class _Starter(Nanny):
    """A nanny that kills a worker that does not start, and starts another.

    Dask waits for each worker of a cluster without a limit: one that stands still would keep all others waiting.
    """

    def __init__(self, *args: Any, say: Callable[[str], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._say = say

    async def instantiate(self) -> Status:
        """Start the worker; return its status."""
        limit_s = START_S
        while True:
            start = asyncio.ensure_future(super().instantiate())
            await asyncio.wait({start}, timeout=limit_s)
            if start.done():
                return start.result()
            self._say(f"A worker has not started after {limit_s:.0f} s: it is killed, and another is started")
            if (process := _starting(self)) is not None:
                await process.kill()
            status = await start
            if self.status not in (Status.init, Status.starting, Status.running):
                return status
            limit_s *= 2


def _starting(nanny: Nanny) -> AsyncProcess | None:
    """Return the process of a worker that is starting, else None."""
    worker = nanny.process
    return worker.process if worker is not None and worker.status is Status.starting else None


@contextmanager
def processes(config: Config, say: Callable[[str], None]) -> Iterator[Client]:
    """Start workers and a scheduler on loopback at a free port, so that two surveys on one machine do not conflict.

    `say` is called with a sentence about a worker that does not start.
    """
    security = network.security(config.cluster)
    listening = {"host": "127.0.0.1", "security": security, "protocol": "tcp://" if security is None else "tls://"}
    if _UNTOLD not in os.environ.get("PYTHONWARNINGS", ""):
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _UNTOLD)))
    with (
        _scratch(config) as scratch,
        dask.config.set(network.worker_config(config.cluster)),
        SpecCluster(
            scheduler={
                "cls": Scheduler,
                "options": {**listening, "port": 0, "dashboard_address": network.DASHBOARD, "local_directory": scratch},
            },
            workers={
                i: {"cls": _Starter, "options": {**listening, **own, "local_directory": scratch, "say": say}}
                for i, own in enumerate(_options(config))
            },
            security=security,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        try:
            yield client
        finally:
            cluster.sync(_end_starting, cluster)


@contextmanager
def _scratch(config: Config) -> Iterator[str]:
    """Make a scratch folder of this driver, on the disk of the survey: it stops if it spills to a small `/tmp`."""
    parent = None if objects.is_remote(config.output) else config.output / "dask"
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="lsbatch-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield folder


async def _end_starting(cluster: SpecCluster) -> None:
    """Kill the workers that are starting. To end a worker, Dask first waits until it has started."""
    for nanny in cluster.workers.values():
        if (process := _starting(nanny)) is not None:
            # so that it starts no other
            nanny.close_gracefully()
            await process.kill()


def _options(config: Config) -> list[dict[str, Any]]:
    """Return the options of each worker. Two workers share a GPU: one reads or writes while the other computes."""
    settings = config.cluster
    shared = {
        "nthreads": 1,
        "memory_limit": f"{settings.memory_gb}GB",
        "dashboard": False,
        "silence_logs": logging.ERROR,
    }
    count = workers(settings)
    if config.predict.device != "cuda":
        return [shared] * count
    found = gpus.visible()
    tagged = [
        shared | {"resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": name}} for name in (*found, *found)[:count]
    ]
    return tagged + [shared | {"env": {"CUDA_VISIBLE_DEVICES": ""}}] * (count - len(tagged))


def workers(settings: ClusterSettings) -> int:
    """Return the number of processes: as set, or as many as `cores` and `memory_bytes` allow."""
    if settings.workers:
        return settings.workers
    return max(1, min(cores() // settings.threads, int(memory_bytes() * 0.9 / (settings.memory_gb * 1e9))))


def cores() -> int:
    """Return the cores that this process may use: of the machine, or the limit of its container or SLURM job."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or dask.system.cpu_count())


def memory_bytes() -> int:
    """Return the memory that this process may use: of the machine, or the limit of its container or SLURM job."""
    # MB; missing or 0 if a job has the whole memory of a node
    granted = int(os.environ.get("SLURM_MEM_PER_NODE") or 0) * 2**20
    return min(granted or sys.maxsize, memory_limit())
