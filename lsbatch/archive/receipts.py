"""Receipts: the only state. One JSON file a stage and tile, written after the data and removed before it changes."""

import hashlib
import json
from pathlib import Path

from lsbatch.archive.files import write_json
from lsbatch.records import Receipt


def path(folder: Path, stage: str, tile: str) -> Path:
    """Where the receipt of a stage and tile lies."""
    return folder / stage / f"{tile}.json"


def write(folder: Path, receipt: Receipt) -> None:
    """Write a receipt atomically."""
    write_json(path(folder, receipt.stage, receipt.tile), receipt.to_dict())


def remove(folder: Path, stage: str, tile: str) -> None:
    """Take the receipt away before its data are touched, so that a kill in between is seen as undone."""
    path(folder, stage, tile).unlink(missing_ok=True)


def read_stage(folder: Path, stage: str) -> dict[str, Receipt]:
    """All receipts of a stage by tile; a receipt that cannot be parsed counts as absent."""
    found = {}
    for file in sorted((folder / stage).glob("*.json")):
        try:
            receipt = Receipt.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
            # a damaged receipt proves nothing: the tile is done again
            continue
        found[receipt.tile] = receipt
    return found


def checksum(file: Path) -> str:
    """16 hex digits of a file's bytes."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
