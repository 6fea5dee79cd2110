"""The answers of reviewers in the journal of a survey, validated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from lsbatch.errors import StaleStoreError
from lsbatch.storage import documents, journal

_Corner = tuple[float, float]


def _text(text: str) -> str:
    # json.loads of Python accepts half of a character, which no file of the inventory can hold
    if any("\ud800" <= one <= "\udfff" for one in text):
        raise ValueError("has a surrogate, half of a character")
    return text


_Text = Annotated[str, AfterValidator(_text)]


@dataclass(frozen=True)
class _Answer:
    landslide_id: _Text
    version: Annotated[int, Field(ge=0, lt=2**31)]
    state: Literal["unreviewed", "confirmed", "rejected"]
    reviewer: _Text
    comment: _Text
    at: _Text = ""
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
