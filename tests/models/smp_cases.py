"""Networks of segmentation-models-pytorch. `test_smp.py` runs these tests in a process that has the library."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from lsbatch.bands import STACK, probability
from lsbatch.catalog.survey import open_survey
from lsbatch.errors import ConfigError, ModelError
from lsbatch.models import base, cards, ensembles, smp_network, unet
from lsbatch.models.families import FAMILIES
from lsbatch.models.training.spatial_split import Source
from lsbatch.settings import Config, ModelSettings, PredictSettings, to_yaml
from lsbatch.storage import cube
from tests import surveys
from tests.models import discs, smp_networks

ROOT = Path(__file__).parents[2]
PLAIN = PredictSettings(device="cpu")
#: Decoders that the library can put on a residual network.
ARCHITECTURES = (
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "DeepLabV3",
    "DeepLabV3Plus",
    "PAN",
    "UPerNet",
    "Segformer",
)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Fail at the first attempt to reach another machine."""

    def refuse(*args: Any, **_: Any) -> None:
        pytest.fail(f"asked for the network: {args}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


def _config(**changes: object) -> Config:
    settings = {"batch": 8, "epochs": 4, "learning_rate": 0.003} | changes
    return discs.config(**settings).model_copy(update={"model": ModelSettings(family="smp")})


def _recipe() -> Any:
    return FAMILIES["smp"].training


@pytest.fixture(scope="session")
def trained(disc_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network."""
    out = tmp_path_factory.mktemp("trained") / "smp.safetensors"
    discs.fit(disc_source, _config(), out)
    return out


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, whose probabilities differ from pixel to pixel."""
    path, bands = tmp_path_factory.mktemp("random") / "smp.safetensors", _config().inputs
    torch.manual_seed(0)
    card = smp_network.card(bands, "Unet", "resnet18", 0.1, means=(0.0, 0.0, 0.0), stds=(1.0, 1.0, 0.1))
    cards.save(path, unet.state(smp_network.build(len(bands), "Unet", "resnet18")), card)
    return path


def _block(source: Source, row: int, col: int, side: int, halo: int) -> dict[str, np.ndarray]:
    """Bands of the country of discs around a place, NaN beyond its border."""
    found: dict[str, np.ndarray] = {}
    names = _config().inputs
    whole = {name: np.full((discs.SIDE + 2 * halo,) * 2, np.nan, np.float32) for name in names}
    for tile in source.tiles:
        bands = cube.read(source.store, source.grid, STACK, tile, 0, names)
        rows, cols = (slice(s.start + halo, s.stop + halo) for s in tile.region)
        for name in names:
            whole[name][rows, cols] = bands[name]
    for name, values in whole.items():
        found[name] = values[row : row + side + 2 * halo, col : col + side + 2 * halo]
    return found


@pytest.mark.slow
def test_it_learns_and_predicts(trained: Path, disc_source: Source) -> None:
    """On validation blocks: a threshold on dNDVI alone reaches an MCC of 0.3."""
    card = base.card(trained)
    base.check(card, _config())
    assert card.scores["validation"]["mcc"] > 0.45
    tile = disc_source.tiles[3]
    halo = base.halo_px(card, PLAIN)
    found = base.answer(trained, _block(disc_source, 256, 256, 256, halo), halo, PLAIN)
    truth = disc_source.truth(tile)
    assert np.nanmean(found[truth]) > np.nanmean(found[~truth]) + 0.3


def test_spread_is_that_of_the_members(weights: Path, disc_source: Source, tmp_path: Path) -> None:
    """The second member is the first with other numbers in its last layer."""
    of, first = cards.card(weights), cards.arrays(weights)
    second = first | {"network.segmentation_head.0.bias": first["network.segmentation_head.0.bias"] + np.float16(1)}
    other, both = tmp_path / "other.safetensors", tmp_path / "both.safetensors"
    cards.save(other, second, of)
    cards.save(both, ensembles.joined([first, second]), ensembles.described(of, 2))
    block = _block(disc_source, 128, 128, 64, 64)
    alone = [base.answer(path, block, 64, PLAIN) for path in (weights, other)]
    mean, spread = base.answers(both, block, 64, PLAIN)
    np.testing.assert_allclose(mean, np.mean(alone, axis=0), atol=2e-6)
    np.testing.assert_allclose(spread, np.std(alone, axis=0), atol=2e-6)
    assert np.nanmax(spread) > 0.01


def test_tiles_equal_the_whole(weights: Path, disc_source: Source) -> None:
    """Bit for bit, with holes and the border of the country."""
    whole = base.answer(weights, _block(disc_source, 0, 0, 256, 64), 64, PLAIN)
    assert np.isnan(whole).any()
    assert np.nanstd(whole) > 0.01
    for row, col in ((0, 0), (128, 64)):
        part = base.answer(weights, _block(disc_source, row, col, 128, 64), 64, PLAIN)
        np.testing.assert_array_equal(part, whole[row : row + 128, col : col + 128])


def test_prediction_is_that_of_blended_windows(weights: Path, disc_source: Source) -> None:
    """Slow and obvious: the library's own network on each window, weighted by a Hann window."""
    of = cards.card(weights)
    network = smp_network.restored(of, cards.arrays(weights)).network
    block = _block(disc_source, 128, 256, 128, 64)
    raw = np.stack([block[name] for name in of.bands])
    scaled = np.nan_to_num((raw - np.reshape(of.means, (-1, 1, 1))) / np.reshape(of.stds, (-1, 1, 1)))
    side = np.sin(np.pi * (np.arange(128) + 0.5) / 128) ** 2
    total, shares = np.zeros((256, 256)), np.zeros((256, 256))
    for row in (0, 64, 128):
        for col in (0, 64, 128):
            window = torch.from_numpy(scaled[None, :, row : row + 128, col : col + 128].astype(np.float32))
            with torch.inference_mode():
                logits = network(window)[0, 0].numpy() / of.network["temperature"]
            total[row : row + 128, col : col + 128] += np.outer(side, side) / (1 + np.exp(-logits))
            shares[row : row + 128, col : col + 128] += np.outer(side, side)
    expected = (total / shares)[64:-64, 64:-64]
    found = base.answer(weights, block, 64, PLAIN)
    seen = np.isfinite(found)
    # the temperature of 0.1 makes rounding in the logits ten times as large; 3.6e-5 was measured
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-4)


def test_card_names_the_network_and_weights_are_half_precision(weights: Path) -> None:
    card = base.card(weights)
    assert {name: card.network[name] for name in ("architecture", "encoder")} == {
        "architecture": "Unet",
        "encoder": "resnet18",
    }
    assert card.network["smp"] == smp_network.library().__version__
    assert all(value.dtype == np.float16 for value in cards.arrays(weights).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "os.system"},
        {"architecture": "__init__"},
        {"architecture": ["Unet"]},
        {"architecture": None},
        {"encoder": "hf-hub:somebody/model"},
        {"encoder": "tu-hf-hub:somebody/model"},
        {"encoder": "tu-local-dir:/tmp"},
        {"encoder": "../resnet18"},
        {"encoder": 18},
        {"encoder": "resnet34"},
        {"architecture": "FPN"},
        {"temperature": 0},
        {"temperature": "1"},
    ],
)
def test_hostile_cards_are_refused(weights: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    of, path = cards.card(weights), tmp_path / "hostile.safetensors"
    cards.save(path, cards.arrays(weights), replace(of, network={**of.network, **changes}))
    block = {name: np.zeros((256, 256), np.float32) for name in of.bands}
    with pytest.raises(ModelError):
        base.answer(path, block, 64, PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures(architecture: str, tmp_path: Path) -> None:
    """Each is made, applied, stored and read; and learns from a batch of one chip."""
    torch.manual_seed(0)
    network = smp_network.build(5, architecture, "resnet18")
    # PAN needs images of 128 px
    side_px = 128 if architecture == "PAN" else 64
    for side in {side_px, 128}:
        smp_network.check_side(network, 5, side)
    card = smp_network.card(("a", "b", "c", "d", "e"), architecture, "resnet18", 2.0, means=(0.0,) * 5, stds=(1.0,) * 5)
    cards.save(tmp_path / "w.safetensors", unet.state(network, np.float32), card)
    again = smp_network.restored(cards.card(tmp_path / "w.safetensors"), cards.arrays(tmp_path / "w.safetensors"))
    image = torch.randn(2, 5, side_px, side_px)
    with torch.inference_mode():
        np.testing.assert_allclose(again(image).numpy(), network(image).numpy() / 2, atol=1e-6)
    logits = network.train()(image[:1])
    assert logits.shape == (1, side_px, side_px)
    logits.sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["efficientnet-b0", "mobilenet_v2", "mit_b0", "tu-resnet18", "tu-convnext_atto"])
def test_encoders(encoder: str) -> None:
    network = smp_network.build(4, "Unet", encoder)
    smp_network.check_side(network, 4, 128)
    found = unet.state(network)
    assert len(unet.restore(smp_network.build(4, "Unet", encoder), found).state_dict()) >= len(found)


def _encoder(bands: int = 3, name: str = "resnet18") -> Any:
    """An encoder of the library with random weights."""
    torch.manual_seed(7)
    return smp_network.library().encoders.get_encoder(name, in_channels=bands, weights=None)


@pytest.mark.parametrize(("suffix", "bands"), [(".safetensors", 1), (".pth", 2), (".safetensors", 3), (".pth", 5)])
def test_encoder_weights_by_path(tmp_path: Path, suffix: str, bands: int) -> None:
    """The oracle is the library's own way to other numbers of bands."""
    donor, path = _encoder(), tmp_path / f"encoder{suffix}"
    # the classifier of a published file is ignored
    state = donor.state_dict() | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    torch.manual_seed(0)
    network = smp_network.build(bands, "FPN", "resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    smp_network.load_encoder(network, path)
    donor.set_in_channels(bands, pretrained=True)
    for name, value in network.state_dict().items():
        if name.startswith("network.encoder."):
            torch.testing.assert_close(value, donor.state_dict()[name.removeprefix("network.encoder.")])
        else:
            assert torch.equal(value, before[name])
    assert not torch.equal(network.network.encoder.conv1.weight, before["network.encoder.conv1.weight"])


def test_encoder_of_a_whole_network(tmp_path: Path) -> None:
    donor = smp_network.build(3, "Unet", "resnet18").network
    torch.save(donor.state_dict(), tmp_path / "whole.pt")
    network = smp_network.build(3, "FPN", "resnet18")
    smp_network.load_encoder(network, tmp_path / "whole.pt")
    assert torch.equal(network.network.encoder.conv1.weight, donor.encoder.conv1.weight)


class Evil:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_files_that_are_no_encoder(tmp_path: Path) -> None:
    network = smp_network.build(4, "Unet", "resnet18")
    torch.save(_encoder(name="resnet34").state_dict(), tmp_path / "other.pth")
    torch.save(_encoder(bands=13).state_dict(), tmp_path / "bands.pth")
    torch.save({"weights": Evil(tmp_path / "ran")}, tmp_path / "evil.pth")
    torch.save({"epoch": 3}, tmp_path / "number.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "w.bin").write_bytes(b"x")
    refusals = {
        "other.pth": "does not fit the encoder",
        "bands.pth": "was made for 13 bands; 3 or 4 are possible",
        "evil.pth": "cannot be read as weights only",
        "number.pt": "must be a state, tensors by name",
        "broken.safetensors": "cannot be read",
        "w.bin": "must be a file .safetensors, .pth, .pt",
        "missing.pth": "this file does not exist",
    }
    for name, sentence in refusals.items():
        with pytest.raises(ModelError, match=sentence):
            smp_network.load_encoder(network, tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "Unett"}, "architecture 'Unett': is not in segmentation-models-pytorch"),
        ({"encoder": "resnet17"}, "encoder 'resnet17': is not in .*similar: .*resnet18"),
        ({"architecture": "DPT"}, "architecture DPT on encoder resnet18"),
        ({"architecture": "PAN", "chip_px": 64}, "this network accepts no images of 64 px"),
        ({"chip_px": 80}, "train.chip_px = 80: must be a multiple of 32"),
        ({"encoder_weights": Path("/nowhere/w.pth")}, "'/nowhere/w.pth': this file does not exist"),
        ({"encoder": "tu-vit_tiny_patch16_224"}, "vit_tiny_patch16_224|accepts no images"),
    ],
)
def test_what_cannot_be_trained(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ConfigError, ModelError), match=sentence):
        _recipe().check(_config(**changes))


