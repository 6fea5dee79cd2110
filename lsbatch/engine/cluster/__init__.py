"""Start the Dask client of the settings: none, local processes, SLURM jobs or a running scheduler.

Workers start when a stage first needs them. A survey that is complete, or is only planned, starts none.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import dask
from distributed import Client

from lsbatch.engine.cluster import local, network, slurm_allocation, slurm_jobs, worker_safety
from lsbatch.engine.distribute import ClientFor, no_client
from lsbatch.errors import LsbatchError
from lsbatch.settings import Config

__all__ = ["connect", "joined"]


@contextmanager
def joined(config: Config) -> Iterator[Client | None]:
    """Join the tasks of a SLURM allocation; do nothing for other kinds of cluster.

    Call it before anything that only one process may do. Only the driver continues, with a client. The other tasks are
    scheduler and workers; they stay in this function until the driver has ended, and then exit.

    Raises
    ------
    LsbatchError
        If the kind is allocation and srun did not start at least three tasks.
    """
    if config.cluster.kind != "allocation":
        yield None
        return
    with slurm_allocation.driver(config) as client:
        yield client


@contextmanager
def connect(config: Config, driver: Client | None = None, say: Callable[[str], None] = print) -> Iterator[ClientFor]:
    """Yield a function that returns the Dask client for a stage; None with the kind serial.

    Parameters
    ----------
    config : Config
    driver : Client or None
        From `joined`.
    say : callable
        Called with the address of Dask's dashboard, and with what is wrong with a worker.

    Raises
    ------
    LsbatchError
        If the scheduler, SLURM or the network interface is missing, or there is no GPU although the settings need one.
    """
    with dask.config.set(network.SAFE_CONFIG), KINDS[config.cluster.kind](config, driver, say) as client_for:
        yield _with_safe_workers(client_for, config, say)


def _with_safe_workers(client_for: ClientFor, config: Config, say: Callable[[str], None]) -> ClientFor:
    """Put the safe settings onto the workers of each client when it is first used."""
    met: set[str] = set()

    def ask(resources: Mapping[str, float]) -> Client | None:
        client = client_for(resources)
        if client is not None and client.id not in met:
            met.add(client.id)
            worker_safety.make_safe(client, network.threads(config.cluster), say)
        return client

    return ask


@contextmanager
def _serial(config: Config, driver: Client | None, say: Callable[[str], None]) -> Iterator[ClientFor]:
    """Yield `no_client`: this process does all work."""
    yield no_client


@contextmanager
def _slurm_jobs(config: Config, driver: Client | None, say: Callable[[str], None]) -> Iterator[ClientFor]:
    """Yield a function that submits SLURM jobs when a stage first needs them."""
    with slurm_jobs.client_for(config, say) as client_for:
        yield client_for


@contextmanager
def _allocation(config: Config, driver: Client | None, say: Callable[[str], None]) -> Iterator[ClientFor]:
    """Yield a function that returns the client of the driver, after all tasks of the allocation have joined."""
    if driver is None:
        raise LsbatchError("cluster.kind = 'allocation': works only for lsbatch run inside srun; see docs/slurm.md")
    slurm_allocation.await_workers(driver, config)
    say(network.dashboard(driver))
    yield lambda resources: driver


@contextmanager
def _address(config: Config, driver: Client | None, say: Callable[[str], None]) -> Iterator[ClientFor]:
    """Yield a function that returns a client of the scheduler at `cluster.address`."""
    with _scheduler(config) as client:
        say(network.dashboard(client))
        if not client.scheduler_info()["workers"]:
            say(f"No worker is at {config.cluster.address} yet; waiting for the first")
        yield lambda resources: client


def _scheduler(config: Config) -> Client:
    settings = config.cluster
    try:
        security = network.security(settings)
        return network.PunctualClient(settings.address, timeout="20s", security=security)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise LsbatchError(
            f"cluster.address = {settings.address!r}: no Dask scheduler answers at this address ({error})"
        ) from None


@contextmanager
def _local(config: Config, driver: Client | None, say: Callable[[str], None]) -> Iterator[ClientFor]:
    """Yield a function that starts processes of this machine when a stage first needs them."""
    local.check(config)
    with ExitStack() as stack:
        started: list[Client] = []

        def client_for(resources: Mapping[str, float]) -> Client:
            del resources
            if not started:
                started.append(stack.enter_context(local.processes(config, say)))
                say(network.dashboard(started[0]))
            return started[0]

        yield client_for


#: Functions that yield the Dask clients of a run, by `cluster.kind`.
KINDS: Mapping[str, Callable[[Config, Client | None, Callable[[str], None]], AbstractContextManager[ClientFor]]] = {
    "serial": _serial,
    "local": _local,
    "slurm": _slurm_jobs,
    "allocation": _allocation,
    "address": _address,
}
