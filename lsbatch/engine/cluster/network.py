"""Network interface, encryption and worker settings that all kinds of cluster use."""

import asyncio
import ipaddress
import socket
import sys
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import dask
import psutil
from dask.typing import no_default
from dask.utils import parse_timedelta
from distributed import Client, Security

from lsbatch.errors import LsbatchError
from lsbatch.settings import ClusterSettings

LOOPBACK = "lo"
#: Address of Dask's web page. The page has no login, so it is on loopback; use ssh -L to see it from another machine.
DASHBOARD = "127.0.0.1:0"
#: Seconds for Dask's own error, which says more, before `PunctualClient` gives up.
GRACE_S = 2.0
_PRE_SPAWN = "distributed.nanny.pre-spawn-environ"


class PunctualClient(Client):
    """A client that gives up a scheduler that stands still.

    Dask waits for the greeting of a scheduler that accepts the connection, and then does nothing, without a limit
    (distributed 2026.8, `core.connect`).

    Raises
    ------
    OSError
        If the scheduler has not answered some seconds after `timeout`.
    """

    async def _start(self, timeout: Any = no_default, **kwargs: Any) -> Any:
        limit_s = parse_timedelta(self._timeout) + GRACE_S
        try:
            start = super()._start(timeout=timeout, **kwargs)  # type: ignore[no-untyped-call]
            return await asyncio.wait_for(start, limit_s)
        except TimeoutError:
            await self._close(fast=True)
            raise OSError(f"the scheduler does not answer within {limit_s:.0f} s") from None


def security(settings: ClusterSettings) -> Security | None:
    """Return the certificate shared by scheduler, workers and driver; None without `cluster.tls`.

    Raises
    ------
    LsbatchError
        If a file is missing.
    """
    tls = settings.tls
    if tls is None:
        return None
    for name in ("ca_file", "cert_file", "key_file"):
        if not getattr(tls, name).is_file():
            raise LsbatchError(f"cluster.tls.{name} = '{getattr(tls, name)}': this file does not exist")
    roles = {
        f"tls_{role}_{what}": str(getattr(tls, f"{what}_file"))
        for role in ("scheduler", "worker", "client")
        for what in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=str(tls.ca_file), **roles)


def interface(settings: ClusterSettings) -> str:
    """Return the network interface on which Dask listens: loopback unless set. Warn if it is not encrypted.

    Raises
    ------
    LsbatchError
        If this machine has no such interface, or the interface has no IPv4 address, which Dask needs.
    """
    name = settings.interface or LOOPBACK
    known = {
        key: [each.address for each in addresses if each.family == socket.AF_INET]
        for key, addresses in psutil.net_if_addrs().items()
    }
    if not known.get(name):
        raise LsbatchError(
            f"cluster.interface = {name!r}: this machine has {', '.join(sorted(key for key in known if known[key]))}"
        )
    if settings.tls is None and not all(ipaddress.ip_address(address).is_loopback for address in known[name]):
        print(
            f"lsbatch: cluster.interface = {name!r} without cluster.tls: anyone on that network can run programs "
            "as you",
            file=sys.stderr,
        )
    return name


def threads(settings: ClusterSettings) -> dict[str, str]:
    """Return variables that let the task of a worker use `cluster.threads` cores.

    Dask sets them to 1. Variables in the user's environment have priority. All threads of a worker share one memory
    pool, so that the U-Net reuses freed memory (`models.devices.kept_memory`): 1.61 Mpx/s with it, 1.25 without. The
    speed of STACK is the same.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(names, str(settings.threads)) | {"MALLOC_ARENA_MAX": "1"}


#: Keeps connections of driver, scheduler and workers through a broken network for as long as a silent worker is waited
#: for (`stragglers.LOST_S`). By default Dask breaks them after 30 s, and a worker whose connection broke ends for good,
#: with its nanny. Each end of a connection has its own limit.
LASTING_CONNECTIONS = {"distributed.comm.timeouts.tcp": "180s"}
#: For drivers, schedulers and workers: `LASTING_CONNECTIONS`, and no lock of Dask's scratch folder. All workers and
#: schedulers of a machine share the lock in /tmp: one that is stopped while it holds it stops all others that start.
#: Without it the folders of killed processes stay there. They are empty, because our workers store no results.
SAFE_CONFIG = LASTING_CONNECTIONS | {"distributed.worker.use-file-locking": False}
#: Switches off features of Dask's worker that can make a run wait forever without a message.
#:
#: - Pausing at 80 % of the memory: a paused worker waits for stored results to be released. Our workers store none, so
#:   a worker whose process has grown would stay paused. At 95 % it is killed and started again, as by default.
#: - The profiler: it reads the frames of all threads a hundred times a second. In Python 3.11 the whole process can
#:   stop if a thread starts or ends at that moment (python/cpython#106883, dask/distributed#8616). Reading and object
#:   storage use many threads: one of 4 small surveys into a bucket stopped. Python 3.12 and later do not have the
#:   fault; there the profiler stays off too, so that all versions run the same code.
#:
#: And `SAFE_CONFIG`.
WORKER_CONFIG = {
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
} | SAFE_CONFIG


def worker_config(settings: ClusterSettings) -> dict[str, Any]:
    """Return Dask settings for nannies: `threads`, set before workers start, and `WORKER_CONFIG`.

    OpenMP reads its variable only once, when numpy or torch is loaded.
    """
    return {_PRE_SPAWN: dask.config.get(_PRE_SPAWN) | threads(settings)} | WORKER_CONFIG


def variables(settings: ClusterSettings) -> dict[str, str]:
    """Return variables for a worker that is started by another program: its threads and `WORKER_CONFIG`."""
    own = {
        f"DASK_{key.replace('.', '__').replace('-', '_').upper()}": str(value) for key, value in WORKER_CONFIG.items()
    }
    return threads(settings) | own


def dashboard(client: Client) -> str:
    """Return a sentence with the address of Dask's dashboard."""
    info = client.scheduler_info(n_workers=0)
    port = info["services"].get("dashboard")
    if port is None:
        return "Dask dashboard: none"
    host = urlsplit(info["address"]).hostname
    where = "" if host == "127.0.0.1" else f" on {host}"
    pages = "" if find_spec("bokeh") else "; for its pages: pip install 'lsbatch[dashboard]'"
    return f"Dask dashboard: http://127.0.0.1:{port}/status{where}{pages}"
