"""Tehrani's segments and forest: scikit-learn's own answers, tile by tile, and what the rules leave out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from lsbatch.errors import ModelError, NoDataError
from lsbatch.models import base, cards, tehrani
from lsbatch.settings import PredictSettings

SIDE_M = 10.0


def scene(rows: int, cols: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Green hills with brown scars of all sizes, some of them fields; bands in the model's order, and the scars."""
    dice = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(dice.standard_normal((rows, cols)), 6)
    scar = rough > np.quantile(rough, 0.97)
    field = rough < np.quantile(rough, 0.03)
    noise = dice.normal(1, 0.02, (8, rows, cols))
    green = np.array([0.03, 0.05, 0.03, 0.30])[:, None, None]
    brown, mown = (np.array(v)[:, None, None] for v in ([0.16, 0.12, 0.10, 0.22], [0.10, 0.105, 0.07, 0.33]))
    after = np.where(scar, brown, np.where(field, mown, green))
    slope = np.where(field, 4.0, 28.0) + dice.normal(0, 1, (rows, cols))
    height = 500 + 80 * ndimage.gaussian_filter(dice.standard_normal((rows, cols)), 20)
    bands = np.concatenate([np.broadcast_to(green, after.shape), after]) * noise
    return np.concatenate([bands, height[None], slope[None]]).astype(np.float32), scar


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bands, scar = scene(700, 700)
    middle = tehrani.centres(tehrani.change(bands), 0)
    found = tehrani.cut(bands, middle, SIDE_M)
    slides = tehrani.shares(found.labels, scar) >= 0.5
    assert slides.sum() > 20
    assert (~slides).sum() > 20
    path = tmp_path_factory.mktemp("tehrani") / "t.safetensors"
    cards.save(path, tehrani.fit(found.features, slides, middle, 0), tehrani.card(SIDE_M))
    return path


def test_the_forest_is_that_of_scikit_learn(weights: Path) -> None:
    bands, scar = scene(700, 700)
    forest = cards.arrays(weights)
    found = tehrani.cut(bands, forest["centres"], SIDE_M)
    slides = tehrani.shares(found.labels, scar) >= 0.5
    theirs = RandomForestClassifier(**tehrani.FOREST, random_state=0).fit(found.features, slides.astype(int))
    np.testing.assert_allclose(
        tehrani.chances(found.features, forest), theirs.predict_proba(found.features)[:, 1], atol=1e-6
    )


def test_scars_are_found_and_fields_are_not(weights: Path) -> None:
    """On another seed of the same made-up scene."""
    bands, scar = scene(400, 420, 5)
    found = tehrani.cut(bands, cards.arrays(weights)["centres"], SIDE_M)
    chance = np.concatenate([[0], tehrani.chances(found.features, cards.arrays(weights))])[found.labels]
    large = ndimage.label(scar)[0]
    sizes = np.bincount(large.ravel())
    whole = (large > 0) & (sizes[large] >= 2 * tehrani.SMALLEST_PX)
    assert (chance[whole] >= 0.5).mean() > 0.8
    assert (chance[~scar & ~ndimage.binary_dilation(scar, iterations=3)] >= 0.5).mean() < 0.001


@pytest.mark.parametrize(
    ("top", "left", "more"),
    [(600, 640, 590), pytest.param(520, 800, 520, marks=pytest.mark.slow)],
    ids=["hole", "plain"],
)
def test_tiles_do_not_change_the_answer(weights: Path, top: int, left: int, more: int) -> None:
    """A core in the middle of a large scene, with the halo and with much more."""
    bands, _ = scene(1300, 1400, 7)
    bands[:, 600:620, 640:700] = np.nan
    halo, core = tehrani.HALO_PX, 64
    names = tehrani.BANDS

    def at(top: int, left: int, wide: int) -> np.ndarray:
        block = bands[:, top - wide : top + core + wide, left - wide : left + core + wide]
        return base.answer(weights, dict(zip(names, block, strict=True)), wide, PredictSettings())

    seen = at(top, left, halo)
    np.testing.assert_array_equal(seen, at(top, left, more))
    if (top, left) == (600, 640):
        assert np.isnan(seen[:20, :60]).all()
        assert np.isfinite(seen[20:]).all()


def test_features_by_hand() -> None:
    """One even scar of 10 x 12 px on even green."""
    bands = np.empty((10, 60, 60), np.float32)
    bands[:] = np.reshape([0.03, 0.05, 0.03, 0.30, 0.03, 0.05, 0.03, 0.30, 500, 20], (-1, 1, 1))
    bands[4:8, 20:30, 20:32] = np.reshape([0.16, 0.12, 0.10, 0.22], (-1, 1, 1))
    bands[8, 20, 20], bands[9, 29, 31] = 560, 41
    middle = np.sort(np.append(np.linspace(-1, -0.1, 17), [0.0, 0.7]))
    found = tehrani.cut(bands, middle, SIDE_M)
    assert found.labels.max() == 1
    np.testing.assert_array_equal(found.labels > 0, bands[4] > 0.1)
    told = dict(zip(tehrani.FEATURES, found.features[0], strict=True))
    assert told["ndvi"] == pytest.approx((0.22 - 0.16) / 0.38, rel=1e-5)
    assert told["rg_deviation"] == pytest.approx(0.16 / 0.12 - 0.03 / 0.05, rel=1e-5)
    assert told["brightness"] == pytest.approx(10 * (0.16 + 0.12 + 0.10) / 3, rel=1e-5)
    assert told["brightness_deviation"] == pytest.approx(10 * (0.11 - 0.38) / 3, rel=1e-5)
    assert told["slope_max"] == 41
    assert told["slope_mean"] == pytest.approx(20 + 21 / 120, rel=1e-5)
    assert told["relief"] == 60
    assert told["ndvi_texture"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(found.first, [[20, 20]])


def test_what_cannot_be_learned() -> None:
    features = np.zeros((5, len(tehrani.FEATURES)), np.float32)
    with pytest.raises(NoDataError, match="of 5 segments 0 are landslides"):
        tehrani.fit(features, np.zeros(5, bool), np.arange(19.0), 0)
    with pytest.raises(NoDataError, match="too few"):
        tehrani.centres(np.zeros(100), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"centres": np.zeros(0)},
        {"centres": np.array([0.0, np.nan])},
        {"centres": np.zeros(300)},
        {"centres": np.zeros((2, 2))},
        {"nodes": np.ones(3)},
    ],
    ids=["no centres", "not a number", "more than uint8 holds", "two axes", "nodes that are no whole numbers"],
)
def test_arrays_that_compiled_code_could_not_walk_are_refused(
    weights: Path, changes: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    cards.save(path, cards.arrays(weights) | changes, cards.card(weights))
    with pytest.raises(ModelError, match="its arrays are no random forest"):
        _answer(path)


def test_a_card_with_another_halo_is_refused(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    cards.save(path, cards.arrays(weights), replace(cards.card(weights), halo_px=0))
    with pytest.raises(ModelError, match="a halo of 0 px; a forest has 512 px"):
        _answer(path)


def _answer(path: Path) -> np.ndarray:
    bands = dict.fromkeys(tehrani.BANDS, np.ones((8, 8), np.float32))
    return base.answer(path, bands, 0, PredictSettings(device="cpu"))
