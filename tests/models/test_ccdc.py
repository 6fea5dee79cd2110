"""CCDC: which pixels are looked at, which breaks count, and what they are said to have taken."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.errors import ModelError
from lsbatch.models import base, ccdc

pytestmark = pytest.mark.skipif(find_spec("pyxccd") is None, reason="pyxccd has no wheel for this Python")

RULE = ccdc.PARAMETERS
#: Looks of five years, every five days from May to September.
DAYS = np.concatenate([np.arange(120, 275, 5) + 365 * year for year in range(5)]) + 17_000
WINDOW = (17_000 + 4 * 365, 17_000 + 5 * 365)
SLID = 17_000 + 4 * 365 + 170


def series(
    level: float = 7000, step: float = 0, day: int = SLID, noise: float = 150, pixels: int = 4, seed: int = 0
) -> np.ndarray:
    """NDVI with a small season, and a step."""
    dice = np.random.default_rng(seed)
    season = 300 * np.cos(2 * np.pi * DAYS / 365.25 - 3.3)
    values = level + season + step * (day <= DAYS)
    return np.rint(values[:, None] + dice.normal(0, noise, (len(DAYS), pixels))).astype(np.int16)[None]


def test_a_fall_inside_the_window_is_a_break_on_its_day() -> None:
    share, before, after = ccdc.breaks(DAYS, series(step=-4000), WINDOW, RULE)
    first = DAYS[DAYS >= SLID][0]
    np.testing.assert_array_equal(after, first)
    np.testing.assert_array_equal(before, DAYS[first > DAYS][-1])
    # 4,000 of what there was above bare ground at this season: 5,700 to 6,300
    np.testing.assert_allclose(share, 4000 / 6000, atol=0.06)


@pytest.mark.parametrize(
    ("step", "day"),
    [(0, SLID), (2500, SLID), (-4000, 17_000 + 3 * 365 + 170)],
    ids=["nothing", "greener", "a year too early"],
)
def test_what_is_no_break_of_this_survey(step: float, day: int) -> None:
    share, before, after = ccdc.breaks(DAYS, series(step=step, day=day), WINDOW, RULE)
    np.testing.assert_array_equal(share, 0)
    assert (before == ccdc.MISSING).all()
    assert (after == ccdc.MISSING).all()


@given(st.floats(-5500, -2000), st.integers(0, 1000))
def test_share_grows_with_the_fall(step: float, seed: int) -> None:
    share, _, after = ccdc.breaks(DAYS, series(step=step, seed=seed, pixels=1), WINDOW, RULE)
    assert after[0] != ccdc.MISSING
    assert share[0] == pytest.approx(-step / 6000, abs=0.12)


def test_looks_that_were_not_clear_do_not_count() -> None:
    """The same answer as from the clear looks alone."""
    values = series(step=-4000, pixels=3)
    dice = np.random.default_rng(1)
    clouded = dice.random(DAYS.shape) < 0.4
    hidden = values.copy()
    hidden[:, clouded] = ccdc.MISSING
    for one, other in zip(
        ccdc.breaks(DAYS, hidden, WINDOW, RULE),
        ccdc.breaks(DAYS[~clouded], values[:, ~clouded], WINDOW, RULE),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("looks", [0, 1, 12, 18, ccdc.FEWEST - 1])
def test_with_too_few_looks_nothing_is_said(looks: int) -> None:
    values = series(step=-4000)
    values[:, looks:] = ccdc.MISSING
    share, _, after = ccdc.breaks(DAYS, values, WINDOW, RULE)
    assert np.isnan(share).all()
    assert (after == ccdc.MISSING).all()


def test_short_series_do_not_kill_the_process() -> None:
    """pyxccd 1.1.0 dies of 23 looks; whatever is given to it here has more, and is answered or said to be unknown."""
    dice = np.random.default_rng(0)
    values = series(step=-3000, pixels=300)
    for pixel in range(300):
        kept = dice.choice(len(DAYS), dice.integers(10, 60), replace=False)
        hole = np.ones(len(DAYS), bool)
        hole[kept] = False
        values[0, hole, pixel] = ccdc.MISSING
    share, before, after = ccdc.breaks(DAYS, values, WINDOW, RULE)
    enough = (values[0] != ccdc.MISSING).sum(axis=0) >= ccdc.FEWEST
    assert np.isnan(share[~enough]).all()
    assert np.isfinite(share[enough]).mean() > 0.5
    broken = after != ccdc.MISSING
    assert broken.any()
    assert (before[broken] < after[broken]).all()


def test_short_wave_infrared_is_followed_too() -> None:
    """Bare ground is bright at 1.6 um: a fall of NDVI too small to see alone is seen with it."""
    ndvi = series(step=-500, noise=250, pixels=30)
    bright = series(level=1800, step=1200, noise=60, pixels=30, seed=1)
    alone, _, _ = ccdc.breaks(DAYS, ndvi, WINDOW, RULE)
    both, _, after = ccdc.breaks(DAYS, np.concatenate([ndvi, bright]), WINDOW, RULE)
    assert (both > 0).mean() > 0.9 > (alone > 0).mean()
    assert np.median(np.abs(after[both > 0].astype(int) - SLID)) <= 5


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, True),
        ({"slope": 2.9}, False),
        ({"slope": np.nan}, False),
        ({"dNDVI": -0.04}, False),
        ({"dNDVI": 0.2}, False),
        ({"dNDVI": np.nan}, False),
        ({"preR": 0.2, "preNIR": 0.3}, False),
        ({"preR": 0.0, "preNIR": 0.0}, False),
        ({"preR": np.nan}, False),
    ],
)
def test_pixels_that_cannot_have_slid(changes: dict[str, float], chosen: bool) -> None:
    usual = {"preR": 0.04, "preNIR": 0.3, "dNDVI": -0.3, "slope": 25.0}
    bands = {name: np.full((1, 1), value, np.float32) for name, value in (usual | changes).items()}
    assert bool(ccdc.candidates(bands, RULE)[0, 0]) is chosen


def test_the_parameters_that_come_with_lsbatch_are_those_of_the_module() -> None:
    found = base.card(base.PACKAGED / "ccdc.safetensors")
    assert dict(found.network) == dict(RULE)
    assert (found.family, found.bands, found.halo_px) == ("ccdc", ccdc.BANDS, 0)


def test_without_the_library_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'lsbatch\[ccdc\]'"):
        ccdc.check()
