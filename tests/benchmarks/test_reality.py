"""The benchmark of real scenes on small made-up ones: counts, chance, table, and the whole path once."""

import argparse
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from benchmarks import applicability, planted_surveys, reality, reality_measures, reality_pictures, reality_scenes
from benchmarks.reality_measures import Called, Outcome
from lsbatch.models import base, cards
from lsbatch.storage import vectors
from lsbatch.synthetic import planting
from lsbatch.synthetic.planting import Planted

SIDE_PX, SIDE_M, LOOKS = 64, 30.0, 4.4
LAND, SEA = "T137-000001-IW1", "T137-000002-IW1"
DAYS = ("20211201", "20211207", "20211213", "20211219")


def _burst(folder: Path, burst: str, left: float, db: float, seed: int) -> None:
    dice = np.random.default_rng(seed)
    place = {"crs": "EPSG:32611", "transform": from_origin(left, 3_840_000, SIDE_M, SIDE_M)}
    for day in DAYS:
        for pol, below in (("VV", 0.0), ("VH", 7.0)):
            name = f"OPERA_L2_RTC-S1_{burst}_{day}T015854Z_20250830T120333Z_S1A_30_v1.0_{pol}.tif"
            power = dice.gamma(LOOKS, 10 ** ((db - below) / 10) / LOOKS, (SIDE_PX, SIDE_PX)).astype(np.float32)
            (folder / day).mkdir(exist_ok=True)
            with rasterio.open(
                folder / day / name, "w", driver="GTiff", height=SIDE_PX, width=SIDE_PX, count=1, dtype="float32",
                nodata=np.nan, **place,
            ) as file:  # fmt: skip
                file.write(power, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A burst of land and one of sea on four days, in the folders of the real ones."""
    folder = tmp_path_factory.mktemp("data")
    bursts = folder / reality_scenes.CALIFORNIA
    bursts.mkdir()
    _burst(bursts, LAND, 300_000, -9.0, 1)
    _burst(bursts, SEA, 310_000, -20.0, 2)
    return folder


@pytest.fixture(scope="module")
def case(data: Path) -> reality_scenes.Case:
    (only,) = reality_scenes.cases(data, data / "work", ("california",), (SEA,))
    return only


def test_winters_without_passes_are_left_out(case: reality_scenes.Case) -> None:
    assert case.name == "California 2021"
    assert case.survey.event_date == date(2021, 12, 10)
    assert [(patch.name, patch.sea, len(patch.files)) for patch in case.patches] == [(LAND, False, 8), (SEA, True, 8)]


def test_landslides_are_planted_into_passes_after_the_day_alone(case: reality_scenes.Case, tmp_path: Path) -> None:
    land = case.patches[0]
    planted = reality_scenes.plant(case, land, 0, 0)
    assert planted.count >= 9
    share = (planted.labels > 0).mean()
    assert share == pytest.approx(reality_scenes.PLANTED_SHARE, rel=0.4)
    other = reality_scenes.plant(case, land, 1, 0)
    assert (other.labels != planted.labels).any()
    reality_scenes.copy(case, tmp_path / "scenes", {LAND: planted})
    for patch in case.patches:
        for file in patch.files:
            with rasterio.open(file) as one, rasterio.open(tmp_path / "scenes" / file.name) as two:
                before, after = one.read(1), two.read(1)
                assert (one.transform, one.crs) == (two.transform, two.crs)
            changed = patch is land and reality_scenes.day_of(file) > case.survey.event_date
            assert (before != after).any() == changed
            assert before[planted.labels == 0].tobytes() == after[planted.labels == 0].tobytes()


def test_digital_numbers_keep_nodata_and_what_is_outside() -> None:
    labels = np.zeros((4, 4), np.int32)
    labels[:2] = 1
    planted = Planted(labels, labels * 1.0, (labels * 1.0).astype(np.float32), np.array([0.0]), np.array([3.0]), 10.0)
    dn = np.full((4, 4), 300, np.uint16)
    dn[0, 0] = 0
    bare = reality_scenes._bared(dn, "R", planted)
    assert bare.dtype == np.uint16
    assert bare[0, 0] == 0
    assert (bare[labels == 0] == 300).all()
    assert bare[1, 1] == 1650


# Figures of made-up answers


def _answer(landslide: np.ndarray, records_m2: tuple[float, ...] = ()) -> Called:
    chance = np.where(landslide, 0.9, 0.1).astype(np.float32)
    return Called(chance, landslide, np.zeros(landslide.shape, np.float32), np.array(records_m2))


@pytest.fixture
def outcome(case: reality_scenes.Case) -> Outcome:
    """Four planted landslides of 25 px (2.25 ha): found, found by chance too, found by chance alone, missed."""
    labels = np.zeros((SIDE_PX, SIDE_PX), np.int32)
    for i in range(4):
        labels[5:10, 10 * i + 5 : 10 * i + 10] = i + 1
    strengths = np.array([4.0, -5.0, 1.5, 3.5])
    planted = Planted(labels, labels * 0.0, labels * 0.0, np.full(4, 168.0), strengths, SIDE_M)
    quiet, after = np.zeros(labels.shape, bool), np.zeros(labels.shape, bool)
    quiet[5:10, 15:27] = True
    after[5:10, 5:20] = True
    after[5, 25:30] = True
    sea = np.zeros(labels.shape, bool)
    sea[:32] = True
    return Outcome(
        case, reality.METHODS[0],
        {LAND: _answer(quiet, (45_000.0, 900.0)), SEA: _answer(sea, (1e6,))},
        (({LAND: planted}, {LAND: _answer(after), SEA: _answer(sea)}),),
    )  # fmt: skip


def test_false_alarms_are_those_of_the_scenes_without_planting(outcome: Outcome) -> None:
    figures = reality_measures.false_alarms(outcome)
    km2 = SIDE_PX**2 * SIDE_M**2 / 1e6
    assert figures["land_km2"] == pytest.approx(km2)
    assert figures["land_called"] == pytest.approx(60 / SIDE_PX**2)
    assert figures["sea_called"] == 0.5
    assert figures["records_per_100_km2"] == pytest.approx(200 / km2)
    assert figures["large_records_per_100_km2"] == pytest.approx(100 / km2)
    land = replace(outcome, case=replace(outcome.case, patches=outcome.case.patches[:1]))
    assert reality_measures.false_alarms(land)["sea_called"] is None


def test_patches_that_weights_were_trained_on_do_not_count(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = replace(outcome.case.patches[0], name="T137-000003-IW1")
    case = replace(outcome.case, patches=(*outcome.case.patches, elsewhere))
    method = replace(outcome.method, learned=(LAND,))
    (planted, after), quiet = outcome.planted[0], _answer(np.zeros((SIDE_PX, SIDE_PX), bool))
    both = Outcome(
        case, method, {**outcome.quiet, elsewhere.name: quiet},
        (({**planted, elsewhere.name: planted[LAND]}, {**after, elsewhere.name: after[LAND]}),),
    )  # fmt: skip
    assert reality_measures.false_alarms(both)["land_called"] == 0
    # a method without training is also shown for the places that no network learned from
    monkeypatch.setattr(reality_scenes, "LEARNED", (LAND,))
    (shown,) = reality.elsewhere(replace(both, method=outcome.method))
    assert reality.row(shown)["land_called"] == 0
    assert reality.elsewhere(replace(both, method=replace(method, weights="package:x"))) == []
    table = reality_measures.planted_table(both)
    np.testing.assert_array_equal(table[:, 2:], [[1, 0], [1, 0], [0, 0], [0, 0]])


def test_recall_by_class_beside_that_of_chance(outcome: Outcome) -> None:
    table = reality_measures.planted_table(outcome)
    np.testing.assert_allclose(table[:, 0], 2.25)
    # the look of 78 degrees is at right angles to landslides that run to 168 degrees
    np.testing.assert_allclose(table[:, 1], [4, 5, 1.5, 3.5])
    np.testing.assert_array_equal(table[:, 2:], [[1, 0], [1, 1], [0, 1], [0, 0]])
    recalls = reality_measures.recalls(table)
    assert recalls[reality_measures.AIM] == {
        "planted": 3,
        "recall": pytest.approx(2 / 3),
        "by_chance": pytest.approx(1 / 3),
    }
    assert recalls["below 1 ha, all strengths"] == {"planted": 0, "recall": None, "by_chance": None}
    assert recalls["all sizes, all strengths"]["planted"] == 4


def test_the_curve_ends_without_false_records(outcome: Outcome) -> None:
    points = list(reality_measures.curve(outcome))
    assert [p["threshold"] for p in points] == list(reality_measures.THRESHOLDS)
    middle = next(p for p in points if p["threshold"] == 0.5)
    assert middle["large_records_per_100_km2"] == pytest.approx(100 / reality_measures.land_km2(outcome))
    assert middle["recall"] == pytest.approx(2 / 3)
    assert points[-1]["large_records_per_100_km2"] == points[-1]["recall"] == 0


def test_the_table_has_a_cell_for_every_figure(outcome: Outcome, tmp_path: Path) -> None:
    rows = [reality.row(outcome), {"scene": "synthetic country 900", "setting": "unet s1vv", "mcc": 0.77}]
    lines = reality.table(rows).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "0.67 (0.33; 3)" in lines[2]
    assert lines[3].endswith("| 0.770 |")
    reality_pictures.curve(tmp_path / "curve.png", rows)
    reality_pictures.outcome(tmp_path / "scene.png", outcome)
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("curve.png", "scene.png"))


def test_without_the_scenes_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reality.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "real scenes are not at" in said.err
    assert not (tmp_path / "out").exists()


def test_the_whole_path_on_made_up_scenes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mask of the survey is that of its threshold, so the curve passes through the figures of the table."""
    words = ["--data", str(data), "--out", str(tmp_path), "--only", "california", "--sea", SEA, "--draws", "1"]
    assert reality.main(words) == 0
    assert capsys.readouterr().out.startswith("| scene | setting |")
    rows = json.loads((tmp_path / "reality.json").read_text())
    assert [row["setting"] for row in rows] == ["disturbance", "unet s1_change", "unet s1vv"]
    for row in rows:
        assert row["land_km2"] == pytest.approx(SIDE_PX**2 * SIDE_M**2 / 1e6)
        middle = next(p for p in row["curve"] if p["threshold"] == 0.5)
        assert middle["large_records_per_100_km2"] == pytest.approx(row["large_records_per_100_km2"])
        assert middle["recall"] == row["recalls"][reality_measures.AIM]["recall"]
    pictures = {f"california-2021-{name}.png" for name in ("disturbance", "unet-s1_change", "unet-s1vv")}
    assert {file.name for file in tmp_path.iterdir()} == {"reality.json", "curve.png", *pictures}


def test_settings_name_only_the_archives_of_the_case(case: reality_scenes.Case) -> None:
    raw = reality.raw_settings(case, reality.METHODS[0])
    assert list(raw["archives"]) == ["sentinel1"]
    assert raw["grid"]["crs"] == "EPSG:32611"
    assert isinstance(reality.arguments_of([]), argparse.Namespace)


def test_planted_landslides_are_the_truth_of_their_survey(
    data: Path, case: reality_scenes.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reality_scenes, "LEARNED", (LAND,))
    folder = tmp_path / "planted-california-2021-1"
    (folder / "scenes").mkdir(parents=True)  # of an interrupted call
    configs = planted_surveys.surveyed(data, tmp_path, {"bands": "s1_change", "train": {"width": 4}})
    assert [config.survey.id for config in configs] == [f"california-2021-planted-{draw}" for draw in range(3)]
    config, planted = (
        configs[1],
        reality_scenes.plant(case, case.patches[0], 1, planted_surveys.SEED, planted_surveys.SHARE),
    )
    assert config.train.width == 4
    found = vectors.truth_mask(config.truth, config.survey.windows, case.patches[0].geobox)
    np.testing.assert_array_equal(found, planted.labels > 0)
    assert {file.name for file in (folder / "scenes").glob("*.tif")} == {file.name for file in case.patches[0].files}
    made = (folder / "truth.gpkg").stat().st_mtime_ns
    planted_surveys.surveyed(data, tmp_path, {"bands": "s1_change"})
    assert (folder / "truth.gpkg").stat().st_mtime_ns == made


def test_weights_are_not_trained_without_the_real_scenes_of_their_name(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="real scenes are not at"):
        planted_surveys.surveyed(tmp_path, tmp_path, {"bands": "s1_change"})


def test_every_network_of_the_benchmarks_describes_its_training() -> None:
    """The benchmark of applicability asks each for its layer."""
    assert [method.family for method in applicability.NETWORKS] == ["unet"] * 4
    for method in applicability.NETWORKS:
        assert cards.card(base.named(method.weights)).applicability is not None


def test_planted_strengths_are_those_of_the_look(case: reality_scenes.Case) -> None:
    planted = reality_scenes.plant(case, case.patches[0], 0, 0)
    seen = abs(planting.seen_db(planted, case.look_azimuth_deg))
    assert (seen >= planting.WEAKEST_DB).all()
    assert (seen <= planting.STRONGEST_DB).all()
