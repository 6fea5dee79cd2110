"""Series of Sentinel-1 through the real path: planned, read around landslides, added over tiles, and dated."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from lsbatch import synthetic
from lsbatch.catalog import dating_passes, plan, planning
from lsbatch.catalog.survey import Survey
from lsbatch.engine import schedule, todo
from lsbatch.errors import SceneError
from lsbatch.grid import Tile
from lsbatch.imagery import scene_reading
from lsbatch.inventory import dating, record_fields
from lsbatch.inventory.parts import Parts
from lsbatch.kernels import landslide_date
from lsbatch.pipeline import radar_series
from lsbatch.pipeline.types import Block
from lsbatch.storage import geometries
from lsbatch.synthetic import country, cover, radar
from tests import surveys

SIDE, EVERY_DAYS = 256, 24
#: What stage `clean` writes where nothing was observed.
UNOBSERVED = 255


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.simulate(tmp_path_factory.mktemp("dense"), seed=7, rows=SIDE, cols=SIDE, radar_days=EVERY_DAYS)


@pytest.fixture(scope="module")
def survey(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return surveys.ready(
        surveys.configured(path, tmp_path_factory.mktemp("one") / "s", inventory={"radar_dates": True})
    )


@pytest.fixture(scope="module")
def truth(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(path.parent / "truth.gpkg")


@pytest.fixture(scope="module")
def unchanged() -> np.ndarray:
    """Outlines of landslides moved to where nothing changed, bool."""
    made = country.make(7, SIDE, SIDE)
    changed = (made.slides.labels > 0) | (made.confounders.kind > 0) | (made.cover == cover.WATER)
    labels, count = radar_series.connected_regions.label(np.roll(made.slides.labels > 0, (61, 47), axis=(0, 1)))
    near = ndimage.binary_dilation(changed, np.ones((3, 3)))
    return np.isin(labels, [n for n in range(1, count + 1) if not near[labels == n].any() and (labels == n).sum() >= 5])


@pytest.fixture(scope="module")
def mask(survey: Survey, truth: gpd.GeoDataFrame, unchanged: np.ndarray) -> np.ndarray:
    """The true landslides and the unchanged places, as a mask of the whole country."""
    return (geometries.rasterize(truth.union_all(), survey.grid.geobox) | unchanged).astype(np.uint8)


@pytest.fixture(scope="module")
def block(survey: Survey, mask: np.ndarray) -> Block:
    """What the stage makes of them in one tile."""
    return radar_series.apply(_read(survey, survey.tile(survey.positions[0]), mask), survey.config)


def _read(survey: Survey, tile: Tile, mask: np.ndarray) -> Block:
    padded = np.pad(mask, radar_series.HALO_PX, constant_values=UNOBSERVED)
    rows, cols = (slice(side.start, side.stop + 2 * radar_series.HALO_PX) for side in tile.region)
    return Block(tile, radar_series.HALO_PX, {"landslide": padded[rows, cols]})


def _by_landslide(block: Block) -> dict[int, pd.DataFrame]:
    return {label: dating.joined(rows) for label, rows in block.part.groupby("label")}


def test_the_plan_holds_every_pass_and_stack_does_not_depend_on_them(
    survey: Survey, path: Path, tmp_path: Path
) -> None:
    tile = survey.tile(survey.positions[0]).id
    scenes = dating_passes.tile_scenes(survey.config.output, tile)
    for orbit in radar.ORBITS:
        days = {scene.day for scene in scenes if scene.relative_orbit == orbit.number}
        assert days == {str(day) for day in synthetic.scenes.repeats(country.make(7, SIDE, SIDE), orbit, EVERY_DAYS)}
    # also of an orbit that is in one window alone
    assert radar.ONLY_AFTER.number in {scene.relative_orbit for scene in scenes}
    assert any("dates" in line for line in planning.make(survey.config).lines())

    without = surveys.ready(surveys.configured(path, tmp_path / "s", inventory={"radar_dates": False}))
    assert not dating_passes.file(without.config.output, tile).exists()
    assert "date" not in {step.name for step in todo.steps(without.config)}
    assert schedule.pending_work(without)["stack"].digests == schedule.pending_work(survey)["stack"].digests
    assert not plan.fits(survey.config.model_copy(update={"inventory": without.config.inventory}))


def test_sums_are_those_of_the_pixels(survey: Survey, block: Block, mask: np.ndarray) -> None:
    """Of a few passes, by reading the whole picture and choosing pixels one landslide at a time."""
    tile = survey.tile(survey.positions[0])
    labels, _ = radar_series.connected_regions.label(mask == 1)
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    scenes = {scene.id: scene for scene in dating_passes.tile_scenes(survey.config.output, tile.id)}
    checked = 0
    for scene in list(scenes.values())[:60:12]:
        raw = scene_reading.read(scene, ("VV", "VH"), tile.geobox)
        part = block.part[(block.part["day"] == scene.day) & (block.part["relative_orbit"] == scene.relative_orbit)]
        for number, row in part.set_index("label").iterrows():
            chosen = labels == number
            for name in ("VV", "VH"):
                inside = raw[name][chosen]
                assert row[f"{name}_inside_px"] == np.isfinite(inside).sum()
                assert row[f"{name}_inside_sum"] == pytest.approx(np.nansum(inside.astype(np.float64)), rel=1e-9)
            # nearer to it than to any other, within reach, beyond the gap, two pixels off the edge of what was observed
            near = (
                np.isin(labels[tuple(nearest)], number)
                & (distance > radar_series.GAP_PX)
                & (distance <= radar_series.REACH_PX)
            )
            near[:2] = near[-2:] = near[:, :2] = near[:, -2:] = False
            values = raw["VV"][near]
            # pixels as far from two landslides may go to either
            assert row["VV_around_px"] == pytest.approx(np.isfinite(values).sum(), abs=3 + 0.05 * near.sum())
            assert row["VV_around_sum"] == pytest.approx(np.nansum(values.astype(np.float64)), rel=0.1)
            checked += 1
    assert checked > 10


def test_tiles_add_up_to_the_whole(
    path: Path, block: Block, mask: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = surveys.ready(
        surveys.configured(path, tmp_path / "s", grid={"tile_px": 128}, inventory={"radar_dates": True})
    )
    assert len(small.positions) == 4
    few = {
        (scene.day, scene.relative_orbit) for scene in dating_passes.tile_scenes(small.config.output, "r000c000")[::12]
    }
    real = dating_passes.tile_scenes
    monkeypatch.setattr(
        dating_passes,
        "tile_scenes",
        lambda root, tile: tuple(s for s in real(root, tile) if (s.day, s.relative_orbit) in few),
    )
    parts = pd.concat(
        [radar_series.apply(_read(small, small.tile(p), mask), small.config).part for p in small.positions]
    )
    whole = block.part[[pair in few for pair in zip(block.part["day"], block.part["relative_orbit"], strict=True)]]
    columns = list(radar_series.SUMS)
    for day in sorted({day for day, _ in few}):
        ours, theirs = (table[table["day"] == day][columns].sum() for table in (parts, whole))
        assert ours["VV_around_px"] > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        for name in columns:
            if name.endswith("px"):
                assert ours[name] == theirs[name]


def test_most_landslides_are_dated_within_12_days(
    survey: Survey, block: Block, truth: gpd.GeoDataFrame, mask: np.ndarray
) -> None:
    config, windows = survey.config, survey.config.survey.windows
    limits = tuple((day - date(1970, 1, 1)).days for day in (windows.pre[0], windows.post[1]))
    labels, count = radar_series.connected_regions.label(mask == 1)
    days = truth["date"].astype(str).to_numpy("M8[D]").astype(int)
    errors, held, dated = [], [], 0
    for number, passes in _by_landslide(block).items():
        if (labels == number).sum() < 5:
            continue
        shown = geometries.rasterize(truth.union_all(), survey.grid.geobox) & (labels == number)
        true = {
            day
            for day, shape in zip(days, truth.geometry, strict=True)
            if (geometries.rasterize(shape, survey.grid.geobox) & shown).any()
        }
        found = dating.narrowed(passes, limits, limits, config.composite.speckle_looks)  # type: ignore[arg-type]
        if len(true) != 1:
            continue
        day = true.pop()
        if found is None:
            errors.append(np.inf)
            continue
        dated += 1
        errors.append(abs((found[0] + found[1]) / 2 - day))
        held.append(found[0] <= day <= found[1])
        assert 0.5 <= found[2] <= 1
    assert count > 5
    assert dated > 5
    assert (np.array(errors) <= 12).mean() >= 0.7
    assert np.mean(held) >= 0.75


def test_where_nothing_changed_the_composite_stays(block: Block, mask: np.ndarray, unchanged: np.ndarray) -> None:
    labels, _ = radar_series.connected_regions.label(mask == 1)
    still = np.setdiff1d(np.unique(labels[unchanged]), [0])
    assert len(still) >= 3
    passes = _by_landslide(block)
    answers = [landslide_date.date(dating.series(passes[n], radar.LOOKS), 18_067, 18_516) for n in still]
    assert sum(one.evidence > landslide_date.EVIDENCE for one in answers) == 0


def test_a_scene_that_cannot_be_read_is_left_out_and_named(
    survey: Survey, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = survey.tile(survey.positions[0])
    few = dating_passes.tile_scenes(survey.config.output, tile.id)[:3]
    monkeypatch.setattr(dating_passes, "tile_scenes", lambda root, name: few)
    real = scene_reading.read

    def broken(scene, *args, **more):  # type: ignore[no-untyped-def]
        if scene.id == few[1].id:
            raise SceneError(f"{scene.id}: cannot be read")
        return real(scene, *args, **more)

    monkeypatch.setattr(scene_reading, "read", broken)
    found = radar_series.apply(_read(survey, tile, mask), survey.config)
    assert set(found.scenes) == {few[0].id, few[2].id}
    assert [one.reason for one in found.dropped] == [f"{few[1].id}: cannot be read"]
    assert found.part["day"].nunique() <= 2

    monkeypatch.setattr(dating_passes, "tile_scenes", lambda root, name: ())
    nothing = radar_series.apply(_read(survey, tile, mask), survey.config)
    assert nothing.part.empty
    assert nothing.tally == {"dated_parts": 0, "passes": 0}


def test_no_landslide_no_reading(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_reading, "read", lambda *a, **k: pytest.fail("read a scene"))
    tile = survey.tile(survey.positions[0])
    found = radar_series.apply(_read(survey, tile, np.zeros((SIDE, SIDE), np.uint8)), survey.config)
    assert found.part is None


# What the inventory makes of it


def _passes(step_db: float, day: int = 18_400) -> pd.DataFrame:
    dice, rows = np.random.default_rng(1), []
    for orbit, state in ((44, "ascending"), (66, "descending")):
        for at in range(18_070 + orbit % 12, 18_510, 12):
            row = {
                "day": str(at),
                "platform": "sentinel-1a",
                "relative_orbit": orbit,
                "orbit_state": state,
                "time_days": at + 0.7,
            }
            for name in ("VV", "VH"):
                power = 0.1 * 10 ** ((step_db * (at >= day) + dice.normal(0, 0.4)) / 10)
                row |= {
                    f"{name}_inside_sum": 40 * power,
                    f"{name}_inside_px": 40,
                    f"{name}_around_sum": 30.0,
                    f"{name}_around_px": 300,
                }
            rows.append(row)
    return pd.DataFrame(rows)


def test_only_a_gain_replaces_the_looks() -> None:
    span = (18_070, 18_510)
    found = dating.narrowed(_passes(3.0), span, span, 4.4)
    assert found is not None
    first, last, confidence = found
    assert first <= 18_400 <= last
    assert last - first <= 12
    assert 0.85 < confidence <= 1
    # no evidence; looks that contradict it; looks that know it as well; nothing to ask
    assert dating.narrowed(_passes(0.0), span, span, 4.4) is None
    assert dating.narrowed(_passes(3.0), (18_080, 18_200), span, 4.4) is None
    assert dating.narrowed(_passes(3.0), (18_395, 18_401), span, 4.4) is None
    assert dating.narrowed(None, span, span, 4.4) is None
    assert dating.narrowed(pd.DataFrame(), span, span, 4.4) is None


def test_the_interval_never_leaves_the_looks() -> None:
    found = dating.narrowed(_passes(3.0), (18_398, 18_500), (18_070, 18_510), 4.4)
    assert found is not None
    assert found[0] >= 18_398
    whole = dating.narrowed(_passes(3.0), (18_070, 18_510), (18_070, 18_510), 4.4)
    assert whole is not None
    assert (found[1], whole[0] < 18_398) == (whole[1], True)


def test_methods_in_their_order(survey: Survey) -> None:
    config = survey.config
    looks = {"tile_row": [0], "tile_col": [0], "label": [1], "last_before": [18_100], "first_after": [18_480]}
    tile = {name: np.array(values) for name, values in looks.items()}

    def told(step: float, **more: np.ndarray) -> dict[str, Any]:
        passes = _passes(step).assign(label=1)
        found = record_fields._dates(Parts(tile | more, np.array([0])), config, lambda name: passes)
        return {name: values[0] for name, values in found.items()}

    found = told(3.0)
    assert found["date_method"] == dating.METHOD
    assert found["date_confidence"] > 0.85
    found = told(0.0)
    assert (found["date_method"], np.isnan(found["date_confidence"])) == ("greenest looks", True)
    breaks = {"before_days": [18_390], "after_days": [18_402]}
    found = told(3.0, **{name: np.array([np.array(days), None], object)[:1] for name, days in breaks.items()})
    # the breaks of CCDC come first
    assert found["date_method"] == "breaks in the series"
    assert (found["date_earliest"], found["date_latest"]) == ("2020-05-08", "2020-05-20")
