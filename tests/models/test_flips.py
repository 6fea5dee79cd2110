"""Mirror images: their mean, their spread, in tiles, and where they make no sense."""

import numpy as np
import pytest

from lsbatch import settings
from lsbatch.errors import ConfigError
from lsbatch.models import base
from lsbatch.settings import PredictSettings

WEIGHTS = base.named("package:unet-s1vv")
CARD = base.card(WEIGHTS)
FLIPS = PredictSettings(device="cpu", flips=True)


def block(side: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Speckle with a hole, with the halo around."""
    wide = side + 2 * CARD.halo_px
    raw = np.random.default_rng(seed).normal(-11, 3, (2, wide, wide)).astype(np.float32)
    raw[1, CARD.halo_px + 5 : CARD.halo_px + 9, CARD.halo_px + 20] = np.nan
    return dict(zip(CARD.bands, raw, strict=True))


@pytest.mark.parametrize("tiling", ["exact", "blend"])
def test_mean_and_spread_of_four(tiling: str) -> None:
    bands, halo = block(128), base.halo_px(CARD, PredictSettings(tiling=tiling))  # type: ignore[arg-type]
    spare = CARD.halo_px - halo
    bands = {name: values[spare : len(values) - spare, spare : len(values) - spare] for name, values in bands.items()}
    plain, with_flips = (PredictSettings(device="cpu", tiling=tiling, flips=f) for f in (False, True))  # type: ignore[arg-type]
    four = []
    for axes in ((), (1,), (0,), (0, 1)):
        mirrored = {name: np.flip(values, axes) for name, values in bands.items()}
        four.append(np.flip(base.answer(WEIGHTS, mirrored, halo, plain), axes))
    mean, spread = base.answers(WEIGHTS, bands, halo, with_flips)
    np.testing.assert_allclose(mean, np.mean(four, axis=0), atol=1e-5)
    np.testing.assert_allclose(spread, np.std(four, axis=0), atol=1e-5)
    assert np.nanmax(spread) > 0.01
    np.testing.assert_array_equal(np.isnan(spread), np.isnan(mean))


def test_tiles_equal_the_whole() -> None:
    bands = block(192)
    whole, _ = base.answers(WEIGHTS, bands, CARD.halo_px, FLIPS)
    part = {
        name: values[64 : 64 + 64 + 2 * CARD.halo_px, 128 : 128 + 64 + 2 * CARD.halo_px]
        for name, values in bands.items()
    }
    np.testing.assert_allclose(base.answer(WEIGHTS, part, CARD.halo_px, FLIPS), whole[64:128, 128:], atol=1e-5)


def test_no_spread_unless_asked_for() -> None:
    _, spread = base.answers(WEIGHTS, block(64), CARD.halo_px, PredictSettings(device="cpu"))
    assert np.isnan(spread).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bands": "s1vv_apart"}, "depend on the look direction"),
        ({"model": {"family": "cart"}}, r"predict\.flips is for model\.family unet, smp, not cart"),
    ],
)
def test_where_flips_make_no_sense(changes: dict[str, object], sentence: str) -> None:
    raw = settings.example().model_dump(mode="json") | {"predict": {"flips": True}} | changes
    with pytest.raises(ConfigError, match=sentence):
        settings.parse(raw, settings.example().output)
