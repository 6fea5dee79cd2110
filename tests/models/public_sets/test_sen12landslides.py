"""Sen12Landslides: patches become the bands that STACK has of the same scenes, and damaged files are told in words."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch import settings
from lsbatch.bands import FULL_STACK
from lsbatch.catalog.survey import Survey
from lsbatch.errors import ConfigError, LsbatchError, NoDataError
from lsbatch.models.training.public_sets import composing, formats, sen12_files
from lsbatch.models.training.public_sets.chip_folder import ChipFolder, UnusablePatchError
from lsbatch.models.training.public_sets.composing import Pass
from lsbatch.settings import Config
from lsbatch.storage import cube
from tests.models.public_sets import writers


def configured(bands: str | tuple[str, ...], further: tuple[str, ...] = (), **train: Any) -> Config:
    """Settings with other bands."""
    plain = settings.example()
    composite = plain.composite.model_copy(update={"bands": further, "cloud_dilate_px": 0})
    return plain.model_copy(
        update={"bands": bands, "composite": composite, "train": plain.train.model_copy(update=train)}
    )


def opened(folder: Path, config: Config, form: str = "sen12landslides") -> ChipFolder:
    return formats.open_folders([folder], [form], config)[0]


def band(found: ChipFolder, config: Config, name: str, patch: int = 0) -> np.ndarray:
    return found.read(found.patches[patch])[0][config.inputs.index(name)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patch of noise with all sensors."""
    return writers.random_sen12(tmp_path_factory.mktemp("sen12"), count=1)


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(small, tmp_path / "set")


def file_of(folder: Path, sensor: str = "s2") -> Path:
    return next((folder / "data" / sensor).glob("*.nc"))


def change(path: Path, sensor: str, **changes: Any) -> None:
    writers.write_patch(path, replace(writers.random_patch(0, sensor), **changes))


