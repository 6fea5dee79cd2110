"""A network of others as one value: what its item says, its graph, and its model card."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lsbatch.errors import ModelError
from lsbatch.models.mlm import graph, item, item_schema
from lsbatch.models.model_card import Card

#: Suffix of an item; files of weights have another one.
SUFFIX = ".json"
#: Value of ``model.family``.
FAMILY = "onnx"
#: Time of the last write, size and inode: a replaced file has another one.
_State = tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    """A network of others.

    Attributes
    ----------
    description : Description
    graph : Graph
    checksum : str
        16 hex digits of the bytes of the item and of all files of the network.
    """

    description: item.Description
    graph: graph.Graph
    checksum: str


def read(path: Path) -> Network:
    """Return the checked network of an item. It is kept until one of its files is replaced.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the item and the graph do not fit each other.
    """
    network, states = _read(path, _state(path))
    if _states(network) != states:
        _read.cache_clear()
        network, _ = _read(path, _state(path))
    return network


def with_model(path: Path, checksum: str) -> tuple[Network, bytes]:
    """Return the network of an item, and its model in the form for ONNX Runtime.

    Raises
    ------
    ModelError
        If the files no longer have this checksum.
    """
    network, model = _loaded(path)
    if network.checksum != checksum:
        raise ModelError(f"{path}: was replaced while it was used; run the command again")
    return network, model


@lru_cache(maxsize=16)
def _read(path: Path, _item: _State) -> tuple[Network, tuple[_State, ...]]:
    network, _ = _loaded(path)
    return network, _states(network)


def _loaded(path: Path) -> tuple[Network, bytes]:
    content = graph.content(path, item_schema.LARGEST_BYTES)
    description = item.describe(content, path)
    made, model = graph.load(description.asset)
    graph.check(made, description)
    checksum = hashlib.blake2b(content + made.checksum.encode(), digest_size=8).hexdigest()
    return Network(description, made, checksum), model


def _states(network: Network) -> tuple[_State, ...]:
    return tuple(map(_state, (network.description.asset, *network.graph.files)))


def _state(path: Path) -> _State:
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    return state.st_mtime_ns, state.st_size, state.st_ino


def card(path: Path) -> Card:
    """Return the model card of an item.

    Raises
    ------
    ModelError
        As `read`.
    """
    network = read(path)
    of = network.description
    count = len(of.bands)
    structure = {"item": str(path), "architecture": of.facts.architecture, "output": of.kind, "window_px": of.window_px}
    return Card(
        FAMILY,
        of.bands,
        (0.0,) * count,
        (1.0,) * count,
        structure,
        of.halo_px,
        of.lattice_px,
        scores=of.facts.scores,
        made_by=_made_by(of.facts),
        checksum=network.checksum,
    )


def _made_by(facts: item_schema.Properties) -> dict[str, Any]:
    """Return what the item says about the training, for the card."""
    surveys = facts.learned_from.get("surveys", ())
    known = {key: value for key, value in facts.learned_from.items() if key not in ("surveys", "split")}
    return {
        **known,
        "surveys": [str(name) for name in surveys] if isinstance(surveys, list) else [],
        **({"applicability": facts.applicability} if facts.applicability else {}),
        **({"license": facts.license} if facts.license else {}),
    }
