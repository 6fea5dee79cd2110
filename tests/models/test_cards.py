"""Weights on disk: what goes in comes out, and nothing else is loaded."""

import json
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from lsbatch.errors import ModelError, StaleStoreError
from lsbatch.models import cards, families, model_card
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
        *(
            struct.pack("<Q", len(text)) + text
            for end in (b"Infinity", b"NaN", b"1e400", b"8.0", b"true", b"-1", b"9" * 4000)
            for text in [b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, ' + end + b"]}}"]
        ),
    ],
    ids=[
        "empty", "short", "huge", "no text", "list", "no entry", "metadata", "no offsets", "no number", "deep",
        *(f"end {what}" for what in ("infinite", "not a number", "too large", "fraction", "true", "below 0", "long")),
    ],
)  # fmt: skip
def test_no_content_gives_a_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        cards.card(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "BF16", "C64", "x" * 3000], ids=lambda kind: kind[:8])
def test_kinds_of_numbers_that_numpy_lacks_are_named(file: Path, kind: str) -> None:
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + length].replace(b'"F32"', json.dumps(kind).encode())
    file.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(ModelError, match=f"numbers of the kind '{kind[:40]}'; allowed are BOOL, ") as caught:
        cards.card(file)
    assert len(str(caught.value)) < 1000


def test_what_the_library_says_of_a_header_is_shortened(file: Path) -> None:
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + length].replace(b'"shape":[1]', b'"shape":"' + b"x" * 3000 + b'"')
    assert len(header) > 3000
    file.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(ModelError, match="cannot be read: Error while deserializing header") as caught:
        cards.arrays(file)
    assert len(str(caught.value)) < 1000


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


CARDS: dict[str, tuple[dict[str, object], str]] = {
    "no bands": ({"bands": ()}, "must have bands"),
    "fewer means": ({"means": (1.0, 2.0)}, "a mean and a deviation for each of 3 bands"),
    "fewer deviations": ({"stds": (1.0,)}, "a mean and a deviation for each of 3 bands"),
    "a family with a long name": ({"family": "x" * 3000}, "names of up to 1000 characters"),
    "long bands": ({"bands": ("x" * 3000, "y", "z")}, "names of up to 1000 characters"),
    "an error with a long text": ({"settings": "x", "halo_px": "x" * 3000}, "another version"),
}


@pytest.mark.parametrize(("changes", "said"), CARDS.values(), ids=CARDS)
def test_impossible_cards_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    cards.save(path, ARRAYS, replace(make_card(3, 4), **changes))
    with pytest.raises(ModelError, match=said) as caught:
        cards.card(path)
    assert len(str(caught.value)) < 1000


def test_a_network_without_means_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    cards.save(path, ARRAYS, replace(make_card(3, 4), means=(), stds=()))
    with pytest.raises(ModelError, match="lacks the mean and the deviation of each band"):
        families.of_card(cards.card(path))


DESCRIPTIONS: dict[str, dict[str, object]] = {
    "a number without end": {"scenes": {"s1": (1, float("inf"))}},
    "a whole number that no float holds": {"limit": 10**400},
    "a text that is no number": {"means": ("9" * 3000,)},
    "means that are no numbers": {"means": (float("nan"),)},
    "no deviation": {"stds": (0.0,)},
    "a long checksum": {"checksum": "x" * 3000},
}


@pytest.mark.parametrize("changes", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_impossible_descriptions_of_the_training_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    cards.save(path, ARRAYS, replace(make_card(3, 4), applicability=_description()))
    cards.card(path)
    cards.save(path, ARRAYS, replace(make_card(3, 4), applicability=replace(_description(), **changes)))
    with pytest.raises(ModelError, match="another version of lsbatch") as caught:
        cards.card(path)
    assert len(str(caught.value)) < 1000


def _description() -> cards.Applicability:
    bands = make_card(3, 4).bands
    ends = dict.fromkeys(model_card.changes(bands), (0.0, 1.0))
    return cards.Applicability(
        (0.0,), (1.0,), 1.0, 1.0, dict.fromkeys(bands, (0.0,) * 5), ends, (10.0, 10.0), {}, (), "", (), ""
    )


def test_a_sample_that_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    cells = np.array([[0.0], [np.nan]], np.float16)
    described = replace(_description(), checksum=cards.sample_checksum(cells, _description()))
    cards.save(path, ARRAYS, replace(make_card(3, 4), applicability=described), cells)
    with pytest.raises(ModelError, match="its sample must be finite numbers"):
        cards.sample(path)


@pytest.mark.parametrize("name", ["depth", "width", "dropout"])
def test_a_structure_that_lacks_a_value_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "signed.safetensors"
    of = make_card(3, 4)
    cards.save(path, ARRAYS, replace(of, network={key: one for key, one in of.network.items() if key != name}))
    with pytest.raises(ModelError, match=f"lacks network.{name}"):
        families.of_card(cards.card(path))
