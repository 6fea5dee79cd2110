"""Object storage: ``s3://bucket/key`` on AWS or any compatible server (MinIO, Ceph), by obstore.

Endpoint and credentials come only from the environment of the process that reads or writes, because explicit ones would
be stored in pickled stores. obstore retries for up to a minute after 429, 5xx and failed connections.
"""

import atexit
import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import S3Store
from upath import UPath
from zarr.storage import ObjectStore

from lsbatch.storage.s3 import error_sentences, retries, stores
from lsbatch.storage.s3.error_sentences import ObjectError
from lsbatch.storage.s3.zarr_store import RetryingZarrStore

SCHEME = "s3://"


if (os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")).startswith("http://"):
    # an endpoint with http:// was chosen by the user
    os.environ.setdefault("AWS_ALLOW_HTTP", "true")


def is_remote(path: Path) -> bool:
    """Return whether a path is in object storage."""
    return not isinstance(path, PurePath)


def path_of(text: str) -> Path:
    """Return a path on disk, or in object storage if the text begins with s3://."""
    # UPath only names objects; its own reading and writing use fsspec, which caches listings and has no conditional
    # writes
    return UPath(text) if text.startswith(SCHEME) else Path(text)  # type: ignore[return-value]


def zarr_store(path: Path) -> ObjectStore[S3Store]:
    """Return the objects below a path as a Zarr store."""
    bucket, key = _split(path)
    return RetryingZarrStore(stores.store(bucket, key))


def put(path: Path, data: bytes) -> None:
    """Write an object in one step."""
    store, key = _at(path)
    calling(path, lambda: obstore.put(store, key, data))


def upload(file: Path, path: Path) -> None:
    """Write an object from a file on disk; the object is complete or absent. Large files are sent in parts."""
    store, key = _at(path)
    calling(path, lambda: obstore.put(store, key, file))


def get_many(folder: Path, suffix: str) -> dict[str, bytes]:
    """Read all objects in a folder with this suffix, by name, with many requests at once."""
    names = in_folder(folder, suffix)

    def one(name: str) -> bytes | None:
        try:
            return get(folder / name)
        except FileNotFoundError:
            # removed since it was listed
            return None

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(one, names))
    return {name: data for name, data in zip(names, found, strict=True) if data is not None}


def in_folder(folder: Path, suffix: str) -> list[str]:
    """Return the sorted names of the objects in a folder with this suffix."""
    store, key = _at(folder)
    found = calling(folder, lambda: [meta["path"] for batch in obstore.list(store, prefix=f"{key}/") for meta in batch])
    names = (name.removeprefix(f"{key}/") for name in found)
    return sorted(name for name in names if name.endswith(suffix) and "/" not in name)


def get(path: Path) -> bytes:
    """Return the bytes of an object.

    Raises
    ------
    FileNotFoundError
    OSError
    """
    store, key = _at(path)
    return calling(path, lambda: bytes(obstore.get(store, key).bytes()))


def get_range(path: Path, start: int, end: int) -> bytes:
    """Return the bytes of an object from `start` to before `end`; otherwise as `get`."""
    store, key = _at(path)
    return calling(path, lambda: bytes(obstore.get_range(store, key, start=start, end=end)))


def head(path: Path) -> Mapping[str, Any]:
    """Return size, version and time of an object.

    Raises
    ------
    FileNotFoundError
    OSError
    """
    store, key = _at(path)
    try:
        return calling(path, lambda: obstore.head(store, key))
    except ObjectError as error:
        if not error.gives_reason:
            # the same request for a byte of the object is refused with the reason
            get_range(path, 0, 1)
        raise


def remove(path: Path) -> None:
    """Remove an object if it exists."""
    store, key = _at(path)
    with suppress(FileNotFoundError):
        calling(path, lambda: obstore.delete(store, key))


def remove_below(folder: Path) -> None:
    """Remove all objects below a path."""
    store, key = _at(folder)
    found = calling(folder, lambda: [entry["path"] for batch in obstore.list(store, f"{key}/") for entry in batch])
    calling(folder, lambda: obstore.delete(store, found))


