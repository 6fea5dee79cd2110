"""An object in object storage as a file of which only parts are read."""

import io
import os
from pathlib import Path
from typing import Any

from lsbatch.storage import objects


class ObjectRanges(io.RawIOBase):
    """An open object. Each read is a request for a range of bytes.

    Raises
    ------
    FileNotFoundError
    OSError
    """

    def __init__(self, path: Path) -> None:
        self._path, self._size, self._at = path, int(objects.head(path)["size"]), 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position of the next read and return it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer as much as it holds; return the number of bytes, 0 at the end."""
        end = min(self._size, self._at + len(buffer))
        if self._at >= end:
            return 0
        data = objects.get_range(self._path, self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
