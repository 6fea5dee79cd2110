"""Weights on disk: what goes in comes out, and nothing else is loaded."""

import json
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lsbatch.errors import ModelError, StaleStoreError
from lsbatch.models import cards, families
from tests.models.conftest import make_card

ARRAYS = {"a": np.arange(12, dtype=np.float16).reshape(3, 4), "b": np.array([1.5], np.float32)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file of weights."""
    path = tmp_path / "small.safetensors"
    cards.save(path, ARRAYS, replace(make_card(3, 4), scores={"test": {"mcc": 0.8, "f1": None}}, made_by={"seed": 1}))
    return path


def test_what_was_saved_comes_back(file: Path) -> None:
    found = cards.card(file)
    assert replace(found, checksum="", scores={}, made_by={}) == make_card(3, 4)
    assert found.scores == {"test": {"mcc": 0.8, "f1": None}}
    arrays = cards.arrays(file)
    assert arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(arrays[name], value)


def test_views_are_saved_as_they_look(tmp_path: Path) -> None:
    turned = {"a": ARRAYS["a"].T, "b": ARRAYS["a"][:, ::-1]}
    cards.save(tmp_path / "view.safetensors", turned, make_card(3, 4))
    for name, value in cards.arrays(tmp_path / "view.safetensors").items():
        np.testing.assert_array_equal(value, turned[name])


def test_checksum_follows_whatever_changes_an_answer() -> None:
    card = make_card(3, 4)
    first = cards.checksum(ARRAYS, card)
    assert cards.checksum(dict(reversed(ARRAYS.items())), card) == first
    assert cards.checksum(ARRAYS, replace(card, scores={"mcc": 1}, made_by={"x": 1}, settings={"epochs": 2})) == first
    others = [
        cards.checksum({**ARRAYS, "b": np.array([1.25], np.float32)}, card),
        cards.checksum({**ARRAYS, "a": ARRAYS["a"].reshape(4, 3)}, card),
        cards.checksum(ARRAYS, replace(card, means=(0.0, 0.0, 0.0))),
        cards.checksum(ARRAYS, replace(card, bands=tuple(reversed(card.bands)))),
    ]
    assert len({first, *others}) == len(others) + 1


def test_a_file_that_is_replaced_is_read_again(file: Path) -> None:
    before = cards.card(file)
    cards.save(file, {"a": ARRAYS["a"] + 1}, make_card(3, 4))
    assert cards.card(file).checksum != before.checksum


def test_the_card_is_read_without_torch(file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lsbatch.models.cards import card; card(Path(sys.argv[1])); "
        "assert not {'torch', 'sklearn', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)


class Trap:
    """Would make a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Trap(sprung)))
    for read in (cards.card, cards.arrays):
        with pytest.raises(ModelError, match="not a safetensors file") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert not sprung.exists()


def test_a_torch_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="not a safetensors file"):
        cards.card(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a": 1} ',
        struct.pack("<Q", 20) + b'{"__metadata__": 1 }',
        struct.pack("<Q", 10) + b'{"a": {}} ',
        struct.pack("<Q", 31) + b'{"a": {"data_offsets": [0,"x"]}}'[:31],
        struct.pack("<Q", 2000) + b"[" * 2000,
    ],
    ids=["empty", "short", "huge", "no text", "list", "no entry", "metadata", "no offsets", "no number", "deep"],
)
def test_no_content_gives_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        cards.card(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.safetensors: cannot be read: No such file"):
        cards.card(tmp_path / "nowhere.safetensors")
    with pytest.raises(ModelError, match="cannot be read"):
        cards.card(tmp_path)


def test_a_file_that_was_cut_short_is_named(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ModelError, match="is damaged: it has"):
        cards.card(file)


def test_a_changed_number_is_found(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    cards.card(file)
    with pytest.raises(ModelError, match="do not have the checksum"):
        cards.arrays(file)


def test_weights_of_other_software_are_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file(ARRAYS, path)
    with pytest.raises(ModelError, match="has no model of lsbatch"):
        cards.card(path)


@pytest.mark.parametrize("text", ["no json", "[]", "{}", json.dumps({"family": "unet", "bands": 3})])
def test_a_card_of_another_version_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "old.safetensors"
    save_file(ARRAYS, path, metadata={cards.KEY: text})
    with pytest.raises(ModelError, match="another version of lsbatch"):
        cards.card(path)


def test_what_was_there_survives_a_write_that_fails(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cards, "save_file", full)
    with pytest.raises(StaleStoreError, match="No space left"):
        cards.save(file, ARRAYS, make_card(3, 4))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


# A card is signed by whoever wrote it, so its checksum says nothing about its values

STRUCTURES: dict[str, tuple[dict[str, object], str]] = {
    "text as a number": ({"width": "8"}, "network.width"),
    "true as a number": ({"depth": True}, "network.depth"),
    "a text that would be repeated": ({"width": "ab", "depth": 10}, "network.width"),
    "levels without end": ({"depth": 10**9}, "a network 4096 channels"),
    "no levels": ({"depth": 0}, "network.depth"),
    "a temperature of 0": ({"temperature": 0}, "network.temperature"),
    "no temperature": ({"temperature": None}, "network.temperature"),
    "not a number": ({"side_m": float("nan")}, "network.side_m"),
    "a window without end": ({"window_m": 1e300}, "network.window_m"),
    "a list as a name": ({"architecture": ["Unet"]}, "network.architecture"),
}


@pytest.mark.parametrize(("changes", "said"), STRUCTURES.values(), ids=STRUCTURES)
def test_impossible_structures_are_refused(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    of = make_card(3, 4)
    cards.save(path, ARRAYS, replace(of, network={**of.network, **changes}))
    with pytest.raises(ModelError, match=said):
        cards.card(path)


@pytest.mark.parametrize("name", ["depth", "width", "dropout"])
def test_a_structure_that_lacks_a_value_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    of = make_card(3, 4)
    cards.save(path, ARRAYS, replace(of, network={key: one for key, one in of.network.items() if key != name}))
    with pytest.raises(ModelError, match=f"lacks network.{name}"):
        families.of_card(cards.card(path))
