"""Weights on disk: arrays and a model card in one safetensors file. No pickle is read.

The card is JSON in the header of the file. It is read without torch and without the arrays.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lsbatch.errors import ModelError, StaleStoreError
from lsbatch.models.mlm import model as mlm
from lsbatch.models.model_card import Applicability, Card, changes
from lsbatch.storage.documents import safetensors_header
from lsbatch.storage.files import aside

__all__ = ["Applicability", "Card", "arrays", "card", "checksum", "sample", "sample_checksum", "save"]

#: Key of the card in the metadata of the header.
KEY = "lsbatch"
#: Array with the sample of training cells. It affects no prediction and is not in the checksum of the weights.
SAMPLE = "applicability.sample"
#: Quantiles of each band in the description of the training.
QUANTILES = 5
#: Maximum channels of the innermost layer, which usually has 1024. The weights grow with the square.
WIDEST = 4096
#: Maximum halo and lattice; a tile has up to 8192 px.
LARGEST_PX = 8192
#: Maximum members of an ensemble: that of `train.members`.
MOST_MEMBERS = 10
#: Means and deviations of bands are smaller. A float32 holds 3.4e38.
LARGEST_VALUE = 1e30
#: Maximum characters of all names in a card, which messages quote. Those of all bands that lsbatch has need 343.
LONGEST_NAMES = 1000
#: Maximum characters of the text of a library or of a card in a message.
QUOTED = 300


class Structure(BaseModel):
    """Types and bounds of what a card may say in `Card.network`; a family reads some of it."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    depth: int = Field(1, ge=1)
    width: int = Field(1, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    temperature: float = Field(1.0, gt=0)
    side_m: float = Field(10.0, gt=0, le=1000)
    window_m: float = Field(10.0, gt=0, le=100_000)
    normal_median: float = Field(1.0, gt=0)
    penalty: float = Field(1.0, ge=0)
    chi_square: float = Field(0.5, gt=0, lt=1)
    consecutive: int = Field(1, ge=1, le=1000)
    bare_ndvi: float = Field(0.0, ge=-1, le=1)
    architecture: str = Field("", max_length=200)
    encoder: str = Field("", max_length=200)
    smp: str = Field("", max_length=200)


def card(path: Path) -> Card:
    """Read the model card of a file of weights, or make that of a network of others from its STAC item (``.json``).

    Raises
    ------
    ModelError
        If the file is missing, is not a safetensors file (a pickle, for example), is truncated, or has no card; and as
        `lsbatch.models.mlm.model.read`.
    """
    path = Path(path)
    if path.suffix == mlm.SUFFIX:
        return mlm.card(path)
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    # called once for each tile, so the card is cached; a replaced file has another time, size or inode
    return _card(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=64)
def _card(path: Path, _mtime_ns: int, size: int, _inode: int) -> Card:
    header = safetensors_header.read(path, size)
    text = header.get(safetensors_header.METADATA, {}).get(KEY)
    if text is None:
        raise ModelError(f"{path}: is a safetensors file, but has no model of lsbatch; make one with 'lsbatch train'")
    safetensors_header.check_kinds(path, header)
    try:
        raw = json.loads(text)
        known = {f.name: raw[f.name] for f in fields(Card) if f.name != "applicability"}
        lists = {name: tuple(known[name]) for name in ("bands", "means", "stds")}
        # older versions wrote none
        described = raw.get("applicability")
        found = Card(**{**known, **lists}, applicability=None if described is None else _applicability(described))
        _validate(found)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = repr(error)[:QUOTED]
        raise ModelError(f"{path}: its card was written by another version of lsbatch ({reason})") from None
    return found


def _validate(found: Card) -> None:
    """Check types and bounds of the values that are used before the arrays are loaded."""
    members = found.network.get("members", 1)
    if type(members) is not int or not 1 <= members <= MOST_MEMBERS:
        raise ValueError(f"an ensemble may have {MOST_MEMBERS} members")
    _check_structure(found.network)
    texts, numbers = (found.family, found.checksum, *found.bands), (*found.means, *found.stds)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError("family, bands and checksum must be text")
    if not found.bands or sum(map(len, texts)) > LONGEST_NAMES:
        raise ValueError(f"a card must have bands, and names of up to {LONGEST_NAMES} characters in all")
    if not len(found.means) == len(found.stds) in (0, len(found.bands)):
        # a model that is not trained has none
        raise ValueError(f"there must be a mean and a deviation for each of {len(found.bands)} bands")
    if not all(type(number) in (int, float) and abs(number) < LARGEST_VALUE for number in numbers):
        raise ValueError("means and deviations must be numbers")
    if not all(isinstance(told, dict) for told in (found.network, found.settings, found.scores, found.made_by)):
        raise ValueError("network, settings, scores and made_by must be objects")
    if type(found.halo_px) is not int or type(found.lattice_px) is not int:
        raise ValueError("halo and lattice must be whole numbers")
    widest = found.network.get("width", 1) * 2 ** min(found.network.get("depth", 0), 64)
    if found.applicability is not None and not _is_complete(found.applicability, found.bands):
        raise ValueError("the description of the training has other bands than the card")
    if not (0 <= found.halo_px <= LARGEST_PX and 0 < found.lattice_px <= LARGEST_PX and widest <= WIDEST):
        raise ValueError(f"halo and lattice may have {LARGEST_PX} px, a network {WIDEST} channels")


def _check_structure(network: Any) -> None:
    """Check what a card says about the structure of its network."""
    try:
        Structure.model_validate(network)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"network.{'.'.join(map(str, first['loc']))[:80]}: {first['msg']}") from None


