"""Laws: running twice computes nothing; a changed setting computes again exactly what depends on it; one failing tile
stops no other; a kill at any point loses nothing.
"""

from pathlib import Path

import numpy as np
import pytest

from lsbatch.bands import STACK, mask
from lsbatch.catalog.survey import Survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.engine import execution, schedule, tile_task
from lsbatch.errors import SceneError
from lsbatch.imagery import scene_reading
from lsbatch.storage import cube, receipts
from tests import surveys

STAGES = ("stack", "predict", "clean", "outline", "score")


def test_running_twice_computes_nothing(done_survey: Survey) -> None:
    count = surveys.Count()
    assert execution.run(done_survey, progress=count.progress) == 0
    assert count.tiles == []


def test_changed_threshold_computes_clean_and_what_follows(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    clean = survey.config.clean.model_copy(update={"threshold": 0.37})
    survey = Survey(survey.config.model_copy(update={"clean": clean}), survey.grid, survey.positions)
    count = surveys.Count()
    assert execution.run(survey, progress=count.progress) == 0
    assert count.stages() == {
        "clean", "outline", "score", "records", "map_blocks", "thumbnails", "inventory", "rasters", "project",
        "catalog", "report",
    }  # fmt: skip
    assert sum(stage == "clean" for stage, _ in count.tiles) == len(survey.positions)


def test_changed_composite_computes_everything(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    composite = survey.config.composite.model_copy(update={"cloud_dilate_px": 5})
    survey = Survey(survey.config.model_copy(update={"composite": composite}), survey.grid, survey.positions)
    pending = schedule.pending_work(survey)["stack"]
    assert len(pending.digests) == len(survey.positions)


def test_changed_cluster_computes_nothing(done_survey: Survey) -> None:
    cluster = done_survey.config.cluster.model_copy(update={"memory_gb": 7.0, "in_flight": 3})
    survey = Survey(done_survey.config.model_copy(update={"cluster": cluster}), done_survey.grid, done_survey.positions)
    count = surveys.Count()
    assert execution.run(survey, progress=count.progress) == 0
    assert count.tiles == []


def test_failing_tile_stops_no_other_and_heals(
    stacked_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    bad = survey.tile(survey.positions[1])
    receipts.remove(survey.workspace.receipts, "stack", bad.id)
    real = scene_reading.read

    def broken(scene, bands, geobox, *, attempts):  # type: ignore[no-untyped-def]
        raise SceneError(f"{scene.id}: made to fail")

    monkeypatch.setattr(scene_reading, "read", broken)
    count = surveys.Count()
    faults = execution.run(survey, until="outline", progress=count.progress)
    assert set(count.failed) == {("stack", bad.id)}
    assert "made to fail" in count.failed["stack", bad.id]
    assert faults == 1
    done = {tile for stage, tile in count.tiles if stage == "outline"}
    assert done == {survey.tile(p).id for p in survey.positions} - {bad.id}

    monkeypatch.setattr(scene_reading, "read", real)
    # a scene on disk that cannot be read will not be read by trying again, so the tile waits for a person
    left = surveys.Count()
    assert execution.run(survey, until="outline", progress=left.progress) == 1
    assert left.tiles == []
    run.retry(survey.config, terminal.Screen(), None)
    healed = surveys.Count()
    assert execution.run(survey, until="outline", progress=healed.progress) == 0
    # the neighbours read the mended tile in their halo, so they are done again too
    assert {tile for stage, tile in healed.tiles if stage == "predict"} >= {bad.id}
    fresh = surveys.copy_survey(stacked_survey, tmp_path / "undisturbed")
    assert execution.run(fresh, until="outline") == 0
    layer = mask(survey.config.model.family)
    for name, values in surveys.whole(fresh, layer).items():
        np.testing.assert_array_equal(values, surveys.whole(survey, layer)[name])


def test_kill_between_data_and_receipt_leaves_the_tile_undone(
    stacked_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")

    class Killed(BaseException):
        pass

    def killed(*args: object) -> None:
        raise Killed

    before = surveys.whole(survey, STACK)
    position = survey.positions[0]
    monkeypatch.setattr(cube, "write", killed)
    with pytest.raises(Killed):
        tile_task.commit(survey.config, survey.grid, tile_task.Task("stack", position, "other digest"))
    monkeypatch.undo()
    assert list(schedule.pending_work(survey)["stack"].digests) == [position]
    assert execution.run(survey, until="stack") == 0
    after = surveys.whole(survey, STACK)
    for name in STACK.names:
        np.testing.assert_array_equal(before[name], after[name])


def test_damaged_receipt_counts_as_absent(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    tile = survey.tile(survey.positions[2])
    receipts.path(survey.workspace.receipts, "stack", tile.id).write_text('{"stage": "sta', encoding="utf-8")
    assert list(schedule.pending_work(survey)["stack"].digests) == [survey.positions[2]]