@pytest.mark.slow
def test_training_starts_from_the_file(disc_source: Source, tmp_path: Path) -> None:
    """With a rate of almost nothing, the encoder stays what the file has; the card does not tell the folder."""
    donor = _encoder()
    torch.save(donor.state_dict(), tmp_path / "encoder.pth")
    config = _config(epochs=1, learning_rate=1e-12, encoder_weights=tmp_path / "encoder.pth")
    card = discs.fit(disc_source, config, tmp_path / "w.safetensors")
    assert card.settings["encoder_weights"] == "encoder.pth"
    found = cards.arrays(tmp_path / "w.safetensors")["network.encoder.layer1.0.conv1.weight"]
    np.testing.assert_allclose(found, donor.layer1[0].conv1.weight.detach().numpy(), atol=1e-3)


@pytest.mark.slow
def test_networks_as_others_export_them(weights: Path, disc_source: Source, tmp_path: Path) -> None:
    """The graph in ONNX Runtime against the network; and through the family onnx, where this version has it."""
    import onnxruntime

    item = smp_networks.export(weights, tmp_path / "network.onnx")
    of = cards.card(weights)
    windows = np.random.default_rng(0).normal(size=(3, len(of.bands), 128, 128)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": windows})
    with torch.inference_mode():
        expected = smp_network.restored(of, cards.arrays(weights)).network(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    # an item has no temperature
    plain = tmp_path / "plain.safetensors"
    cards.save(plain, cards.arrays(weights), replace(of, network={**of.network, "temperature": 1.0}))
    block = _block(disc_source, 128, 256, 128, 64)
    ours, theirs = (base.answer(path, block, 64, PLAIN) for path in (plain, item))
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.slow
def test_an_exported_network_surveys_a_country(weights: Path, tmp_path: Path) -> None:
    """Through the command, from the archive to the report, in a process without the library."""
    item = smp_networks.export(weights, tmp_path / "network.onnx")
    (tmp_path / "country").mkdir()
    country = surveys.make_country(tmp_path / "country")
    config = surveys.configured(country, tmp_path / "s", model={"family": "onnx", "weights": str(item)})
    file = tmp_path / "survey.yaml"
    file.write_text(to_yaml(config), encoding="utf-8")
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "lsbatch.cli", "run", str(file)], env=plain, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    survey = open_survey(config)
    stored = surveys.whole(survey, probability("onnx"))["probability"]
    seen = stored != probability("onnx")["probability"].fill
    assert seen.mean() > 0.5
    assert len(np.unique(stored[seen])) > 1000
    assert (survey.workspace.inventory / "landslides.parquet").exists()
    assert (survey.workspace.report / "report.html").exists()
