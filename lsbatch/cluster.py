"""From settings to a Dask client: processes on this machine, a scheduler that runs already, or none."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from distributed import Client, LocalCluster

from lsbatch.config import ClusterSettings, Config
from lsbatch.errors import LsbatchError


@contextmanager
def connect(config: Config) -> Iterator[Client | None]:
    """A client for the time of a run; None where the settings say serial.

    Raises
    ------
    LsbatchError
        Where the scheduler cannot be reached.
    """
    settings = config.cluster
    if settings.kind == "serial":
        yield None
    elif settings.kind == "address":
        try:
            client = Client(settings.address, timeout="20s")
        except (OSError, TimeoutError, ValueError) as error:
            raise LsbatchError(
                f"cluster.address = {settings.address!r}: no Dask scheduler answers there ({error})"
            ) from None
        with client:
            yield client
    else:
        yield from _local(config)


def _local(config: Config) -> Iterator[Client]:
    settings = config.cluster
    cluster = LocalCluster(
        n_workers=workers(settings),
        threads_per_worker=settings.threads,
        memory_limit=f"{settings.memory_gb}GB",
        # loopback, and any free port: two surveys on one machine do not meet
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        # on the survey's own disk: spilling to a small /tmp stops a run
        local_directory=str(Path(config.output) / "dask"),
        resources={"GPU": 1} if config.predict.device == "cuda" else None,
        silence_logs=logging.ERROR,
    )
    with cluster, Client(cluster) as client:
        yield client


def workers(settings: ClusterSettings) -> int:
    """As many processes as were asked for, or as cores and memory allow."""
    if settings.workers:
        return settings.workers
    cores = len(os.sched_getaffinity(0)) // settings.threads
    memory = int(psutil.virtual_memory().total * 0.9 / (settings.memory_gb * 1e9))
    return max(1, min(cores, memory))
