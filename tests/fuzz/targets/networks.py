"""Weights with their cards, and networks of others with their items."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lsbatch.models import base, card_facts, cards, cart, families
from lsbatch.models.base import PACKAGED
from lsbatch.settings import PredictSettings
from tests import networks
from tests.fuzz.mutation import damaged_bytes, damaged_json, damaged_part
from tests.fuzz.targets.target import Target

SIDE_PX = 32
PREDICT = PredictSettings(device="cpu")


def weights(folder: Path) -> Target:
    """A file of weights whose card and header were changed and signed again."""
    seeds = _files_of_weights(folder)

    def feed(data: bytes) -> None:
        path = folder / "damaged.safetensors"
        path.write_bytes(data)
        use(path)

    other_bytes = damaged_bytes(seeds).map(lambda data: _signed(data, _header(data)) if _has_header(data) else data)
    return Target(st.one_of(damaged_part(seeds, _header, _signed), other_bytes), seeds, feed)


def item(folder: Path) -> Target:
    """The STAC item of a network of others."""
    seeds = (json.dumps(networks.item()).encode(),)

    def feed(data: bytes) -> None:
        path = networks.write(folder)
        path.write_bytes(data)
        use(path)

    return Target(damaged_json(seeds), seeds, feed)


def graph(folder: Path) -> Target:
    """The ONNX file of a network of others."""
    seeds = (networks.blur().SerializeToString(),)

    def feed(data: bytes) -> None:
        use(networks.write(folder, data))

    return Target(damaged_bytes(seeds), seeds, feed)


def use(path: Path) -> None:
    """Show a model as `lsbatch models show` does, check it, and predict a small block."""
    card = base.card(path)
    facts = card_facts.facts(card)
    json.dumps(facts)
    for _, rows in card_facts.tables(facts):
        assert all(isinstance(text, str) for row in rows for text in row)
    card_facts.notes(facts)
    family = families.of_card(card)
    family.check(card, PREDICT)
    halo = base.halo_px(card, PREDICT)
    if halo > SIDE_PX or SIDE_PX % card.lattice_px:
        # `base.check` refuses it for a tile of this size
        return
    block = np.zeros((SIDE_PX + 2 * halo, SIDE_PX + 2 * halo), np.float32)
    found = base.answer(path, dict.fromkeys(card.bands, block), halo, PREDICT)
    assert found.shape == (SIDE_PX, SIDE_PX)


def _files_of_weights(folder: Path) -> tuple[bytes, ...]:
    from lsbatch.models import unet

    network = unet.UNet(3, 2, 2).eval()
    bands = ("preVV", "postVV", "dNDVI")
    card = unet.card(bands, 2, 2, 0.0, means=(-12.0, -11.0, 0.0), stds=(3.0, 2.5, 0.2))
    scores = {"test": {"tp": 3, "fp": 1, "fn": 2, "tn": 9, "blocks": [[1, 2, 3, 4]] * 3}}
    cards.save(
        folder / "unet.safetensors", unet.state(network), replace(card, scores=scores, made_by={"surveys": ["a"]})
    )
    rng = np.random.default_rng(0)
    tree = cart.fit(rng.normal(size=(60, 2)), np.repeat(["landslide", "other"], 30), 0)
    cards.save(folder / "cart.safetensors", tree, cart.card(("dNDVI", "slope")))
    packaged = PACKAGED / "disturbance.safetensors"
    return tuple(path.read_bytes() for path in (folder / "unet.safetensors", folder / "cart.safetensors", packaged))


def _has_header(data: bytes) -> bool:
    try:
        _header(data)
    except (ValueError, TypeError, KeyError, struct.error, RecursionError, AttributeError):
        return False
    return True


def _header(data: bytes) -> Any:
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    return header | {"__metadata__": {cards.KEY: json.loads(header["__metadata__"][cards.KEY])}}


def _signed(data: bytes, header: Any) -> bytes:
    """Return a file with another header. Its card has the checksum that it must have, if it can be computed."""
    length = struct.unpack("<Q", data[:8])[0]
    arrays = data[8 + length :]
    try:
        card = header["__metadata__"][cards.KEY]
        if card["checksum"] == _header(data)["__metadata__"][cards.KEY]["checksum"]:
            card["checksum"] = cards.checksum(_arrays(header, arrays), SimpleNamespace(**card))  # type: ignore[arg-type]
        text = json.dumps(header | {"__metadata__": {cards.KEY: json.dumps(card)}})
    except (KeyError, TypeError, ValueError, AttributeError):
        text = json.dumps(header)
    return struct.pack("<Q", len(text)) + text.encode() + arrays


def _arrays(header: Any, data: bytes) -> dict[str, np.ndarray]:
    kinds = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "I64": "<i8", "I16": "<i2", "U8": "u1", "F64": "<f8"}
    return {
        name: np.frombuffer(data[slice(*one["data_offsets"])], kinds[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
        if name not in ("__metadata__", cards.SAMPLE)
    }
