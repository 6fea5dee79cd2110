"""The description of a training in the card, and the dissimilarity index that follows from it."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lsbatch.bands import BAND_SETTINGS, FULL_STACK
from lsbatch.errors import ModelError
from lsbatch.grid import Grid
from lsbatch.kernels.statistics import dissimilarity as kernels
from lsbatch.models import applicability, base, cards
from lsbatch.models.model_card import changes
from lsbatch.models.training import applicability as training
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.spatial_split import Source
from lsbatch.settings import SurveySettings
from tests.models.conftest import make_card

BANDS = ("preVV", "postVV", "dNDVI")
#: Checksums of the packaged weights before they had a description; predictions of older surveys stay fresh with them.
PACKAGED = {"unet-s1vv": "e0d8a7f5711cacb2", "unet-s1vv_s2": "bf52a8b1d7f8b9de"}


def chips(blocks: list[tuple[int, int, int]], seed: int = 0, side: int = 64) -> Chips:
    """One training chip a block, with a landslide in each; levels differ from source to source."""
    dice = np.random.default_rng(seed)
    values = dice.normal(0, 1, (len(blocks), 3, side, side)).astype(np.float32)
    values[:, :2] += -11 + np.array([source for source, _, _ in blocks])[:, None, None, None]
    values[:, 2] *= 0.02
    values[:, 0, :4, :4] = np.nan
    truth = np.zeros((len(blocks), side, side), np.uint8)
    truth[:, 20:28, 20:28] = 1
    return Chips(values, truth, np.zeros(len(blocks), int), np.ones((3, 3)), np.array(blocks))


def source(name: str, side_m: float = 10.0, scenes: int = 16) -> Source:
    grid = Grid.snapped("EPSG:25833", side_m, 128, (0.0, 0.0, 1280.0, 1280.0))
    windows = SurveySettings(id=name, kind="annual", year=2020, season=("06-20", "09-10")).windows
    return Source(
        name, Path(), grid, (), lambda tile: np.zeros(1), scenes={"pre_s1": (scenes, scenes)}, windows=windows
    )


@pytest.fixture(scope="module")
def described() -> training.Described:
    found = training.describe(chips([(i, 0, j) for i in range(3) for j in range(4)]),
                              [source("a"), source("b", 20.0), source("c", scenes=9)], BANDS, 0)  # fmt: skip
    assert found is not None
    return found


@pytest.fixture
def file(tmp_path: Path, described: training.Described) -> Path:
    path = tmp_path / "weights.safetensors"
    of, sample = described
    cards.save(path, {"a": np.ones(3, np.float32)}, replace(make_card(3, 4), applicability=of), sample)
    return path


def test_description_comes_back_from_the_file(file: Path, described: training.Described) -> None:
    assert cards.card(file).applicability == described[0]
    np.testing.assert_array_equal(cards.sample(file), described[1])
    # a network must not be given the sample
    assert set(cards.arrays(file)) == {"a"}


def test_description_changes_no_checksum_of_weights(file: Path, tmp_path: Path) -> None:
    without = cards.save(tmp_path / "plain.safetensors", {"a": np.ones(3, np.float32)}, make_card(3, 4))
    assert cards.card(file).checksum == without.checksum


def test_card_of_an_older_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    arrays = {"a": np.ones(3, np.float32)}
    raw = asdict(replace(make_card(3, 4), checksum=cards.checksum(arrays, make_card(3, 4))))
    del raw["applicability"]
    save_file(arrays, path, metadata={cards.KEY: json.dumps(raw)})
    assert cards.card(path).applicability is None
    assert set(cards.arrays(path)) == {"a"}
    with pytest.raises(ModelError, match="has no description of its training"):
        cards.sample(path)


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_have_a_description_and_their_old_checksum(name: str) -> None:
    path = base.named(f"package:{name}")
    of = cards.card(path)
    assert of.checksum == PACKAGED[name]
    assert cards.checksum(cards.arrays(path), of) == PACKAGED[name]
    assert of.applicability is not None
    assert of.applicability.folds == "8 surveys"
    assert cards.sample(path).shape == (training.CELLS, len(of.applicability.means))


@pytest.mark.parametrize(("name", "folds"), [("unet-s1_change", "31 surveys"), ("unet-s1_change_s2", "16 surveys")])
def test_packaged_weights_for_the_change_against_the_surroundings_are_described(name: str, folds: str) -> None:
    of = cards.card(base.named(f"package:{name}"))
    assert of.bands == BAND_SETTINGS[name.removeprefix("unet-")]
    assert of.applicability is not None
    assert of.applicability.folds == folds


@pytest.mark.parametrize(
    "change",
    [
        {"limit": -1.0}, {"distance": "far"}, {"means": []}, {"means": "no"}, {"quantiles": {}},
        {"changes": {"VV": [1]}},
        {"quantiles": {name: [1.0] for name in BANDS}}, {"scenes": {"pre_s1": 3}}, {"seasons": ["06-01"]},
        {"folds": "\x1b[2J"}, {"surveys": 3},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_description_is_named(tmp_path: Path, described: training.Described, change: dict[str, Any]) -> None:
    raw = asdict(replace(make_card(3, 4), applicability=described[0]))
    raw["applicability"] |= change
    path = tmp_path / "damaged.safetensors"
    save_file({"a": np.ones(3, np.float32)}, path, metadata={cards.KEY: json.dumps(raw)})
    with pytest.raises(ModelError, match="another version of lsbatch"):
        cards.card(path)


def test_damaged_sample_is_named(tmp_path: Path, described: training.Described) -> None:
    of, sample = described
    path = tmp_path / "damaged.safetensors"
    cards.save(path, {"a": np.ones(3, np.float32)}, replace(make_card(3, 4), applicability=of), sample + 1)
    with pytest.raises(ModelError, match="its sample does not have the checksum"):
        cards.sample(path)


def test_changes_of_bands() -> None:
    assert changes(("preVV", "postVV", "dNDVI")) == {"dNDVI": ("dNDVI",), "VV": ("postVV", "preVV")}
    # the difference is a band itself
    assert changes(("preVV", "postVV", "diffVV")) == {"VV": ("diffVV",)}
    assert changes(("postR", "elevation")) == {}


def test_description_says_what_was_learned_from(described: training.Described) -> None:
    of, sample = described
    assert of.folds == "3 surveys"
    assert of.surveys == ("a", "b", "c")
    assert of.resolution_m == (10.0, 20.0)
    assert of.scenes == {"pre_s1": (9, 16)}
    assert of.seasons == (("06-20", "09-10"),)
    assert of.quantiles["preVV"][2] == pytest.approx(-10, abs=0.2)
    assert sample.dtype == np.float16
    # three features of each band, two of the change of VV
    assert sample.shape[1] == len(of.means) == 11
    np.testing.assert_allclose(sample.astype(float).mean(axis=0), 0, atol=0.01)


def test_limit_follows_the_definition(described: training.Described) -> None:
    """Meyer and Pebesma 2021: distance to the nearest training point of another fold, over the mean distance."""
    of, sample = described
    points = sample.astype(np.float64)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    mean = apart[np.triu_indices(len(points), 1)].mean()
    assert of.distance == pytest.approx(mean)
    # the level of VV tells the source
    levels = points[:, 0] * of.stds[0] + of.means[0]
    fold = np.rint(levels + 11).astype(int)
    assert set(fold) == {0, 1, 2}
    index = np.array([apart[i, fold != fold[i]].min() for i in range(len(points))]) / mean
    low, high = np.quantile(index, [0.25, 0.75])
    assert of.limit == pytest.approx(min(high + 1.5 * (high - low), index.max()))


def test_one_survey_is_cross_validated_by_blocks_and_one_block_not_at_all() -> None:
    found = training.describe(chips([(0, 0, 0), (0, 0, 1), (0, 1, 1)]), [source("a")], BANDS, 0)
    assert found is not None
    assert found[0].folds == "3 blocks"
    assert training.describe(chips([(0, 2, 2)]), [source("a")], BANDS, 0) is None


def block(seed: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    dice = np.random.default_rng(seed)
    bands = {name: dice.normal(-11 + shift, 1, (48, 48)).astype(np.float32) for name in BANDS[:2]}
    bands["dNDVI"] = dice.normal(0, 0.02, (48, 48)).astype(np.float32)
    bands["postVV"][10:20, 30:45] = np.nan
    return bands


def test_index_is_the_distance_to_the_nearest_training_cell(file: Path) -> None:
    of, bands, halo = cards.card(file).applicability, block(1), kernels.HALO_PX
    assert of is not None
    found = applicability.index(file, bands, halo)
    assert found.shape == (32, 32)
    core = slice(halo, -halo)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(bands["postVV"][core, core]))
    channels = np.stack([bands[name] for name in BANDS] + [bands["postVV"] - bands["preVV"]])
    steps = np.array([FULL_STACK[name].scale or 1 for name in (*BANDS, "postVV")])
    cells = np.delete(kernels.features(channels, steps), 9, axis=-1)
    sample = cards.sample(file).astype(np.float64)
    for row in range(4):
        for col in range(4):
            scaled = (cells[row + 1, col + 1] - of.means) / of.stds
            nearest = np.linalg.norm(sample - scaled, axis=1).min() / of.distance
            here = found[row * 8 : row * 8 + 8, col * 8 : col * 8 + 8]
            np.testing.assert_allclose(here[np.isfinite(here)], nearest)


def test_other_ground_is_outside(file: Path) -> None:
    of = cards.card(file).applicability
    assert of is not None
    like, unlike = (applicability.index(file, block(2, shift), kernels.HALO_PX) for shift in (0.0, 9.0))
    assert np.nanmean(like > of.limit) < 0.1
    assert np.nanmean(unlike > of.limit) > 0.9


def test_families_without_networks_have_no_description() -> None:
    assert cards.card(base.named("package:ccdc")).applicability is None
