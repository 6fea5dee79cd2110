"""CCDC through the real path: a country with a history, its scenes searched, read and followed, tile by tile."""

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from lsbatch import synthetic
from lsbatch.bands import probability
from lsbatch.catalog import plan, scene_history
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import compare, run
from lsbatch.engine import schedule, tile_task, todo
from lsbatch.models import ccdc
from lsbatch.pipeline import pixel_history
from lsbatch.pipeline.types import Stage
from lsbatch.storage import receipts, vectors
from tests import surveys

pytestmark = pytest.mark.skipif(find_spec("pyxccd") is None, reason="pyxccd has no wheel for this Python")

YEARS = 1
CCDC = {"model": {"family": "ccdc", "weights": None, "history_years": YEARS}}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.simulate(tmp_path_factory.mktemp("years"), seed=7, rows=256, cols=256, history_years=YEARS)


@pytest.fixture(scope="module")
def survey(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Surveyed in one tile."""
    config = surveys.configured(path, tmp_path_factory.mktemp("one") / "survey", **CCDC)
    assert run.survey(config, terminal.Screen()) == 0
    return open_survey(config)


@pytest.mark.slow(ci=True)
def test_landslides_are_found_and_dated(survey: Survey) -> None:
    config = survey.config
    found = gpd.read_file(survey.workspace.inventory / "landslides.gpkg", layer="landslides")
    assert config.truth is not None
    real = vectors.read_truth(config.truth, config.survey.windows, config.grid.crs)
    real = real[real.geometry.area > 2500]
    met = found.sjoin(real[["date", "geometry"]])
    assert met["index_right"].nunique() >= 0.7 * len(real) > 1
    assert (met["date_method"] == "breaks in the series").all()
    days = (np.array(met["date_latest"], "M8[D]") - np.array(met["date"].astype(str), "M8[D]")).astype(int)
    # the greenest looks alone leave 290 to 330 days between before and after
    assert np.median(np.abs(days)) <= 15
    assert (met["date_earliest"] < met["date_latest"]).all()


@pytest.mark.slow(ci=True)
def test_only_candidates_have_a_chance(survey: Survey) -> None:
    receipt = next(iter(receipts.read_stage(survey.workspace.receipts, "predict").values()))
    assert (
        0 < receipt.tally["broken_pixels"] < receipt.tally["candidate_pixels"] < 0.3 * receipt.tally["predicted_pixels"]
    )
    bands = surveys.whole(survey, probability("ccdc"))
    assert set(bands) == {"probability", "spread", "before", "after"}
    broken = bands["after"] != ccdc.MISSING
    assert broken.sum() == receipt.tally["broken_pixels"]
    assert (bands["probability"][broken] > 0).all()
    assert (bands["before"][broken] < bands["after"][broken]).all()


@pytest.mark.slow(ci=True)
def test_the_history_is_searched_once_and_leaves_the_plan_alone(survey: Survey) -> None:
    config = survey.config
    first, last = scene_history.days(config)
    assert (str(first), str(last)) == ("2018-01-01", "2020-09-10")
    scenes = scene_history.tile_scenes(config.output, survey.tile(survey.positions[0]).id)
    assert len({scene.day for scene in scenes}) > 100
    assert all(str(first) <= scene.day <= str(last) for scene in scenes)
    usual = plan.tile_scenes(config.output, survey.tile(survey.positions[0]).id)
    assert {s.id for key in ("pre_s2", "post_s2") for s in usual[key]} < {s.id for s in scenes}
    assert scene_history.fits(config)
    longer = surveys.configured(
        config.truth.file.parent / "config.yaml",
        config.output,
        model={"family": "ccdc", "weights": None, "history_years": 2},
    )
    assert not scene_history.fits(longer)


@pytest.mark.slow(ci=True)
def test_another_history_is_another_answer_but_not_another_stack(survey: Survey, tmp_path: Path) -> None:
    copy = surveys.copy_survey(survey, tmp_path / "survey")
    tile = survey.tile(survey.positions[0]).id
    scenes = scene_history.tile_scenes(copy.config.output, tile)
    scene_history.save({tile: scenes[:-1]}, copy.config)
    state = schedule.pending_work(copy, until="predict")
    assert state["stack"].done == 1
    assert len(state["predict"].digests) == 1


@pytest.mark.slow(ci=True)
def test_strips_answer_as_the_whole(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every fourth column, since each pixel takes 2 ms."""
    stage, position = todo.step_named("predict"), survey.positions[0]
    receipt = next(iter(receipts.read_stage(survey.workspace.receipts, "predict").values()))
    every, counts = ccdc.candidates, []

    def candidates(bands: Mapping[str, np.ndarray], rule: Mapping[str, float]) -> np.ndarray:
        found = every(bands, rule)
        found[:, np.arange(found.shape[1]) % 4 > 0] = False
        counts.append(int(found.sum()))
        # two strips: each reads all scenes again
        monkeypatch.setattr(pixel_history, "MOST_BYTES", counts[0] * len(receipt.scenes) * 4 // 3)
        return found

    monkeypatch.setattr(ccdc, "candidates", candidates)
    assert isinstance(stage, Stage)
    block, whole = (
        tile_task.compute(survey.config, survey.grid, stage, position),
        surveys.whole(survey, probability("ccdc")),
    )
    assert 0 < counts[0] < receipt.tally["candidate_pixels"] / 3
    for name in ("before", "after"):
        assert (block.bands[name][:, ::4] != ccdc.MISSING).any()
        np.testing.assert_array_equal(block.bands[name][:, ::4], whole[name][:, ::4], err_msg=name)


@pytest.mark.slow
def test_tiles_answer_as_the_whole(survey: Survey, path: Path, tmp_path: Path) -> None:
    config = surveys.configured(path, tmp_path / "survey", **CCDC, grid={"tile_px": 128})
    assert run.survey(config, terminal.Screen(), until="predict") == 0
    small, whole = (surveys.whole(s, probability("ccdc")) for s in (open_survey(config), survey))
    for name in ("probability", "before", "after"):
        np.testing.assert_array_equal(small[name], whole[name], err_msg=name)


def test_strips_are_whole_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.random.default_rng(0).random((512, 100)) < 0.3
    monkeypatch.setattr(pixel_history, "MOST_BYTES", 400_000)
    strips = list(pixel_history._strips(chosen, 100))
    assert len(strips) > 10
    assert strips[0].start == 0
    assert strips[-1].stop == 512
    assert all(a.stop == b.start for a, b in pairwise(strips))
    # eight rows of shadow more than the budget, at most
    assert all(chosen[rows].sum() * 400 <= 400_000 + 8 * 100 * 400 for rows in strips)
    assert list(pixel_history._strips(np.zeros((512, 100), bool), 100)) == []


@pytest.mark.slow
def test_compare_takes_it_untrained_beside_the_others(path: Path, tmp_path: Path) -> None:
    config = surveys.configured(path, tmp_path / "survey")
    rows = compare.compare(compare.Contest((config,), (config,), ("ccdc", "cart"), ("s1vv",)), terminal.Screen())
    found = {row["model"]: row["mcc"] for row in rows if "/" not in row["region"]}
    assert found["ccdc"] > 0.4
    assert found["cart"] < found["ccdc"]
    # the history lies beside the survey's own plan, and its STACK was used
    assert scene_history.file(config.output).exists()
    assert not (config.output / "cube.zarr" / "probability").exists()
