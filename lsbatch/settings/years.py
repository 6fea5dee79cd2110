"""Settings of each year of a series of annual surveys, from one settings file.

`{year}` in any text of a settings file is replaced by `survey.year`, before the settings are checked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lsbatch.errors import ConfigError
from lsbatch.settings.error_sentences import LONGEST_VALUE

#: What a text of a settings file may contain in place of the survey's year.
YEAR = "{year}"
_PART = r"(\d{4})(?:-(\d{4}))?"


def parse_years(text: str) -> tuple[int, ...]:
    """Return the years of a text such as 2018-2026 or 2018,2020,2024, ascending and each once.

    Raises
    ------
    ConfigError
    """
    years: set[int] = set()
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(_PART, part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ConfigError(
                f"--years {text!r}: {part!r} is no year and no first and last year; write for example 2018-2026 or "
                "2018,2020,2024"
            )
        years.update(range(first, last + 1))
    return tuple(sorted(years))


def moved(raw: Mapping[str, Any], year: int | None, where: str) -> dict[str, Any]:
    """Return the plain values of a settings file for a year of a series; for its own year if `year` is None.

    Parameters
    ----------
    raw : mapping
        Plain values that were not checked yet.
    year : int or None
        The date windows follow it. The id and the folder of the survey are those of `survey_id` and `folder`.
    where : str
        Name of the settings file, for the error.

    Raises
    ------
    ConfigError
        If the settings are of an event, or name a file that belongs to one year only.
    """
    survey = raw.get("survey")
    if not isinstance(survey, dict):
        # refused when the settings are checked
        return dict(raw)
    if year is not None:
        _refuse_one_year(raw, where)
        own = {"year": year, "id": survey_id(str(survey.get("id", "survey")), survey.get("year"), year)}
        survey = survey | own
        raw = {**raw, "survey": survey, "output": folder(str(raw.get("output", "survey")), where)}
    known: dict[int, Any] = {}
    return {name: _filled(value, survey.get("year"), known) for name, value in raw.items()}


def survey_id(name: str, old: Any, year: int) -> str:
    """Return the id of a year: with the year in place of the old one or of `{year}`, else with the year at its end."""
    if YEAR in name:
        return name
    # not inside a longer number
    found = re.sub(rf"(?<!\d){old}(?!\d)", str(year), name) if isinstance(old, int) else name
    return found if re.search(rf"(?<!\d){year}(?!\d)", found) else f"{found}-{year}"


def folder(output: str, where: str) -> str:
    """Return the folder of a year: the last part of `output` if that contains `{year}`, else a folder in `output`."""
    output = output.rstrip("/")
    before, _, last = output.rpartition("/")
    if YEAR in before:
        raise ConfigError(
            f"{where}: output = {output[:LONGEST_VALUE]!r}: only the last folder may contain {YEAR}, so that all years "
            "lie side by side"
        )
    return output if YEAR in last else f"{output}/{YEAR}"


def _refuse_one_year(raw: Mapping[str, Any], where: str) -> None:
    if raw["survey"].get("kind", "annual") != "annual":
        raise ConfigError(
            f"{where}: survey.kind = {str(raw['survey']['kind'])[:LONGEST_VALUE]!r}: --years moves the season of an "
            "annual survey from year to year, and an event has only its own date; write settings for each event"
        )
    for name, value in _undated(raw):
        dated = ", or set truth.date_field" if name == "truth.file" else ""
        raise ConfigError(
            f"{where}: {name[:LONGEST_VALUE]} = {str(value)[:LONGEST_VALUE]!r}: belongs to one year, and --years "
            f"would use it for all; write {YEAR} where its name has the year{dated}"
        )


def _undated(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings that name a file of one year."""
    truth, inventory = raw.get("truth"), raw.get("inventory")
    if isinstance(truth, dict) and not truth.get("date_field") and YEAR not in str(truth.get("file", YEAR)):
        yield "truth.file", truth["file"]
    others = inventory.get("others") if isinstance(inventory, dict) else None
    for name, file in others.items() if isinstance(others, dict) else ():
        if YEAR not in str(file):
            yield f"inventory.others.{name}", file


def _filled(value: Any, year: Any, known: dict[int, Any]) -> Any:
    """Return a value with the year in place of `{year}` in all of its texts.

    `known` are the values that were filled, by `id`: aliases of YAML may name a value often, or inside itself.
    """
    if isinstance(value, str):
        return value.replace(YEAR, str(year)) if isinstance(year, int) else value
    if not isinstance(value, dict | list):
        return value
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, dict):
        mapping: dict[Any, Any] = {}
        known[id(value)] = mapping
        mapping.update({key: _filled(one, year, known) for key, one in value.items()})
        return mapping
    items: list[Any] = []
    known[id(value)] = items
    items.extend(_filled(one, year, known) for one in value)
    return items
