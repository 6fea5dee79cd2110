"""The network and its tiled answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lsbatch.errors import ModelError
from lsbatch.models import base, cards, devices, tiled_inference, unet, window_memory
from lsbatch.settings import PredictSettings
from tests.models.conftest import BANDS, make_card, make_network

EXACT = PredictSettings(tiling="exact", memory_gb=0.1, device="cpu")
BLEND = PredictSettings(tiling="blend", device="cpu")
#: Torch sums in another order in windows of another size.
TOLERANCE = 1e-5


def _cut(country: dict[str, np.ndarray], row: int, col: int, side: int, halo: int) -> dict[str, np.ndarray]:
    """A tile with its halo; outside the country is nodata."""
    padded = {name: np.pad(band, halo, constant_values=np.nan) for name, band in country.items()}
    return {name: band[row : row + side + 2 * halo, col : col + side + 2 * halo] for name, band in padded.items()}


def _open_paths(network: torch.nn.Module) -> torch.nn.Module:
    """A dead ReLU would hide a path."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.uniform_(module.weight, 0.1, 0.2)
    return network


def _span(depth: int, axis: int) -> tuple[int, int]:
    """Return the input pixels that affect one lattice cell, measured by gradients, from the cell's start."""
    network = _open_paths(make_network(depth, 4).double())
    cell = unet.lattice_px(depth)
    start = 2 * unet.halo_px(depth)
    side = 2 * start + cell
    reached = np.zeros((side, side), bool)
    for seed in range(4):
        # several images: a max pool passes only one of its four pixels on
        torch.manual_seed(seed)
        x = torch.rand(1, len(BANDS), side, side, dtype=torch.float64, requires_grad=True)
        network(x)[0, start : start + cell, start : start + cell].sum().backward()
        reached |= (x.grad[0].abs().sum(0) > 0).numpy()
    hits = np.flatnonzero(reached.any(axis=1 - axis))
    return int(hits[0]) - start, int(hits[-1]) - start


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1])
def test_reach_is_the_networks_own(depth: int, axis: int) -> None:
    low, high = unet.reach_px(depth)
    measured = _span(depth, axis)
    assert low <= measured[0]
    assert measured[1] <= high
    # and no more than a pooled pair wider, or halos would be too large
    assert measured[0] - low <= 1
    assert high - measured[1] <= 1


