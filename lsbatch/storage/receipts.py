"""Receipts: the only state. One JSON file a stage and tile, written after the data and removed before it changes."""

import hashlib
import json
from pathlib import Path

from lsbatch.pipeline.types import Receipt
from lsbatch.storage import files, objects


def path(folder: Path, stage: str, tile: str) -> Path:
    """Where the receipt of a stage and tile lies."""
    return folder / stage / f"{tile}.json"


def write(folder: Path, receipt: Receipt) -> None:
    """Write a receipt atomically."""
    files.write_json(path(folder, receipt.stage, receipt.tile), receipt.to_dict())


def remove(folder: Path, stage: str, tile: str) -> None:
    """Take the receipt away before its data are touched, so that a kill in between is seen as undone."""
    files.remove(path(folder, stage, tile))


def read_stage(folder: Path, stage: str) -> dict[str, Receipt]:
    """All receipts of a stage by tile; a receipt that cannot be parsed counts as absent."""
    found = {}
    for text in files.read_folder(folder / stage, ".json").values():
        try:
            receipt = Receipt.from_dict(json.loads(text))
        except (ValueError, TypeError, AttributeError, RecursionError):
            # a damaged receipt proves nothing: the tile is done again
            continue
        found[receipt.tile] = receipt
    return found


def checksum(file: Path) -> str:
    """16 hex digits of a file's bytes."""
    if objects.is_remote(file):
        return hashlib.blake2b(objects.get(file), digest_size=8).hexdigest()
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
