"""Compare two benchmark results and name what became slower."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsbatch.commands.bench.measurement import FORMAT
from lsbatch.errors import LsbatchError
from lsbatch.storage.files import read_text

#: Smaller relative differences occur by chance between two runs of the same program.
TOLD = 1.1


def read(path: Path) -> dict[str, Any]:
    """Read a saved result of `lsbatch bench`.

    Raises
    ------
    LsbatchError
        If the file is not such a result.
    """
    try:
        found = json.loads(read_text(path))
    except FileNotFoundError:
        raise LsbatchError(f"--compare {path}: this file does not exist") from None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not _whole(found):
        raise LsbatchError(f"--compare {path}: was not written by lsbatch bench of this version (format {FORMAT})")
    return found


def _whole(found: Mapping[str, Any]) -> bool:
    try:
        return all(
            isinstance(row["stage"], str) and row["p50_s"] > 0 and row["p95_s"] > 0 for row in found["stages"]
        ) and isinstance(found["machine"], dict)
    except (KeyError, TypeError):
        return False


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row a stage of both results: median seconds then and now, and `slower`, `faster` or `as before`.

    A stage is slower if its median tile takes more than a tenth longer and exceeds 95 % of the tiles of the old result.
    """
    before = {row["stage"]: row for row in old["stages"]}
    rows = []
    for row in new["stages"]:
        then = before.get(row["stage"])
        if then is None:
            continue
        ratio = row["p50_s"] / then["p50_s"]
        slower = ratio > TOLD and row["p50_s"] > then["p95_s"]
        faster = ratio < 1 / TOLD and row["p95_s"] < then["p50_s"]
        word = "slower" if slower else "faster" if faster else "as before"
        rows.append(
            {"stage": row["stage"], "then_s": then["p50_s"], "now_s": row["p50_s"], "ratio": ratio, "word": word}
        )
    return rows


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return all other differences, one sentence each."""
    found = []
    for where in ("machine", "settings"):
        for name in sorted(_flat(old.get(where)) | _flat(new.get(where))):
            one, other = (_flat(each.get(where)).get(name) for each in (old, new))
            if one != other and not (where == "settings" and name.startswith(("output", "bench."))):
                found.append(f"{name}: {one} then, {other} now")
    found += [
        f"{name}: {old.get(name)} then, {new.get(name)} now"
        for name in ("workers", "threads", "tiles")
        if old.get(name) != new.get(name)
    ]
    return found


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value} if name else {}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{name}.{key}" if name else str(key))
    return found
