"""Jobs that lsbatch submits itself (cluster.kind slurm): who works where, who is replaced, who is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import as_completed

from lsbatch import settings
from lsbatch.catalog.survey import Survey
from lsbatch.engine import cluster, execution
from lsbatch.engine.cluster import slurm_jobs
from lsbatch.errors import LsbatchError
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt
from tests import surveys
from tests.slurm import same
from tests.slurm.certificates import certificate
from tests.slurm.node import Slurm


def _settings(tmp_path: Path, device: str = "auto", **changes: Any) -> Config:
    groups = {"cpu": {"jobs": 1, "walltime": "00:20:00"}}
    if device == "cuda":
        groups["gpu"] = {"jobs": 1, "workers": 2, "gres": "gpu:2", "partition": "accelerated"}
    raw = settings.example().model_dump(mode="json") | {"output": str(tmp_path / "survey")}
    raw["cluster"] = {"kind": "slurm", "memory_gb": 1.0, "threads": 3, "slurm": groups} | changes
    raw["predict"]["device"] = device
    return settings.parse(raw, tmp_path)


def _about() -> dict[str, str]:
    """What a worker sees, told by itself."""
    names = (
        "SLURM_JOB_NAME",
        "SLURM_JOB_ID",
        "SLURM_JOB_PARTITION",
        "SLURM_CPUS_PER_TASK",
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "HERE",
    )
    return {name: os.environ.get(name, "") for name in names}


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_stage_has_the_jobs_it_asks_for(slurm: Slurm, tmp_path: Path) -> None:
    settings = _settings(
        tmp_path, "cuda", slurm={
            "cpu": {"jobs": 1, "prologue": ["export HERE='of the user'"], "directives": ["--comment=hello"]},
            "gpu": {"jobs": 1, "workers": 2, "gres": "gpu:2", "partition": "accelerated"},
        },
    )  # fmt: skip
    with cluster.connect(settings, say=lambda line: None) as crew:
        # nothing waits in the queue before a stage asks
        assert slurm.queue() == {}
        client = crew({})
        assert client is not None
        told = client.submit(_about).result(timeout=120)
        assert (told["SLURM_JOB_NAME"], told["SLURM_JOB_PARTITION"], told["HERE"]) == (
            "lsbatch-cpu",
            "main",
            "of the user",
        )
        assert (told["SLURM_CPUS_PER_TASK"], told["OMP_NUM_THREADS"]) == ("3", "3")
        assert slurm.ended_as(told["SLURM_JOB_ID"])["Comment"] == "hello"
        assert crew({}) is client

        gpu = crew({"GPU": 1})
        assert gpu is not None
        gpu.wait_for_workers(2, timeout=120)
        tagged = gpu.gather([gpu.submit(_about, resources={"GPU": 1}, pure=False) for _ in range(20)])
        assert {each["SLURM_JOB_PARTITION"] for each in tagged} == {"accelerated"}
        # two workers in the job, a GPU each
        assert sorted(each["CUDA_VISIBLE_DEVICES"] for each in gpu.run(_about).values()) == ["0", "1"]
        # both kinds work at the same time
        assert len(slurm.jobs("lsbatch-gpu")) == 1
        assert slurm.jobs("lsbatch-cpu")
    slurm.wait_until_empty()


def test_a_job_that_slurm_refuses_is_one_sentence(slurm: Slurm, tmp_path: Path) -> None:
    settings = _settings(tmp_path, slurm={"cpu": {"partition": "nowhere"}})
    with (
        pytest.raises(LsbatchError, match=r"cluster.slurm.cpu: SLURM refuses such a job: .*partition"),
        cluster.connect(settings),
    ):
        pass
    assert slurm.queue() == {}


def test_no_slurm_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LsbatchError, match="the command sbatch is missing"), cluster.connect(_settings(tmp_path)):
        pass


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_cancelled_jobs_are_replaced_also_before_they_began(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_jobs, "LOOK_S", 1.0)
    # the node has 16 cores: one job runs, the other waits
    settings = _settings(tmp_path, threads=10, slurm={"cpu": {"jobs": 2}})
    with cluster.connect(settings, say=lambda line: None) as crew:
        client = crew({})
        assert client is not None
        (running,), (waiting,) = slurm.wait_for("RUNNING"), slurm.wait_for("PENDING")
        slurm.ask("scancel", waiting)
        _until(lambda: slurm.jobs(state="PENDING") not in ([], [waiting]))
        slurm.ask("scancel", running)
        _until(lambda: running not in slurm.jobs() and len(slurm.jobs()) == len(slurm.jobs(state="PENDING")) == 1)
        assert client.submit(_about).result(timeout=120)["SLURM_JOB_ID"] != running
    slurm.wait_until_empty()


def test_jobs_go_when_the_run_breaks(slurm: Slurm, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), cluster.connect(_settings(tmp_path), say=lambda line: None) as crew:  # noqa: PT012
        crew({})
        slurm.wait_for("RUNNING")
        raise ZeroDivisionError
    slurm.wait_until_empty()


def test_with_tls_every_connection_is_encrypted(slurm: Slurm, tmp_path: Path) -> None:
    with cluster.connect(_settings(tmp_path, tls=certificate(tmp_path)), say=lambda line: None) as crew:
        client = crew({})
        assert client is not None
        assert client.submit(_about).result(timeout=120)["SLURM_JOB_NAME"] == "lsbatch-cpu"
        info = client.scheduler_info()
        assert {address.partition("://")[0] for address in (info["address"], *info["workers"])} == {"tls"}
    slurm.wait_until_empty()


def _slept(seconds: float) -> str:
    time.sleep(seconds)
    return os.environ["SLURM_JOB_ID"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_workers_leave_before_the_walltime_and_lose_nothing(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_jobs, "LOOK_S", 1.0)
    with cluster.connect(
        _settings(tmp_path, slurm={"cpu": {"jobs": 1, "walltime": "00:02:00"}}), say=lambda line: None
    ) as crew:
        client = crew({})
        assert client is not None
        asked = [client.submit(_slept, 2.0, pure=False, retries=0) for _ in range(70)]
        # fetched one by one, as receipts are: what lies on the only worker goes with it and would be computed again
        found = [job for _, job in as_completed(asked, with_results=True)]
    slurm.wait_until_empty()
    assert len(found) == 70
    first, *others = sorted(set(found), key=int)
    assert others
    # it went by itself: SLURM did not kill it
    assert slurm.ended_as(first)["JobState"] == "COMPLETED"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_survey_in_jobs_that_are_cancelled_equals_serial(
    slurm: Slurm, planned_survey: Survey, done_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_jobs, "LOOK_S", 1.0)
    survey = same.with_cluster(
        surveys.copy_survey(planned_survey, tmp_path / "s"),
        kind="slurm",
        memory_gb=1.5,
        in_flight=2,
        slurm={"cpu": {"jobs": 2}},
    )
    cancelled: list[str] = []

    def cancel(receipt: Receipt) -> None:
        # once a stage, in the middle of it
        if receipt.stage not in {stage for stage, _ in map(str.split, cancelled)} and (
            running := slurm.jobs("lsbatch-cpu")
        ):
            slurm.ask("scancel", running[0])
            cancelled.append(f"{receipt.stage} {running[0]}")

    with cluster.connect(survey.config, say=lambda line: None) as crew:
        assert execution.run(survey, crew, until="thumbnails", progress=execution.Progress(done=cancel)) == 0
    slurm.wait_until_empty()
    assert len(cancelled) >= 3
    print(f"cancelled: {', '.join(cancelled)}")
    found = receipts.read_stage(survey.workspace.receipts, "stack")
    assert len(found) == len(survey.positions)
    assert not any(receipt.worker.endswith(f":{os.getpid()}") for receipt in found.values())
    same.assert_same(survey, done_survey)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_that_is_stopped_leaves_no_job(
    slurm: Slurm, stacked_survey: Survey, tmp_path: Path, number: signal.Signals
) -> None:
    survey = same.with_cluster(
        surveys.copy_survey(stacked_survey, tmp_path / "s"), kind="slurm", memory_gb=1.5, slurm={"cpu": {"jobs": 2}}
    )
    file = same.saved(survey, tmp_path / "config.yaml")
    driver = subprocess.Popen(
        [Path(sys.executable).with_name("lsbatch"), "run", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    slurm.wait_for("RUNNING", 2, "lsbatch-cpu", seconds=180)
    driver.send_signal(number)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 128 + number, said
    assert "run the same command again to continue" in said
    slurm.wait_until_empty()
    same.assert_goes_on(survey)
