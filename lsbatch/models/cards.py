"""Weights on disk: arrays and a model card in one safetensors file. No pickle is read.

The card is JSON in the header of the file. It is read without torch and without the arrays.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lsbatch.errors import ModelError, StaleStoreError
from lsbatch.models.model_card import Card
from lsbatch.storage.files import aside

__all__ = ["Card", "arrays", "card", "checksum", "save"]

#: Key of the card in the metadata of the header.
KEY = "lsbatch"
#: Maximum bytes of a header. A header has a few thousand bytes; a longer one belongs to another kind of file.
LONGEST_HEADER = 10_000_000
#: Maximum channels of the innermost layer, which usually has 1024. The weights grow with the square.
WIDEST = 4096
#: Maximum halo and lattice; a tile has up to 8192 px.
LARGEST_PX = 8192


def card(path: Path) -> Card:
    """Read the model card of a file of weights.

    Raises
    ------
    ModelError
        If the file is missing, is not a safetensors file (a pickle, for example), is truncated, or has no card.
    """
    path = Path(path)
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    # called once for each tile, so the card is cached; a replaced file has another time, size or inode
    return _card(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _card(path: Path, _mtime_ns: int, size: int, _inode: int) -> Card:
    header = _header(path, size)
    text = header.get("__metadata__", {}).get(KEY)
    if text is None:
        raise ModelError(f"{path}: is a safetensors file, but has no model of lsbatch; make one with 'lsbatch train'")
    try:
        raw = json.loads(text)
        known = {f.name: raw[f.name] for f in fields(Card)}
        lists = {name: tuple(known[name]) for name in ("bands", "means", "stds")}
        found = Card(**{**known, **lists})
        _validate(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: its card was written by another version of lsbatch ({error!r})") from None
    return found


def _validate(found: Card) -> None:
    """Check types and bounds of the values that are used before the arrays are loaded."""
    texts, numbers = (found.family, found.checksum, *found.bands), (*found.means, *found.stds)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError("family, bands and checksum must be text")
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError("means and deviations must be numbers")
    widest = found.network.get("width", 1) * 2 ** min(found.network.get("depth", 0), 64)
    if not (0 <= found.halo_px <= LARGEST_PX and 0 < found.lattice_px <= LARGEST_PX and widest <= WIDEST):
        raise ValueError(f"halo and lattice may have {LARGEST_PX} px, a network {WIDEST} channels")


def _header(path: Path, size: int) -> dict[str, Any]:
    """Read the JSON header: its length is in the first eight bytes."""
    refusal = f"{path}: is not a safetensors file; other formats are not loaded, because a pickle could run code"
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(LONGEST_HEADER, size - 8):
                raise ModelError(refusal)
            header = json.loads(file.read(length))
        dict(header.get("__metadata__", {}))
        entries = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
        expected = 8 + length + max(map(int, entries), default=0)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise ModelError(refusal) from None
    if expected != size:
        raise ModelError(f"{path}: is damaged: it has {size} bytes, its header says {expected}")
    return header


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file of weights.

    Raises
    ------
    ModelError
        If their checksum differs from that in the card.
    """
    expected = card(path)
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    if checksum(found, expected) != expected.checksum:
        raise ModelError(f"{path}: is damaged: its arrays do not have the checksum {expected.checksum} of its card")
    return found


def checksum(found: Mapping[str, np.ndarray], of: Card) -> str:
    """Return 16 hex digits of the arrays and of everything else that affects a prediction."""
    key = [of.family, of.bands, of.means, of.stds, of.network, of.halo_px, of.lattice_px]
    total = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8)
    for name in sorted(found):
        total.update(f"{name} {found[name].dtype} {found[name].shape}".encode())
        total.update(np.ascontiguousarray(found[name]).tobytes())
    return total.hexdigest()


def save(path: Path, found: Mapping[str, np.ndarray], unsigned: Card) -> Card:
    """Write weights aside and rename them; return the card with its checksum.

    Raises
    ------
    StaleStoreError
        If the folder cannot be written to. An existing file is kept.
    """
    signed = replace(unsigned, checksum=checksum(found, unsigned))
    # safetensors writes memory in its present order: a view would be stored in a wrong order
    contiguous = {name: np.ascontiguousarray(value) for name, value in found.items()}
    try:
        with aside(path) as temporary:
            save_file(contiguous, temporary, metadata={KEY: json.dumps(asdict(signed))})
    except (OSError, SafetensorError) as error:
        raise StaleStoreError(f"{path}: cannot be written: {error}") from None
    return signed
