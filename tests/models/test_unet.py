"""The network and its tiled answer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lsbatch.config import PredictSettings
from lsbatch.errors import ModelError
from lsbatch.models import base, cards, unet
from tests.models.conftest import BANDS, make_card, make_network

EXACT = PredictSettings(tiling="exact", window_px=256, device="cpu")
BLEND = PredictSettings(tiling="blend", device="cpu")
#: Torch sums in another order in windows of another size.
TOLERANCE = 1e-5


def _cut(country: dict[str, np.ndarray], row: int, col: int, side: int, halo: int) -> dict[str, np.ndarray]:
    """A tile with its halo; outside the country is nodata."""
    padded = {name: np.pad(band, halo, constant_values=np.nan) for name, band in country.items()}
    return {name: band[row : row + side + 2 * halo, col : col + side + 2 * halo] for name, band in padded.items()}


def _span(depth: int, axis: int) -> tuple[int, int]:
    """Input pixels that the answers of one lattice cell depend on, measured by their gradients, from the cell's start."""
    network = make_network(depth, 4).double()
    for module in network.modules():
        # a dead ReLU or a pool that looks elsewhere would hide a path
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.uniform_(module.weight, 0.1, 0.2)
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
@pytest.mark.parametrize("window_px", [192, 320])
def test_exact_tiles_equal_the_whole(weights: Path, country: dict[str, np.ndarray], side: int, window_px: int) -> None:
    halo = base.halo_px(base.card(weights), EXACT)
    whole = base.answer(weights, _cut(country, 0, 0, 512, halo), halo, EXACT.model_copy(update={"window_px": 640}))
    settings = EXACT.model_copy(update={"window_px": window_px})
    for row in range(0, 512, side):
        for col in range(0, 512, side):
            tile = base.answer(weights, _cut(country, row, col, side, halo), halo, settings)
            np.testing.assert_allclose(tile, whole[row : row + side, col : col + side], rtol=0, atol=TOLERANCE)


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
    monkeypatch.setattr(unet, "answer", lambda *_: pytest.fail("computed"))
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


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"predict\.device = 'cuda'"):
        unet.device("cuda")
    assert unet.device("auto").type == "cpu"
