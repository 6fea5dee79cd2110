"""The doctor: what it finds on this machine and on rough ones, and what it never prints."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lsbatch import settings
from lsbatch.catalog import http
from lsbatch.commands import doctor
from lsbatch.commands.doctor import folder as folder_checks
from lsbatch.commands.doctor import machine
from lsbatch.commands.doctor.check import FAIL, OK, WARN, Check
from lsbatch.engine.cluster import local
from lsbatch.settings import to_yaml
from tests import servers, surveys
from tests.chaos import file_systems

SECRET = "s3cr3t"


@pytest.fixture
def config(country: Path, tmp_path: Path) -> settings.Config:
    """Settings of a survey that was never run."""
    return surveys.configured(country, tmp_path / "s")


def named(checks: list[Check], name: str) -> Check:
    """The check of a name."""
    return next(check for check in checks if check.name == name)


def of_folder(place: Path) -> dict[str, str]:
    """Verdicts on a folder."""
    return {check.name: check.verdict for check in folder_checks.checks(place, None)}


def disk(place: Path, options: str) -> Iterator[Path]:
    """A disk of its own; only root may mount one."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=1m,{options}", "none", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    yield from disk(tmp_path / "small", "rw")


@pytest.fixture
def closed_disk(tmp_path: Path) -> Iterator[Path]:
    """A read-only disk."""
    yield from disk(tmp_path / "closed", "ro")


@pytest.fixture
def noexec_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk from which no program may run."""
    yield from disk(tmp_path / "noexec", "noexec")


def test_a_sound_machine(config: settings.Config) -> None:
    checks = doctor.examine(config)
    assert [check for check in checks if check.verdict == FAIL] == []
    assert named(checks, "versions").verdict == OK
    assert named(checks, "weights").found.endswith(" fit the settings")
    assert named(checks, "archive local").verdict == OK
    assert all(check.advice for check in checks if check.verdict != OK)
    assert not config.output.exists(), "a check made the survey's folder"


def test_missing_weights_and_catalogue(config: settings.Config, tmp_path: Path) -> None:
    model = config.model.model_copy(update={"weights": str(tmp_path / "none.safetensors")})
    source = config.archives.dem.model_copy(update={"url": str(tmp_path / "none.json")})  # type: ignore[union-attr]
    archives = config.archives.model_copy(update={"dem": source})
    checks = doctor.examine(config.model_copy(update={"model": model, "archives": archives}))
    assert (named(checks, "weights").verdict, "does not exist" in named(checks, "weights").found) == (FAIL, True)
    assert any(check.verdict == WARN and "does not exist" in check.found for check in checks)


def test_workers_that_do_not_fit_into_memory(config: settings.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**cluster: object) -> Check:
        chosen = settings.ClusterSettings(kind="local", **cluster)  # type: ignore[arg-type]
        return named(list(machine.checks(config.model_copy(update={"cluster": chosen}))), "memory")

    monkeypatch.setattr(local, "memory_bytes", lambda: 10_000_000_000)
    assert found(workers=2, memory_gb=4.0).verdict == OK
    assert found(workers=3, memory_gb=4.0).advice == "set cluster.workers to at most 2"
    assert found(workers=1, memory_gb=12.0).advice == "set cluster.memory_gb to at most 9.0"


def test_the_limit_of_a_container_counts(config: settings.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the doctor and for the number of workers; tests/deploy/test_image.py has a real container."""
    monkeypatch.setattr(local, "memory_limit", lambda: 10_000_000_000)
    monkeypatch.setattr(local.dask.system, "cpu_count", lambda: 7)
    own = settings.ClusterSettings(kind="local", memory_gb=4.0)
    assert local.workers(own) == 2
    checks = list(machine.checks(config.model_copy(update={"cluster": own})))
    assert named(checks, "memory").found == "10.0 GB; 2 workers of 4 GB"
    assert named(checks, "threads").found.startswith("7 cores")
    assert local.workers(settings.ClusterSettings(kind="local", memory_gb=1.0)) == 7
    # of a job in the container
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "2000")
    assert local.memory_bytes() == 2000 * 2**20


def test_more_threads_than_cores(config: settings.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert named(list(machine.checks(config)), "threads").verdict == WARN


def test_a_library_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine.importlib.metadata, "requires", lambda name: ["numpy>=99", "nothing-of-this-name", "x; extra == 'y'"]
    )
    check = machine._versions()
    assert check.verdict == FAIL
    assert "is not >=99; nothing-of-this-name is missing" in check.found


