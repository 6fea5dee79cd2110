"""Networks of segmentation-models-pytorch as others export them: ONNX by torch, and a STAC item by hand."""

import json
import warnings
from pathlib import Path

import torch

from lsbatch.models import cards, ensembles, smp_network

#: Side of the windows of the graph: that of the blended windows of lsbatch.
SIDE_PX = 128


def export(weights: Path, out: Path) -> Path:
    """Write the bare network of a file of weights as ONNX, and an item of the extension MLM beside it.

    The graph takes scaled bands (batch, bands, rows, cols) and gives logits (batch, 1, rows, cols), as
    ``torch.onnx.export`` of a network of the library does. Normalisation is left to the item.

    Returns
    -------
    Path
        The item, ``.json``.
    """
    of = cards.card(weights)
    (found,) = ensembles.separated(cards.arrays(weights), of)
    network = smp_network.restored(of, found).network.eval()
    with warnings.catch_warnings():
        # warnings of torch about its own code while it traces
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, len(of.bands), SIDE_PX, SIDE_PX),),
            str(out),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes=({0: "batch"},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    item = out.with_suffix(".json")
    item.write_text(json.dumps(_item(of, out.name)), encoding="utf-8")
    return item


def _item(of: cards.Card, model: str) -> dict[str, object]:
    shape = [-1, len(of.bands), SIDE_PX, SIDE_PX]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.4.0/schema.json"],
        "id": "smp-network",
        "geometry": None,
        "properties": {
            "datetime": "2026-01-01T00:00:00Z",
            "mlm:name": "network of segmentation-models-pytorch",
            "mlm:architecture": f"{of.network['architecture']} {of.network['encoder']}",
            "mlm:tasks": ["semantic-segmentation"],
            "mlm:framework": "ONNX",
            "mlm:input": [
                {
                    "name": "bands",
                    "bands": [{"name": name} for name in of.bands],
                    "input": {
                        "shape": shape,
                        "dim_order": ["batch", "bands", "height", "width"],
                        "data_type": "float32",
                    },
                    "value_scaling": [
                        {"type": "z-score", "mean": mean, "stddev": std}
                        for mean, std in zip(of.means, of.stds, strict=True)
                    ],
                    "resize_type": None,
                    "pre_processing_function": None,
                }
            ],
            "mlm:output": [
                {
                    "name": "logit of a landslide",
                    "tasks": ["semantic-segmentation"],
                    "bands": [],
                    "result": {
                        "shape": [-1, 1, SIDE_PX, SIDE_PX],
                        "dim_order": ["batch", "channel", "height", "width"],
                        "data_type": "float32",
                    },
                    "classification:classes": [{"value": 1, "name": "landslide"}],
                }
            ],
            "lsbatch:output": "logit",
        },
        "links": [],
        "assets": {
            "model": {
                "href": f"./{model}",
                "type": "application/octet-stream; application=onnx",
                "roles": ["mlm:model"],
                "mlm:artifact_type": "onnx",
            }
        },
    }
