"""Laws: what may pass is tried again, what will not is left alone; one writer a survey.

What was written can be checked.
"""

import errno
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import zarr

from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.engine import execution, schedule, tile_task, verification
from lsbatch.errors import AbandonedError, LeaseError, LsbatchError, SceneError
from lsbatch.imagery import scene_reading
from lsbatch.settings import to_yaml
from lsbatch.storage import cube, lease, receipts
from tests import programs, surveys


class Screen(terminal.Screen):
    """Keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def text(self, line: str) -> None:
        self.lines.append(line)


def _patient(survey: Survey, attempts: int = 3) -> Survey:
    """The same survey, tried again at once."""
    cluster = survey.config.cluster.model_copy(update={"attempts": attempts, "wait_s": 0.0})
    return Survey(survey.config.model_copy(update={"cluster": cluster}), survey.grid, survey.positions)


def _failing(monkeypatch: pytest.MonkeyPatch, times: int, may_pass: bool) -> list[str]:
    """Let every scene of a survey fail the first `times` that it is read; returns what was asked for."""
    asked: list[str] = []
    real = scene_reading.read

    def read(scene, bands, geobox, *, attempts):  # type: ignore[no-untyped-def]
        asked.append(scene.id)
        if asked.count(scene.id) <= times:
            raise SceneError(f"{scene.id}: HTTP response code: 503", may_pass=may_pass)
        return real(scene, bands, geobox, attempts=attempts)

    monkeypatch.setattr(scene_reading, "read", read)
    return asked


@pytest.fixture
def one_undone(stacked_survey: Survey, tmp_path: Path) -> tuple[Survey, str]:
    """A survey whose second tile has no STACK, and the tile's name."""
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    tile = survey.tile(survey.positions[1]).id
    receipts.remove(survey.workspace.receipts, "stack", tile)
    return _patient(survey), tile


