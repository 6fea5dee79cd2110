"""The map of a network of others, against slow and obvious evaluations."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from scipy import ndimage

from lsbatch import settings
from lsbatch.errors import ModelError
from lsbatch.models import base, cards
from lsbatch.models.mlm import inference
from lsbatch.settings import PredictSettings
from tests import networks

PREDICT = PredictSettings(device="cpu")
SIDE = 256


def block(halo_px: int, seed: int = 3, bands: tuple[str, ...] = networks.BANDS) -> dict[str, np.ndarray]:
    """Bands with a hole and a stripe of nodata."""
    dice = np.random.default_rng(seed)
    found = {name: dice.normal(0, 2, [SIDE + 2 * halo_px] * 2).astype(np.float32) for name in bands}
    found[bands[0]][halo_px + 40 : halo_px + 90, halo_px + 100 : halo_px + 120] = np.nan
    found[bands[-1]][:, halo_px + 200 : halo_px + 203] = np.nan
    return found


def exactly(**more: Any) -> dict[str, Any]:
    return networks.item(**{"lsbatch:halo_px": 16, "lsbatch:lattice_px": 16, "lsbatch:nodata": 0, **more})


def test_exact_windows_give_the_convolution(tmp_path: Path) -> None:
    """Against scipy's correlation of the whole block."""
    path = networks.write(tmp_path, said=exactly())
    bands = block(16)
    found = base.answer(path, bands, 16, PREDICT)
    filled = [np.nan_to_num(band) for band in bands.values()]
    weights = np.random.default_rng(0).normal(0, 0.3, (1, 3, 3, 3)).astype(np.float32)[0]
    logits = sum(ndimage.correlate(b.astype(np.float64), w) for b, w in zip(filled, weights, strict=True))
    expected = (1 / (1 + np.exp(-logits)))[16:-16, 16:-16]
    seen = np.isfinite([band[16:-16, 16:-16] for band in bands.values()]).all(axis=0)
    np.testing.assert_array_equal(np.isfinite(found), seen)
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-6)


def test_exact_windows_of_any_memory_agree(tmp_path: Path) -> None:
    path = networks.write(tmp_path, said=exactly(**{"mlm:hyperparameters": {"width": 400}}))
    # 0.1 GB hold 7,812 pixels of width 400
    small, large = (base.answer(path, block(16), 16, PREDICT.model_copy(update={"memory_gb": gb})) for gb in (0.1, 50))
    np.testing.assert_allclose(small, large, atol=1e-6)


def test_blended_windows_by_hand(tmp_path: Path) -> None:
    """Every window of 128 px that touches the core, weighted by a Hann window, in plain loops."""
    path = networks.write(tmp_path)
    bands = block(64)
    found = base.answer(path, bands, 64, PREDICT)
    session, _ = inference._opened(path, cards.card(path).checksum, "cpu", 1)
    inputs = np.nan_to_num(np.stack(list(bands.values())))
    bell = np.outer(*[np.sin(np.pi * (np.arange(128) + 0.5) / 128) ** 2] * 2)
    total, weight = np.zeros(inputs.shape[1:]), np.zeros(inputs.shape[1:])
    for row in range(0, SIDE + 64, 64):
        for col in range(0, SIDE + 64, 64):
            place = np.s_[row : row + 128, col : col + 128]
            (each,) = session.run(None, {"bands": inputs[None, :, *place]})
            total[place] += bell * each[0, 0]
            weight[place] += bell
    expected = (total / weight)[64:-64, 64:-64]
    seen = np.isfinite(found)
    assert 0.9 < seen.mean() < 1
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-6)


@pytest.mark.parametrize("said", [networks.item(), exactly()], ids=["blended", "exact"])
def test_tiles_equal_the_whole(tmp_path: Path, said: Any) -> None:
    path = networks.write(tmp_path, said=said)
    halo = cards.card(path).halo_px
    bands = block(halo)
    whole = base.answer(path, bands, halo, PREDICT)
    for row in (0, 128):
        for col in (0, 128):
            part = {name: band[row : row + 128 + 2 * halo, col : col + 128 + 2 * halo] for name, band in bands.items()}
            found = base.answer(path, part, halo, PREDICT)
            np.testing.assert_array_equal(found, whole[row : row + 128, col : col + 128])


def test_a_wider_halo_changes_nothing(tmp_path: Path) -> None:
    path = networks.write(tmp_path)
    bands = block(80)
    cut = {name: band[16:-16, 16:-16] for name, band in bands.items()}
    np.testing.assert_array_equal(base.answer(path, bands, 80, PREDICT), base.answer(path, cut, 64, PREDICT))


