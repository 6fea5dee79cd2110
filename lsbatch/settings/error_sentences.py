"""Errors in settings as sentences: what, where, what is allowed."""

from datetime import date
from typing import Any

from pydantic import BaseModel, ValidationError

from lsbatch.settings.config import Config
from lsbatch.settings.survey import Section

#: Characters of a wrong name or value that a message shows.
LONGEST_VALUE = 120
#: Characters of the sentence about one fault, and of all together, without the file's name.
LONGEST_SENTENCE, LONGEST_TOTAL = 1000, 1500


def of_settings(error: ValidationError) -> str:
    """Return a sentence for each fault; of many, for the first ones."""
    faults = error.errors(include_url=False)
    told: list[str] = []
    for sentence in map(_sentence, faults):
        if told and sum(map(len, told)) + len(sentence) > LONGEST_TOTAL:
            return f"{'; '.join(told)}; and {len(faults) - len(told)} more"
        told.append(sentence)
    return "; ".join(told)


def line(error: Exception) -> str:
    """Return the text of an error of a parser, which may quote the file, as one line."""
    return " ".join(str(error).split())[:LONGEST_SENTENCE]


def _sentence(fault: Any) -> str:
    field = ".".join(str(part) for part in fault["loc"])[:LONGEST_VALUE] or "settings"
    if fault["type"] == "missing":
        return f"{field}: is missing"
    if fault["type"] == "extra_forbidden":
        return f"{field}: is not a setting{_nearest(fault['loc'])}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{field}{_shown(fault['input'])}: {message[0].lower()}{message[1:LONGEST_SENTENCE]}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, BaseModel)):
        return ""
    text = value.isoformat() if isinstance(value, date) else repr(value)
    return f" = {text}" if len(text) <= LONGEST_VALUE else f" = {text[:LONGEST_VALUE]}..."


def _nearest(loc: tuple[Any, ...]) -> str:
    section: Any = Config
    for part in loc[:-1]:
        section = section_of(section.model_fields[part].annotation)
    return f"; allowed: {', '.join(section.model_fields)}"


def section_of(annotation: Any) -> Any:
    """Return the Section inside ``X`` or ``X | None``; None if there is none."""
    options = getattr(annotation, "__args__", (annotation,))
    return next((option for option in options if isinstance(option, type) and issubclass(option, Section)), None)
