"""Append-only files, for answers of reviewers.

Each record is a line of JSON. It is on the disk before `append` comes back. A line that a crash cut off is passed over
when the file is read, and the next one begins on a line of its own. Writers wait for each other, also from several
machines that share a folder whose locks hold (not every network disk does) or a bucket.
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lsbatch.storage import files, objects

Records = list[dict[str, Any]]


def read(path: Path) -> Records:
    """Read all complete records in order; none if there is no file."""
    try:
        return _parsed(files.read_bytes(path))
    except FileNotFoundError:
        return []


def append(
    path: Path, record: Mapping[str, Any], allowed: Callable[[Sequence[Mapping[str, Any]]], bool] = lambda records: True
) -> bool:
    """Append a record durably, unless `allowed` refuses it because of earlier records.

    Parameters
    ----------
    path : Path
    record : mapping
        Plain values.
    allowed : callable (records) -> bool
        Called with all records so far, while no other process can add one.

    Returns
    -------
    bool
        Whether it was added.
    """
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    if objects.is_remote(path):
        return _append_object(path, line, allowed)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Path.open knows no opener; a link in the file's place would have the answers written elsewhere
    with open(path, "ab+", opener=_unlinked) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        data = handle.read()
        if not allowed(_parsed(data)):
            return False
        handle.write(_begun(data) + line)
        handle.flush()
        os.fsync(handle.fileno())
    if not data:
        # the file's name, too, has to be on the disk
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    return True


def _unlinked(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o666)


def _append_object(path: Path, line: bytes, allowed: Callable[[Sequence[Mapping[str, Any]]], bool]) -> bool:
    """Replace an object as a whole, on condition that it has not changed."""
    added = False

    def change(now: str | None) -> Any:
        nonlocal added
        data = (now or "").encode()
        added = allowed(_parsed(data))
        return (data + _begun(data) + line).decode() if added else files.KEEP

    files.swap(path, change)
    return added


def _begun(data: bytes) -> bytes:
    """Return what ends a line that a crash cut off."""
    return b"\n" if data and not data.endswith(b"\n") else b""


def _parsed(data: bytes) -> Records:
    found = []
    for line in data.split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            # empty, or cut off by a crash before its writer was told that it is kept
            continue
        if isinstance(record, dict):
            found.append(record)
    return found
