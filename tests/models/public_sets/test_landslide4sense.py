"""Landslide4Sense: both layouts, and values that only the publishers know the units of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsbatch import settings
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.models.training import chips, spatial_split
from lsbatch.models.training.public_sets import formats, landslide4sense, set_chips
from lsbatch.models.training.public_sets.chip_folder import PHYSICAL, STANDARDISED, ChipFolder
from lsbatch.settings import Config
from tests.models.public_sets import writers

BANDS = ("postR", "postG", "postB", "postNIR", "slope", "elevation")


def configured(bands: tuple[str, ...] = BANDS, **train: Any) -> Config:
    plain = settings.example()
    return plain.model_copy(update={"bands": bands, "train": plain.train.model_copy(update=train)})


def opened(folder: Path, config: Config | None = None) -> ChipFolder:
    return formats.open_folders([folder], ["landslide4sense"], config or configured())[0]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of the mirror."""
    counts = {"train": 5, "validation": 2, "test": 2}
    return writers.write_landslide4sense(tmp_path_factory.mktemp("l4s"), counts)


def _shares(found: ChipFolder) -> list[int]:
    return [sum(patch.share == share for patch in found.patches) for share in range(3)]


def test_splits_of_the_mirror_are_kept(mirror: Path) -> None:
    found = opened(mirror)
    assert _shares(found) == [5, 2, 2]
    assert (found.left_out, found.notes) == ({}, ())
    assert found.units == STANDARDISED


@pytest.mark.parametrize("order", [BANDS, BANDS[::-1], ("postSWIR2", "postRE1")])
def test_channels_are_the_named_bands(mirror: Path, order: tuple[str, ...]) -> None:
    """In the files that a test writes, the mean of a channel is its number."""
    found = opened(mirror, configured(order))
    values, truth = found.read(found.patches[0])
    numbers = {
        "postB": 2,
        "postG": 3,
        "postR": 4,
        "postRE1": 5,
        "postNIR": 8,
        "postSWIR2": 12,
        "slope": 13,
        "elevation": 14,
    }
    for name, band in zip(order, values, strict=True):
        assert band[truth == 0].mean() == pytest.approx(numbers[name], abs=0.05)
    assert truth.sum() == 24 * 20


def test_a_competition_without_masks_of_validation_is_dealt_by_the_seed(tmp_path: Path) -> None:
    folder = writers.write_landslide4sense(tmp_path, {"train": 10, "validation": 2, "test": 1}, "competition")
    for masks in ("ValidData/mask", "TestData/mask"):
        for path in (folder / masks).iterdir():
            path.unlink()
    found = opened(folder)
    assert _shares(found) == [6, 2, 2]
    assert found.left_out == {"without a mask": 3}
    assert "dealt to the splits by train.seed" in found.notes[0]
    assert [p.share for p in opened(folder).patches] == [p.share for p in found.patches]
    others = [[p.share for p in opened(folder, configured(seed=seed)).patches] for seed in range(1, 5)]
    assert any(shares != [p.share for p in found.patches] for shares in others)


@pytest.mark.parametrize("bands", [("preR", "postR"), ("dNDVI",), ("preVV", "postVV"), ("postNIRn", "slope")])
def test_bands_that_the_set_lacks_are_refused(mirror: Path, bands: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="it has one image after the event: bands may be a list of postB, postG"):
        opened(mirror, configured(bands))


