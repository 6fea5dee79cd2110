"""The raster function of a deep learning package. ArcGIS runs it without lsbatch.

`lsbatch.models.export.arcgis_package` writes this file as ``LandslideProbability.py`` next to a network (ONNX) and its
model definition (``.emd``). It needs only numpy and onnxruntime and supports Python 3.9, because ArcGIS has its own
Python. The names and meanings of methods and keys are Esri's:
https://github.com/Esri/raster-functions/wiki/PythonRasterFunction
"""

import json
from pathlib import Path

import numpy as np


class LandslideProbability:
    """Probability of a landslide, 0 to 1; NoData where any band is NoData. The class is named like its file."""

    def __init__(self):
        self.name = "Landslide probability"
        self.description = (
            "Probability of a landslide, 0 to 1, from composites before and after, by a U-Net of lsbatch."
        )

    def initialize(self, **kwargs):
        """Read the model definition, given as a path or as JSON, and load its network."""
        if "model" not in kwargs:
            return
        given = str(kwargs["model"])
        is_text = given.lstrip().startswith("{")
        folder = Path(__file__).parent if is_text else Path(given).parent
        self.emd = json.loads(given if is_text else Path(given).read_text(encoding="utf-8"))
        self.session = _session(folder / self.emd["ModelFile"])

    def getParameterInfo(self):
        """Describe the inputs of the tool. The padding is fixed by the network."""
        return [
            _parameter("raster", "raster", True, "Raster", "bands in the order of the model definition"),
            _parameter("model", "string", True, "Model definition", "the .emd file or its JSON"),
            _parameter("device", "numeric", False, "Device", "not used: the network runs on the CPU"),
        ]

    def getConfiguration(self, **scalars):
        """Request blocks of the definition's size, with padding and masks."""
        padding = self.emd["ModelPadding"]
        return {
            "extractBands": tuple(self.emd["ExtractBands"]),
            "padding": padding,
            "tx": self.emd["ImageWidth"] - 2 * padding,
            "ty": self.emd["ImageHeight"] - 2 * padding,
            "fixedTileSize": 1,
            "inputMask": True,
            # dimensions (4) and resampling (8), not the pixel type (1) and NoData (2) of decibels
            "inheritProperties": 4 | 8,
            "invalidateProperties": 2 | 4 | 8,
        }

    def updateRasterInfo(self, **kwargs):
        """Describe the output: one band of float32."""
        known = {"bandCount": 1, "pixelType": "f4", "statistics": ({"minimum": 0.0, "maximum": 1.0},), "histogram": ()}
        kwargs["output_info"].update(known)
        return kwargs

    def updatePixels(self, tlc, shape, props, **pixelBlocks):
        """Compute a block; `tlc` is the column and row of its first pixel in the raster, without padding."""
        bands = _bands(pixelBlocks["raster_pixels"], pixelBlocks["raster_mask"])
        names = [band["Name"] for band in self.emd["Bands"]]
        if len(bands) != len(names):
            raise ValueError(f"the raster gives {len(bands)} bands, the model needs {len(names)}: {', '.join(names)}")
        padding = self.emd["ModelPadding"]
        core = tuple(slice(padding, size - padding) for size in bands.shape[1:])
        seen = np.isfinite(bands).all(axis=0)[core]
        found = np.full(seen.shape, np.nan, np.float32)
        # sea and pixels outside the region are skipped
        if seen.any():
            found[seen] = self._probability(bands, round(tlc[1]), round(tlc[0]))[core][seen]
        pixelBlocks["output_pixels"] = found[(None,) * (len(shape) - 2)].astype(props["pixelType"], copy=False)
        pixelBlocks["output_mask"] = seen[(None,) * (len(shape) - 2)].astype("u1")
        return pixelBlocks

    def _probability(self, bands, row, col):
        # on the lattice of the raster, so that results do not depend on the blocks; the padding is a multiple of it
        lattice = self.emd["LatticePx"]
        rows, cols = _around(row, bands.shape[1], lattice), _around(col, bands.shape[2], lattice)
        block = np.pad(bands, ((0, 0), rows, cols), constant_values=np.nan)
        (found,) = self.session.run(None, {"bands": block[None]})
        return found[0, rows[0] : rows[0] + bands.shape[1], cols[0] : cols[0] + bands.shape[2]]


def _around(first, size, lattice):
    """Return the pixels to add before and after, so that a range starts and ends on the lattice."""
    before = first % lattice
    return before, -(before + size) % lattice


def _session(network):
    try:
        import onnxruntime
    except ImportError:
        raise RuntimeError(
            "this model needs onnxruntime in ArcGIS's Python: install Esri's Deep Learning Libraries, or only "
            "onnxruntime"
        ) from None
    return onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])


def _parameter(name, kind, required, shown, text):
    return {
        "name": name,
        "dataType": kind,
        "value": None,
        "required": required,
        "displayName": shown,
        "description": text,
    }


def _bands(pixels, mask):
    """Return (bands, rows, cols) float32, NaN where a mask is 0. A raster of one band has no first axis."""
    bands = np.array(pixels, dtype=np.float32, ndmin=3)
    bands[np.broadcast_to(mask, bands.shape) == 0] = np.nan
    return bands
