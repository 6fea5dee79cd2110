"""Documents of a survey: a damaged one is one sentence, or counts as absent where it can be made again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsbatch.catalog import dating_passes, plan, plan_documents, survey_version
from lsbatch.errors import LsbatchError, StaleStoreError
from lsbatch.storage import lease, receipts
from lsbatch.storage.documents import answer_file, cube_listing

#: What no document of lsbatch is.
DAMAGED = {
    "empty": b"",
    "not UTF-8": b'\xff{"a": 1}',
    "cut off": b'{"settings": "x", "gri',
    "nested without end": b"[" * 100_000,
    "null": b"null",
    "a number": b"7",
    "a text": b'"x"',
    "a list": b"[1, 2]",
    "an object of others": b'{"x": 1}',
    "a surrogate": b'{"lsbatch": "\\ud800", "settings": "\\ud800", "scenes": "\\ud800"}',
    "wrong kinds": b'{"lsbatch": 3, "settings": [], "scenes": {"pre_s2": 3}, "consolidated_metadata": 5}',
}
READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "plan": (plan.file, plan.load),
    "tile": (lambda root: plan.tile_file(root, "r000c000"), lambda root: plan.tile_scenes(root, "r000c000")),
    "passes": (
        lambda root: dating_passes.file(root, "r000c000"),
        lambda root: dating_passes.tile_scenes(root, "r000c000"),
    ),
    "version": (survey_version.file, survey_version.check),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_document_is_one_sentence(name: str, text: bytes, tmp_path: Path) -> None:
    place, read = READERS[name]
    path = place(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    with pytest.raises(StaleStoreError, match=r"is damaged \(") as error:
        read(tmp_path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 800


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_receipt_or_lease_counts_as_absent(text: bytes, tmp_path: Path) -> None:
    receipt = receipts.path(tmp_path, "stack", "r000c000")
    receipt.parent.mkdir()
    receipt.write_bytes(text)
    assert receipts.read(tmp_path, "stack", "r000c000") is None
    assert receipts.read_stage(tmp_path, "stack") == {}
    for name in ("all", "1-of-2"):
        (tmp_path / "lease").mkdir(exist_ok=True)
        (tmp_path / "lease" / f"{name}.json").write_bytes(text)
    assert lease.holders(tmp_path) == []
    with lease.acquire(tmp_path) as held:
        held.check()


@pytest.mark.parametrize("text", [b"", b"\xff", b"7", b'{"consolidated_metadata": 5}'])
def test_a_damaged_list_of_layers(text: bytes, tmp_path: Path) -> None:
    assert cube_listing.names(tmp_path / "zarr.json") == ()
    (tmp_path / "zarr.json").write_bytes(text)
    with pytest.raises(StaleStoreError, match="delete it and run again"):
        cube_listing.names(tmp_path / "zarr.json")


GRID = {"crs": "EPSG:32633", "resolution_m": 10.0, "tile_px": 256, "bounds": [0.0, 0.0, 2560.0, 2560.0]}
MAIN = {"settings": "x", "grid": GRID, "tiles": [[0, 0]], "region": "POINT (1 2)", "summary": {}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid": GRID | {"crs": "EPSG:0"}}, "crs"),
        ({"grid": GRID | {"tile_px": 0}}, "tile_px"),
        ({"grid": GRID | {"resolution_m": float("nan")}}, "resolution_m"),
        ({"grid": GRID | {"bounds": [0.0, 0.0, 1e300, 1e300]}}, "bounds"),
        ({"grid": GRID | {"bounds": [0.0, 0.0, float("nan"), 1.0]}}, "bounds"),
        ({"tiles": [[-1, 0]]}, "outside of the grid"),
        ({"tiles": [[0, 10**30]]}, "outside of the grid"),
        ({"region": "POLYGON"}, "WKT"),
        ({"region": None}, "WKT"),
        ({"summary": []}, "summary"),
    ],
)
def test_a_plan_with_impossible_values(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(MAIN), encoding="utf-8")
    assert plan_documents.main(path).tiles == ((0, 0),)
    path.write_text(json.dumps(MAIN | changes), encoding="utf-8")
    with pytest.raises(LsbatchError, match=said):
        plan_documents.main(path)


@pytest.mark.parametrize("field", ["landslide_id", "reviewer", "comment", "at"])
def test_an_answer_with_half_of_a_character_is_named(field: str, tmp_path: Path) -> None:
    answer = {
        "landslide_id": "a",
        "version": 1,
        "state": "confirmed",
        "reviewer": "A",
        "comment": "\U0001f3d4",
        "at": "",
    }
    path = tmp_path / "answers.jsonl"
    lines = [json.dumps(one) for one in (answer, answer | {field: "\ud800"})]
    path.write_text(lines[0] + "\n")
    assert answer_file.read(path) == [answer]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(StaleStoreError, match=rf"answer 2 is damaged \({field}: has a surrogate"):
        answer_file.read(path)