@pytest.fixture(scope="module")
def of_survey(stacked_survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes of a survey as patches."""
    return writers.survey_sen12(stacked_survey, tmp_path_factory.mktemp("survey") / "Sen12Landslides")


def test_bands_are_those_of_stack(stacked_survey: Survey, of_survey: Path) -> None:
    """Inside a patch, in the steps of the cube; its border lacks the clouds and the surroundings of its neighbours."""
    names = (
        "preVV", "postVV", "diffVH", "preVV_asc", "postVV_desc", "localVV", "zVH",
        "preR", "postNIR", "dNDVI", "localNDVI", "elevation",
    )  # fmt: skip
    config = configured(names).model_copy(update={"composite": stacked_survey.config.composite})
    found = opened(of_survey, config)
    assert found.left_out == {}
    values, truth = found.read(next(patch for patch in found.patches if patch.name == "country_5"))
    tile = next(stacked_survey.tile(p) for p in stacked_survey.positions)
    # the patch of block (1, 1), whose tile begins at block (0, 0)
    assert (tile.region[0].start, tile.region[1].start) == (0, 0)
    stored = cube.read(stacked_survey.workspace.store, stacked_survey.grid, FULL_STACK, tile, 0, names)
    inner = np.s_[32:96, 32:96]
    for name, ours in zip(names, values, strict=True):
        theirs = stored[name][128:256, 128:256][inner]
        step = 0.6 if name == "elevation" else 0.011
        # the set has no cloud probability, and no position of the sun for the shadows of mountains
        share = np.isclose(ours[inner], theirs, atol=step, equal_nan=True).mean()
        print(f"{name}: {share:.1%} of the pixels are equal")
        assert share > (0.9 if name in ("preR", "postNIR", "dNDVI", "localNDVI") else 0.999), name
    assert truth.dtype == np.uint8


def test_both_products_give_the_same_bands(small: Path, tmp_path: Path) -> None:
    """Decibels and linear power; digital numbers before processing baseline 04.00 have no offset in either."""
    config = configured("s1_s2_dem")
    raw = writers.random_sen12(tmp_path, count=1, product="raw")
    ours, theirs = (opened(folder, config).read(opened(folder, config).patches[0])[0] for folder in (small, raw))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert np.isnan(ours[-1][0]).all()
    assert np.isfinite(ours[:, 1:-1, 1:-1]).all()


def test_raw_digital_numbers_lose_their_offset_from_the_day_of_the_baseline(tmp_path: Path) -> None:
    config = configured(("preR", "postR", "postSWIR1"), ("SWIR1",))
    made = writers.random_patch(0, "s2", looks=2)
    first = sen12_files.FIRST_DAY_WITH_OFFSET
    values = {name: np.full_like(a, 4 if name == "SCL" else 3000) for name, a in made.values.items()}
    for product, expected in (("raw", (0.3, 0.2, 0.2)), ("harmonized", (0.3, 0.3, 0.3))):
        folder = tmp_path / product
        writers.write_splits(folder, product, {"land_0": ("land", 0)}, ("s2",))
        writers.write_patch(
            folder / "data/s2/land_s2_0.nc", replace(made, values=values, days=(first - 1, first), before=0)
        )
        found = opened(folder, config)
        assert found.read(found.patches[0])[0][:, 50, 50] == pytest.approx(expected)


def test_clouds_and_looks_between_events_are_not_used(tmp_path: Path) -> None:
    """Two events: before is before both, after is after both. The greenest look would be a cloud, or lie between."""
    made = writers.random_patch(0, "s2", looks=5)
    values = {name: np.full_like(a, {"SCL": 4, "B04": 500}.get(name, 1000)) for name, a in made.values.items()}
    values["B08"][:] = np.array([2000, 9000, 9500, 3000, 9900])[:, None, None]
    values["SCL"][1], values["SCL"][4] = 9, 255
    config = configured(("preNIR", "postNIR"))
    writers.write_splits(tmp_path, "harmonized", {"land_0": ("land", 0)}, ("s2",))
    attributes = {"pre_post_dates": "[{'pre': 1, 'post': 2}, {'pre': 2, 'post': 3}]"}
    writers.write_patch(tmp_path / "data/s2/land_s2_0.nc", replace(made, values=values, attributes=attributes))
    found = opened(tmp_path, config)
    assert found.read(found.patches[0])[0][:, 60, 60] == pytest.approx([0.2, 0.3])


def test_rows_run_south_and_columns_east(tmp_path: Path) -> None:
    """Whatever order the file has: here y runs north."""
    made = writers.random_patch(0, "s2")
    made.truth[:], made.elevation[:] = 0, 100
    made.truth[:10, :5], made.elevation[:10] = 1, 200
    writers.write_splits(tmp_path, "harmonized", {"land_0": ("land", 0)}, ("s2",))
    path = tmp_path / "data/s2/land_s2_0.nc"
    writers.write_patch(path, made)
    config = configured(("elevation", "dNDVI"))
    found = opened(tmp_path, config)
    south_first = replace(
        made, truth=made.truth[::-1], elevation=made.elevation[::-1], corner=(made.corner[0], made.corner[1] - 1270)
    )
    for of, step in ((made, -10), (south_first, 10)):
        writers.write_patch(path, of)
        with h5py.File(path, "r+") as file:
            file["y"][:] = of.corner[1] + step * np.arange(writers.PX)
        values, truth = found.read(found.patches[0])
        assert truth[:10, :5].all()
        assert truth.sum() == 50
        assert (values[0][:10] == 200).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=12), st.booleans())
def test_passes_of_both_periods_share_their_orbits(turns: list[tuple[int, bool]], same: bool) -> None:
    """An orbit repeats after 12 days; the other satellite of the pair is on it after 6."""
    power = {pol: np.full((16, 16), 0.1, np.float32) for pol in ("VV", "VH")}
    passes = [Pass("asc", 17000 + turn + 6 * i, after, power) for i, (turn, after) in enumerate(turns)]

    def orbits(after: bool) -> set[int]:
        return {p.day % 6 for p in passes if p.is_after == after}

    usable = orbits(False) & orbits(True) if same else orbits(False) and orbits(True)
    if usable:
        assert composing.radar_bands(passes, (), same)["diffVV"] == pytest.approx(0)
    else:
        with pytest.raises(UnusablePatchError, match="no relative orbit"):
            composing.radar_bands(passes, (), same)


@pytest.mark.parametrize(
    ("bands", "sensors"),
    [
        ("s2", ("s2",)),
        ("s1vv", ("s1asc", "s1dsc")),
        ("s1vv_s2", ("s1asc", "s1dsc", "s2")),
        (("preVV_asc", "postVV_asc"), ("s1asc",)),
        (("preVV_desc", "dNDVI"), ("s1dsc", "s2")),
        (("elevation", "slope"), ("s2",)),
    ],
)
def test_only_the_sensors_that_bands_need_are_opened(
    small: Path, bands: str | tuple[str, ...], sensors: tuple[str, ...]
) -> None:
    found = opened(small, configured(bands))
    assert tuple(found.patches[0].files) == sensors
    assert found.read(found.patches[0])[0].shape == (len(configured(bands).inputs), 128, 128)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"annotated": "False"}, "not annotated"),
        ({"pre_post_dates": "None"}, "without the looks before and after"),
        ({"pre_post_dates": "{'pre': None, 'post': 3}"}, "without the looks before and after"),
        ({"pre_post_dates": "{'pre': 2, 'post': 99}"}, "are not in the file"),
        ({"pre_post_dates": "{'pre': 3, 'post': 3}"}, "are not in the file"),
        ({"pre_post_dates": "(" * 9999}, "without the looks before and after"),
    ],
)
def test_patches_without_an_event_are_left_out(copied: Path, attributes: dict[str, str], reason: str) -> None:
    change(file_of(copied), "s2", attributes=attributes)
    found = opened(copied, configured("s2"))
    with pytest.raises(UnusablePatchError, match=reason):
        found.read(found.patches[0])


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def _link(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["B04"]
        file["B04"] = h5py.ExternalLink("/etc/hostname", "B04")


def _without(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["B04"]


def _texts(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["B04"]
        file["B04"] = np.full((6, 128, 128), b"x")


def _small(path: Path) -> None:
    made = writers.random_patch(0, "s2")
    values = {name: a[:, :64, :64] for name, a in made.values.items()}
    change(path, "s2", values=values, truth=made.truth[:64, :64], elevation=made.elevation[:64, :64])


def _twice_as_fine(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["x"][:] = 500_000 + 5 * np.arange(128)


def _not_harmonised(path: Path) -> None:
    made = writers.random_patch(0, "s2")
    change(path, "s2", values={**made.values, "B04": np.full((6, 128, 128), 12_000, np.int16)})


def _disordered(path: Path) -> None:
    change(path, "s2", days=tuple(reversed(writers.random_patch(0, "s2").days)))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_truncate, "cannot be read: .*download it again"),
        (lambda path: path.write_text("no NetCDF"), "cannot be read"),
        (_link, "B04 is no array inside the file"),
        (_without, "has no variable B04; it has B02"),
        (_texts, "B04 has the type"),
        (_small, "has 6 time x 64 y x 64 x; expected are 15 looks of 128 x 128"),
        (_twice_as_fine, "its pixels are not squares of 10 m"),
        (_not_harmonised, "above 10000, so it is not harmonised; use --format sen12landslides-raw"),
        (_disordered, "not in order of time"),
    ],
)
def test_damaged_files_are_named(copied: Path, damage: Callable[[Path], object], says: str) -> None:
    path = file_of(copied)
    damage(path)
    found = opened(copied, configured("s2"))
    with pytest.raises(NoDataError, match=says) as raised:
        found.read(found.patches[0])
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("written", "said"), [("raw", "harmonized"), ("harmonized", "raw")])
def test_power_of_the_other_product_is_refused(tmp_path: Path, written: str, said: str) -> None:
    folder = writers.random_sen12(tmp_path, count=1, product=written)
    shutil.copytree(folder / "tasks/S12LS-LD" / written, folder / "tasks/S12LS-LD" / said)
    found = opened(folder, configured("s1vv"), f"sen12landslides-{said}")
    with pytest.raises(NoDataError, match=f"use --format sen12landslides-{written}"):
        found.read(found.patches[0])


def test_files_on_different_pixels_are_left_out(copied: Path) -> None:
    change(file_of(copied, "s1asc"), "s1asc", corner=(600_005.0, 4_999_995.0))
    found = opened(copied, configured("s1vv"))
    with pytest.raises(UnusablePatchError, match="lie on different pixels"):
        found.read(found.patches[0])


def test_missing_files_are_counted(tmp_path: Path) -> None:
    folder = writers.random_sen12(tmp_path, count=3)
    (folder / "data/s2/land_1_s2_1.nc").unlink()
    found = opened(folder, configured("s2"))
    assert (len(found.patches), found.left_out) == (2, {"its files are missing": 1})
    # radar does not need the file
    assert opened(folder, configured("s1vv")).left_out == {}
    shutil.rmtree(folder / "data/s2")
    (folder / "data/s2").mkdir()
    with pytest.raises(NoDataError, match=r"none of the 3 patches of splits\.json is there"):
        opened(folder, configured("s2"))


def _entry(**files: Any) -> str:
    return json.dumps({"train": [files], "val": [], "test": []})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[" * 5000, "is not JSON"),
        ("[]", "has no lists train, val and test"),
        (_entry(s2="../../data/s2/land_s2_0.nc"), "not a path below"),
        (_entry(s2="/etc/land_s2_0.nc"), "not a path below"),
        (_entry(s2="..\\land_s2_0.nc"), "not a path below"),
        (_entry(s2=7), "not a path below"),
        (_entry(s1asc="s1asc/land_s1asc_0.nc"), "not a path below"),
        (_entry(s2="s2/passwd"), "expected is REGION_s2_ID.nc"),
        (_entry(s2="s1asc/land_0_s1asc_0.nc"), "expected is REGION_s2_ID.nc"),
        (json.dumps({"train": ["s2/a_s2_1.nc", "s2/a_s2_1.nc"], "val": [], "test": []}), "more than once"),
    ],
)
def test_damaged_splits_are_refused(copied: Path, text: str, says: str) -> None:
    document = copied / "tasks/S12LS-LD/harmonized/s2/splits.json"
    document.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as raised:
        opened(copied, configured("s2"))
    assert str(document) in str(raised.value)


def test_lists_of_files_are_splits_too(copied: Path) -> None:
    document = copied / "tasks/S12LS-LD/harmonized/s2/splits.json"
    document.write_text(json.dumps({"train": ["land_0_s2_0.nc"], "val": [], "test": []}), encoding="utf-8")
    assert opened(copied, configured("s2")).patches[0].name == "land_0_0"


def test_the_product_is_told_by_the_folders_or_by_the_format(copied: Path) -> None:
    tasks = copied / "tasks/S12LS-LD"
    shutil.copytree(tasks / "harmonized", tasks / "raw")
    with pytest.raises(ConfigError, match="sen12landslides-harmonized or sen12landslides-raw"):
        opened(copied, configured("s2"))
    assert "raw files of s2" in opened(copied, configured("s2"), "sen12landslides-raw").notes[0]
    (copied / "data").rename(copied / "data_raw")
    assert "raw files of s2" in opened(copied, configured("s2")).notes[0]
    shutil.rmtree(copied / "data_raw")
    with pytest.raises(ConfigError, match="has no folder data/s2"):
        opened(copied, configured("s2"), "sen12landslides-raw")
    shutil.rmtree(tasks)
    with pytest.raises(ConfigError, match="is it a copy of Sen12Landslides"):
        opened(copied, configured("s2"))


@pytest.mark.parametrize(
    ("forms", "config", "says"),
    [
        ([], configured("s2"), "--chips was given 1 times and --format 0 times"),
        (["Sen12"], configured("s2"), "--format Sen12: is not known; allowed: sen12landslides"),
        (["sen12landslides"], configured("s2", chip_px=256), "set a divisor of 128"),
        (["sen12landslides"], configured("s2", chip_px=96), "set a divisor of 128"),
    ],
)
def test_what_does_not_fit_is_refused(small: Path, forms: list[str], config: Config, says: str) -> None:
    with pytest.raises(LsbatchError, match=says):
        formats.open_folders([small], forms, config)


def test_a_speckle_filter_and_other_pixels_are_refused(small: Path) -> None:
    plain = configured("s1vv")
    filtered = plain.model_copy(update={"composite": plain.composite.model_copy(update={"speckle": "lee"})})
    with pytest.raises(ConfigError, match="without a speckle filter"):
        opened(small, filtered)
    coarse = plain.model_copy(update={"grid": plain.grid.model_copy(update={"resolution_m": 20.0})})
    with pytest.raises(ConfigError, match="pixels of 10 m"):
        opened(small, coarse)


def test_the_digest_follows_files_bands_and_composite(copied: Path) -> None:
    def digest(*args: Any) -> str:
        return opened(copied, configured(*args)).digest

    first = digest("s2")
    assert digest("s2") == first
    assert len({first, digest("s1vv"), digest("s2", ("SWIR1",))}) == 3
    change(file_of(copied), "s2", before=1)
    assert digest("s2") != first
