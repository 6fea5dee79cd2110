"""JSON documents of a survey, validated when they are read.

A document may be damaged, or somebody may have changed it. Readers get values of the declared types or one sentence.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from lsbatch.errors import StaleStoreError
from lsbatch.storage import files

T = TypeVar("T")


def read(path: Path, kind: TypeAdapter[T], remedy: str) -> T:
    """Read a document and validate it.

    Parameters
    ----------
    path : Path
    kind : TypeAdapter
        Type of the document. Values are not converted, except for lists to tuples.
    remedy : str
        What the user can do about a damaged document, for the error.

    Raises
    ------
    StaleStoreError
        If it is damaged. The message names the first field that is wrong.
    FileNotFoundError
    """
    try:
        return kind.validate_json(files.read_bytes(path), strict=True)
    except ValidationError as error:
        raise StaleStoreError(f"{path}: is damaged ({reason(error)}); {remedy}") from None


def parsed(text: str | bytes, kind: TypeAdapter[T]) -> T | None:
    """Return a validated document; None if it is damaged."""
    try:
        return kind.validate_json(text, strict=True)
    except ValidationError:
        return None


def reason(error: ValidationError) -> str:
    """Return the first field that is wrong, without its value, and why."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part)[:40] for part in first["loc"][:6])
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}"[:200] if field else message[:200]
