"""Small networks of others for tests: ONNX graphs of a few nodes, and their STAC items."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BANDS = ("preVV", "postVV", "dNDVI")


def graph(
    nodes: Sequence[Any],
    arrays: dict[str, np.ndarray],
    *,
    given: Sequence[Any] = ("n", len(BANDS), "h", "w"),
    result: Sequence[Any] = ("n", 1, "h", "w"),
    number_format: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model with the input `bands` and the output `found`."""
    made = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("bands", number_format, given)],
        [helper.make_tensor_value_info("found", number_format, result)],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def blur(weights: np.ndarray | None = None, **shapes: Any) -> onnx.ModelProto:
    """A 3 x 3 convolution and a sigmoid: a pixel depends on its neighbours, so borders of windows matter."""
    if weights is None:
        weights = np.random.default_rng(0).normal(0, 0.3, (1, len(BANDS), 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["bands", "weights"], ["logits"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["found"]),
    ]
    return graph(nodes, {"weights": weights}, **shapes)


def item(**properties: Any) -> dict[str, Any]:
    """The item of `blur`; properties replace its own, without the prefix they are those of MLM."""
    known: dict[str, Any] = {
        "mlm:name": "blur",
        "mlm:architecture": "convolution",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [given()],
        "mlm:output": [result()],
        "datetime": "2026-01-01T00:00:00Z",
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.5.0/schema.json"],
        "id": "blur",
        "geometry": None,
        "properties": known | properties,
        "links": [],
        "assets": {"model": {"href": "./blur.onnx", "roles": ["mlm:model"]}},
    }


def given(**changes: Any) -> dict[str, Any]:
    """The input of an item."""
    shape = changes.pop("shape", [-1, len(BANDS), -1, -1])
    order = changes.pop("dim_order", ["batch", "bands", "height", "width"])
    structure = {"shape": shape, "dim_order": order, "data_type": changes.pop("data_type", "float32")}
    return {"name": "bands", "bands": list(BANDS), "input": structure} | changes


def result(**changes: Any) -> dict[str, Any]:
    """The output of an item."""
    shape = changes.pop("shape", [-1, 1, -1, -1])
    order = changes.pop("dim_order", ["batch", "channel", "height", "width"])
    structure = {"shape": shape, "dim_order": order, "data_type": changes.pop("data_type", "float32")}
    return {
        "name": "found",
        "tasks": ["semantic-segmentation"],
        "result": structure,
        "classification:classes": [{"value": 1, "name": "landslide"}],
    } | changes


def write(folder: Path, model: onnx.ModelProto | bytes | None = None, said: Any = None) -> Path:
    """Write a network and its item; return the item."""
    folder.mkdir(parents=True, exist_ok=True)
    model = blur() if model is None else model
    (folder / "blur.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    path = folder / "blur.json"
    path.write_text(said if isinstance(said, str) else json.dumps(item() if said is None else said), encoding="utf-8")
    return path
