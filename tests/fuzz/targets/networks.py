"""Weights with their cards, and networks of others with their items."""

import json
import struct
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lsbatch.bands import FULL_STACK
from lsbatch.kernels.statistics import dissimilarity
from lsbatch.models import applicability, base, card_facts, cards, cart, ensembles, families
from lsbatch.models.base import PACKAGED
from lsbatch.models.model_card import Applicability, changes
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
    found = base.answer(path, dict.fromkeys(card.bands, _block(halo)), halo, PREDICT)
    assert found.shape == (SIDE_PX, SIDE_PX)
    if card.applicability is not None and set(card.bands) <= set(FULL_STACK.names):
        ring = dissimilarity.HALO_PX
        index = applicability.index(path, dict.fromkeys(card.bands, _block(ring)), ring)
        assert index.shape == (SIDE_PX, SIDE_PX)


@lru_cache(maxsize=8)
def _block(halo: int) -> np.ndarray:
    """Return a band with different values, so that there is texture."""
    return np.random.default_rng(0).uniform(0.05, 0.5, (SIDE_PX + 2 * halo,) * 2).astype(np.float32)


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
    described, cells = _description(bands, rng)
    cards.save(folder / "described.safetensors", unet.state(network), replace(card, applicability=described), cells)
    cards.save(
        folder / "members.safetensors", ensembles.joined([unet.state(network)] * 2), ensembles.described(card, 2)
    )
    packaged = PACKAGED / "disturbance.safetensors"
    return tuple(path.read_bytes() for path in (*sorted(folder.glob("*.safetensors")), packaged))


def _description(bands: tuple[str, ...], rng: np.random.Generator) -> tuple[Applicability, np.ndarray]:
    """Return a description of the training, and its sample."""
    block = dict.fromkeys(bands, _block(0))
    count = applicability.features(block, bands).shape[-1]
    cells = rng.normal(size=(20, count)).astype(np.float16)
    unsigned = Applicability(
        means=(0.0,) * count, stds=(1.0,) * count, distance=1.5, limit=0.5,
        quantiles=dict.fromkeys(bands, (0.0, 1.0, 2.0, 3.0, 4.0)), changes=dict.fromkeys(changes(bands), (-1.0, 1.0)),
        resolution_m=(10.0, 10.0), scenes={"s1": (2, 9)}, seasons=(("05-01", "06-30"),), folds="five", surveys=("a",),
        checksum="",
    )  # fmt: skip
    return replace(unsigned, checksum=cards.sample_checksum(cells, unsigned)), cells


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
