"""Files of machine code in a folder that only its owner can write.

The files hold pickles and machine code, which can do anything when they are loaded. So the folder must belong to the
user and be closed to others. Files are opened relative to the descriptor of the checked folder: whoever may rename
folders above it cannot put another in its place. A file is written aside, renamed last, and checked by its digest.

Each state of the sources, of the libraries and of the processor has a folder of its own, so nothing in it is ever out
of date. Old folders are removed when a new one is made. A process that still uses one finds no file, and compiles.
"""

import hashlib
import os
import secrets
import shutil
import stat
import sys
import time
import warnings
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numba
import numpy as np
from numba.core import config
from numba.core.registry import cpu_target

#: Folders that are kept besides the newest, and for how long after their last use.
KEPT_FOLDERS, KEPT_S = 16, 60 * 86400
#: The use of a folder is noted once in this time.
NOTED_S = 86400

_DIGEST_BYTES = 32


def read(name: str) -> bytes | None:
    """Read a file of machine code.

    Parameters
    ----------
    name : str
        Name within the folder of this process's machine code.

    Returns
    -------
    bytes or None
        None if there is no such file, or if it is damaged, a link, or of another user.
    """
    folder = _folder()
    if folder is None:
        return None
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read() if os.fstat(descriptor).st_uid == os.geteuid() else b""
    except OSError:
        # not yet compiled, or the folder was removed
        return None
    digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return data if hashlib.sha256(data).digest() == digest else None


def write(name: str, data: bytes) -> None:
    """Write a file aside and rename it. On a full disk nothing is written, and the next process compiles again.

    Parameters
    ----------
    name : str
        Name within the folder of this process's machine code.
    data : bytes
    """
    folder = _folder()
    if folder is None:
        return
    aside = f".{name}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(aside, dir_fd=folder)


def path() -> str | None:
    """Return the folder of this process's machine code.

    Returns
    -------
    str or None
        None if machine code is not kept.
    """
    return None if _folder() is None else str(_base() / key())


@cache
def key() -> str:
    """Compute a digest of all that the machine code depends on: sources, versions, processor and options of numba.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    room = Path(__file__).parents[1]
    for source in sorted(room.rglob("*.py")):
        digest.update(f"{source.relative_to(room)}:".encode() + source.read_bytes())
    versions = (sys.version, numba.__version__, version("llvmlite"), np.__version__)
    digest.update(repr((versions, _processor(), _options())).encode())
    return digest.hexdigest()[:32]


def _processor() -> object:
    """Return platform, name and features of the processor for which numba compiles."""
    return cpu_target.target_context.codegen().magic_tuple()


def _options() -> list[tuple[str, object]]:
    """Return numba's options, for instance bounds checks. No machine code depends on the number of threads."""
    return [(name, getattr(config, name)) for name in dir(config) if name.isupper() and "THREAD" not in name]


def _base() -> Path:
    # by the XDG specification, a relative path is to be ignored
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "lsbatch" / "kernels"


@cache
def _folder() -> int | None:
    """Open the folder of this process's machine code, or make it; None if that is not possible or not safe."""
    try:
        base = _base()
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _opened(base)
    except (OSError, RuntimeError):
        # a home that is read-only, or a user without one (RuntimeError), for instance in a container
        return None


def _opened(base: Path) -> int | None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    parent = os.open(base, flags)
    try:
        if not _is_own(parent, base):
            return None
        is_new = _make(key(), parent)
        folder = os.open(key(), flags | os.O_NOFOLLOW, dir_fd=parent)
        if not _is_own(folder, base / key()):
            os.close(folder)
            return None
        if time.time() - os.fstat(folder).st_mtime > NOTED_S:
            os.utime(folder)
        if is_new:
            _remove_old(parent)
        return folder
    finally:
        os.close(parent)


def _make(name: str, parent: int) -> bool:
    try:
        os.mkdir(name, mode=0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _is_own(descriptor: int, shown: Path) -> bool:
    """Return whether only this user can write to a folder, and warn if not."""
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return True
    warnings.warn(
        f"{shown}: compiled kernels are not kept, because other users can write there; remove the folder, or set "
        "XDG_CACHE_HOME to a folder of your own",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def _remove_old(parent: int) -> None:
    """Remove folders that were not used for a long time, and all but the newest."""
    used = {}
    for name in os.listdir(parent):
        with suppress(OSError):
            used[name] = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mtime
    newest = sorted(used, key=lambda name: used[name], reverse=True)
    for place, name in enumerate(newest):
        if name != key() and (place >= KEPT_FOLDERS or time.time() - used[name] > KEPT_S):
            shutil.rmtree(name, ignore_errors=True, dir_fd=parent)
