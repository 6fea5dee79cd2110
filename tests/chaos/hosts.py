"""Another host: a network namespace, and a line to it that loses, delays and cuts packets.

The line is a TUN device on each side and a thread that carries packets between them. The kernel's own ``tc netem`` can
do the same, but kernels of small virtual machines often lack it.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@dataclass
class Line:
    """What becomes of packets, both ways.

    Attributes
    ----------
    loss : float
        Share of packets that are lost.
    delay_s : float
        Seconds of each packet on its way.
    is_cut : bool
    packets : Counter
        How many were carried, lost and cut.
    """

    loss: float = 0.0
    delay_s: float = 0.0
    is_cut: bool = False
    packets: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Host:
    """Another host.

    Attributes
    ----------
    name : str
        Of the namespace, for `enter`.
    here, there : str
        Addresses of this host and of the other one on the line.
    line : Line
    """

    name: str
    here: str
    there: str
    line: Line


def enter(name: str) -> None:
    """Move the calling thread, and what it starts, to another host."""
    handle = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        # os.setns needs Python 3.12
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    finally:
        os.close(handle)


@contextmanager
def another() -> Iterator[Host]:
    """Make another host and a line to it; skip the test where this is not possible."""
    number = os.getpid() % 65536
    net = f"198.18.{number % 256}"
    host = Host(f"lsbatch-{number}", f"{net}.1", f"{net}.2", Line())
    ends = _ends(host, f"lsb{number}")
    stop = threading.Event()
    carrier = threading.Thread(target=_carry, args=(ends, host.line, stop), daemon=True)
    carrier.start()
    try:
        yield host
    finally:
        stop.set()
        carrier.join()
        for end in ends:
            os.close(end)
        _ip("netns", "del", host.name)


def _ends(host: Host, device: str) -> tuple[int, int]:
    """Make the namespace and both ends of the line."""
    if shutil.which("ip") is None:
        pytest.skip("no ip (Debian: iproute2), which makes network namespaces")
    if not Path("/dev/net/tun").exists():
        pytest.skip("no /dev/net/tun, which carries packets between network namespaces")
    made = subprocess.run(["ip", "netns", "add", host.name], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network namespace can be made here: {made.stderr.strip()}")
    ends: list[int] = []
    # a thread of its own: only it moves to the other host
    mover = threading.Thread(target=lambda: (enter(host.name), ends.append(_tun(device))))
    try:
        ends.append(_tun(device))
        mover.start()
        mover.join()
        for where, own, other in (((), host.here, host.there), (("-n", host.name), host.there, host.here)):
            _ip(*where, "addr", "add", own, "peer", other, "dev", device)
            _ip(*where, "link", "set", device, "up")
        _ip("-n", host.name, "link", "set", "lo", "up")
    except OSError as error:
        _ip("netns", "del", host.name)
        pytest.skip(f"no line to another host can be made here: {error}")
    return ends[0], ends[1]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _tun(device: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return end


def _carry(ends: tuple[int, int], line: Line, stop: threading.Event) -> None:
    """Carry packets until the end."""
    dice, count = random.Random(0), 0
    waiting: list[tuple[float, int, int, bytes]] = []
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    while not stop.is_set():
        pause = min(0.05, max(0.0, waiting[0][0] - time.monotonic())) if waiting else 0.05
        for end in select.select(ends, [], [], pause)[0]:
            packet = os.read(end, 65536)
            fate = "cut" if line.is_cut else "lost" if dice.random() < line.loss else "carried"
            line.packets[fate] += 1
            if fate == "carried":
                count += 1
                heapq.heappush(waiting, (time.monotonic() + line.delay_s, count, other[end], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(waiting)
            # a full queue loses a packet, as on any line
            with suppress(BlockingIOError):
                os.write(end, packet)
