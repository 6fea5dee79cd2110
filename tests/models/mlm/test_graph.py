"""What an ONNX file may hold, and what is refused before ONNX Runtime sees it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lsbatch.errors import ModelError
from lsbatch.models import cards
from lsbatch.models.mlm import graph, model
from lsbatch.settings import PredictSettings
from tests import networks


def in_file(location: str, **more: Any) -> onnx.ModelProto:
    """`blur` with its weights in another file."""
    made = networks.blur()
    (tensor,) = made.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return made


def weights() -> bytes:
    return networks.blur().graph.initializer[0].raw_data


def test_arrays_may_lie_in_a_file_beside(tmp_path: Path) -> None:
    path = networks.write(tmp_path, in_file("data.bin", offset=8, length=len(weights())))
    (tmp_path / "data.bin").write_bytes(bytes(8) + weights())
    card = cards.card(path)
    _, content = model.with_model(path, card.checksum)
    (taken,) = onnx.load_model_from_string(content).graph.initializer
    assert taken.raw_data == weights()
    assert not taken.external_data
    (tmp_path / "data.bin").write_bytes(bytes(8) + bytes(len(weights())))
    assert cards.card(path).checksum != card.checksum


@pytest.mark.parametrize(
    ("location", "more"),
    [
        ("../data.bin", {}),
        ("/etc/hostname", {}),
        ("sub/../../data.bin", {}),
        ("", {}),
        ("none.bin", {}),
        ("link.bin", {}),
        ("*/_ORT_MEM_ADDR_/*", {"offset": 140_000_000_000_000, "length": 108}),
    ],
)
def test_arrays_out_of_the_folder_are_refused(tmp_path: Path, location: str, more: Any) -> None:
    (tmp_path / "data.bin").write_bytes(weights())
    path = networks.write(tmp_path / "a", in_file(location, **more))
    (tmp_path / "a" / "link.bin").symlink_to(tmp_path / "data.bin")
    with pytest.raises(ModelError, match="allowed is a relative path of a file in its folder"):
        cards.card(path)


@pytest.mark.parametrize(
    "more", [{"offset": 10**9}, {"offset": -1}, {"length": 10**12}, {"length": -5}, {"offset": "x"}]
)
def test_arrays_beyond_their_file_are_refused(tmp_path: Path, more: Any) -> None:
    path = networks.write(tmp_path, in_file("data.bin", **more))
    (tmp_path / "data.bin").write_bytes(weights())
    with pytest.raises(ModelError, match=r"data\.bin: is too short for the arrays"):
        cards.card(path)


def test_an_array_in_a_branch_is_seen(tmp_path: Path) -> None:
    """A graph within a node has arrays and operators of its own."""
    made = networks.blur()
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    value.ClearField("float_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../secret")
    branch = helper.make_graph([helper.make_node("Constant", [], ["x"], value=value)], "branch", [], [])
    made.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
    with pytest.raises(ModelError, match=r"names '\.\./secret'; allowed is a relative path"):
        cards.card(networks.write(tmp_path, made))


@pytest.mark.parametrize("domain", ["com.microsoft", "custom", "ai.onnx.contrib", "ai.onnx.ml.x"])
def test_other_operators_are_refused(tmp_path: Path, domain: str) -> None:
    made = networks.blur()
    made.graph.node.append(helper.make_node("EPContext", ["bands"], ["y"], domain=domain))
    with pytest.raises(
        ModelError, match=rf"has the operator {domain}\.EPContext; allowed are the operators of ai\.onnx"
    ):
        cards.card(networks.write(tmp_path, made))


def test_other_operators_in_a_function_are_refused(tmp_path: Path) -> None:
    made = networks.blur()
    inner = helper.make_node("ReadFile", ["x"], ["y"], domain="evil")
    made.functions.append(helper.make_function("ai.onnx", "Sigmoid", ["x"], ["y"], [inner], []))
    with pytest.raises(ModelError, match=r"has the operator evil\.ReadFile"):
        cards.card(networks.write(tmp_path, made))


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: b"", "has 0 inputs and 0 outputs"),
    "noise": (lambda: b"\xff" * 1000, "is not an ONNX file, or is damaged"),
    "cut short": (lambda: networks.blur().SerializeToString()[:-20], "is not an ONNX file, or is damaged"),
    "a pickle": (lambda: b"\x80\x04\x95" + b"." * 100, "is not an ONNX file, or is damaged"),
    "other bands": (lambda: networks.blur(given=["n", 4, "h", "w"]), r"input: has the shape \[any, 4, any, any\]"),
    "three dimensions": (
        lambda: networks.blur(given=[3, "h", "w"]),
        r"the item says \[any, 3, any, any\] for batch, channel",
    ),
    "windows of one size": (lambda: networks.blur(given=["n", 3, 64, 64]), r"has the shape \[any, 3, 64, 64\]"),
    "batches of one size": (lambda: networks.blur(given=[1, 3, "h", "w"]), r"has the shape \[1, 3, any, any\]"),
    "other classes": (lambda: networks.blur(result=["n", 5, "h", "w"]), "output: has the shape"),
    "integers": (lambda: networks.blur(number_format=TensorProto.INT64), "input: is not float32, as the item says"),
}


@pytest.mark.parametrize(("make", "words"), list(BROKEN.values()), ids=list(BROKEN))
def test_broken_graphs(tmp_path: Path, make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        cards.card(networks.write(tmp_path, make()))
    assert str(caught.value).startswith(str(tmp_path))


def test_a_second_output_is_refused(tmp_path: Path) -> None:
    made = networks.blur()
    made.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="has 1 inputs and 2 outputs; a network must have one of each"):
        cards.card(networks.write(tmp_path, made))


def test_a_halo_needs_windows_of_any_size(tmp_path: Path) -> None:
    said = networks.item(
        **{"lsbatch:halo_px": 16, "lsbatch:lattice_px": 16, "mlm:input": [networks.given(shape=[-1, 3, 64, 64])]}
    )
    with pytest.raises(ModelError, match="has windows of one size; lsbatch:halo_px needs a network for windows of any"):
        cards.card(networks.write(tmp_path, networks.blur(given=["n", 3, 64, 64]), said))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = networks.write(tmp_path, in_file("data.bin"))
    (tmp_path / "data.bin").write_bytes(bytes(1000))
    monkeypatch.setattr(graph, "LARGEST_BYTES", 900)
    with pytest.raises(ModelError, match="is too large"):
        cards.card(path)


def test_without_the_extra_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = networks.write(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"pip install 'lsbatch\[onnx\]'"):
        cards.card(path)
    monkeypatch.undo()
    card = cards.card(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    from lsbatch.models.mlm import inference

    with pytest.raises(ModelError, match=r"pip install 'lsbatch\[onnx\]'"):
        inference.check(path, card.checksum, PredictSettings())


def test_numbers_of_both_formats(tmp_path: Path) -> None:
    half = {"given": ["n", 3, "h", "w"], "number_format": TensorProto.FLOAT16}
    made = networks.blur(np.zeros((1, 3, 3, 3), np.float16), **half)
    said = networks.item(
        **{
            "mlm:input": [networks.given(data_type="float16")],
            "mlm:output": [networks.result(data_type="float16")],
        }
    )
    assert model.read(networks.write(tmp_path, made, said)).graph.entry.number_format == "float16"
