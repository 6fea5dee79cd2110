"""What all kinds of cluster share: network interface, encryption, worker settings."""

import ipaddress
import socket
import sys
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import dask
import psutil
from distributed import Client, Security

from lsbatch.errors import LsbatchError
from lsbatch.settings import ClusterSettings

LOOPBACK = "lo"
#: Dask's web page has no login, so it stays on the machine that it is about; ssh -L brings it to another one.
DASHBOARD = "127.0.0.1:0"
_PRE_SPAWN = "distributed.nanny.pre-spawn-environ"


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
            raise LsbatchError(f"cluster.tls.{name} = '{getattr(tls, name)}': there is no such file")
    roles = {
        f"tls_{role}_{what}": str(getattr(tls, f"{what}_file"))
        for role in ("scheduler", "worker", "client")
        for what in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=str(tls.ca_file), **roles)


def interface(settings: ClusterSettings) -> str:
    """Return the network interface on which Dask listens: loopback unless set; warn if it is open to all.

    Raises
    ------
    LsbatchError
        If this machine has no such interface, or it has no address of IPv4, which Dask needs.
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
            f"lsbatch: cluster.interface = {name!r} without cluster.tls: whoever reaches that network can run programs "
            "as you",
            file=sys.stderr,
        )
    return name


def threads(settings: ClusterSettings) -> dict[str, str]:
    """Return variables that let the one task of a worker use `cluster.threads` cores.

    Dask sets them to 1. What the user's own environment says of them is stronger. All threads of a worker share one
    pool of memory, so that the U-Net finds again what it gave back (`models.devices.kept_memory`): 1.61 Mpx/s, 1.25
    without. STACK is as fast with it.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(names, str(settings.threads)) | {"MALLOC_ARENA_MAX": "1"}


#: Features of Dask's worker that can make a run wait forever without a message.
#:
#: - Nothing lies in a worker between two tiles that would go away by itself: one that is paused because its process has
#: grown
#:   over 80 % of its memory takes no tile any more. At 95 % it is killed and started again, as before.
#: - Its profiler looks at the frames of all threads, a hundred times a second. In Python 3.11 a thread that is born or
#: ends
#: in that moment can stop the whole process (python/cpython#106883, dask/distributed#8616); reading and object storage
#: have
#:   many threads: one of 4 small surveys into a bucket stood still.
WORKER_CONFIG = {"distributed.worker.memory.pause": False, "distributed.worker.profile.enabled": False}


def worker_config(settings: ClusterSettings) -> dict[str, Any]:
    """Return Dask settings for nannies: `threads`, set before workers are spawned, and `WORKER_CONFIG`.

    OpenMP reads its variable once, when numpy or torch is loaded.
    """
    return {_PRE_SPAWN: dask.config.get(_PRE_SPAWN) | threads(settings)} | WORKER_CONFIG


def variables(settings: ClusterSettings) -> dict[str, str]:
    """Return variables for a worker that is started by another program: its threads and `WORKER_CONFIG`."""
    own = {f"DASK_{key.replace('.', '__').upper()}": str(value) for key, value in WORKER_CONFIG.items()}
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
