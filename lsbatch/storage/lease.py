"""The lease of a survey: one writer at a time, renewed while a run lives.

A run of all tiles excludes every other run. Runs of ``--part i/n`` exclude each other only if they share tiles. The age
of a lease is measured by the store's clock, so a wrong clock of a host can neither lose a lease nor take over a valid
one.
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
from typing import Annotated

import psutil
from pydantic import Field, TypeAdapter

from lsbatch.errors import AbandonedError, LeaseError, printable
from lsbatch.storage import documents, files

#: A lease that was not renewed for this long is free. It is renewed four times in this period.
SECONDS = 60.0


@dataclass(frozen=True)
class Holder:
    """The holder of a lease.

    Attributes
    ----------
    token : str
        Random, one a run.
    part : str
        ``all``, or ``i-of-n``.
    place : str
        Host and PID namespace.
    pid, born : int, float
        Process id and its start time. Systems reuse process ids.
    since : str
        UTC.
    """

    token: str
    part: Annotated[str, Field(pattern=r"^(all|[0-9]{1,9}-of-[0-9]{1,9})$")]
    place: Annotated[str, Field(min_length=1)]
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    born: float
    since: str

    def __str__(self) -> str:
        which = "" if self.part == "all" else f"part {self.part.replace('-of-', '/')} of the survey, "
        # the file of a lease may have been written by others
        return printable(f"{which}process {self.pid} on {self.place.partition(' ')[0][:80]} since {self.since[:40]}")


_HOLDER = TypeAdapter(Holder)


@dataclass(frozen=True)
class Lease:
    """A held lease. It is sent with every tile, and workers check it before they write."""

    path: Path
    token: str

    def check(self) -> None:
        """Raise if the lease is no longer held.

        Raises
        ------
        AbandonedError
            If another run took over, or this run has ended.
        """
        found = _read(self.path)
        if found is None or found.token != self.token:
            raise AbandonedError(
                f"not written: the run of this tile no longer holds the lease of the "
                f"survey (holder now: {found or 'none'})"
            )


@contextmanager
def acquire(root: Path, part: tuple[int, int] = (1, 1)) -> Iterator[Lease]:
    """Hold the lease of a survey, renewing it in the background.

    Raises
    ------
    LeaseError
        If another run holds it. The message gives the holder and the remaining seconds.
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
    # another run may have acquired a lease between the check and the swap
    if _parse(files.swap(path, lambda text: _text(me) if _parse(text) == now else files.KEEP)) != me:
        raise LeaseError(
            f"{path.parent.parent}: another run started at the same moment; wait until it has ended, see lsbatch status"
        )


def _refuse_others(path: Path, me: Holder) -> None:
    """Refuse other leases that share tiles with this one.

    This lease is written first, so at least one of two concurrent runs sees the other.
    """
    for other, left in holders(path.parent.parent):
        if other.part != me.part and not _apart(other.part, me.part):
            raise LeaseError(_refusal(path, other, left))


def _apart(one: str, other: str) -> bool:
    """Return whether two parts share no tile."""
    return "all" not in (one, other) and one.split("-of-")[1] == other.split("-of-")[1]


def _refusal(path: Path, holder: Holder, left: float) -> str:
    return (
        f"{path.parent.parent}: is being written by another run ({holder}); wait for it or stop it. "
        f"If it was killed, the survey is free in {left:.0f} s"
    )


def _renew(path: Path, me: Holder, stop: threading.Event) -> None:
    while not stop.wait(SECONDS / 4):
        try:
            # written again unchanged, which resets its age; the lease of another run is not changed
            files.swap(path, lambda now: now if _parse(now) == me else files.KEEP)
        except OSError:
            # the store cannot be reached at present; if this lasts, the lease expires, as intended
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
    """Return the start time of a process in ticks since boot, which do not change with the clock."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return psutil.Process(pid).create_time()
    # the process name, in brackets, may hold spaces and brackets
    return float(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])


def _place() -> str:
    """Return host and PID namespace: two containers may have the same host name."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = "pid"
    return f"{socket.gethostname()} {space}"


def _text(holder: Holder) -> str:
    return json.dumps(asdict(holder))


def _parse(text: str | None) -> Holder | None:
    """Parse a lease; None if it is missing or damaged."""
    return documents.parsed(text, _HOLDER) if text else None


def _read(path: Path) -> Holder | None:
    try:
        return documents.parsed(files.read_bytes(path), _HOLDER)
    except FileNotFoundError:
        return None
