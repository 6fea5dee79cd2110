"""Atomic reading and writing of files, on disk and in object storage, with the same functions.

A path is a `pathlib.Path`, or a `upath.UPath` for ``s3://bucket/key``. All code that reads or writes a path of either
type uses this module. Endpoint and credentials of object storage come from the environment (``AWS_ENDPOINT_URL``,
``AWS_ACCESS_KEY_ID`` and so on) of the process that reads or writes. Paths never contain them, also not when pickled or
printed.
"""

import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from lsbatch.errors import StaleStoreError
from lsbatch.storage import file_system, objects
from lsbatch.storage.file_system import UNWRITABLE, again_if_stale, writing
from lsbatch.storage.s3.object_ranges import ObjectRanges


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


#: The process's umask. Read once at import, because reading it changes it for a moment in all threads.
UMASK = _umask()


class _Keep:
    """Marker for `swap` to leave the file unchanged."""


KEEP: Final = _Keep()
Change = Callable[[str | None], "str | _Keep | None"]
#: Without locks, a change counts if nobody has replaced it after so many seconds.
SETTLE_S = 1.0


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` if the block succeeds, remove it otherwise.

    On disk the temporary file lies in the same folder and is renamed. For object storage it is uploaded in one step.
    The suffix is kept, because drivers choose the format by it.
    """
    if objects.is_remote(path):
        with tempfile.TemporaryDirectory(prefix="lsbatch-") as scratch:
            temporary = Path(scratch) / path.name
            yield temporary
            objects.upload(temporary, path)
        return
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
        try:
            with file_system.writable_database(temporary) as made:
                yield made
            # safetensors makes files readable by the owner only; a survey is readable by the group
            with suppress(PermissionError):
                # vfat, SMB and FUSE have one mode for all files, and refuse another
                temporary.chmod(0o666 & ~UMASK)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    if objects.is_remote(path):
        objects.put(path, text.encode())
        return
    with aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    if objects.is_remote(path):
        objects.put(path, data)
        return
    with aside(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write JSON atomically, keys in the order given.

    With `indent` for files that people read. With None for files that are written by the thousand, because Python's
    fast encoder works only without indentation: 3 s instead of 26 s for the 4,400 tiles of Norway's plan.
    """
    write_text(path, json.dumps(value, indent=indent, default=str) + "\n")


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises
    ------
    FileNotFoundError
    OSError
    """
    return objects.get(path) if objects.is_remote(path) else again_if_stale(path.read_bytes)


def opened(path: Path) -> BinaryIO:
    """Open a file for reading; of an object only what is read is transferred. Raises as `read_bytes`."""
    if objects.is_remote(path):
        return ObjectRanges(path)  # type: ignore[return-value]
    return again_if_stale(lambda: path.open("rb"))


def read_text(path: Path) -> str:
    """Read a whole file as UTF-8."""
    return read_bytes(path).decode()


def exists(path: Path) -> bool:
    """Return whether a file exists."""
    if not objects.is_remote(path):
        return path.is_file()
    try:
        objects.head(path)
    except FileNotFoundError:
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file if it exists."""
    if objects.is_remote(path):
        objects.remove(path)
    else:
        with writing(path):
            path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder and its content if it exists."""
    if objects.is_remote(folder):
        objects.remove_below(folder)
    else:
        with writing(folder):
            if folder.exists():
                shutil.rmtree(folder)


def in_folder(folder: Path, suffix: str) -> list[Path]:
    """Return the sorted files in a folder with this suffix, without temporary files of killed runs."""
    if objects.is_remote(folder):
        return [folder / name for name in objects.in_folder(folder, suffix)]
    return sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))


def read_folder(folder: Path, suffix: str) -> dict[str, bytes]:
    """Read all files in a folder with this suffix; return their bytes by name, sorted."""
    if objects.is_remote(folder):
        return objects.get_many(folder, suffix)
    return {path.name: again_if_stale(path.read_bytes) for path in in_folder(folder, suffix)}


def state(path: Path) -> tuple[int, int]:
    """Return size in bytes and time of the last write in nanoseconds since 1970.

    Raises
    ------
    FileNotFoundError
    OSError
    """
    if objects.is_remote(path):
        meta = objects.head(path)
        return meta["size"], int(meta["last_modified"].timestamp() * 1e9)
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def make_folder(path: Path) -> Path:
    """Make a writable folder.

    Raises
    ------
    StaleStoreError
        If the disk is read-only or full, a file has this path, or the bucket refuses; the message gives the reason.
    """
    try:
        if objects.is_remote(path):
            objects.probe(path)
            return path
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StaleStoreError(f"{path}: cannot be written to: {error.strerror or error}") from None
    return path


def on_disk(path: Path) -> Path:
    """Return the file itself, or a cached copy on the local disk, for libraries that read only files.

    Databases are also copied from a folder without locks: SQLite does not even read there.
    """
    return objects.fetched(path) if objects.is_remote(path) else file_system.readable_database(path)


@contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """Yield a temporary folder, next to a file that will be written or in the system's temporary folder."""
    folder = None if objects.is_remote(beside) else make_folder(beside.parent)
    with tempfile.TemporaryDirectory(dir=folder, prefix=_scratch_prefix(beside)) as name:
        yield Path(name)


def sweep(beside: Path) -> None:
    """Remove the temporary folders that killed runs left for this file. Only the holder of the lease calls this.

    Other files are not touched: another command without a lease may be writing to the same folder.
    """
    if not objects.is_remote(beside):
        for left in beside.parent.glob(f"{_scratch_prefix(beside)}*"):
            shutil.rmtree(left)


def _scratch_prefix(beside: Path) -> str:
    return f".lsbatch-{beside.name}-"


def swap(path: Path, change: Change) -> str | None:
    """Change a small shared file atomically. Without locks, the last of two changes at the same moment is what counts.

    Parameters
    ----------
    path : Path
    change : callable text or None -> text, None or KEEP
        Maps the present text (None if there is no file) to the new text.

    Returns
    -------
    str or None
        The text after the call.
    """
    if objects.is_remote(path):
        return objects.swap(path, change, KEEP)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shared = path.parent / ".lock"
        with shared.open("a") as file:
            has_lock = file_system.lock(file, shared)
            now = _text_of(path)
            wanted = change(now)
            if wanted is KEEP:
                return now
            if wanted is None:
                path.unlink(missing_ok=True)
                return None
            write_text(path, str(wanted))
        if has_lock:
            return str(wanted)
        # two processes may have written at once; the last of them is believed by both
        time.sleep(SETTLE_S)
        return _text_of(path)


def _text_of(path: Path) -> str | None:
    try:
        # a damaged file must not keep it from being replaced
        return read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        return None


def age_s(path: Path) -> float | None:
    """Return the seconds since a file was written, by the clock of its store; None if it does not exist.

    If the disk refuses the probe file, because it is full or read-only, this host's clock is used.
    """
    if objects.is_remote(path):
        return objects.age_s(path)
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            os.write(probe.fileno(), b".")
            now = os.fstat(probe.fileno()).st_mtime
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        now = time.time()
    return max(0.0, now - written)
