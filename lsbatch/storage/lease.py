"""The lease of a survey: one writer at a time, renewed while a run lives.

A run of all tiles excludes every other; runs of ``--part i/n`` exclude each other only where they share tiles. Age is
told by the store's own clock, so a driver whose clock jumps neither loses its lease nor takes one that lives.
"""

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from lsbatch.errors import AbandonedError, LeaseError
from lsbatch.storage import files

#: A lease that was not renewed for so long is free; it is renewed four times in that time.
SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """The holder of a lease.

    Attributes
    ----------
    token : str
        Of one run; never used again.
    part : str
        ``all``, or ``i-of-n``.
    place : str
        Host and space of process numbers.
    pid, born : int, float
        Process, and when it was started: numbers are used again.
    since : str
        UTC.
    """

    token: str
    part: str
    place: str
    pid: int
    born: float
    since: str

    def __str__(self) -> str:
        which = "" if self.part == "all" else f"part {self.part.replace('-of-', '/')} of it, "
        return f"{which}process {self.pid} on {self.place.split()[0]} since {self.since}"


@dataclass(frozen=True)
class Lease:
    """A held lease, sent with every tile; workers check it before they write."""

    path: Path
    token: str

    def check(self) -> None:
        """Raise if the lease is no longer held.

        Raises
        ------
        AbandonedError
            If another run took over, or this one ended.
        """
        found = _read(self.path)
        if found is None or found.token != self.token:
            raise AbandonedError(
                f"left as it was: the run that asked for it no longer holds the survey (now: {found or 'nobody'})"
            )


@contextmanager
def acquire(root: Path, part: tuple[int, int] = (1, 1)) -> Iterator[Lease]:
    """Hold the lease of a survey, renewing it in the background.

    Raises
    ------
    LeaseError
        If another run holds it, with who and for how long.
    """
    name = "all" if part == (1, 1) else f"{part[0]}-of-{part[1]}"
    me = Holder(
        uuid.uuid4().hex,
        name,
        _place(),
        os.getpid(),
        _born(os.getpid()),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = root / "lease" / f"{name}.json"
    _take(path, me)
    stop = threading.Event()
    renewer = threading.Thread(target=_renew, args=(path, me, stop), name="lease", daemon=True)
    try:
        _refuse_others(path, me)
        renewer.start()
        yield Lease(path, me.token)
    finally:
        stop.set()
        if renewer.is_alive():
            renewer.join()
        files.swap(path, lambda now: None if _parse(now) == me else files.KEEP)


def holders(root: Path) -> list[tuple[Holder, float]]:
    """Return the holders of the survey and their remaining seconds; expired leases are left out."""
    found = []
    for path in files.in_folder(root / "lease", ".json"):
        holder = _read(path)
        left = 0.0 if holder is None else _seconds_left(path, holder)
        if holder is not None and left > 0:
            found.append((holder, left))
    return found


def _take(path: Path, me: Holder) -> None:
    now = _read(path)
    if now is not None and (left := _seconds_left(path, now)) > 0:
        raise LeaseError(_refusal(path, now, left))
    # between the look and the swap another run may have been quicker
    if _parse(files.swap(path, lambda text: _text(me) if _parse(text) == now else files.KEEP)) != me:
        raise LeaseError(f"{path.parent.parent}: another run began in the same moment; wait for it, see lsbatch status")


def _refuse_others(path: Path, me: Holder) -> None:
    """Refuse leases of other names that share tiles with ours; ours is written first, so one of two sees the other."""
    for other, left in holders(path.parent.parent):
        if other.part != me.part and not _apart(other.part, me.part):
            raise LeaseError(_refusal(path, other, left))


def _apart(one: str, other: str) -> bool:
    """Return whether two parts share no tile."""
    return "all" not in (one, other) and one.split("-of-")[1] == other.split("-of-")[1]


def _refusal(path: Path, holder: Holder, left: float) -> str:
    return (
        f"{path.parent.parent}: is being written by another run ({holder}); wait for it or stop it - "
        f"if it died, the survey is free in {left:.0f} s"
    )


def _renew(path: Path, me: Holder, stop: threading.Event) -> None:
    while not stop.wait(SECONDS / 4):
        try:
            # written again unchanged, to reset its age; the lease of another run is not touched
            files.swap(path, lambda now: now if _parse(now) == me else files.KEEP)
        except OSError:
            # the store is out of reach for a moment; if for long, the lease runs out, as it should
            continue


def _seconds_left(path: Path, holder: Holder) -> float:
    if holder.place == _place() and not _lives(holder):
        return 0.0
    age = files.age_s(path)
    return 0.0 if age is None else SECONDS - age


def _lives(holder: Holder) -> bool:
    try:
        return _born(holder.pid) == holder.born
    except psutil.NoSuchProcess:
        return False


def _born(pid: int) -> float:
    """Return the start of a process in ticks since boot, which do not change with the clock."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return psutil.Process(pid).create_time()
    # the name in brackets may hold spaces and brackets
    return float(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])


def _place() -> str:
    """Return the scope of a process number: two containers may share a host name."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = "pid"
    return f"{socket.gethostname()} {space}"


def _text(holder: Holder) -> str:
    return json.dumps(asdict(holder))


def _parse(text: str | None) -> Holder | None:
    """Parse a lease; None if it is missing or damaged."""
    try:
        raw: Any = json.loads(text or "null")
        return None if raw is None else Holder(**raw)
    except (ValueError, TypeError):
        return None


def _read(path: Path) -> Holder | None:
    try:
        return _parse(files.read_text(path))
    except FileNotFoundError:
        return None
