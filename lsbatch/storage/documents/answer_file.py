"""The answers of reviewers in the journal of a survey, validated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lsbatch.errors import StaleStoreError
from lsbatch.storage import documents, journal

_Corner = tuple[float, float]


@dataclass(frozen=True)
class _Answer:
    landslide_id: str
    version: Annotated[int, Field(ge=0, lt=2**31)]
    state: Literal["unreviewed", "confirmed", "rejected"]
    reviewer: str
    comment: str
    at: str = ""
    missed: bool = False
    outline: list[_Corner] | None = None


_ANSWER = TypeAdapter(_Answer)


def read(path: Path) -> journal.Records:
    """Read all answers in order; none if there is no journal.

    Raises
    ------
    StaleStoreError
        If a line is no answer. The message names its number among the complete lines, and the field.
    """
    found = journal.read(path)
    for number, record in enumerate(found, 1):
        try:
            _ANSWER.validate_python(record)
        except ValidationError as error:
            raise StaleStoreError(
                f"{path}: answer {number} is damaged ({documents.reason(error)}); correct or delete its line"
            ) from None
    return found
