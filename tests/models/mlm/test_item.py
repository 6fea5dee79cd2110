"""What an item says of its network, and what is refused."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stac_model.schema import MLModelProperties

from lsbatch.errors import ModelError
from lsbatch.models import cards
from lsbatch.models.mlm import inference, model
from tests import networks


def described(folder: Path, **properties: Any) -> Any:
    return model.read(networks.write(folder, said=networks.item(**properties))).description


def test_an_item_becomes_a_card(tmp_path: Path) -> None:
    path = networks.write(tmp_path)
    card = cards.card(path)
    assert (card.family, card.bands, card.halo_px, card.lattice_px) == ("onnx", networks.BANDS, 64, 64)
    assert len(card.checksum) == 16
    assert card.applicability is None


def test_bands_may_be_objects(tmp_path: Path) -> None:
    named = [{"name": name} for name in networks.BANDS]
    assert described(tmp_path, **{"mlm:input": [networks.given(bands=named)]}).bands == networks.BANDS


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({"type": "min-max", "minimum": 2, "maximum": 6}, lambda x: (x - 2) / (6 - 2)),
        ({"type": "z-score", "mean": 2, "stddev": 4}, lambda x: (x - 2) / 4),
        ({"type": "clip", "minimum": -1, "maximum": 1}, lambda x: np.minimum(np.maximum(x, -1), 1)),
        ({"type": "clip-min", "minimum": -1}, lambda x: np.maximum(x, -1)),
        ({"type": "clip-max", "maximum": 1}, lambda x: np.minimum(x, 1)),
        ({"type": "offset", "value": 3}, lambda x: x - 3),
        ({"type": "scale", "value": 4}, lambda x: x / 4),
        ({"type": None}, lambda x: x),
        (None, lambda x: x),
    ],
)
def test_scaling_is_that_of_the_specification(tmp_path: Path, scaling: Any, expected: Any) -> None:
    """By the table "Value Scaling Object" of MLM."""
    block = np.random.default_rng(1).normal(0, 5, (3, 4, 5)).astype(np.float32)
    one = described(tmp_path, **{"mlm:input": [networks.given(value_scaling=[scaling])]})
    np.testing.assert_allclose(inference.scaled(block, one), expected(block), rtol=1e-6)
    each = [{"type": "offset", "value": 1}, scaling, {"type": "scale", "value": 2}]
    three = described(tmp_path, **{"mlm:input": [networks.given(value_scaling=each)]})
    found = inference.scaled(block, three)
    np.testing.assert_allclose(found, [block[0] - 1, expected(block[1]), block[2] / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("stated", "expected"), [({}, 0), ({"lsbatch:nodata": "nan"}, np.nan), ({"lsbatch:nodata": -1}, -1)]
)
def test_nodata_is_filled_after_the_scaling(tmp_path: Path, stated: Any, expected: float) -> None:
    scaling = [{"type": "z-score", "mean": -12, "stddev": 3}]
    of = described(tmp_path, **{"mlm:input": [networks.given(value_scaling=scaling)]}, **stated)
    block = np.full((3, 2, 2), -12, np.float32)
    block[1, 0, 1] = np.nan
    found = inference.scaled(block, of)
    np.testing.assert_array_equal(found[1], [[0, expected], [0, 0]])


def test_windows_of_each_kind(tmp_path: Path) -> None:
    free = described(tmp_path)
    assert (free.window_px, free.halo_px, free.lattice_px) == (128, 64, 64)
    exact = described(tmp_path, **{"lsbatch:halo_px": 32, "lsbatch:lattice_px": 16})
    assert (exact.window_px, exact.halo_px, exact.lattice_px) == (None, 32, 16)
    assert np.isnan(exact.fill)
    fixed = described(tmp_path, **{"mlm:input": [networks.given(shape=[4, 3, 256, 256])]})
    assert (fixed.window_px, fixed.halo_px, fixed.lattice_px) == (256, 128, 128)


def test_a_function_of_the_output_tells_that_it_is_logits(tmp_path: Path) -> None:
    softmax = {"format": "python", "expression": "torch.nn.functional:softmax"}
    classes = [{"value": 0, "name": "background"}, {"value": 1, "name": "Landslide"}]
    output = networks.result(
        shape=[-1, 2, -1, -1], post_processing_function=softmax, **{"classification:classes": classes}
    )
    path = networks.write(
        tmp_path, networks.blur(np.zeros((2, 3, 3, 3), np.float32), result=["n", 2, "h", "w"]),
        networks.item(**{"mlm:output": [output]}),
    )  # fmt: skip
    of = model.read(path).description
    assert (of.kind, of.class_index) == ("logit", 1)


def test_the_checksum_is_of_both_files(tmp_path: Path) -> None:
    one = networks.write(tmp_path / "a")
    same = networks.write(tmp_path / "b")
    other_item = networks.write(tmp_path / "c", said=networks.item(**{"mlm:name": "other"}))
    other_graph = networks.write(tmp_path / "d", networks.blur(np.zeros((1, 3, 3, 3), np.float32)))
    first, second, *others = (cards.card(path).checksum for path in (one, same, other_item, other_graph))
    assert first == second
    assert len({first, *others}) == 3


def test_a_network_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = networks.write(tmp_path)
    before = cards.card(path)
    (tmp_path / "blur.onnx").write_bytes(networks.blur(np.zeros((1, 3, 3, 3), np.float32)).SerializeToString())
    after = cards.card(path)
    assert after.checksum != before.checksum
    with pytest.raises(ModelError, match="was replaced while it was used"):
        model.with_model(path, before.checksum)


def test_the_item_of_the_docs_is_read(tmp_path: Path) -> None:
    """By stac-model too."""
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    path = networks.write(tmp_path, said=said.replace("unet.onnx", "blur.onnx"))
    of = model.read(path).description
    assert (of.kind, of.window_px, of.bands) == ("logit", 128, networks.BANDS)
    properties = json.loads(said)["properties"]
    told = MLModelProperties.model_validate(
        {key.removeprefix("mlm:"): value for key, value in properties.items() if key.startswith("mlm:")}
    )
    assert [each.type for each in told.input[0].value_scaling or ()] == ["z-score", "z-score", "scale"]


def put(value: Any, *place: Any) -> dict[str, Any]:
    """The item of `blur` with another value in a place."""
    said = copy.deepcopy(networks.item())
    inner: Any = said
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return said


def of_input(**changes: Any) -> dict[str, Any]:
    return networks.item(**{"mlm:input": [networks.given(**changes)]})


def of_output(**changes: Any) -> dict[str, Any]:
    return networks.item(**{"mlm:output": [networks.result(**changes)]})


def classes(*names: str) -> dict[str, Any]:
    return {"classification:classes": [{"value": i, "name": name} for i, name in enumerate(names)]}


REFUSED: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", r"blur\.json: item: Invalid JSON"),
    "nested without end": ("[" * 100_000, r"blur\.json: item: Invalid JSON"),
    "no item": ([1], r"item: "),
    "a collection": (put("Collection", "type"), r"type: Input should be 'Feature'"),
    "no extension": (put([], "stac_extensions"), "no Machine Learning Model extension of version 1.4"),
    "an old extension": (
        put(["https://stac-extensions.github.io/mlm/v1.3.0/schema.json"], "stac_extensions"),
        "no Machine Learning Model extension of version 1.4",
    ),
    "no input": (networks.item(**{"mlm:input": []}), r"mlm:input: List should have at least 1 item"),
    "two inputs": (networks.item(**{"mlm:input": [networks.given()] * 2}), r"mlm:input: List should have at most 1"),
    "an unknown band": (
        of_input(bands=["B4", "postVV", "dNDVI"]),
        "'B4' is not a band that a model can read; allowed: pre",
    ),
    "a band that is no measurement": (of_input(bands=["preVV", "observed", "dNDVI"]), "'observed' is not a band"),
    "a band twice": (of_input(bands=["preVV", "preVV", "dNDVI"]), "names preVV twice"),
    "an expression": (
        of_input(bands=[{"name": "preVV", "format": "python", "expression": "x"}, "postVV", "dNDVI"]),
        "mlm:input.0.bands.0",
    ),
    "too few bands": (of_input(bands=["preVV", "postVV"]), r"has 2 bands, but the shape \[-1, 3, -1, -1\]"),
    "a resize": (of_input(resize_type="crop"), "resize_type: Input should be null"),
    "a function before": (
        of_input(pre_processing_function={"format": "python", "expression": "os:remove"}),
        "pre_processing_function: Input should be null",
    ),
    "a function after": (
        of_output(post_processing_function={"format": "python", "expression": "os:remove"}),
        "'os:remove' is not supported; allowed are null and a function of torch that is called sigmoid or softmax",
    ),
    "an unknown scaling": (
        of_input(value_scaling=[{"type": "processing"}]),
        r"value_scaling\.0\.type: Input should be",
    ),
    "a scaling without its number": (
        of_input(value_scaling=[{"type": "z-score", "mean": 1}]),
        "value_scaling.0: lacks stddev",
    ),
    "a scaling by nothing": (of_input(value_scaling=[{"type": "scale", "value": 0}]), "divides by 0"),
    "a scaling by almost nothing": (of_input(value_scaling=[{"type": "scale", "value": 1e-60}]), "divides by 0"),
    "scalings of other bands": (
        of_input(value_scaling=[None, None]),
        "has 2 entries; must have one, or one for each of the 3",
    ),
    "integers": (of_input(data_type="uint8"), "data_type: Input should be 'float32' or 'float16'"),
    "time": (
        of_input(shape=[-1, 1, 3, -1, -1], dim_order=["batch", "time", "bands", "height", "width"]),
        "batch, time, bands, height, width is not supported; allowed is any order",
    ),
    "a shape of other length": (of_input(shape=[-1, 3, -1]), r"must have a size, or -1, for each of"),
    "a shape without end": (of_input(shape=[1] * 10_000), "shape: List should have at most 8 items"),
    "a size without end": (of_input(shape=[10**400, 3, -1, -1]), r"shape\.0: Input should be less than or equal to"),
    "a shape of nothing": (of_input(shape=[0, 3, -1, -1]), "must have a size, or -1"),
    "oblong windows": (of_input(shape=[-1, 3, 128, 256]), "height 128 and width 256 must be equal and even"),
    "odd windows": (of_input(shape=[-1, 3, 129, 129]), "must be equal and even"),
    "windows of a country": (of_input(shape=[-1, 3, 100_000, 100_000]), "32 to 2048 px, or both -1"),
    "no landslides": (
        of_output(**classes("water", "forest")),
        "one class must be called 'landslide'; there are water, forest",
    ),
    "landslides twice": (of_output(**classes("landslide", "landslide")), "one class must be called 'landslide'"),
    "no classes": (of_output(**{"classification:classes": []}), "classification:classes: List should have at least 1"),
    "a class of no channel": (
        of_output(shape=[-1, 2, -1, -1], **classes("a", "b", "landslide")),
        "2 is none of the 2 channels of the output",
    ),
    "unknown classes": (of_output(shape=[-1, -1, -1, -1]), "the number of classes must be stated"),
    "another kind": (
        networks.item(**{"lsbatch:output": "odds"}),
        "lsbatch:output: Input should be 'probability' or 'logit'",
    ),
    "scores that are text": (networks.item(**{"lsbatch:scores": {"test": {"mcc": "x"}}}), r"lsbatch:scores\.test\.mcc"),
    "a halo alone": (networks.item(**{"lsbatch:halo_px": 16}), "must be stated together"),
    "a halo off the lattice": (
        networks.item(**{"lsbatch:halo_px": 20, "lsbatch:lattice_px": 16}),
        "lsbatch:halo_px = 20: must be a multiple",
    ),
    "a halo of a country": (
        networks.item(**{"lsbatch:halo_px": 10**9, "lsbatch:lattice_px": 1}),
        "lsbatch:halo_px: Input should be less than or equal to 4096",
    ),
    "no asset": (put({}, "assets"), "one must have the role mlm:model; 0 have"),
    "another format": (put("./blur.pt", "assets", "model", "href"), "'./blur.pt' is not an ONNX file"),
    "nothing": (put("./none.onnx", "assets", "model", "href"), "names './none.onnx'; allowed is a relative path"),
    "out of the folder": (
        put("../blur.onnx", "assets", "model", "href"),
        "allowed is a relative path of a file in its folder",
    ),
    "an absolute path": (put("/blur.onnx", "assets", "model", "href"), "allowed is a relative path"),
    "the network": (put("https://example.com/blur.onnx", "assets", "model", "href"), "allowed is a relative path"),
    "a file address": (put("file:///tmp/blur.onnx", "assets", "model", "href"), "allowed is a relative path"),
    "a NUL": (put("a\0.onnx", "assets", "model", "href"), "allowed is a relative path"),
    "an escape": (put("\x1b[2J.onnx", "assets", "model", "href"), "allowed is a relative path"),
    "a name without end": (put("a" * 10_000 + ".onnx", "assets", "model", "href"), "allowed is a relative path"),
}


@pytest.mark.parametrize(("said", "words"), list(REFUSED.values()), ids=list(REFUSED))
def test_refused_items(tmp_path: Path, said: Any, words: str) -> None:
    path = networks.write(tmp_path, said=said)
    with pytest.raises(ModelError, match=words) as caught:
        cards.card(path)
    assert str(caught.value).startswith(str(tmp_path))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = networks.write(tmp_path / "a")
    networks.write(tmp_path / "b")
    (tmp_path / "a" / "blur.onnx").unlink()
    (tmp_path / "a" / "blur.onnx").symlink_to(tmp_path / "b" / "blur.onnx")
    with pytest.raises(ModelError, match="allowed is a relative path of a file in its folder"):
        cards.card(path)


def test_an_item_that_is_a_pipe_or_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        cards.card(tmp_path / "none.json")
    with pytest.raises(ModelError, match="cannot be read: is not a file"):
        cards.card(tmp_path.rename(tmp_path.with_suffix(".json")))
