"""A real scene with a missing corner, snow and no near infrared: it is answered where it was seen, and only there."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import hokkaido
from lsbatch.bands import BAND_SETTINGS
from lsbatch.models import cards, prakash, unet
from lsbatch.settings import TrainSettings

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "s2_hokkaido"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason=f"real data are not at {FOLDER}")


@pytest.mark.parametrize("family", ["prakash", "unet"])
def test_it_is_answered_where_it_was_seen(family: str, tmp_path: Path) -> None:
    """By a network that was never trained: what it says means nothing, where it says it does."""
    torch.manual_seed(0)
    settings = TrainSettings(width=4, depth=2)
    weights, names = tmp_path / "p.safetensors", BAND_SETTINGS["s2_rgb"]
    if family == "prakash":
        card = cards.save(
            weights,
            unet.state(prakash.build(settings)),
            prakash.card(hokkaido.SIDE_M, settings.width, settings.dropout),
        )
    else:
        known = unet.card(names, 2, 4, 0.1, means=(0.1,) * 6, stds=(0.1,) * 6)
        card = cards.save(weights, unet.state(unet.UNet(6, 2, 4, 0.1)), known)
    found = hokkaido.bands(FOLDER)
    missing = np.isnan(found["preR"])
    assert missing[np.isfinite(found["postR"])].mean() == pytest.approx(0.40, abs=0.02)
    chance = hokkaido.answered(weights, found)
    seen = np.logical_and.reduce([np.isfinite(found[name]) for name in card.bands])
    np.testing.assert_array_equal(np.isfinite(chance), seen)
    assert 0.4 < seen.mean() < 0.7
