"""A deep learning package, read and run in the way that Esri's documents say ArcGIS does; none is here to ask."""

import ast
import importlib.util
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import torch

from lsbatch.bands import STACK
from lsbatch.errors import ModelError, StaleStoreError
from lsbatch.models import base, cards, cart, unet
from lsbatch.models.export import arcgis_package, onnx
from lsbatch.settings import PredictSettings
from tests.models.conftest import make_card, make_network

#: Two blocks along each axis, the last of which is small and ends off the lattice.
SHAPE = (605, 780)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network whose answers spread from 0 to 1, so that a wrong pixel shows."""
    network = make_network(3, 4)
    with torch.no_grad():
        network.last.weight *= 200
        network.last.bias.fill_(-5.5)
    path = tmp_path_factory.mktemp("weights") / "sharp.safetensors"
    cards.save(path, unet.state(network, np.float32), make_card(3, 4))
    return path


@pytest.fixture(scope="module")
def package(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dlpk") / "norway 2024.dlpk"
    assert arcgis_package.to_dlpk(weights, out) <= onnx.TOLERANCE
    return out


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model definition in a folder of its own."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as files:
        files.extractall(folder)
    (emd,) = folder.glob("*.emd")
    return emd


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Bands with a hole and a stripe of nodata, in one band each, that cross borders of blocks."""
    dice = np.random.default_rng(11)
    found = np.stack([dice.normal(mean, 3, SHAPE) for mean in (-12, -11, 0)]).astype(np.float32)
    found[0, 480:540, 300:420] = np.nan
    found[2, :, 505:515] = np.nan
    return found


@pytest.fixture(scope="module")
def expected(weights: Path, image: np.ndarray) -> np.ndarray:
    """What a survey answers for the whole image, with nodata around it up to the lattice."""
    of = base.card(weights)
    more = [-size % of.lattice_px for size in SHAPE]
    around = ((0, 0), *((of.halo_px, of.halo_px + size) for size in more))
    whole = np.pad(image, around, constant_values=np.nan)
    bands = dict(zip(of.bands, whole, strict=True))
    return base.answer(weights, bands, of.halo_px, PredictSettings(device="cpu"))[: SHAPE[0], : SHAPE[1]]


def loaded(emd: Path, model: str | None = None) -> Any:
    """The raster function of a definition: the class is named like its file."""
    path = emd.parent / json.loads(emd.read_text(encoding="utf-8"))["InferenceFunction"]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, path.stem)()
    function.initialize(model=model or str(emd), device=-1)
    asked = [(each["name"], each["dataType"], each["required"]) for each in function.getParameterInfo()]
    assert asked == [("raster", "raster", True), ("model", "string", True), ("device", "numeric", False)]
    return function


def run(
    function: Any, image: np.ndarray, step: tuple[int, int] | None = None, seen_px: int | None = None
) -> np.ndarray:
    """Call a raster function block by block; NoData is a mask over values that mean nothing.

    `step` are rows and columns of a block, those of the configuration if none. Of the padding only `seen_px` are
    filled.
    """
    asked = function.getConfiguration()
    info = function.updateRasterInfo(raster_info={"bandCount": len(image)}, output_info={"bandCount": len(image)})
    assert info["output_info"]["bandCount"] == 1
    props = {"pixelType": info["output_info"]["pixelType"]}
    padding, (ty, tx) = asked["padding"], step or (asked["ty"], asked["tx"])
    seen = np.isfinite(image)
    pixels = np.where(seen, image, np.float32(-3.4e38))[list(asked["extractBands"])]
    out = np.zeros(image.shape[1:], np.float32)
    for top in range(0, image.shape[1], ty):
        for left in range(0, image.shape[2], tx):
            keep = (slice(top, top + ty), slice(left, left + tx))
            size = out[keep].shape
            block, mask = (
                np.zeros((len(image), *(side + 2 * padding for side in size)), kind) for kind in ("f4", "u1")
            )
            reach = padding if seen_px is None else seen_px
            rows, cols = (
                _overlap(start, side, reach, whole)
                for start, side, whole in zip((top, left), size, out.shape, strict=True)
            )
            here = (
                slice(None),
                *(
                    slice(part.start - start + padding, part.stop - start + padding)
                    for part, start in ((rows, top), (cols, left))
                ),
            )
            block[here], mask[here] = pixels[:, rows, cols], seen[:, rows, cols]
            answer = function.updatePixels(
                (float(left), float(top)), (1, *size), props, raster_pixels=block, raster_mask=mask
            )
            assert answer["output_pixels"].shape == answer["output_mask"].shape == (1, *size)
            assert (answer["output_pixels"].dtype, answer["output_mask"].dtype) == (np.float32, np.uint8)
            np.testing.assert_array_equal(np.isfinite(answer["output_pixels"]), answer["output_mask"] == 1)
            out[keep] = answer["output_pixels"][0]
    return out


def _overlap(start: int, side: int, reach: int, whole: int) -> slice:
    return slice(max(start - reach, 0), min(start + side + reach, whole))


def test_blocks_give_what_a_survey_gives(unpacked: Path, image: np.ndarray, expected: np.ndarray) -> None:
    found = run(loaded(unpacked), image)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(image).any(axis=0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=onnx.TOLERANCE)
    assert np.nanstd(expected) > 0.1, "an answer that varies"


def test_blocks_may_start_anywhere(unpacked: Path, image: np.ndarray, expected: np.ndarray) -> None:
    """Off the network's lattice too, which a shifted pooling would show."""
    np.testing.assert_allclose(run(loaded(unpacked), image, step=(301, 397)), expected, rtol=0, atol=onnx.TOLERANCE)


