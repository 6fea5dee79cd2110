"""deploy/slurm as it is: what the scripts ask of lsbatch, how they stop and go on; then whole surveys by them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.storage import receipts
from tests import surveys
from tests.slurm import same
from tests.slurm.node import Slurm

SCRIPTS = Path(__file__).parents[2] / "deploy" / "slurm"
#: A program in lsbatch's place: notes what it is told; asked to wait, it waits for the signal to stop.
_STUB = """#!/bin/bash
echo "$SLURM_JOB_NAME ${SLURM_RESTART_COUNT:-0} $*" >> CALLS
case "$*" in
    *--fail*) exit 1 ;;
    *--wait*) [ "${SLURM_RESTART_COUNT:-0}" = 0 ] || exit 0; trap 'exit 143' TERM; sleep 60 & wait $! ;;
esac
"""


def _wait(true: Callable[[], object], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.2)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File in which each call of the stub leaves a line; scripts that a test submits call the stub."""
    file, stub = tmp_path / "calls", tmp_path / "stub"
    stub.write_text(_STUB.replace("CALLS", str(file)), encoding="utf-8")
    stub.chmod(0o755)
    monkeypatch.setenv("LSBATCH", str(stub))
    monkeypatch.chdir(tmp_path)
    return file


def _submit(slurm: Slurm, script: str, *words: str | Path, options: tuple[str, ...] = ()) -> str:
    return slurm.ask(
        "sbatch",
        "--parsable",
        "--mem-per-cpu=2G" if script == "allocation.sbatch" else "--mem=2G",
        *options,
        str(SCRIPTS / script),
        *map(str, words),
    ).strip()


