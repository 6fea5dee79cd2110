"""Zarr's object store with retries, and without the tracebacks that it causes."""

import logging

from obstore import exceptions
from obstore.store import S3Store
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from lsbatch.storage.s3.retries import repeated


class RetryingZarrStore(ObjectStore[S3Store]):
    """Zarr's object store that retries reads and writes which broke off."""

    @repeated
    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return await super().get(key, prototype, byte_range)

    @repeated
    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)


def _is_other(record: logging.LogRecord) -> bool:
    """Return whether a message of asyncio is of something else than a failed request.

    Zarr reads the arrays of a group at once and raises the first error; asyncio logs the tracebacks of all others.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], (exceptions.BaseError, FileNotFoundError)))


logging.getLogger("asyncio").addFilter(_is_other)
