"""Export a U-Net as an ArcGIS deep learning package (``.dlpk``).

It is used with *Classify Pixels Using Deep Learning* (Image Analyst); for this tool the model type is
``ImageClassification``. Its raster function gives the probability as float32 instead of classes, so the user chooses
the threshold.

Format: https://github.com/Esri/raster-deep-learning/blob/master/docs/writing_model_definition.md and
https://pro.arcgis.com/en/pro-app/3.4/help/sharing/overview/share-a-deep-learning-model-package.htm. No ArcGIS has
opened such a package yet; the tests call its raster function as Esri's documents describe.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsbatch.bands import FULL_STACK
from lsbatch.errors import ModelError
from lsbatch.models import cards
from lsbatch.models.export import onnx
from lsbatch.storage.files import aside, make_folder

#: The raster function in this folder, and its name in the package. ArcGIS looks for a class with the name of the file.
SOURCE, FUNCTION = Path(__file__).with_name("arcgis_raster_function.py"), "LandslideProbability"
#: Side of the result of a window, a multiple of every lattice; the halo is read around it.
CORE_PX = 512
#: The earliest time that a zip file can store.
EPOCH = (1980, 1, 1, 0, 0, 0)


def writer(out: Path) -> Callable[[Path, Path], float]:
    """Return the function that writes weights to a file with this suffix and returns the difference to torch.

    Raises
    ------
    ModelError
        If no export has this suffix.
    """
    known = {".onnx": onnx.to_onnx, ".dlpk": to_dlpk}
    if out.suffix not in known:
        raise ModelError(f"{out}: the name of the output must end in {' or '.join(known)}")
    return known[out.suffix]


def to_dlpk(weights: Path, out: Path) -> float:
    """Write a U-Net as a deep learning package: definition, network, raster function, STAC item.

    The same weights give the same bytes.

    Returns
    -------
    float
        Largest difference of probability between torch and ONNX Runtime on random windows.

    Raises
    ------
    ModelError
        As `export.to_onnx`.
    StaleStoreError
        If the folder cannot be written to.
    """
    make_folder(out.parent)
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / f"{out.stem}.onnx"
        apart = onnx.to_onnx(weights, network)
        files = {
            f"{out.stem}.emd": json.dumps(definition(cards.card(weights), network.name), indent=1).encode(),
            network.name: network.read_bytes(),
            f"{FUNCTION}.py": SOURCE.read_bytes(),
            f"{out.stem}.json": network.with_suffix(".json").read_bytes(),
        }
    with aside(out) as temporary, zipfile.ZipFile(temporary, "w") as package:
        for name, content in files.items():
            package.writestr(_entry(name), content, zipfile.ZIP_DEFLATED)
    return apart


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


def definition(of: cards.Card, network: str) -> dict[str, Any]:
    """Return the Esri model definition of a U-Net whose ONNX is the file `network`.

    ``DataRange`` is left out, because ArcGIS would then rescale the bands, which are physical. ``Bands``, ``LatticePx``
    and
    ``Checksum`` are ours, for the raster function and the reader.
    """
    side = CORE_PX + 2 * of.halo_px
    bands = [FULL_STACK[name] for name in of.bands]
    listed = ", ".join(f"{band.name} [{band.units}]" for band in bands)
    return {
        "ModelName": f"lsbatch unet {of.checksum}",
        "Description": (
            f"Probability of a landslide, 0 to 1, by a U-Net. Bands of the raster, in this order and in these units, "
            f"unscaled, as in the STACK of an lsbatch survey: {listed}. Cells as large as those it was trained on; "
            "NoData where a band was not observed. Needs onnxruntime."
        ),
        "Framework": "Onnx",
        "ModelType": "ImageClassification",
        "ModelFile": network,
        "InferenceFunction": f"{FUNCTION}.py",
        "ImageHeight": side,
        "ImageWidth": side,
        "ModelPadding": of.halo_px,
        "BatchSize": 1,
        "ExtractBands": list(range(len(bands))),
        "Classes": [{"Value": 1, "Name": "landslide", "Color": [215, 48, 39]}],
        "Bands": [{"Name": band.name, "Units": band.units, "Description": band.description} for band in bands],
        "LatticePx": of.lattice_px,
        "Checksum": of.checksum,
    }