def test_an_outage_leaves_no_trace(
    one_undone: tuple[Survey, str], stacked_survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey, tile = one_undone
    _failing(monkeypatch, 2, may_pass=True)
    count = surveys.Count()
    assert execution.run(survey, until="stack", progress=count.progress) == 0
    assert count.tiles == [("stack", tile)]
    receipt = receipts.read_stage(survey.workspace.receipts, "stack")[tile]
    assert receipt.attempts > 1
    assert receipt.dropped == ()
    ours, theirs = surveys.whole(survey, STACK), surveys.whole(stacked_survey, STACK)
    for name in STACK.names:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_the_last_try_does_without_a_scene_that_stays_away(
    one_undone: tuple[Survey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    survey, tile = one_undone
    real, gone = scene_reading.read, []

    def read(scene, bands, geobox, *, attempts):  # type: ignore[no-untyped-def]
        if scene.sensor == "sentinel2" and scene.id == (gone or gone.append(scene.id) or gone)[0]:
            raise SceneError(f"{scene.id}: HTTP response code: 503", may_pass=True)
        return real(scene, bands, geobox, attempts=attempts)

    monkeypatch.setattr(scene_reading, "read", read)
    assert execution.run(survey, until="stack") == 0
    receipt = receipts.read_stage(survey.workspace.receipts, "stack")[tile]
    assert (receipt.attempts, len(receipt.dropped)) == (3, 1)


def test_what_will_not_pass_is_tried_once_and_left_alone(
    one_undone: tuple[Survey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    survey, tile = one_undone
    _failing(monkeypatch, 10**6, may_pass=False)
    assert execution.run(survey, until="stack") == 1
    assert receipts.read_stage(survey.workspace.receipts, "stack")[tile].attempts == 1
    count = surveys.Count()
    assert execution.run(survey, until="stack", progress=count.progress) == 1
    assert count.tiles == []


def test_quarantine_after_three_and_retry(one_undone: tuple[Survey, str], monkeypatch: pytest.MonkeyPatch) -> None:
    survey, tile = one_undone
    _failing(monkeypatch, 10**6, may_pass=True)
    count = surveys.Count()
    assert execution.run(survey, until="stack", progress=count.progress) == 1
    assert list(count.failed) == [("stack", tile)]
    assert "503" in count.failed["stack", tile]
    assert receipts.read_stage(survey.workspace.receipts, "stack")[tile].attempts == 3
    assert schedule.pending_work(survey)["stack"].quarantined == (survey.positions[1],)  # type: ignore[arg-type]

    screen = Screen()
    assert run.status(survey.config, screen, every_failure=True) == 1
    assert any(tile in line and "after 3 tries" in line for line in screen.lines)
    # more tries allowed: it is no longer in quarantine, and goes on counting
    assert schedule.pending_work(_patient(survey, 5))["stack"].tries == {survey.positions[1]: 3}  # type: ignore[arg-type]

    monkeypatch.undo()
    run.retry(survey.config, screen, None)
    assert execution.run(survey, until="stack") == 0


def test_a_full_disk_may_pass_and_a_read_only_one_does_not() -> None:
    full, read_only = (tile_task.fault_of(OSError(n, os.strerror(n), "cube.zarr")) for n in (errno.ENOSPC, errno.EROFS))
    assert (full.may_pass, read_only.may_pass) == (True, False)
    assert full.error == "cube.zarr: No space left on device"
    assert full.trace is None


def test_disk_full_in_the_middle(
    one_undone: tuple[Survey, str], stacked_survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey, tile = one_undone
    real, calls = cube.write, []

    def write(*arguments):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) < 3:
            raise OSError(errno.ENOSPC, "No space left on device", "cube.zarr")
        return real(*arguments)

    monkeypatch.setattr(cube, "write", write)
    assert execution.run(survey, until="stack") == 0
    assert receipts.read_stage(survey.workspace.receipts, "stack")[tile].attempts == 3
    assert surveys.whole(survey, STACK).keys() == surveys.whole(stacked_survey, STACK).keys()


def test_retry_of_one_tile_does_it_again_from_the_start(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    tile = survey.tile(survey.positions[0]).id
    with pytest.raises(LsbatchError, match="is not a tile of the survey"):
        run.retry(survey.config, Screen(), "r999c999")
    run.retry(survey.config, Screen(), tile)
    count = surveys.Count()
    assert execution.run(survey, until="score", progress=count.progress) == 0
    assert {("stack", tile), ("predict", tile), ("clean", tile), ("outline", tile), ("score", tile)} <= set(count.tiles)
    # the same bytes again, so nothing that followed from them is done again
    assert {name for _, name in count.tiles} == {tile}


# --- the lease


def test_a_second_writer_is_refused_and_named(tmp_path: Path) -> None:
    with lease.acquire(tmp_path):
        with (
            pytest.raises(LeaseError, match=f"is being written by another run .process {os.getpid()} on"),
            lease.acquire(tmp_path),
        ):
            pass
        # parts share tiles with a run of all
        with pytest.raises(LeaseError, match="being written"), lease.acquire(tmp_path, (1, 2)):
            pass
        assert [holder.part for holder, _ in lease.holders(tmp_path)] == ["all"]
    assert lease.holders(tmp_path) == []


def test_parts_of_one_division_go_together(tmp_path: Path) -> None:
    with lease.acquire(tmp_path, (1, 3)), lease.acquire(tmp_path, (2, 3)):
        for other in ((1, 3), (1, 2), (1, 1)):
            with pytest.raises(LeaseError), lease.acquire(tmp_path, other):
                pass
        with lease.acquire(tmp_path, (3, 3)):
            assert len(lease.holders(tmp_path)) == 3


def _hold(folder: Path, ready: str) -> None:
    with lease.acquire(folder):
        Path(ready).touch()
        time.sleep(600)


def _holding(folder: Path, ready: Path) -> BaseProcess:
    # one that begins at once
    programs.ready()
    process = multiprocessing.get_context("forkserver").Process(target=_hold, args=(folder, str(ready)))
    process.start()
    while not ready.exists():
        assert process.is_alive()
        time.sleep(0.02)
    return process


def test_a_killed_writer_of_this_machine_is_known_to_be_dead(tmp_path: Path) -> None:
    process = _holding(tmp_path / "s", tmp_path / "ready")
    with pytest.raises(LeaseError), lease.acquire(tmp_path / "s"):
        pass
    process.kill()
    process.join()
    with lease.acquire(tmp_path / "s") as hold:
        hold.check()


def test_a_lease_of_elsewhere_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = _holding(tmp_path / "s", tmp_path / "ready")
    try:
        # as if it were another machine, whose processes cannot be seen; stopped, so that it does not renew
        os.kill(process.pid, signal.SIGSTOP)  # type: ignore[arg-type]
        path = tmp_path / "s" / "lease" / "all.json"
        path.write_text(path.read_text().replace(lease._place().split()[0], "elsewhere", 1))
        with (
            pytest.raises(LeaseError, match=r"on elsewhere since .* the survey is free in [1-6][0-9]? s"),
            lease.acquire(tmp_path / "s"),
        ):
            pass
        os.utime(path, (time.time() - 2 * lease.SECONDS,) * 2)
        with lease.acquire(tmp_path / "s") as hold:
            hold.check()
    finally:
        process.kill()
        process.join()


def test_a_lease_is_renewed_and_its_age_is_not_told_by_our_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.4)
    with lease.acquire(tmp_path) as hold:
        time.sleep(1.0)
        assert lease.holders(tmp_path), "not renewed"
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert lease.holders(tmp_path), "told by a clock that jumped"
        monkeypatch.setattr(lease, "_born", lambda pid: -1.0)
        hold.check()


def test_what_is_computed_for_a_lost_lease_is_not_written(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    position = survey.positions[0]
    before = surveys.whole(survey, STACK)
    done = receipts.read_stage(survey.workspace.receipts, "stack")
    with lease.acquire(survey.config.output) as hold:
        task = tile_task.Task("stack", position, "another digest", lease=hold)
        stolen = replace(lease._read(hold.path), token="another")  # type: ignore[type-var]
        hold.path.write_text(lease._text(stolen))
        with pytest.raises(AbandonedError, match="no longer holds the lease of the survey"):
            hold.check()
        receipt = tile_task.commit(survey.config, survey.grid, task)
    assert "not written" in str(receipt.error)
    # whoever holds the survey now decides about this tile, also about its receipt
    assert receipts.read_stage(survey.workspace.receipts, "stack") == done
    after = surveys.whole(survey, STACK)
    for name in STACK.names:
        np.testing.assert_array_equal(before[name], after[name])
    assert lease._read(hold.path) == stolen, "a lease that is another's was taken away"


# --- checksums


def test_verify_names_what_is_not_what_was_written(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    screen = Screen()
    assert run.verify(survey.config, screen) == 0
    layers = sum(
        len(receipts.read_stage(survey.workspace.receipts, name))
        for name in (
            "stack",
            "applicability",
            "predict",
            "clean",
            "outline",
            "score",
            "records",
            "provenance",
            "map_blocks",
            "thumbnails",
        )
    )
    assert screen.lines == [f"{layers} of {layers} match their checksums"]

    flipped, cut, gone = (survey.tile(position).id for position in survey.positions[:3])
    group = zarr.open_group(survey.workspace.store / "stack", mode="r+")
    rows, cols = survey.tile(survey.positions[0]).region
    group["elevation"][rows.start, cols.start] += 1
    row, col = survey.positions[1]
    shard = survey.workspace.store / "stack" / "postNIR" / "c" / str(row) / str(col)
    shard.write_bytes(shard.read_bytes()[:-1000])
    row, col = survey.positions[2]
    (survey.workspace.store / "stack" / "dNDVI" / "c" / str(row) / str(col)).unlink()
    part = next(path for path in sorted((survey.workspace.root / "parts" / "outline").glob("*.parquet")))
    part.write_bytes(part.read_bytes()[:-1])

    wrong = {(one.stage, one.tile): one.reason for one in verification.tiles(survey).wrong}
    assert wrong.keys() == {("stack", flipped), ("stack", cut), ("stack", gone), ("outline", part.stem)}
    assert wrong["stack", flipped] == "differs from what was written: elevation"
    assert wrong["stack", gone] == "differs from what was written: dNDVI"
    # and the way back
    for tile in {tile for _, tile in wrong}:
        run.retry(survey.config, screen, tile)
    count = surveys.Count()
    assert execution.run(survey, progress=count.progress) == 0, count.failed
    assert verification.tiles(survey).wrong == ()


# --- signals


@pytest.mark.parametrize(
    ("kind", "number", "code"),
    [
        ("serial", signal.SIGTERM, 143),
        ("serial", signal.SIGINT, 130),
        ("local", signal.SIGTERM, 143),
        pytest.param("local", signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_and_the_next_goes_on(
    planned_survey: Survey, stacked_survey: Survey, tmp_path: Path, number: int, code: int, kind: str
) -> None:
    survey = surveys.copy_survey(planned_survey, tmp_path / "s")
    cluster = survey.config.cluster.model_copy(update={"kind": kind, "workers": 1, "memory_gb": 2.0})
    config = survey.config.model_copy(update={"cluster": cluster})
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    run = programs.start("run", str(tmp_path / "config.yaml"), "--until", "stack")
    folder = survey.workspace.receipts / "stack"
    try:
        while not list(folder.glob("*.json")):
            assert run.poll() is None, run.ended()
            time.sleep(0.02)
        run.send(number)
        done = run.ended(60)
    finally:
        run.kill()
    said = done.stderr
    assert done.returncode == code
    assert said.splitlines()[-1] == "lsbatch: stopped; finished tiles are kept: run the same command again to continue"
    assert "Traceback" not in said
    assert lease.holders(config.output) == []
    assert not [path for path in config.output.rglob(".*") if path.name != ".lock" and path.is_file()], (
        "half-written files"
    )
    assert execution.run(survey, until="stack") == 0
    ours, theirs = surveys.whole(survey, STACK), surveys.whole(stacked_survey, STACK)
    for name in STACK.names:
        np.testing.assert_array_equal(ours[name], theirs[name])
