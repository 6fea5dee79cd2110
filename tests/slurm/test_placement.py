"""Who gets a GPU, how many threads and how much memory, and who may listen where; no SLURM is needed."""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import psutil
import pytest
import torch

from lsbatch import settings
from lsbatch.engine import cluster
from lsbatch.engine.cluster import gpu_preload, local, network, slurm_allocation, slurm_jobs
from lsbatch.errors import LsbatchError
from lsbatch.models import gpus
from lsbatch.settings import ClusterSettings, Config, JobSettings
from tests.slurm.certificates import certificate

pytestmark = pytest.mark.usefixtures("forked_workers")


def _settings(tmp_path: Path, device: str = "auto", **changes: Any) -> Config:
    raw = settings.example().model_dump(mode="json") | {"output": str(tmp_path / "survey"), "cluster": changes}
    raw["predict"]["device"] = device
    return settings.parse(raw, tmp_path)


def _about() -> dict[str, str]:
    """What a worker sees, told by itself."""
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "SLURM_JOB_ID", "SLURM_JOB_PARTITION")
    return {name: os.environ.get(name, "") for name in names} | {"pid": str(os.getpid())}


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has set threads or GPUs."""
    for name in (*network.threads(ClusterSettings()), "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unset")
def test_gpu_tasks_go_to_the_tagged_workers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "visible", lambda: ("3",))
    settings = _settings(tmp_path, "cuda", kind="local", workers=3, threads=2, memory_gb=1.0)
    said: list[str] = []
    with cluster.connect(settings, say=said.append) as crew:
        assert said == []
        client = crew({"GPU": 1})
        assert client is not None
        assert crew({}) is client
        client.wait_for_workers(3, timeout=120)
        tagged = [client.submit(_about, resources={"GPU": 1}, pure=False) for _ in range(30)]
        plain = client.run(_about)
        found = [future.result() for future in tagged]
    assert {each["CUDA_VISIBLE_DEVICES"] for each in found} == {"3"}
    # two feed the GPU
    assert len({each["pid"] for each in found}) == 2
    assert sorted(each["CUDA_VISIBLE_DEVICES"] for each in plain.values()) == ["", "3", "3"]
    # one tile at a time with both threads inside it
    assert (
        {each["OMP_NUM_THREADS"] for each in plain.values()}
        == {each["NUMBA_NUM_THREADS"] for each in plain.values()}
        == {"2"}
    )
    assert len(said) == 1
    assert said[0].startswith("Dask dashboard: http://127.0.0.1:")


def _grown(dask_worker: Any) -> None:
    """Look as a process does that has grown to 90 % of its memory, and does not give it back."""
    dask_worker.memory_manager.memory_limit = int(psutil.Process().memory_info().rss / 0.9)


def test_worker_that_has_grown_takes_the_next_tile(tmp_path: Path) -> None:
    """Dask would pause it, for ever: between two tiles nothing is there that it could put aside."""
    settings = _settings(tmp_path, kind="local", workers=1, memory_gb=8.0)
    with cluster.connect(settings, say=lambda line: None) as crew:
        client = crew({})
        assert client is not None
        # in Python 3.11 it can stop the whole process
        assert set(client.run(_profiles).values()) == {False}
        client.run(_grown)
        # it looks ten times a second
        time.sleep(1.0)
        found = client.submit(_about, pure=False).result(timeout=30)
    assert found["pid"] != str(os.getpid())


def test_jobs_neither_pause_nor_profile_nor_lock(tmp_path: Path) -> None:
    lines = slurm_jobs._job(_settings(tmp_path, kind="slurm"), "cpu", JobSettings())["job_script_prologue"]
    told = {line.removeprefix("export ").partition("=")[0]: line.partition("=")[2] for line in lines}
    assert all(name.isidentifier() for name in told), "the shell takes no other names"
    found = dask.config.collect(paths=[], env=told)
    assert {key: dask.config.get(key, config=found) for key in network.WORKER_CONFIG} == network.WORKER_CONFIG


def _profiles(dask_worker: Any) -> bool:
    return "profile" in dask_worker.periodic_callbacks


def test_local_workers_with_tls_encrypt(tmp_path: Path) -> None:
    settings = _settings(tmp_path, kind="local", workers=1, memory_gb=1.0, tls=certificate(tmp_path))
    with cluster.connect(settings, say=lambda line: None) as crew:
        client = crew({})
        assert client is not None
        assert client.submit(_about).result(timeout=120)["CUDA_VISIBLE_DEVICES"] == os.environ.get(
            "CUDA_VISIBLE_DEVICES", ""
        )
        info = client.scheduler_info()
    assert {address.partition("://")[0] for address in (info["address"], *info["workers"])} == {"tls"}


def test_no_gpu_is_said_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "visible", lambda: ())
    with (
        pytest.raises(LsbatchError, match="no GPU on this machine"),
        cluster.connect(_settings(tmp_path, "cuda", kind="local")),
    ):
        pass


def test_gpus_are_those_that_are_left_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert gpus.visible() == ("5", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus.visible() == ("0", "1")


def test_workers_of_a_gpu_job_share_out_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_preload, "_turns", iter(range(9)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    nannies = [SimpleNamespace(env={}) for _ in range(3)]
    for nanny in nannies:
        gpu_preload.dask_setup(nanny)
    assert [nanny.env["CUDA_VISIBLE_DEVICES"] for nanny in nannies] == ["0", "1", "0"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        # scheduler and driver are the first two tasks of the first node
        ({"SLURM_PROCID": "2", "SLURM_LOCALID": "2"}, 0),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "3"}, 1),
        ({"SLURM_PROCID": "4", "SLURM_LOCALID": "0"}, 0),
        ({"SLURM_PROCID": "5", "SLURM_LOCALID": "1"}, 1),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "3", "SLURM_GPUS_PER_TASK": "1"}, 0),
    ],
)
def test_gpus_of_an_allocation_are_dealt_out_by_node(
    environ: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_GPUS_PER_TASK", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert slurm_allocation._turn() == expected


def test_workers_fit_the_job_not_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ClusterSettings(kind="local", threads=2, memory_gb=1.0)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "3000")
    assert local.workers(settings) == 2
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    assert local.workers(settings) == 1
    # 0: all of the node's
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1000000")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")
    assert local.workers(settings) == int(psutil.virtual_memory().total * 0.9 / 1e9)


@pytest.mark.parametrize("walltime", ["00:02:00", "00:30:00", "04:00:00", "99:59:59"])
def test_workers_leave_before_the_walltime(walltime: str) -> None:
    hours, minutes, seconds = map(int, walltime.split(":"))
    _, lifetime, _, stagger = slurm_jobs._lifetime(walltime)
    at_most = int(lifetime[:-1]) + int(stagger[:-1])
    assert 30 <= hours * 3600 + minutes * 60 + seconds - at_most <= 300
    assert int(lifetime[:-1]) > int(stagger[:-1]) > 0


def test_unknown_interface_is_one_sentence() -> None:
    with pytest.raises(LsbatchError, match=r"cluster.interface = 'ib7': this machine has .*lo"):
        network.interface(ClusterSettings(kind="slurm", interface="ib7"))


def test_open_network_is_warned_of_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = SimpleNamespace(family=psutil.net_if_addrs()["lo"][0].family, address="10.1.2.3")
    inner = SimpleNamespace(family=address.family, address="127.0.0.1")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": [inner], "ib0": [address]})
    assert network.interface(ClusterSettings(kind="slurm")) == "lo"
    assert capsys.readouterr().err == ""
    assert network.interface(ClusterSettings(kind="slurm", interface="ib0")) == "ib0"
    assert capsys.readouterr().err.count("without cluster.tls") == 1
    files = {name: str(tmp_path / name) for name in ("ca_file", "cert_file", "key_file")}
    network.interface(ClusterSettings(kind="slurm", interface="ib0", tls=files))
    assert capsys.readouterr().err == ""


def test_missing_certificate_is_one_sentence(tmp_path: Path) -> None:
    files = {name: str(tmp_path / name) for name in ("ca_file", "cert_file", "key_file")}
    with pytest.raises(LsbatchError, match=r"cluster.tls.ca_file = .*this file does not exist"):
        network.security(ClusterSettings(tls=files))
