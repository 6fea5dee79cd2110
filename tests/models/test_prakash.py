"""The three-stream network: its shape, its inputs and its windows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lsbatch.errors import ModelError
from lsbatch.kernels import terrain
from lsbatch.models import base, cards, prakash, unet
from lsbatch.settings import PredictSettings, TrainSettings

SMALL = TrainSettings(width=4, dropout=0.0)


def block(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Bands in the model's order."""
    dice = np.random.default_rng(seed)
    rgb = dice.uniform(0, 0.4, (6, rows, cols))
    height = np.cumsum(np.cumsum(dice.normal(0, 0.02, (1, rows, cols)), axis=1), axis=2)
    return np.concatenate([rgb, height, dice.uniform(0, 60, (1, rows, cols))]).astype(np.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was never trained, with statistics as if it had been."""
    torch.manual_seed(0)
    net = prakash.build(SMALL)
    for name, value in net.named_buffers():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if name.endswith("var") else -0.5))
    path = tmp_path_factory.mktemp("prakash") / "p.safetensors"
    cards.save(path, unet.state(net), prakash.card(10.0, SMALL.width, SMALL.dropout))
    return path


def test_published_channels() -> None:
    net = prakash.Prakash()
    assert [stem[0].out_channels for stem in net.stems] == [24, 24, 16]
    assert [stem[0].kernel_size for stem in net.stems] == [(7, 7)] * 3
    assert [len(stage) for stage in net.stages] == [3, 4, 6, 3]
    assert [stage[-1].body[0].out_channels for stage in net.stages] == [64, 128, 256, 256]
    assert [up[0].out_channels for up in net.up] == [256, 128, 64, 64, 64]
    answers = net.train()(torch.zeros(2, 8, 64, 96))
    assert [a.shape for a in answers] == [(2, 64, 96)] * 5
    assert net.eval()(torch.zeros(2, 8, 64, 96)).shape == (2, 64, 96)


def test_every_stream_is_heard() -> None:
    net = prakash.build(SMALL).eval()
    start = torch.zeros(1, 8, 64, 64)
    for band in range(8):
        moved = start.clone()
        moved[0, band, 20:40, 20:40] = 1
        assert not torch.equal(net(moved), net(start)), band


def test_inputs_by_hand() -> None:
    raw = block(20, 24)
    found = unet.normalised(prakash.prepared(raw, 10.0), prakash.MEANS, prakash.STDS)
    eight_bit = np.clip(raw[:6] / prakash.WHITE, 0, 1) * 255
    np.testing.assert_allclose(found[:6], eight_bit / 127.5 - 1, atol=1e-6)
    shade = terrain.hillshade(raw[6], 10, 10)[1:-1, 1:-1]
    np.testing.assert_allclose(found[6, 1:-1, 1:-1], shade / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(found[7], raw[7] / 45 - 1, atol=1e-6)
    assert (found[6, 0] == 0).all(), "what is not known is the mean"


def test_tiles_do_not_change_the_answer(weights: Path) -> None:
    bands = block(128 * 6, 128 * 6)
    bands[2, 300:310, 280:330] = np.nan

    def at(top: int, left: int, side: int, wide: int) -> np.ndarray:
        piece = bands[:, top - wide : top + side + wide, left - wide : left + side + wide]
        return base.answer(weights, dict(zip(prakash.BANDS, piece, strict=True)), wide, PredictSettings(device="cpu"))

    whole = at(128, 128, 512, 128)
    assert np.isnan(whole[172:182, 152:202]).all()
    for top, left, wide in ((128, 128, 128), (256, 256, 128), (256, 256, 256), (384, 128, 128)):
        part = at(top, left, 128, wide)
        # windows are the same; only how they are batched is not
        np.testing.assert_allclose(part, whole[top - 128 : top, left - 128 : left], atol=2e-6)


@pytest.mark.parametrize("said", [{"halo_px": 0}, {"lattice_px": 64}], ids=str)
def test_a_card_with_other_windows_is_refused(weights: Path, said: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    cards.save(path, cards.arrays(weights), replace(cards.card(weights), **said))
    with pytest.raises(ModelError, match="the network has 128 px and 128 px"):
        base.answer(path, dict(zip(prakash.BANDS, block(384, 384), strict=True)), 128, PredictSettings(device="cpu"))
