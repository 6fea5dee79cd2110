"""The header of a safetensors file: its length in eight bytes, then JSON. Read without the arrays that follow."""

import json
import struct
from pathlib import Path
from typing import Any

from lsbatch.errors import ModelError

#: Maximum bytes of a header. A header has a few thousand bytes; a longer one belongs to another kind of file.
LONGEST_HEADER = 10_000_000
#: Entry with texts about the file; every other one is an array.
METADATA = "__metadata__"
#: Kinds of numbers that numpy has by itself, without complex ones, which no model has.
KINDS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")


def read(path: Path, size: int) -> dict[str, Any]:
    """Return the header of a file of this many bytes.

    Raises
    ------
    ModelError
        If the file cannot be read, is of another format, or has not the size that follows from its header.
    """
    refusal = f"{path}: is not a safetensors file; other formats are not loaded, because a pickle could run code"
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LONGEST_HEADER, size - 8):
                raise ModelError(refusal)
            header: dict[str, Any] = json.loads(file.read(length))
        if not isinstance(header.get(METADATA, {}), dict):
            raise ModelError(refusal)
        expected = 8 + length + max((_end(one) for key, one in header.items() if key != METADATA), default=0)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise ModelError(refusal) from None
    if expected != size:
        raise ModelError(f"{path}: is damaged: it has {size} bytes, its header says {expected}")
    return header


def _end(entry: dict[str, Any]) -> int:
    """Return where the numbers of an array end, from its entry in the header."""
    _, end = entry["dtype"], entry["data_offsets"][1]
    # JSON also has fractions, infinity and whole numbers without end
    if type(end) is not int or not 0 <= end < 2**63:
        raise ValueError("the end of an array must be a whole number of 64 bits")
    return end


def check_kinds(path: Path, header: dict[str, Any]) -> None:
    """Check the kinds of numbers of all arrays.

    Raises
    ------
    ModelError
        If numpy lacks one, so that the array could not be read.
    """
    others = [one["dtype"] for key, one in header.items() if key != METADATA and one["dtype"] not in KINDS]
    if others:
        raise ModelError(f"{path}: has numbers of the kind {str(others[0])[:40]!r}; allowed are {', '.join(KINDS)}")