def _wide(path: Path) -> None:
    writers.write_h5(path, "img", np.zeros((64, 128, 14)))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:4000]), "cannot be read: .*download it again"),
        (lambda path: path.write_text("not HDF5"), "cannot be read"),
        (lambda path: writers.write_h5(path, "image", np.zeros((128, 128, 14))), "has no variable img; it has image"),
        (_wide, r"img has the shape \(64, 128, 14\); expected is \(128, 128, 14\)"),
        (lambda path: writers.write_h5(path, "img", np.full((128, 128, 14), b"x")), "img has the type"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    folder = writers.write_landslide4sense(tmp_path, {"train": 1})
    path = folder / "images/train/image_1.h5"
    damage(path)
    found = opened(folder, configured())
    with pytest.raises(NoDataError, match=says) as raised:
        found.read(found.patches[0])
    assert str(path) in str(raised.value)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has neither images/train nor TrainData/img"):
        opened(tmp_path)
    (tmp_path / "images/train").mkdir(parents=True)
    with pytest.raises(NoDataError, match="none of its 0 images has a mask"):
        opened(tmp_path)


def _collect(folder: Path, found: ChipFolder, config: Config) -> chips.Chips:
    return chips.collect((), config.inputs, config.train, folder, chip_sets=(found,))


def test_values_of_the_set_alone_are_standardised(mirror: Path, tmp_path: Path) -> None:
    config = configured(chip_px=64)
    cut = _collect(tmp_path, opened(mirror, config), config)
    assert cut.units == STANDARDISED
    means, stds = chips.statistics(cut)
    np.testing.assert_allclose(means, 0, atol=1e-9)
    np.testing.assert_allclose(stds, 1)
    # every chip of a set of which each patch has a landslide: four from a patch, empty ones as many
    held_out = cut.values[cut.of("validation")]
    assert len(held_out) == 8
    assert abs(held_out[:, 0].mean()) < 0.05


@pytest.mark.parametrize("level", [0.2, 7.0])
def test_values_get_mean_and_spread_of_what_is_physical(mirror: Path, level: float) -> None:
    """Oracle: the scaled values themselves, pixel by pixel."""
    found = opened(mirror)
    contents = set_chips.contents(found, len(BANDS), 64)
    dice = np.random.default_rng(2)
    survey = dice.normal(level, 0.1, (len(BANDS), 64, 64)).astype(np.float32)
    surveys = set_chips.band_sums(survey)
    (scale,), sums, units = set_chips.onto_common_units(surveys, [found], [contents])
    assert units == PHYSICAL
    wanted = [(0, i) for i, patch in enumerate(found.patches) if patch.share == spatial_split.TRAIN]
    scaled = [values for _, _, values, _ in set_chips.patches([found], [scale], 0, wanted)]
    ours = np.stack(scaled, axis=1).reshape(len(BANDS), -1)
    np.testing.assert_allclose(ours.mean(axis=1), survey.mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(ours.std(axis=1), survey.std(axis=(1, 2)), rtol=1e-3)
    every = np.concatenate([ours, survey.reshape(len(BANDS), -1)], axis=1).astype(np.float64)
    np.testing.assert_allclose(set_chips.moments(sums), (every.mean(axis=1), every.std(axis=1)), rtol=1e-3)


def test_unknown_truth_and_missing_values(tmp_path: Path) -> None:
    folder = writers.write_landslide4sense(tmp_path, {"train": 1, "validation": 1})
    image = np.zeros((128, 128, 14))
    image[0], image[1, 0, 12] = np.nan, np.inf
    mask = np.zeros((128, 128), np.uint8)
    mask[2], mask[3] = 1, 7
    writers.write_h5(folder / "images/train/image_1.h5", "img", image)
    writers.write_h5(folder / "annotations/train/mask_1.h5", "mask", mask)
    found = opened(folder)
    values, truth = found.read(found.patches[0])
    assert np.isnan(values[:, 0]).all()
    assert np.isnan(values[BANDS.index("slope"), 1, 0])
    assert (truth[2] == 1).all()
    assert (truth[3] == spatial_split.UNKNOWN).all()
    facts = set_chips.contents(found, len(BANDS), 64).facts
    assert facts["unmapped_share"] == pytest.approx((2 * 128 + 1) / (2 * 128**2), abs=1e-4)
    assert facts["licence"] == landslide4sense.LICENCE
    assert "2 patches (1 train, 1 validation, 0 test); 0.8% of their pixels are not used" in set_chips.sentence(facts)