def test_one_pixel_moves_nothing_beyond_the_halo() -> None:
    depth = 3
    network, halo, cell = make_network(depth, 4), unet.halo_px(3), unet.lattice_px(3)
    side = 2 * halo + 4 * cell
    x = torch.randn(1, len(BANDS), side, side)
    y = x.clone()
    # a pixel in the halo's outermost ring: only what lies at the border may notice
    y[0, :, 0, side // 2] += 100
    with torch.inference_mode():
        moved = (network(x) != network(y))[0].numpy()
    assert moved.any()
    assert not moved[halo:].any()


def test_halo_of_the_default_network() -> None:
    """Docs and tile sizes are built on it."""
    assert unet.reach_px(4) == (-94, 109)
    assert unet.halo_px(4) == 96


def test_shifting_by_the_lattice_only_shifts() -> None:
    depth = 2
    network, halo, cell = make_network(depth, 4), unet.halo_px(2), unet.lattice_px(2)
    x = torch.randn(1, len(BANDS), 96, 96)
    with torch.inference_mode():
        here = network(x)[0, halo : 96 - halo, halo + cell : 96 - halo]
        there = network(x[..., cell:])[0, halo : 96 - halo, halo : 96 - halo - cell]
    assert (here - there).abs().max() <= TOLERANCE


@pytest.mark.parametrize("side", [128, 256])
@pytest.mark.parametrize("window_px", [144, 192, 320])
def test_exact_tiles_equal_the_whole(
    weights: Path, country: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, side: int, window_px: int
) -> None:
    halo = base.halo_px(base.card(weights), EXACT)
    whole = base.answer(weights, _cut(country, 0, 0, 512, halo), halo, EXACT)
    monkeypatch.setattr(tiled_inference, "most_px", lambda of, memory_gb: window_px**2)
    for row in range(0, 512, side):
        for col in range(0, 512, side):
            tile = base.answer(weights, _cut(country, row, col, side, halo), halo, EXACT)
            np.testing.assert_allclose(tile, whole[row : row + side, col : col + side], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
def test_what_is_left_out_on_the_way_up_is_not_missed(depth: int) -> None:
    network, halo = make_network(depth, 4), unet.halo_px(depth)
    x = torch.randn(2, len(BANDS), 2 * halo + 64, 2 * halo + 128)
    with torch.inference_mode():
        whole, trimmed = network(x), network(x, halo)
    assert trimmed.shape == (2, 64, 128)
    assert (whole[:, halo:-halo, halo:-halo] - trimmed).abs().max() <= TOLERANCE


def test_margins_on_the_way_up_are_the_least() -> None:
    """One pixel less at any level, and answers at the border of what is kept are wrong."""
    depth = 3
    margins, halo = unet.up_margins_px(depth), unet.halo_px(depth)
    assert margins == (2, 3, 4)
    network = _open_paths(make_network(depth, 4).double())
    x = torch.rand(1, len(BANDS), 2 * halo + 64, 2 * halo + 64, dtype=torch.float64)
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        right = network(x, halo)
        np.testing.assert_allclose(right, network(x)[:, halo:-halo, halo:-halo], rtol=1e-12)
        for level in range(depth):
            less = tuple(margin - (i == level) for i, margin in enumerate(margins))
            patch.setattr(unet, "up_margins_px", lambda depth, less=less: less)
            assert (network(x, halo) / right - 1).abs().max() > 1e-6, level


def test_bfloat16_tiles_equal_the_whole_and_float32_nearly(
    weights: Path, country: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    halo, short = base.halo_px(base.card(weights), EXACT), EXACT.model_copy(update={"precision": "bfloat16"})
    block = _cut(country, 0, 0, 256, halo)
    long, whole = base.answer(weights, block, halo, EXACT), base.answer(weights, block, halo, short)
    assert 0 < np.nanmax(abs(long - whole)) < 0.03
    monkeypatch.setattr(tiled_inference, "most_px", lambda of, memory_gb: 192**2)
    np.testing.assert_allclose(base.answer(weights, block, halo, short), whole, rtol=0, atol=2e-3)


def test_windows_of_sea_are_not_computed(
    weights: Path, country: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    halo, sizes = base.halo_px(base.card(weights), EXACT), []
    block = _cut(country, 0, 0, 512, halo)
    whole = base.answer(weights, block, halo, EXACT)
    # nothing is seen but a corner, whose surroundings are
    coast = {name: band.copy() for name, band in block.items()}
    coast[BANDS[0]][halo + 64 :] = np.nan
    real = unet.probability
    monkeypatch.setattr(
        unet, "probability", lambda network, batch, *halo: sizes.append(batch.shape) or real(network, batch, *halo)
    )
    found = base.answer(weights, coast, halo, EXACT)
    assert sum(shape[2] * shape[3] for shape in sizes) <= (64 + 2 * halo) * (512 + 2 * halo)
    assert np.isnan(found[64:]).all()
    # what was seen there is not any more, so only what is far from it is the same
    np.testing.assert_allclose(found[: 64 - halo], whole[: 64 - halo], rtol=0, atol=TOLERANCE)


def test_too_little_memory_is_one_sentence() -> None:
    card = make_card(4, 64)
    with pytest.raises(
        ModelError, match=r"predict\.memory_gb = 0\.01: the smallest window of this network needs 0\.09"
    ):
        window_memory.most_px(card, 0.01)
    assert window_memory.most_px(card, 1.0) > window_memory.most_px(card, 0.5)


def test_exact_equals_the_plain_forward(weights: Path, country: dict[str, np.ndarray]) -> None:
    """Against torch alone: no windows, no fused batch norm."""
    of, halo = base.card(weights), 48
    block = _cut(country, 0, 0, 256, halo)
    stacked = np.stack([block[name] for name in of.bands])
    scaled = (stacked - np.reshape(of.means, (3, 1, 1))) / np.reshape(of.stds, (3, 1, 1))
    with torch.inference_mode():
        plain = torch.sigmoid(make_network(3, 4)(torch.from_numpy(np.nan_to_num(scaled).astype(np.float32))[None]))
    expected = plain[0, halo:-halo, halo:-halo].numpy().copy()
    expected[np.isnan(stacked[:, halo:-halo, halo:-halo]).any(axis=0)] = np.nan
    np.testing.assert_allclose(base.answer(weights, block, halo, EXACT), expected, rtol=0, atol=TOLERANCE)


def test_blended_tiles_equal_the_whole(weights: Path, country: dict[str, np.ndarray]) -> None:
    halo = base.halo_px(base.card(weights), BLEND)
    assert halo == 64
    whole = base.answer(weights, _cut(country, 0, 0, 512, halo), halo, BLEND)
    for row, col in ((0, 0), (128, 128), (256, 384)):
        tile = base.answer(weights, _cut(country, row, col, 128, halo), halo, BLEND)
        np.testing.assert_array_equal(tile, whole[row : row + 128, col : col + 128])


def test_nodata_is_nodata_and_nothing_else_is(weights: Path, country: dict[str, np.ndarray]) -> None:
    found = base.answer(weights, _cut(country, 0, 0, 512, 48), 48, EXACT)
    missing = np.isnan([country[name] for name in BANDS]).any(axis=0)
    np.testing.assert_array_equal(np.isnan(found), missing)
    assert found.dtype == np.float32
    assert ((found[~missing] >= 0) & (found[~missing] <= 1)).all()


def test_a_wider_block_than_needed_is_trimmed(weights: Path, country: dict[str, np.ndarray]) -> None:
    needed = base.answer(weights, _cut(country, 128, 128, 128, 48), 48, EXACT)
    wider = base.answer(weights, _cut(country, 128, 128, 128, 64), 64, EXACT)
    np.testing.assert_array_equal(needed, wider)


def test_too_little_around_a_block_is_a_fault(weights: Path, country: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="48 px are needed"):
        base.answer(weights, _cut(country, 128, 128, 128, 16), 16, EXACT)


def test_inputs_are_not_changed(weights: Path, country: dict[str, np.ndarray]) -> None:
    block = _cut(country, 0, 0, 128, 48)
    before = {name: band.copy() for name, band in block.items()}
    base.answer(weights, block, 48, EXACT)
    for name, band in block.items():
        np.testing.assert_array_equal(band, before[name])


def test_a_block_with_nothing_to_see_loads_no_network(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_inference, "answer", lambda *_: pytest.fail("computed"))
    empty = {name: np.full((224, 224), np.nan, np.float32) for name in BANDS}
    assert np.isnan(base.answer(weights, empty, 48, EXACT)).all()


def test_half_precision_moves_no_probability_by_a_thousandth(tmp_path: Path, country: dict[str, np.ndarray]) -> None:
    network, block = make_network(3, 4), _cut(country, 0, 0, 256, 48)
    answers = []
    for dtype in (np.float32, np.float16):
        path = tmp_path / f"{np.dtype(dtype).name}.safetensors"
        cards.save(path, unet.state(network, dtype), make_card(3, 4))
        answers.append(base.answer(path, block, 48, EXACT))
    assert np.nanmax(np.abs(answers[0] - answers[1])) < 1e-3
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.safetensors"))]
    assert sizes[0] < 0.8 * sizes[1]


def test_weights_come_back_as_they_were(weights: Path) -> None:
    found = unet.restore(unet.structure(cards.card(weights)), cards.arrays(weights)).state_dict()
    for name, value in make_network(3, 4).state_dict().items():
        assert torch.equal(value, found[name]), name


def test_weights_of_another_structure_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    cards.save(path, unet.state(make_network(2, 4)), make_card(3, 4))
    with pytest.raises(ModelError, match="do not fit their card"):
        unet.restore(unet.structure(cards.card(path)), cards.arrays(path))


@pytest.mark.parametrize("said", [{"halo_px": 16}, {"halo_px": 49}, {"lattice_px": 1}, {"lattice_px": 16}], ids=str)
def test_a_card_whose_windows_would_not_be_exact_is_refused(said: dict[str, int]) -> None:
    unet.structure(replace(make_card(3, 4), halo_px=56))
    with pytest.raises(
        ModelError, match="a U-Net of depth 3 needs a lattice of 8 px and a halo of 48 px, the card has"
    ):
        unet.structure(replace(make_card(3, 4), **said))  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"predict\.device = 'cuda'"):
        devices.device("cuda")
    assert devices.device("auto").type == "cpu"
