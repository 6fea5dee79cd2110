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
from tenacity import Retrying, retry, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential
from upath import UPath
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from lsbatch.storage.addresses import without_secrets
from lsbatch.storage.endpoint import endpoint

SCHEME = "s3://"

_REFUSALS = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)


def _broke_off(error: BaseException) -> bool:
    final = (*_REFUSALS, exceptions.PreconditionError, exceptions.AlreadyExistsError)
    return isinstance(error, exceptions.BaseError) and not isinstance(error, final)


#: obstore does not retry when a response breaks off: such a call fails at once and is repeated here. A call that failed
#: after 5 s was already retried by obstore.
_AGAIN: dict[str, Any] = {
    "retry": retry_if_exception(_broke_off), "wait": wait_exponential(0.1, max=2), "reraise": True,
    "stop": stop_after_attempt(4) | stop_after_delay(5),
}  # fmt: skip

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


class _Zarr(ObjectStore[S3Store]):
    """Zarr's object store that retries reads which broke off."""

    @retry(**_AGAIN)  # type: ignore[untyped-decorator]
    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return await super().get(key, prototype, byte_range)


def zarr_store(path: Path) -> ObjectStore[S3Store]:
    """Return the objects below a path as a Zarr store."""
    bucket, key = _split(path)
    return _Zarr(_store(bucket, key))


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
    return calling(path, lambda: obstore.head(store, key))


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
    store = _store(bucket, "", tries=3)
    calling(path, lambda: obstore.put(store, key, b"."))
    calling(path, lambda: obstore.delete(store, key))


def swap(path: Path, change: Callable[[str | None], Any], keep: object) -> str | None:
    """Change an object as `files.swap`. The server refuses the write if the object has changed."""
    store, key = _at(path)

    def once() -> tuple[bool, str | None]:
        try:
            answer = obstore.get(store, key)
            now, tag = bytes(answer.bytes()).decode(), answer.meta["e_tag"]
        except FileNotFoundError:
            now, tag = None, None
        wanted = change(now)
        if wanted is keep:
            return True, now
        if wanted is None:
            # no such server deletes conditionally; only the holder of a lease deletes it
            obstore.delete(store, key)
            return True, None
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


def as_os_error(error: Exception, where: str = "object storage") -> OSError | None:
    """Convert an error of obstore to the matching OSError; None if there is none."""
    if not isinstance(error, exceptions.BaseError):
        return None
    refused = isinstance(error, _REFUSALS)
    # its messages list every attempted request over many lines
    text = " ".join(without_secrets(str(error)).split())
    return OSError(errno.EACCES if refused else errno.EIO, text[:300], where)


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
    return _store(bucket, ""), key


def _store(bucket: str, prefix: str, tries: int = 10) -> S3Store:
    return _store_at(endpoint(), bucket, prefix, tries)


@cache
def _store_at(endpoint: str, bucket: str, prefix: str, tries: int) -> S3Store:
    options = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        bucket, prefix=prefix or None, client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": tries}, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def calling(path: Path, call: Callable[[], Any]) -> Any:
    """Call object storage with retries.

    Raises
    ------
    FileNotFoundError
    OSError
        Instead of obstore's errors, with the path.
    """
    try:
        return Retrying(**_AGAIN)(call)
    except exceptions.BaseError as error:
        raise as_os_error(error, str(path)) from None  # type: ignore[misc]
