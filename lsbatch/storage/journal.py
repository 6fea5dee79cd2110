"""Append-only files for the answers of reviewers.

Each record is a line of JSON. It is on the disk when `append` returns. A line that a crash truncated is skipped by the
reader, and the next record starts on a new line. Writers lock the file, so several processes can append, also from
several machines, or the file is in a bucket. Where there are no locks, only one process may append.
"""

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lsbatch.storage import file_system, files, objects

Records = list[dict[str, Any]]
#: For threads of this process where the file cannot be locked.
_ONE_AT_A_TIME = threading.Lock()


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
    # Path.open has no opener; without O_NOFOLLOW a symbolic link would redirect the answers
    with _ONE_AT_A_TIME, open(path, "ab+", opener=_unlinked) as handle:
        file_system.lock(handle, path)
        handle.seek(0)
        data = handle.read()
        if not allowed(_parsed(data)):
            return False
        handle.write(_begun(data) + line)
        handle.flush()
        os.fsync(handle.fileno())
    if not data:
        # so that the file's name is on the disk too
        file_system.sync_folder(path.parent)
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
    """Return the line break that ends a truncated line; empty if the data end with a complete line."""
    return b"\n" if data and not data.endswith(b"\n") else b""


def _parsed(data: bytes) -> Records:
    found = []
    for line in data.split(b"\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            # empty, or truncated by a crash before `append` returned
            continue
        if isinstance(record, dict):
            found.append(record)
    return found