def _ended(slurm: Slurm, job: str, seconds: float = 60.0) -> dict[str, str]:
    _wait(lambda: slurm.ended_as(job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"), seconds)
    return slurm.ended_as(job)


def _let_begin(slurm: Slurm, job: str) -> None:
    """Soon: SLURM holds a requeued job back for two minutes."""
    # at once is too soon: slurmd still clears up after the last start, and would refuse a second copy
    time.sleep(4)
    slurm.ask("scontrol", "update", f"JobId={job}", "StartTime=now")


def test_an_array_does_every_part(slurm: Slurm, calls: Path) -> None:
    _submit(slurm, "run.sbatch", "a.yaml", "--until", "stack", options=("--array=1-3",))
    slurm.wait_until_empty()
    assert sorted(calls.read_text().splitlines()) == [
        f"lsbatch 0 run a.yaml --until stack --part {i}/3" for i in (1, 2, 3)
    ]


def test_a_few_parts_again(slurm: Slurm, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSBATCH_PARTS", "9")
    _submit(slurm, "run.sbatch", "a.yaml", options=("--array=3,7",))
    slurm.wait_until_empty()
    assert sorted(calls.read_text().splitlines()) == [f"lsbatch 0 run a.yaml --part {i}/9" for i in (3, 7)]


@pytest.mark.parametrize("array", ["0-3", "2-3"])
def test_tasks_that_are_no_parts_are_refused(slurm: Slurm, calls: Path, tmp_path: Path, array: str) -> None:
    job = _submit(slurm, "run.sbatch", "a.yaml", options=(f"--array={array}", f"--output={tmp_path}/said"))
    slurm.wait_until_empty()
    assert slurm.ended_as(f"{job}_2")["ExitCode"] == "2:0"
    assert "use --array=1-N" in (tmp_path / "said").read_text()
    assert not calls.exists()


@pytest.mark.parametrize("script", ["run.sbatch", "allocation.sbatch"])
def test_the_exit_code_is_that_of_lsbatch(slurm: Slurm, calls: Path, script: str) -> None:
    assert _ended(slurm, _submit(slurm, script, "a.yaml"))["ExitCode"] == "0:0"
    assert _ended(slurm, _submit(slurm, script, "a.yaml", "--fail"))["ExitCode"] == "1:0"
    assert _ended(slurm, _submit(slurm, script))["ExitCode"] == "2:0"
    assert len(set(calls.read_text().splitlines())) == 2


@pytest.mark.parametrize("script", ["run.sbatch", "allocation.sbatch"])
def test_at_the_walltime_a_job_goes_back_into_the_queue(slurm: Slurm, calls: Path, script: str) -> None:
    job = _submit(slurm, script, "a.yaml", "--wait")
    _wait(calls.exists)
    time.sleep(1)
    # what SLURM sends two minutes before the end
    slurm.ask("scancel", "--batch", "--signal=USR1", job)
    _wait(lambda: slurm.ended_as(job)["Restarts"] == "1")
    _let_begin(slurm, job)
    assert _ended(slurm, job)["ExitCode"] == "0:0"
    assert {line.split()[1] for line in calls.read_text().splitlines()} == {"0", "1"}


@pytest.mark.parametrize("script", ["run.sbatch", "allocation.sbatch"])
def test_a_job_that_is_cancelled_stays_so(slurm: Slurm, calls: Path, script: str) -> None:
    job = _submit(slurm, script, "a.yaml", "--wait")
    _wait(calls.exists)
    slurm.ask("scancel", job)
    assert _ended(slurm, job)["JobState"] == "CANCELLED"
    assert slurm.ended_as(job)["Restarts"] == "0"


def test_arrays_of_stages_follow_each_other(slurm: Slurm, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSBATCH_PREDICT", "--partition=accelerated --gres=gpu:1")
    said = slurm.ask(str(SCRIPTS / "submit.sh"), "a.yaml", "2", "--mem=100M")
    jobs = [line.split()[2].rstrip(";") for line in said.splitlines()]
    slurm.wait_until_empty()
    lines = calls.read_text().splitlines()
    assert lines[0].endswith(" run a.yaml --part 1000000/1000000")
    stages = ["stack", "predict", "clean", "outline", "report"]
    assert [line.split()[0].removeprefix("lsbatch-") for line in lines[1:]] == [
        s for s in stages[:4] for _ in range(2)
    ] + ["report"]
    assert lines[-1] == "lsbatch-report 0 run a.yaml"
    assert {line.partition(" run ")[2] for line in lines if line.startswith("lsbatch-predict")} == {
        f"a.yaml --until predict --part {i}/2" for i in (1, 2)
    }
    assert [slurm.ended_as(f"{jobs[i]}_1")["Partition"] for i in range(4)] == ["main", "accelerated", "main", "main"]


@pytest.mark.parametrize("words", [(), ("a.yaml",), ("a.yaml", "0"), ("a.yaml", "many")])
def test_wrong_use_of_submit_is_one_sentence(words: tuple[str, ...], calls: Path) -> None:
    done = subprocess.run([SCRIPTS / "submit.sh", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("submit.sh: usage: ")
    assert len(done.stderr.splitlines()) == 1
    assert not calls.exists()


def test_a_survey_that_lsbatch_refuses_is_not_submitted(slurm: Slurm, calls: Path) -> None:
    done = subprocess.run([SCRIPTS / "submit.sh", "--fail", "2"], capture_output=True, text=True)
    assert done.returncode == 1
    assert slurm.queue() == {}
    assert len(calls.read_text().splitlines()) == 1


@pytest.fixture
def survey(stacked_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Survey:
    """A survey that lacks one tile of STACK and everything after it; scripts call the real lsbatch."""
    monkeypatch.setenv("LSBATCH", str(Path(sys.executable).with_name("lsbatch")))
    monkeypatch.chdir(tmp_path)
    copy = surveys.copy_survey(stacked_survey, tmp_path / "s")
    receipts.remove(copy.workspace.receipts, "stack", copy.tile(copy.positions[0]).id)
    return copy


def _tasks(job: str) -> dict[int, int]:
    """Process of each task of a job's step, by the task's number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # srun itself has these words too, and workers that the tasks started have not
            if b"python\0" not in (command := (folder / "cmdline").read_bytes()) or b"bin/lsbatch\0run" not in command:
                continue
            words = (folder / "environ").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        environ = dict(word.partition("=")[::2] for word in words)
        if environ.get("SLURM_JOB_ID") == job and environ["SLURM_JOB_NAME"] == "lsbatch":
            found[int(environ["SLURM_PROCID"])] = int(folder.name)
    return found


def _receipts(survey: Survey, stage: str) -> int:
    return len(receipts.read_stage(survey.workspace.receipts, stage))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_survey_in_arrays_that_lose_a_part_equals_serial(
    slurm: Slurm, survey: Survey, done_survey: Survey, tmp_path: Path
) -> None:
    file = same.saved(survey, tmp_path / "config.yaml")
    said = slurm.ask(str(SCRIPTS / "submit.sh"), str(file), "2", "--mem=2G", f"--output={tmp_path}/%x-%a.out")
    last = said.splitlines()[-1].split()[2].rstrip(";")
    slurm.ask("scancel", slurm.wait_for("RUNNING", 1, "lsbatch-predict", seconds=400)[0])
    slurm.wait_until_empty(1200)
    assert slurm.ended_as(last)["ExitCode"] == "0:0", (tmp_path / "lsbatch-report-4294967294.out").read_text()
    assert (survey.workspace.inventory / "landslides.gpkg").exists()
    same.assert_same(survey, done_survey)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_survey_in_an_allocation_that_ends_too_early_equals_serial(
    slurm: Slurm, survey: Survey, done_survey: Survey, tmp_path: Path
) -> None:
    ours = same.with_cluster(survey, kind="allocation", memory_gb=1.5)
    said = tmp_path / "said"
    job = _submit(
        slurm,
        "allocation.sbatch",
        same.saved(ours, tmp_path / "config.yaml"),
        "--until",
        "thumbnails",
        options=(f"--output={said}",),
    )
    _wait(lambda: _receipts(survey, "predict") >= 1, 600)
    slurm.ask("scancel", "--batch", "--signal=USR1", job)
    _wait(lambda: slurm.ended_as(job)["Restarts"] == "1", 300)
    assert "is requeued and continues later" in said.read_text()
    _let_begin(slurm, job)
    assert _ended(slurm, job, 900)["ExitCode"] == "0:0", said.read_text()
    # schedulers, workers and their nannies neither plan nor report
    assert said.read_text().count("outline ") == 1
    same.assert_same(survey, done_survey)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rank", [1, 0], ids=["driver", "scheduler"])
def test_an_allocation_ends_when_its_driver_or_scheduler_dies(
    slurm: Slurm, survey: Survey, tmp_path: Path, rank: int
) -> None:
    ours = same.with_cluster(survey, kind="allocation", memory_gb=1.5)
    said = tmp_path / "said"
    options = ("--ntasks=3", f"--output={said}")
    job = _submit(slurm, "allocation.sbatch", same.saved(ours, tmp_path / "config.yaml"), options=options)
    _wait(lambda: "Dask dashboard" in said.read_text() if said.exists() else False, 300)
    tasks = _tasks(job)
    assert sorted(tasks) == [0, 1, 2]
    os.kill(tasks[rank], signal.SIGKILL)
    # long before the walltime of four hours
    assert _ended(slurm, job, 300)["ExitCode"].partition(":")[0] != "0"
    if rank == 0:
        assert "run the same command again to continue" in said.read_text()
    same.assert_goes_on(survey)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_allocation_of_two_tasks_is_too_small(slurm: Slurm, survey: Survey, tmp_path: Path) -> None:
    ours = same.with_cluster(survey, kind="allocation")
    said = tmp_path / "said"
    job = _submit(
        slurm,
        "allocation.sbatch",
        same.saved(ours, tmp_path / "config.yaml"),
        options=("--ntasks=2", f"--output={said}"),
    )
    assert _ended(slurm, job)["ExitCode"] == "2:0"
    assert "needs three tasks" in said.read_text()