def test_without_the_padding_borders_of_blocks_would_show(
    unpacked: Path, image: np.ndarray, expected: np.ndarray
) -> None:
    assert np.nanmax(np.abs(run(loaded(unpacked), image, seen_px=0) - expected)) > 0.01


def test_definition_as_text(unpacked: Path, image: np.ndarray) -> None:
    """ArcGIS may hand over the JSON itself; files then lie beside the raster function."""
    part = image[:, :64, :64]
    found = run(loaded(unpacked, unpacked.read_text(encoding="utf-8")), part)
    np.testing.assert_array_equal(found, run(loaded(unpacked), part))


def test_one_band_comes_without_an_axis(unpacked: Path) -> None:
    """Pixels (rows, cols) of a raster with one band are no bands; a request of two axes is answered with two."""
    function = loaded(unpacked)
    padding = function.getConfiguration()["padding"]
    side = 32 + 2 * padding
    with pytest.raises(ValueError, match="the raster gives 1 bands, the model needs 3: preVV, postVV, dNDVI"):
        function.updatePixels(
            (0, 0),
            (32, 32),
            {"pixelType": "f4"},
            raster_pixels=np.zeros((side, side)),
            raster_mask=np.ones((side, side)),
        )
    pixels, mask = np.zeros((3, side, side), "f4"), np.ones((side, side), "u1")
    mask[padding, padding] = 0
    found = function.updatePixels((0, 0), (32, 32), {"pixelType": "f4"}, raster_pixels=pixels, raster_mask=mask)
    assert found["output_pixels"].shape == found["output_mask"].shape == (32, 32)
    assert np.isnan(found["output_pixels"]).sum() == 1
    assert pixels.any() == 0, "what ArcGIS lent is not written to"


def test_definition_names_what_is_there(package: Path, weights: Path) -> None:
    of = base.card(weights)
    with zipfile.ZipFile(package) as files:
        assert files.testzip() is None
        names = set(files.namelist())
        emd = json.loads(files.read("norway 2024.emd"))
        stac = json.loads(files.read("norway 2024.json"))
    assert names == {"norway 2024.emd", "norway 2024.onnx", "LandslideProbability.py", "norway 2024.json"}
    assert {emd["ModelFile"], emd["InferenceFunction"]} < names
    assert emd["ModelType"] == "ImageClassification"
    assert emd["ExtractBands"] == [0, 1, 2]
    assert [band["Name"] for band in emd["Bands"]] == list(of.bands)
    for name in of.bands:
        assert f"{name} [{STACK[name].units}]" in emd["Description"]
    assert emd["ImageHeight"] == emd["ImageWidth"] == 512 + 2 * of.halo_px
    assert (emd["ImageHeight"] - 2 * emd["ModelPadding"]) % emd["LatticePx"] == 0
    assert emd["ModelPadding"] % emd["LatticePx"] == 0
    assert "DataRange" not in emd, "ArcGIS would rescale decibels"
    item = pystac.Item.from_dict(stac)
    assert item.assets["model"].href.removeprefix("./") == emd["ModelFile"]


def test_same_weights_give_the_same_bytes(package: Path, weights: Path, tmp_path: Path) -> None:
    again = tmp_path / "deep" / package.name
    arcgis_package.to_dlpk(weights, again)
    assert again.read_bytes() == package.read_bytes()
    assert [path.name for path in again.parent.iterdir()] == [package.name], "nothing is left beside it"
    with zipfile.ZipFile(again) as files:
        assert str(Path(arcgis_package.__file__).parent).encode() not in files.read("norway 2024.onnx"), (
            "no path of this machine"
        )


def test_raster_function_needs_little(monkeypatch: pytest.MonkeyPatch, unpacked: Path) -> None:
    """ArcGIS brings its own Python, older ones too, without lsbatch."""
    tree = ast.parse(arcgis_package.SOURCE.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or "relative"]
        )
    }
    assert imported == {"json", "pathlib", "numpy", "onnxruntime"}
    assert {node.name for node in tree.body if isinstance(node, ast.ClassDef)} == {arcgis_package.FUNCTION}
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeError, match="this model needs onnxruntime in ArcGIS's Python"):
        loaded(unpacked)


def test_what_cannot_be_written(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unet\.tif: the name of the output must end in \.onnx or \.dlpk"):
        arcgis_package.writer(tmp_path / "unet.tif")
    tree = tmp_path / "tree.safetensors"
    dice = np.random.default_rng(0)
    classes = np.array(["landslide", "forest"] * 20)
    cards.save(tree, cart.fit(dice.normal(size=(40, 2)), classes, 0), cart.card(("preVV", "postVV")))
    with pytest.raises(ModelError, match="only a unet can be written"):
        arcgis_package.to_dlpk(tree, tmp_path / "tree.dlpk")
    (tmp_path / "file").touch()
    with pytest.raises(StaleStoreError, match="cannot be written to"):
        arcgis_package.to_dlpk(weights, tmp_path / "file" / "unet.dlpk")
    assert not list(tmp_path.glob("*.dlpk"))


def test_further_bands_are_described() -> None:
    told = arcgis_package.definition(make_card(2, 4, ("postSWIR1", "dBSI")), "x.onnx")
    assert [band["Name"] for band in told["Bands"]] == ["postSWIR1", "dBSI"]
    assert "short-wave infrared" in told["Bands"][0]["Description"]