class Plain(torch.nn.Module):
    """A network of another kind: windows in the order rows, columns, bands, and two classes by softmax."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(6, 2, 3, padding=1)
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layers(windows.permute(0, 3, 1, 2)), dim=1).permute(0, 2, 3, 1)


def test_a_network_of_torch_in_another_order(tmp_path: Path) -> None:
    network = Plain().eval()
    order = ["batch", "height", "width", "channel"]
    scaling = [{"type": "min-max", "minimum": -4, "maximum": 4}]
    said = networks.item(
        **{
            "mlm:input": [networks.given(shape=[2, 128, 128, 3], dim_order=order, value_scaling=scaling)],
            "mlm:output": [
                networks.result(
                    shape=[2, 128, 128, 2],
                    dim_order=["batch", "height", "width", "class"],
                    **{"classification:classes": [{"value": 0, "name": "landslide"}, {"value": 1, "name": "other"}]},
                )
            ],
        }
    )
    path = networks.write(tmp_path, b"", said)
    with warnings.catch_warnings():
        # warnings of torch about its own code while it traces
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(2, 128, 128, 3),), str(tmp_path / "blur.onnx"), dynamo=True, external_data=True,
            verbose=False,
        )  # fmt: skip
    bands = block(64)
    found = base.answer(path, bands, 64, PREDICT)
    scaled = torch.from_numpy(np.nan_to_num((np.stack(list(bands.values())) + 4) / 8))
    total, weight = np.zeros(scaled.shape[1:]), np.zeros(scaled.shape[1:])
    bell = np.outer(*[np.sin(np.pi * (np.arange(128) + 0.5) / 128) ** 2] * 2)
    with torch.inference_mode():
        for row in range(0, SIDE + 64, 64):
            for col in range(0, SIDE + 64, 64):
                place = np.s_[row : row + 128, col : col + 128]
                each = network(scaled[:, *place].permute(1, 2, 0)[None])[0, :, :, 0]
                total[place] += bell * each.numpy()
                weight[place] += bell
    expected = (total / weight)[64:-64, 64:-64]
    seen = np.isfinite(found)
    assert np.ptp(expected[seen]) > 0.1
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-5)


def logits(path: Path, channels: int, **output: Any) -> Path:
    weights = np.random.default_rng(1).normal(0, 1, (channels, 3, 1, 1)).astype(np.float32)
    made = networks.graph(
        [helper.make_node("Conv", ["bands", "weights"], ["found"])],
        {"weights": weights},
        result=["n", channels, "h", "w"],
    )
    return networks.write(
        path, made, exactly(**{"mlm:output": [networks.result(shape=[-1, channels, -1, -1], **output)]})
    )


SIGMOID = {"format": "python", "expression": "torch.sigmoid"}
THREE = [{"value": i, "name": name} for i, name in enumerate(("water", "landslide", "other"))]


def test_logits_of_one_and_of_three_classes(tmp_path: Path) -> None:
    one = logits(tmp_path / "one", 1, post_processing_function=SIGMOID)
    three = logits(tmp_path / "three", 3, post_processing_function=SIGMOID, **{"classification:classes": THREE})
    bands = block(16)
    values = np.stack([band[16:-16, 16:-16] for band in bands.values()])
    for path, channels in ((one, 1), (three, 3)):
        weights = np.random.default_rng(1).normal(0, 1, (channels, 3, 1, 1)).astype(np.float32)[:, :, 0, 0]
        raw = torch.from_numpy(np.einsum("kb,brc->krc", weights, values))
        expected = torch.sigmoid(raw[0]) if channels == 1 else torch.softmax(raw, dim=0)[1]
        np.testing.assert_allclose(base.answer(path, bands, 16, PREDICT), expected.numpy(), atol=1e-6)


def test_what_is_no_probability_is_refused_while_predicting(tmp_path: Path) -> None:
    """The network answers 0 in the trial, where every band is 0."""
    path = logits(tmp_path, 1)
    inference.check(path, cards.card(path).checksum, PREDICT)
    with pytest.raises(
        ModelError, match="which are no probabilities; if they are logits, state lsbatch:output = 'logit'"
    ):
        base.answer(path, block(16), 16, PREDICT)


def node(name: str, *inputs: str, **more: Any) -> Any:
    return helper.make_node(name, list(inputs), ["found"], **more)


TRIALS: dict[str, tuple[Any, str]] = {
    "NaN": (
        networks.graph(
            [helper.make_node("ReduceMean", ["bands", "axes"], ["m"]), node("Div", "m", "zero")],
            {"axes": np.array([1]), "zero": np.zeros(1, np.float32)},
        ),
        "the output has values that are not finite",
    ),
    "more than 1": (
        networks.graph(
            [helper.make_node("ReduceMean", ["bands", "axes"], ["m"]), node("Add", "m", "seven")],
            {"axes": np.array([1]), "seven": np.full(1, 7, np.float32)},
        ),
        "the output has values from 7 to 7, which are no probabilities",
    ),
    "smaller than the window": (
        networks.blur(np.zeros((1, 3, 3, 3), np.float32), result=["n", 1, "h2", "w2"]),
        r"the output for windows of 48 x 48 px has the shape \[1, 1, 46, 46\], not that of the item",
    ),
    "other classes": (
        networks.graph([node("Sigmoid", "bands")], {}, result=["n", "k", "h", "w"]),
        r"has the shape \[1, 3, 48, 48\], not that of the item",
    ),
    "another rank": (
        networks.graph(
            [helper.make_node("ReduceMean", ["bands", "axes"], ["found"], keepdims=0)],
            {"axes": np.array([1])}, result=["n", "k", "h", "w"],
        ),
        r"ONNX Runtime refuses it|has the shape \[1, 48, 48\]",
    ),
    "an operator that does not exist": (networks.graph([node("Conjure", "bands")], {}), "ONNX Runtime refuses it"),
    "arrays of other sizes": (networks.blur(np.zeros((1, 5, 3, 3), np.float32)), "ONNX Runtime"),
    "a division that fails": (
        networks.graph(
            [helper.make_node("Reshape", ["bands", "shape"], ["m"]), node("Sigmoid", "m")],
            {"shape": np.array([7, 1, 1, 1])},
        ),
        "ONNX Runtime cannot compute a window",
    ),
}  # fmt: skip
TRIALS["smaller than the window"][0].graph.node[0].attribute[0].ints[:] = [0, 0, 0, 0]


@pytest.mark.parametrize(("made", "words"), list(TRIALS.values()), ids=list(TRIALS))
def test_a_network_that_cannot_predict_is_refused_before_a_survey(
    tmp_path: Path, made: Any, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = networks.write(tmp_path, made, exactly())
    config = settings.example()
    chosen = config.model.model_copy(update={"family": "onnx", "weights": str(path)})
    config = config.model_copy(update={"model": chosen})
    with pytest.raises(ModelError, match=words) as caught:
        base.check(base.card(base.resolve(config)), config)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "ONNX Runtime writes nothing"


def test_settings_that_do_not_fit(tmp_path: Path) -> None:
    config = settings.example()
    path = networks.write(tmp_path, said=exactly(**{"mlm:hyperparameters": {"width": 4000}}))
    chosen = config.model.model_copy(update={"family": "onnx", "weights": str(path)})
    config = config.model_copy(update={"model": chosen})
    card = base.card(path)
    with pytest.raises(ModelError, match=r"predict\.memory_gb = 0\.1: the smallest window of this network needs 0\.29"):
        base.check(card, config.model_copy(update={"predict": PREDICT.model_copy(update={"memory_gb": 0.1})}))
    with pytest.raises(ModelError, match="set bands or model"):
        base.check(card, config.model_copy(update={"bands": "s1vv"}))
    with pytest.raises(ModelError, match=r"has no weights of its own; set model\.weights to the STAC item"):
        base.resolve(config.model_copy(update={"model": chosen.model_copy(update={"weights": None})}))
    with pytest.raises(ModelError, match="must be in one folder on disk"):
        base.resolve(config.model_copy(update={"model": chosen.model_copy(update={"weights": "s3://b/x.json"})}))
    wide = networks.write(
        tmp_path / "wide", said=networks.item(**{"mlm:input": [networks.given(shape=[-1, 3, 224, 224])]})
    )
    base.check(base.card(wide), config.model_copy(update={"grid": config.grid.model_copy(update={"tile_px": 896})}))
    with pytest.raises(
        ModelError, match=r"grid\.tile_px = 1024: must be a multiple of 112, the lattice of the windows"
    ):
        base.check(
            base.card(wide), config.model_copy(update={"grid": config.grid.model_copy(update={"tile_px": 1024})})
        )


def test_devices() -> None:
    assert inference._providers([inference.CPU], "auto") == [inference.CPU]
    assert inference._providers([inference.CUDA, inference.CPU], "cpu") == [inference.CPU]
    assert inference._providers([inference.CUDA, inference.CPU], "auto")[0][0] == inference.CUDA
    with pytest.raises(ModelError, match="ONNX Runtime has no CUDA here"):
        inference._providers([inference.CPU], "cuda")
