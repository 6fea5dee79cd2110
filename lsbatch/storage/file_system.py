"""What the file system of a folder can do, and the errors of which a person must know.

Shared folders (NFS, Lustre, SMB, FUSE) may lack locks or links, report files as stale that another machine has
replaced, and refuse what another disk allows. What that means for a run is decided here and nowhere else;
docs/failures.md has the table.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from lsbatch.errors import StaleStoreError
from lsbatch.storage import objects

Result = TypeVar("Result")

#: Errors of writing that only a person can correct: disk full, over quota, read-only, not permitted.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
#: Errors of a lock where there are none.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
#: Errors of a lock that another process holds.
_HELD = (errno.EAGAIN, errno.EACCES)
#: Files that SQLite reads and writes; it refuses to work without locks.
DATABASES = (".gpkg", ".sqlite")
#: A lock is held for milliseconds. After so many seconds its holder is stopped, or on a machine that is gone.
LOCK_S = 30.0
#: Attempts to open a file that another machine is replacing.
STALE_ATTEMPTS = 4


class WriteError(StaleStoreError, OSError):
    """Error for a file that cannot be written. As an `OSError` it is retried; its text is one sentence for the user."""

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written: {self.strerror}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the errors that only a person can correct into a `WriteError` that names the file."""
    try:
        yield
    except OSError as error:
        if isinstance(error, WriteError) or error.errno not in UNWRITABLE:
            raise
        raise WriteError(error.errno, error.strerror, str(path)) from None


def again_if_stale(read: Callable[[], Result]) -> Result:
    """Call `read` again if the file is stale: another machine has replaced it, and the next opening finds the new."""
    for _ in range(STALE_ATTEMPTS - 1):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()


def lock(file: IO[str] | IO[bytes], path: Path) -> bool:
    """Lock an open file until it is closed; return False where there are no locks.

    Raises
    ------
    WriteError
        If another process has held the lock for `LOCK_S`.
    """
    until = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            if error.errno not in _HELD:
                raise
        if time.monotonic() > until:
            raise WriteError(
                errno.EBUSY,
                f"another process has held its lock for {LOCK_S:.0f} s; end that process, or, if its machine is gone, "
                "remove this file",
                str(path),
            )
        # not waited for by the system: such a wait has no end if the holder is stopped
        time.sleep(0.01)


def sync_folder(folder: Path) -> None:
    """Put the names of new files onto the disk, where a folder can be synchronised; SMB and FUSE may refuse it."""
    descriptor = again_if_stale(lambda: os.open(folder, os.O_RDONLY))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def has_record_locks(path: Path) -> bool:
    """Return whether SQLite can lock a file, or files in a folder; it uses other locks than `lock`."""
    if not path.is_dir():
        with again_if_stale(lambda: path.open("rb")) as file:
            return _can_lock_records(file, fcntl.LOCK_SH)
    with tempfile.TemporaryFile(dir=path) as probe:
        return _can_lock_records(probe, fcntl.LOCK_EX)


def _can_lock_records(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            # held by another process: there are locks
            return error.errno in _HELD
        return False
    fcntl.lockf(file, fcntl.LOCK_UN)
    return True


@contextmanager
def writable_database(path: Path) -> Iterator[Path]:
    """Yield the path of a new file; of a database where there are no locks, one on local scratch, copied at the end.

    Raises
    ------
    WriteError
        If there are no locks on local scratch either.
    """
    if path.suffix not in DATABASES or has_record_locks(path.parent):
        yield path
        return
    scratch = Path(tempfile.gettempdir())
    if not has_record_locks(scratch):
        raise WriteError(
            errno.ENOLCK,
            f"GeoPackages need file locks, and neither this folder nor {scratch} has any; set TMPDIR to a folder on "
            "a local disk",
            str(path.parent),
        )
    with tempfile.TemporaryDirectory(dir=scratch, prefix="lsbatch-") as folder:
        made = Path(folder) / path.name
        yield made
        shutil.copyfile(made, path)


def readable_database(path: Path) -> Path:
    """Return a file itself; of a database where there are no locks, a copy on local scratch, made once a process."""
    if path.suffix not in DATABASES or not path.is_file() or has_record_locks(path):
        return path
    found = path.stat()
    return objects.copied(path, f"{found.st_size} {found.st_mtime_ns}", lambda part: shutil.copyfile(path, part))


@dataclass(frozen=True)
class Abilities:
    """What was found in a folder.

    Attributes
    ----------
    refusal : str or None
        Why nothing can be written; the other fields are then as if nothing worked.
    renames : bool
        A file can take the name of another.
    locks, record_locks : bool
        Locks of lsbatch and of SQLite.
    symlinks : bool
    folds_case : bool
        Two names that differ only in case are one file.
    longest_name : int
        Bytes, 255 at most.
    free_bytes : int
        For this user; a quota may be lower.
    """

    refusal: str | None = None
    renames: bool = False
    locks: bool = False
    record_locks: bool = False
    symlinks: bool = False
    folds_case: bool = False
    longest_name: int = 0
    free_bytes: int = 0


def probe(folder: Path) -> Abilities:
    """Try out in a new folder, which is removed, what a file system can do."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".lsbatch-probe-") as name:
            here = Path(name)
            # more than a block: a full disk may still have room for names
            (here / "a").write_bytes(os.urandom(65536))
            with (here / "a").open("a") as file:
                locks = lock(file, here / "a")
            return Abilities(
                None,
                _succeeds(lambda: _rename(here)),
                locks,
                has_record_locks(here),
                _succeeds(lambda: (here / "link").symlink_to("a")),
                (here / "A").exists(),
                _longest_name(here),
                free,
            )
    except OSError as error:
        return Abilities(error.strerror or str(error), free_bytes=free)


def _succeeds(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _rename(here: Path) -> None:
    new = here / f".{uuid.uuid4().hex}"
    new.write_bytes(b"new")
    new.replace(here / "a")
    if (here / "a").read_bytes() != b"new":
        raise OSError(errno.EIO, "the old file is still there")


def _longest_name(here: Path) -> int:
    for length in (255, 200, 143, 100):
        with suppress(OSError):
            (here / ("n" * length)).write_bytes(b"")
            return length
    return 0