def test_disks(small_disk: Path, closed_disk: Path, noexec_disk: Path) -> None:
    assert of_folder(small_disk / "s")["space"] == WARN
    (small_disk / "ballast").write_bytes(bytes(2**20 - 2 * 4096))
    full, read_only = (list(folder_checks.checks(place / "s", None)) for place in (small_disk, closed_disk))
    assert [(check.verdict, check.found) for check in full] == [(FAIL, f"{small_disk}: No space left on device")]
    assert [(check.verdict, check.found) for check in read_only] == [(FAIL, f"{closed_disk}: Read-only file system")]
    assert FAIL not in of_folder(noexec_disk).values()
    assert list(small_disk.iterdir()) == [small_disk / "ballast"], "a probe is left behind"


def test_a_temporary_folder_that_is_full(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_disk / "ballast").write_bytes(bytes(2**20))
    monkeypatch.setattr(machine.tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(small_disk))
    check = named(list(machine.checks(None)), "temporary files")
    assert (check.verdict, f"TMPDIR = {small_disk} cannot be written" in check.found) == (WARN, True)


def test_a_folder_shared_by_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o2770)
    monkeypatch.setattr(folder_checks, "UMASK", 0o027)
    group = named(list(folder_checks.checks(tmp_path, None)), "group")
    assert (group.verdict, group.found[:28]) == (WARN, "folder 2770, umask 0027: the")
    monkeypatch.setattr(folder_checks, "UMASK", 0o002)
    assert of_folder(tmp_path)["group"] == OK


def test_nfs_on_several_machines(config: settings.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No NFS can be mounted here: what the system says of one is made up."""
    several = config.model_copy(update={"cluster": settings.ClusterSettings(kind="slurm")})

    def verdict(options: str, chosen: settings.Config) -> str:
        mounts = [SimpleNamespace(mountpoint=place, fstype=kind, opts=options) for place, kind in places.items()]
        monkeypatch.setattr(folder_checks.psutil, "disk_partitions", lambda all: mounts)
        return named(list(folder_checks.checks(tmp_path, chosen)), "file system").verdict

    places = {"/": "ext4", str(tmp_path): "nfs4"}
    assert verdict("rw,vers=4.2", several) == WARN
    assert verdict("rw,lookupcache=positive", several) == OK
    assert verdict("rw,vers=4.2", config) == OK
    places = {str(tmp_path): "nfs4", str(tmp_path.parent): "nfs4"}
    assert verdict("rw,noac", several) == OK


def test_archives_on_the_network(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text("{}")
    with servers.serve(tmp_path) as running:
        assert http.refusal(f"{running.url}/catalog.json", 5) is None
        assert http.refusal(f"{running.url}/none.json", 5) is None
    assert str(http.refusal("http://127.0.0.1:9/x", 1)).startswith("no answer in 1 s (")


def test_secrets_are_not_printed(config: settings.Config, capsys: pytest.CaptureFixture[str]) -> None:
    source = config.archives.dem.model_copy(  # type: ignore[union-attr]
        update={"preset": "stac", "url": f"http://user:{SECRET}@127.0.0.1:9/stac?token={SECRET}"}
    )
    checks = doctor.examine(config.model_copy(update={"archives": config.archives.model_copy(update={"dem": source})}))
    text = json.dumps([check.row() for check in checks])
    assert "http://127.0.0.1:9/stac: no answer in 5 s" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("faults", "code", "found"),
    [
        ("none", 0, {"locks": OK, "folder": OK}),
        ("nolock", 0, {"locks": WARN, "locks of databases": WARN}),
        ("readonly", 1, {"folder": FAIL}),
        ("norename", 1, {"rename": FAIL}),
        ("nolink", 0, {"links": WARN}),
        ("short=120", 1, {"names": FAIL}),
    ],
)
def test_rough_folders(config: settings.Config, tmp_path: Path, faults: str, code: int, found: dict[str, str]) -> None:
    """Also without a home, and with archives that do not answer."""
    if faults not in ("none", "nolock"):
        # the command itself takes ten seconds; what it calls is enough for the others
        code_of = "from pathlib import Path; from lsbatch.commands.doctor import folder; import json\n"
        code_of += "print(json.dumps([check.row() for check in folder.checks(Path.cwd() / 's', None)]))"
        library = file_systems.library(tmp_path)
        done = file_systems.python(library, tmp_path, faults, "-c", code_of)
        assert done.returncode == 0, done.stderr
        verdicts = {row[0]: row[2] for row in json.loads(done.stdout)}
    else:
        (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
        words = ("-m", "lsbatch.cli", "doctor", str(tmp_path / "config.yaml"), "--json")
        done = file_systems.python(file_systems.library(tmp_path), tmp_path, faults, *words, HOME="/proc/none")
        assert done.returncode == code, done.stderr
        verdicts = {row["check"]: row["verdict"] for row in json.loads(done.stdout)}
        assert verdicts["compiled kernels"] == WARN
    assert {name: verdicts[name] for name in found} == found
    assert (FAIL in verdicts.values()) == bool(code)
