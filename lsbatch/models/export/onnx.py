"""Export networks as ONNX with the same predictions, and describe them as STAC items."""

import logging
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import lsbatch
from lsbatch.bands import FULL_STACK
from lsbatch.errors import ModelError
from lsbatch.models import card_facts, cards, unet
from lsbatch.models.families import FAMILIES
from lsbatch.models.unet_weights import loaded
from lsbatch.storage.files import aside, write_json

MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
#: Largest allowed difference of probability between torch and ONNX Runtime.
TOLERANCE = 1e-4
#: Sides of the windows for the comparison; multiples of the lattice of the deepest network.
CHECKED = ((1, 64, 64), (2, 128, 192))


class Whole(nn.Module):
    """Probability from physical bands, NaN as nodata: normalisation, network and sigmoid in one module.

    Of an ensemble it is the mean probability of the members.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, networks: Sequence[unet.UNet], of: cards.Card) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        for name, values in (("mean", of.means), ("std", of.stds)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])

    def forward(self, bands: Tensor) -> Tensor:
        """Map (n, bands, rows, cols) to (n, rows, cols)."""
        scaled = (bands - self.mean) / self.std
        filled = torch.where(torch.isfinite(scaled), scaled, torch.zeros_like(scaled))
        found = [torch.sigmoid(network(filled)) for network in self.networks]
        return found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)


def to_onnx(weights: Path, out: Path) -> float:
    """Write a U-Net, or an ensemble of them, as ONNX, and its STAC item (``.json``) next to it.

    The graph takes bands in physical units, NaN as nodata, in windows whose sides are a multiple of the network's
    lattice. Results nearer to the border of a window than the card's halo differ from those of the whole image.

    Returns
    -------
    float
        Largest difference of probability between torch and ONNX Runtime on random windows.

    Raises
    ------
    ModelError
        If the weights are not a U-Net's, the extra is not installed, or the two differ.
    """
    of = cards.card(weights)
    family = FAMILIES.get(of.family)
    if family is None or not family.is_unet:
        raise ModelError(f"{weights}: is of family {of.family}; only a unet can be written as ONNX")
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch imports it late, with a longer message
    except ImportError:
        raise ModelError("export needs ONNX, which is not installed: pip install 'lsbatch[export]'") from None
    networks, _ = loaded(weights, of.checksum, "cpu")
    whole = Whole(networks, of).eval()
    with aside(out) as temporary:
        _write(whole, len(of.bands), temporary)
        onnx.save(_untraced(onnx.load(temporary)), temporary)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        apart = max(_difference(whole, session, of, shape) for shape in CHECKED)
        if not apart <= TOLERANCE:
            raise ModelError(
                f"{out}: ONNX Runtime differs from torch by {apart:.1e}, more than {TOLERANCE:g}; not written"
            )
    write_json(out.with_suffix(".json"), item(of, out, datetime.fromtimestamp(weights.stat().st_mtime, UTC)))
    return apart


def _write(whole: Whole, bands: int, path: Path) -> None:
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # warnings of torch about its own code while it traces
            warnings.simplefilter("ignore")
            torch.onnx.export(
                whole,
                (torch.zeros(2, bands, 64, 96),),
                str(path),
                input_names=["bands"],
                output_names=["probability"],
                dynamic_shapes=({0: "windows", 2: "rows", 3: "cols"},),
                # one file: a few megabytes of weights need no external data file
                external_data=False,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(before)


def _untraced(model: Any) -> Any:
    """Remove the source lines that torch stores with each node."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
    return model


def _difference(whole: Whole, session: Any, of: cards.Card, shape: tuple[int, int, int]) -> float:
    dice = np.random.default_rng(0)
    spread = [np.reshape(values, (-1, 1, 1)) for values in (of.means, of.stds)]
    windows = (spread[0] + spread[1] * dice.standard_normal((shape[0], len(of.bands), *shape[1:]))).astype(np.float32)
    windows[:, 0, 3:9, 5:20] = np.nan
    with torch.inference_mode():
        ours = whole(torch.from_numpy(windows)).numpy()
    return float(np.abs(ours - session.run(None, {"bands": windows})[0]).max())


def item(of: cards.Card, model: Path, made: datetime) -> dict[str, Any]:
    """Return the STAC item of a model (Machine Learning Model extension); `made` is the time of its weights."""
    bands = list(of.bands)
    lattice = of.lattice_px
    # a window whose inner half is at least the halo away from the border
    side = 4 * of.halo_px
    properties = {
        "mlm:name": f"lsbatch {of.family} {of.checksum}",
        "mlm:architecture": "U-Net",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX",
        "mlm:hyperparameters": dict(of.network),
        "mlm:pretrained": True,
        "mlm:pretrained_source": ", ".join(map(str, of.made_by.get("surveys", ()))) or "unknown",
        "mlm:input": [
            {
                "name": "composites before and after, physical units, NaN as nodata",
                "bands": [{"name": name} for name in bands],
                "input": {
                    "shape": [-1, len(bands), side, side],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                # done inside the graph; stated here so that users do not normalise again
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "probability of a landslide",
                "tasks": ["semantic-segmentation"],
                "bands": [],
                "result": {
                    "shape": [-1, side, side],
                    "dim_order": ["batch", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": 1, "name": "landslide", "description": "probability of at least 0.5"}
                ],
            }
        ],
        "lsbatch:halo_px": of.halo_px,
        "lsbatch:lattice_px": lattice,
        "lsbatch:output": "probability",
        "lsbatch:nodata": "nan",
        "lsbatch:units": {name: FULL_STACK[name].units for name in bands},
        "lsbatch:scores": dict(of.scores),
        "lsbatch:learned_from": dict(of.made_by),
        "lsbatch:applicability": card_facts.applicability(of),
        **({"license": of.made_by["license"]} if "license" in of.made_by else {}),
        "processing:software": {"lsbatch": lsbatch.__version__},
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM],
        "id": f"lsbatch-{of.family}-{of.checksum}",
        # no geometry: a model has no location
        "geometry": None,
        "properties": {"datetime": made.isoformat(timespec="seconds"), **properties},
        "links": [],
        "assets": {
            "model": {
                "href": f"./{model.name}",
                "title": "network with normalisation and sigmoid",
                "type": "application/octet-stream; application=onnx",
                "roles": ["mlm:model"],
                "mlm:artifact_type": "onnx",
            }
        },
    }
