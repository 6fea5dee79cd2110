"""Monitor GPUs, energy and network while a benchmark runs."""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

#: Energy counters of processor packages in Linux, usually readable by root only.
POWERCAP = Path("/sys/class/powercap")
_QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used,power.draw", "--format=csv,noheader,nounits")


@dataclass
class Watched:
    """Measurements of this machine, without those of remote workers.

    Attributes
    ----------
    gpu_busy_share, gpu_memory_mb : float or None
        Mean over time and GPUs; maximum of any GPU. None without nvidia-smi.
    joules : float or None
        Of processor packages and GPUs; None if not available.
    network_mb : float
        Megabytes received, without loopback.
    """

    gpu_busy_share: float | None = None
    gpu_memory_mb: float | None = None
    joules: float | None = None
    network_mb: float = 0.0
    samples: list[list[tuple[float, float, float]]] = field(default_factory=list, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements as plain values for the file."""
        return {name: getattr(self, name) for name in ("gpu_busy_share", "gpu_memory_mb", "joules", "network_mb")}


@contextmanager
def watching(every_s: float = 1.0) -> Iterator[Watched]:
    """Monitor the machine during the block, and fill in the yielded value at its end."""
    found, stop = Watched(), threading.Event()
    watcher = (
        threading.Thread(target=_look, args=(found, stop, every_s), daemon=True) if shutil.which(_QUERY[0]) else None
    )
    began, packages, network = time.monotonic(), energy(), _received()
    if watcher:
        watcher.start()
    try:
        yield found
    finally:
        stop.set()
        if watcher:
            watcher.join()
        seconds = time.monotonic() - began
        found.network_mb = (_received() - network) / 1e6
        spent = [_since(packages[name], now) for name, now in energy().items() if name in packages]
        if found.samples:
            found.gpu_busy_share = mean(busy for gpus in found.samples for busy, _, _ in gpus) / 100
            found.gpu_memory_mb = max(memory for gpus in found.samples for _, memory, _ in gpus)
            spent.append(seconds * mean(sum(watts for _, _, watts in gpus) for gpus in found.samples))
        found.joules = sum(spent) if spent else None


def energy() -> dict[str, tuple[int, int]]:
    """Return microjoules of each processor package so far, and the maximum of its counter; empty if not available."""
    found = {}
    # packages only: their parts (intel-rapl:0:1) are included in them
    for folder in sorted(POWERCAP.glob("intel-rapl:?")):
        try:
            found[folder.name] = (
                int((folder / "energy_uj").read_text()),
                int((folder / "max_energy_range_uj").read_text()),
            )
        except OSError:
            continue
    return found


def _since(before: tuple[int, int], now: tuple[int, int]) -> float:
    """Return the joules since a first reading."""
    gone = now[0] - before[0]
    return (gone + now[1] if gone < 0 else gone) / 1e6


def _received() -> int:
    return sum(one.bytes_recv for name, one in psutil.net_io_counters(pernic=True).items() if name != "lo")


def _look(found: Watched, stop: threading.Event, every_s: float) -> None:
    while True:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=60)
        rows = [
            [_number(cell) for cell in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 2
        ]
        if done.returncode or not rows:
            # a driver without a GPU
            return
        found.samples.append([(busy, memory, watts) for busy, memory, watts in rows])
        if stop.wait(every_s):
            return


def _number(text: str) -> float:
    """Return a number of nvidia-smi, which prints [N/A] for unknown values."""
    try:
        return float(text)
    except ValueError:
        return 0.0