def probe(path: Path) -> None:
    """Check that objects can be written below a path. It has a short timeout, because a user waits.

    Raises
    ------
    OSError
    """
    bucket, key = _split(path / f".probe-{uuid.uuid4().hex}")
    store = stores.store(bucket, soon=True)
    calling(path, lambda: obstore.put(store, key, b"."))
    calling(path, lambda: obstore.delete(store, key))


def swap(path: Path, change: Callable[[str | None], Any], keep: object) -> str | None:
    """Change an object as `files.swap`. The server refuses the write if the object has changed."""
    store, key = _at(path)
    tried: list[str] = []

    def once() -> tuple[bool, str | None]:
        try:
            answer = obstore.get(store, key)
            now, tag = bytes(answer.bytes()).decode(), answer.meta["e_tag"]
        except FileNotFoundError:
            now, tag = None, None
        if now is not None and now in tried:
            # written by an earlier attempt, whose answer was lost; `change` must not see its own work
            return True, now
        wanted = change(now)
        if wanted is keep:
            return True, now
        if wanted is None:
            # no such server deletes conditionally; only the holder of a lease deletes it
            obstore.delete(store, key)
            return True, None
        if wanted != now:
            tried.append(wanted)
        try:
            obstore.put(
                store, key, wanted.encode(), mode="create" if tag is None else {"e_tag": tag}, use_multipart=False
            )
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            return False, None
        return True, wanted

    for _ in range(20):
        done, there = calling(path, once)
        if done:
            return there
    raise OSError(errno.EAGAIN, "it is changed too often by other processes", str(path))


def age_s(path: Path) -> float | None:
    """Return the age as `files.age_s`."""
    here = path.parent / f".probe-{uuid.uuid4().hex}"
    try:
        written = head(path)["last_modified"]
    except FileNotFoundError:
        return None
    put(here, b".")
    now = head(here)["last_modified"]
    remove(here)
    return max(0.0, (now - written).total_seconds())


def fetched(path: Path) -> Path:
    """Return a copy of an object on the local disk, see `copied`. Raises as `get`."""
    store, key = _at(path)
    meta = head(path)
    return copied(path, f"{meta['e_tag']} {meta['size']}", lambda part: calling(path, lambda: _copy(store, key, part)))


def copied(path: Path, version: str, copy: Callable[[Path], object]) -> Path:
    """Return a local copy, made once in a process for each version of a file; `copy` writes the content to a path."""
    name = hashlib.blake2b(f"{path} {version}".encode(), digest_size=8).hexdigest()
    kept = _copies() / name / path.name
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_name(f".{uuid.uuid4().hex}")
        copy(part)
        part.replace(kept)
    return kept


def as_os_error(error: Exception, where: str = "object storage") -> ObjectError | None:
    """Convert an error of obstore to an error with one sentence; None for any other error."""
    if not isinstance(error, exceptions.BaseError):
        return None
    return error_sentences.of_error(error, where)


@cache
def _copies() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lsbatch-copies-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _copy(store: S3Store, key: str, file: Path) -> None:
    with file.open("wb") as out:
        for chunk in obstore.get(store, key):
            out.write(chunk)


def _split(path: Path) -> tuple[str, str]:
    bucket, _, key = str(path).removeprefix(SCHEME).partition("/")
    return bucket, key


def _at(path: Path) -> tuple[S3Store, str]:
    bucket, key = _split(path)
    return stores.store(bucket), key


def calling(path: Path, call: Callable[[], Any]) -> Any:
    """Call object storage with retries.

    Raises
    ------
    FileNotFoundError
        If there is no such object. A bucket that does not exist is an `ObjectError`.
    ObjectError
        Instead of obstore's errors, with the path.
    """
    try:
        return retries.again(call)
    except exceptions.BaseError as error:
        raise error_sentences.of_error(error, str(path)) from None
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise error_sentences.of_error(error, str(path)) from None
        raise
