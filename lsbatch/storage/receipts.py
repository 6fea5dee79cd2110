"""Receipts: one JSON file a stage and tile, written after the data and removed before they change."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lsbatch.storage import documents, files, objects


@dataclass(frozen=True)
class Receipt:
    """Proof that a stage is done for a tile, or the reason of its failure; truthy if it succeeded.

    Attributes
    ----------
    attempts : int
        Attempts so far, in this run and earlier ones.
    may_pass : bool
        Whether the failure is transient, so that another attempt can succeed.
    sums : mapping of band or file to text
        Checksums of the data written: stored numbers of a layer, or files of a part.
    cpu_s, read_mb, written_mb : float
        Of the process during the tile: CPU seconds of all threads, and megabytes read from and written to files,
        without network transfers. 0 if the system does not report them.
    """

    stage: str
    tile: str
    digest: str
    seconds: float
    pixels: int
    peak_mb: float
    worker: str
    finished: str
    tally: Mapping[str, Any] = field(default_factory=dict)
    scenes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    error: str | None = None
    trace: str | None = None
    attempts: int = 1
    may_pass: bool = False
    sums: Mapping[str, str] = field(default_factory=dict)
    cpu_s: float = 0.0
    read_mb: float = 0.0
    written_mb: float = 0.0

    def __bool__(self) -> bool:
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


_RECEIPT = TypeAdapter(Receipt)


def path(folder: Path, stage: str, tile: str) -> Path:
    """Return the file of a receipt."""
    return folder / stage / f"{tile}.json"


def write(folder: Path, receipt: Receipt) -> None:
    """Write a receipt atomically."""
    files.write_json(path(folder, receipt.stage, receipt.tile), receipt.to_dict())


def remove(folder: Path, stage: str, tile: str) -> None:
    """Remove the receipt before its data change, so that the tile is pending after a kill."""
    files.remove(path(folder, stage, tile))


def read(folder: Path, stage: str, tile: str) -> Receipt | None:
    """Read the receipt of a tile; None if there is none, or if it is damaged."""
    try:
        return parsed(files.read_bytes(path(folder, stage, tile)))
    except FileNotFoundError:
        # not looked for first: another attempt may remove it in between
        return None


def read_stage(folder: Path, stage: str) -> dict[str, Receipt]:
    """Read all receipts of a stage by tile. A damaged receipt counts as absent."""
    read = map(parsed, files.read_folder(folder / stage, ".json").values())
    return {receipt.tile: receipt for receipt in read if receipt is not None}


def parsed(text: bytes) -> Receipt | None:
    """Return the receipt; None if it is damaged, so that the tile is done again. Unknown keys are ignored."""
    return documents.parsed(text, _RECEIPT)


def checksum(file: Path) -> str:
    """Return 16 hex digits of the bytes of a file."""
    if objects.is_remote(file):
        return hashlib.blake2b(objects.get(file), digest_size=8).hexdigest()
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