def _applicability(raw: dict[str, Any]) -> Applicability:
    """Return a description from JSON, with its types checked."""
    numbers = [raw[name] for name in ("distance", "limit")]
    lists = {name: tuple(map(float, raw[name])) for name in ("means", "stds", "resolution_m")}
    texts = {name: str(raw[name]) for name in ("folds", "checksum")}
    seasons = tuple((str(first), str(last)) for first, last in raw["seasons"])
    surveys = tuple(map(str, raw["surveys"]))
    if not (all(number > 0 for number in numbers) and len(lists["means"]) == len(lists["stds"]) > 0):
        raise ValueError("the description of the training is damaged")
    if not (np.isfinite([*lists["means"], *lists["stds"]]).all() and min(lists["stds"]) > 0):
        raise ValueError("the description of the training must have finite means and deviations above 0")
    if not all(text.isprintable() for text in (*texts.values(), *surveys, *(day for pair in seasons for day in pair))):
        raise ValueError("the description of the training must be text")
    if len(texts["checksum"]) > LONGEST_NAMES:
        raise ValueError(f"the checksum of the description of the training may have {LONGEST_NAMES} characters")
    distance, limit = map(float, numbers)
    least, most = lists["resolution_m"]
    return Applicability(
        means=lists["means"],
        stds=lists["stds"],
        distance=distance,
        limit=limit,
        quantiles={str(name): tuple(map(float, values)) for name, values in raw["quantiles"].items()},
        changes={str(name): (float(low), float(high)) for name, (low, high) in raw["changes"].items()},
        resolution_m=(least, most),
        scenes={str(name): (int(low), int(high)) for name, (low, high) in raw["scenes"].items()},
        seasons=seasons,
        surveys=surveys,
        **texts,
    )


def _is_complete(of: Applicability, bands: tuple[str, ...]) -> bool:
    return (
        set(of.quantiles) == set(bands)
        and set(of.changes) == set(changes(bands))
        and all(len(ends) == QUANTILES for ends in of.quantiles.values())
    )


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file of weights, without the sample of training cells.

    Raises
    ------
    ModelError
        If their checksum differs from that in the card.
    """
    expected = card(path)
    found = {name: value for name, value in _arrays(path).items() if name != SAMPLE}
    if checksum(found, expected) != expected.checksum:
        raise ModelError(f"{path}: is damaged: its arrays do not have the checksum {expected.checksum} of its card")
    return found


def sample(path: Path) -> np.ndarray:
    """Read the sample of training cells, array (cells, features) float16, standardised.

    Raises
    ------
    ModelError
        If the card has no description of the training, or the checksum of the sample differs.
    """
    described = card(path).applicability
    found = _arrays(path).get(SAMPLE)
    if described is None or found is None:
        raise ModelError(f"{path}: has no description of its training")
    if found.dtype.kind != "f" or not np.isfinite(found).all():
        raise ModelError(f"{path}: is damaged: its sample must be finite numbers")
    if (
        found.ndim != 2
        or found.shape[1] != len(described.means)
        or sample_checksum(found, described) != (described.checksum)
    ):
        raise ModelError(f"{path}: is damaged: its sample does not have the checksum {described.checksum} of its card")
    return found


def sample_checksum(found: np.ndarray, of: Applicability) -> str:
    """Return 16 hex digits of the sample and of the fields that affect the dissimilarity index."""
    key = json.dumps([of.means, of.stds, of.distance, of.limit, str(found.dtype), found.shape])
    return hashlib.blake2b(key.encode() + np.ascontiguousarray(found).tobytes(), digest_size=8).hexdigest()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        # it quotes what is wrong in the header, which may be long
        raise ModelError(f"{path}: cannot be read: {' '.join(str(error).split())[:QUOTED]}") from None


def checksum(found: Mapping[str, np.ndarray], of: Card) -> str:
    """Return 16 hex digits of the arrays and of everything else that affects a prediction."""
    key = [of.family, of.bands, of.means, of.stds, of.network, of.halo_px, of.lattice_px]
    total = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8)
    for name in sorted(found):
        total.update(f"{name} {found[name].dtype} {found[name].shape}".encode())
        total.update(np.ascontiguousarray(found[name]).tobytes())
    return total.hexdigest()


def save(path: Path, found: Mapping[str, np.ndarray], unsigned: Card, cells: np.ndarray | None = None) -> Card:
    """Write weights aside and rename them; return the card with its checksum.

    Parameters
    ----------
    path : Path
    found : mapping of str to array
    unsigned : Card
    cells : array (cells, features) float16, optional
        Sample of training cells, if the card describes the training.

    Raises
    ------
    StaleStoreError
        If the folder cannot be written to. An existing file is kept.
    """
    signed = replace(unsigned, checksum=checksum(found, unsigned))
    # safetensors writes memory in its present order: a view would be stored in a wrong order
    every = {**found, **({} if cells is None else {SAMPLE: cells})}
    contiguous = {name: np.ascontiguousarray(value) for name, value in every.items()}
    try:
        with aside(path) as temporary:
            save_file(contiguous, temporary, metadata={KEY: json.dumps(asdict(signed))})
    except (OSError, SafetensorError) as error:
        raise StaleStoreError(f"{path}: cannot be written: {error}") from None
    return signed
