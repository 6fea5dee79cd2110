"""Ensembles: their mean and spread, one file, and a training that goes on at the member that was interrupted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lsbatch.errors import ConfigError, ModelError
from lsbatch.models import base, cards, ensembles, throughput, tiled_inference, unet
from lsbatch.models.export import onnx
from lsbatch.models.families import FAMILIES
from lsbatch.models.training import calibration, trainer
from lsbatch.models.training.spatial_split import Source
from lsbatch.settings import PredictSettings, TrainSettings
from tests.models import discs
from tests.models.conftest import make_card, make_network

SEEDS = (0, 1, 2)
DEPTH, WIDTH = 2, 4
PLAIN = PredictSettings(device="cpu")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three networks in files of their own, with a temperature."""
    folder = tmp_path_factory.mktemp("single")
    paths = [folder / f"{seed}.safetensors" for seed in SEEDS]
    for seed, path in zip(SEEDS, paths, strict=True):
        cards.save(path, unet.state(make_network(DEPTH, WIDTH, seed)), _card())
    return paths


@pytest.fixture(scope="module")
def ensemble(single: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same networks in one file."""
    path = tmp_path_factory.mktemp("ensemble") / "three.safetensors"
    members = ensembles.joined([cards.arrays(each) for each in single])
    cards.save(path, members, ensembles.described(_card(), len(SEEDS)))
    return path


def _card() -> cards.Card:
    made = make_card(DEPTH, WIDTH)
    return replace(made, network={**made.network, "temperature": 1.7})


def _cut(country: dict[str, np.ndarray], halo: int, row: int, col: int, side: int) -> dict[str, np.ndarray]:
    """A block of the country whose core begins at a place."""
    rows, cols = slice(row - halo, row + side + halo), slice(col - halo, col + side + halo)
    return {name: values[rows, cols] for name, values in country.items()}


@pytest.mark.parametrize("tiling", ["exact", "blend"])
@pytest.mark.parametrize("flips", [False, True])
def test_mean_and_spread_of_the_members(
    single: list[Path], ensemble: Path, country: dict[str, np.ndarray], tiling: str, flips: bool
) -> None:
    """Each member, and each mirror image, predicted alone from its own file."""
    predict = PLAIN.model_copy(update={"tiling": tiling})
    halo = base.halo_px(base.card(ensemble), predict)
    block = _cut(country, halo, 128, 192, 128)
    alone = []
    for path in single:
        for axes in ((), (1,), (0,), (0, 1)) if flips else ((),):
            mirrored = {name: np.flip(values, axes) for name, values in block.items()}
            alone.append(np.flip(base.answer(path, mirrored, halo, predict), axes))
    mean, spread = base.answers(ensemble, block, halo, predict.model_copy(update={"flips": flips}))
    np.testing.assert_allclose(mean, np.mean(alone, axis=0), atol=2e-6)
    np.testing.assert_allclose(spread, np.std(alone, axis=0), atol=2e-6)
    assert np.nanmax(np.abs(alone[0] - alone[-1])) > 0.01
    assert np.isnan(mean).any()
    np.testing.assert_array_equal(np.isnan(mean), np.isnan(spread))


@pytest.mark.parametrize("tiling", ["exact", "blend"])
def test_tiles_equal_the_whole(ensemble: Path, country: dict[str, np.ndarray], tiling: str) -> None:
    predict = PLAIN.model_copy(update={"tiling": tiling})
    halo = base.halo_px(base.card(ensemble), predict)
    whole = base.answers(ensemble, _cut(country, halo, 128, 128, 256), halo, predict)
    part = base.answers(ensemble, _cut(country, halo, 256, 128, 128), halo, predict)
    for ours, theirs in zip(part, whole, strict=True):
        np.testing.assert_allclose(ours, theirs[128:, :128], atol=1e-5)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_running_mean_is_numpys_and_spread_too(stack: np.ndarray) -> None:
    mean, spread = tiled_inference.mean_and_spread(iter(stack))
    np.testing.assert_array_equal(mean, stack.mean(axis=0))
    np.testing.assert_allclose(spread, stack.astype(np.float64).std(axis=0), atol=5e-4)


def test_spread_of_small_differences_is_not_lost() -> None:
    stack = np.float32(0.9) + np.float32(1e-5) * np.random.default_rng(0).normal(size=(10, 50, 50)).astype(np.float32)
    _, spread = tiled_inference.mean_and_spread(iter(stack))
    np.testing.assert_allclose(spread, stack.astype(np.float64).std(axis=0), rtol=0.02)
    assert (tiled_inference.mean_and_spread(iter([stack[0]] * 3))[1] == 0).all()


def test_file_of_one_network_has_no_members() -> None:
    """So weights of one network have the bytes that older versions gave them, and old files are read."""
    found, card = unet.state(make_network(DEPTH, WIDTH)), _card()
    assert ensembles.joined([found]).keys() == found.keys()
    assert ensembles.described(card, 1) is card
    assert ensembles.separated(found, card)[0].keys() == found.keys()


def test_half_precision_is_left_where_it_is_too_small() -> None:
    network = make_network(DEPTH, WIDTH)
    network.down[0][1].running_var[0] = 1e6
    found = unet.state(network)
    assert {name for name, value in found.items() if value.dtype == np.float32} == {"down.0.1.running_var"}
    assert unet.restore(make_network(DEPTH, WIDTH, 1), found).down[0][1].running_var[0] == 1e6


@pytest.mark.parametrize("members", [0, 11, "2", 1.5, [2]])
def test_impossible_numbers_of_members_are_refused(tmp_path: Path, members: object) -> None:
    path = tmp_path / "w.safetensors"
    card = _card()
    cards.save(
        path, unet.state(make_network(DEPTH, WIDTH)), replace(card, network={**card.network, "members": members})
    )
    with pytest.raises(ModelError, match="an ensemble may have 10 members"):
        cards.card(path)


@pytest.mark.parametrize("members", [2, 4])
def test_another_number_than_the_arrays_have_is_refused(single: list[Path], tmp_path: Path, members: int) -> None:
    path = tmp_path / "w.safetensors"
    found = ensembles.joined([cards.arrays(each) for each in single])
    cards.save(path, found, ensembles.described(_card(), members))
    block = {name: np.zeros((160, 160), np.float32) for name in _card().bands}
    with pytest.raises(ModelError, match="weights do not fit their card"):
        base.answer(path, block, 64, PLAIN)


def test_onnx_has_the_mean(ensemble: Path, country: dict[str, np.ndarray], tmp_path: Path) -> None:
    import onnxruntime

    out = tmp_path / "three.onnx"
    assert onnx.to_onnx(ensemble, out) <= onnx.TOLERANCE
    card = base.card(ensemble)
    block = _cut(country, card.halo_px, 128, 128, 64)
    expected = base.answer(ensemble, block, card.halo_px, PLAIN)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"bands": np.stack([block[name] for name in card.bands])[None]})
    core = found[0, card.halo_px : -card.halo_px, card.halo_px : -card.halo_px]
    seen = np.isfinite(expected)
    np.testing.assert_allclose(core[seen], expected[seen], atol=onnx.TOLERANCE)


def test_throughput_is_of_all_members(single: list[Path], ensemble: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the work: counted, since the time of a shared machine shows little."""
    monkeypatch.setattr(throughput, "SIDE_PX", {"cpu": 128})
    monkeypatch.setattr(throughput, "PRODUCT", {"cpu": 256})
    images: list[int] = []
    apply = unet.UNet.forward
    monkeypatch.setattr(unet.UNet, "forward", lambda *args: images.append(args[1].numel()) or apply(*args))  # type: ignore[func-returns-value]
    work = throughput.flops_px(base.card(ensemble))
    counted = {}
    for path, members in ((single[0], 1), (ensemble, 3)):
        images.clear()
        for precision in throughput.of(path, PLAIN, 1).values():
            assert precision["gflop_s"] == pytest.approx(precision["mpx_s"] * members * work / 1e3)
        # the pass on a meta device counts operations
        counted[path] = sum(images) - 3 * (4 * base.card(path).lattice_px) ** 2
    assert counted[ensemble] == 3 * counted[single[0]]


def test_temperature_of_the_mean_is_the_best_of_a_grid() -> None:
    """Members that are too sure, each in its own way."""
    dice = np.random.default_rng(0)
    real = dice.normal(-1, 2, 20_000)
    truth = dice.random(20_000) < 1 / (1 + np.exp(-real))
    logits = 3 * real + dice.normal(0, 2, (4, 20_000))
    found = calibration.temperature(logits, truth)
    grid = np.linspace(1, 5, 201)

    def loss(heat: float) -> float:
        mean = (1 / (1 + np.exp(-logits / heat))).mean(axis=0)
        return float(-np.log(np.where(truth, mean, 1 - mean)).mean())

    assert found == pytest.approx(grid[int(np.argmin([loss(heat) for heat in grid]))], abs=0.02)
    assert calibration.temperature(logits[:1], truth) == calibration.temperature(logits[0], truth)


@dataclass(frozen=True)
class Batches:
    """A loader: batches, and the data set from which they come."""

    batches: list[Any]
    dataset: Any

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


def test_scores_are_those_of_the_mean_probability() -> None:
    dice = np.random.default_rng(3)
    nets = [make_network(1, 4, seed).train() for seed in SEEDS]
    batches = [
        tuple(torch.from_numpy(a.astype(np.float32)) for a in (
            dice.normal(size=(2, 3, 16, 16)), dice.random((2, 16, 16)) < 0.4, dice.random((2, 16, 16)) < 0.8
        ))
        for _ in range(3)
    ]  # fmt: skip
    # three chips lie in one block and three in another
    chips = SimpleNamespace(blocks=np.array([[0, 0, k % 2] for k in range(9)]))
    places = SimpleNamespace(chips=chips, index=np.arange(2, 8))
    found = trainer._counted(nets, 0.3, Batches(batches, places))
    hits = np.zeros(4, int)
    for values, truth, seen in batches:
        with torch.inference_mode():
            mean = torch.stack([torch.sigmoid(net(values) / 0.3) for net in nets]).mean(dim=0)
        for called, real, known in zip(mean.flatten() >= 0.5, truth.flatten() > 0, seen.flatten() > 0, strict=True):
            if known:
                hits[2 * int(called) + int(real)] += 1
    assert tuple(found[name] for name in ("tn", "fn", "fp", "tp")) == tuple(hits)
    assert len(found["blocks"]) == 2
    assert np.sum(found["blocks"], axis=0).tolist() == [found[name] for name in ("tp", "fp", "fn", "tn")]


@pytest.fixture(scope="module")
def trained(disc_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two."""
    out = tmp_path_factory.mktemp("trained") / "unet.safetensors"
    discs.fit(disc_source, discs.config(epochs=2, members=2), out)
    return out


def test_members_differ_by_their_seed_alone(trained: Path, disc_source: Source, tmp_path: Path) -> None:
    """The first is what a training of one network gives, bit for bit."""
    card = base.card(trained)
    assert card.network["members"] == 2
    assert card.settings["members"] == 2
    first, second = ensembles.separated(cards.arrays(trained), card)
    alone = tmp_path / "unet.safetensors"
    plain = discs.fit(disc_source, discs.config(epochs=2), alone)
    assert "members" not in plain.network
    assert "members" not in plain.settings
    assert card.scores["chips"] == plain.scores["chips"]
    expected = cards.arrays(alone)
    assert first.keys() == second.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(first[name], value, err_msg=name)
    assert any((first[name] != second[name]).any() for name in first)


def test_killed_training_goes_on_at_its_member(trained: Path, disc_source: Source, tmp_path: Path) -> None:
    out, config = tmp_path / "unet.safetensors", discs.config(epochs=2, members=2)

    def kill(line: str) -> None:
        if line.startswith("member 2 of 2: epoch   0"):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        discs.fit(disc_source, config, out, progress=kill)
    assert not out.exists()
    lines: list[str] = []
    card = discs.fit(disc_source, config, out, progress=lines.append)
    assert [line.split("  loss")[0] for line in lines if "epoch" in line] == [
        "member 2 of 2: epoch   0",
        "member 2 of 2: epoch   1",
    ]
    assert card.checksum == base.card(trained).checksum
    folder = out.with_name("unet-training")
    assert all((folder / f"member-{number}" / "log.csv").exists() for number in (1, 2))
    assert not list(folder.glob("*.npy"))


def test_settings_of_older_trainings_keep_their_digest() -> None:
    """What is new is not dumped at its default."""
    new = {"members", "architecture", "encoder", "encoder_weights"}
    assert not new & set(TrainSettings().model_dump())
    changed = TrainSettings(members=2, architecture="FPN", encoder="resnet34", encoder_weights=Path("w.pth"))
    assert new < set(changed.model_dump())


def test_time_is_shared_by_the_members() -> None:
    config = discs.config(members=3, max_minutes=6.0, seed=5)
    assert [(own.seed, own.max_minutes) for own in trainer._members(config.train)] == [(5, 2), (6, 2), (7, 2)]


def test_family_without_members_refuses_them() -> None:
    with pytest.raises(ConfigError, match=r"train\.members = 2: model\.family prakash is trained as one network"):
        FAMILIES["prakash"].training.check(discs.config(members=2))  # type: ignore[union-attr]
