"""Laws: serial == threads == processes == the union of --part i/n; lazy computes nothing until asked."""

from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution, schedule, tile_task
from lsbatch.storage import receipts
from tests import surveys


def _layers(survey: Survey) -> dict[str, np.ndarray]:
    family = survey.config.model.family
    return {
        f"{layer.name}/{name}": values
        for layer in (STACK, probability(family), mask(family))
        for name, values in surveys.whole(survey, layer).items()
    }


def _assert_same(one: Survey, other: Survey) -> None:
    ours, theirs = _layers(one), _layers(other)
    assert ours.keys() == theirs.keys()
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key], err_msg=key)


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_dask_equals_serial(planned_survey: Survey, done_survey: Survey, tmp_path: Path, processes: bool) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    with (
        LocalCluster(
            n_workers=2 if processes else 1,
            threads_per_worker=1 if processes else 2,
            processes=processes,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1" if processes else None,
        ) as cluster,
        Client(cluster) as client,
    ):
        assert execution.run(survey, lambda resources: client, until="outline") == 0
    _assert_same(survey, done_survey)


def test_union_of_parts_equals_serial(planned_survey: Survey, done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    for stage in ("stack", "predict", "clean", "outline"):
        shares = []
        for i in (3, 1, 2):
            count = surveys.Count()
            assert execution.run(survey, until=stage, part=(i, 3), progress=count.progress) == 0
            shares.append({tile for name, tile in count.tiles if name == stage})
        assert sum(map(len, shares)) == len(set.union(*shares)) == len(survey.positions)
    _assert_same(survey, done_survey)


def test_part_waits_for_neighbours(planned_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    assert execution.run(survey, until="predict", part=(1, 2)) == 0
    pending = schedule.pending_work(survey, (1, 2))["predict"]
    assert pending.waiting
    assert not pending.digests
    assert receipts.read_stage(survey.workspace.receipts, "predict") == {}


def test_lazy_computes_nothing_until_asked(done_survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = tile_task.compute
    monkeypatch.setattr(execution, "compute", lambda *args: calls.append(args) or real(*args))
    lazy = execution.lazy(done_survey, "clean")
    assert calls == []
    assert lazy.dims == ("band", "y", "x")
    with dask.config.set(scheduler="synchronous"):
        values = lazy.compute()
    assert len(calls) == len(done_survey.positions)
    stored = surveys.whole(done_survey, mask(done_survey.config.model.family))
    np.testing.assert_array_equal(values[0], stored["landslide"].astype(np.float32))
