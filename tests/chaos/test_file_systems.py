"""Whole surveys on rough file systems: a sentence where a person must act, and the same bytes in the end."""

import subprocess
from pathlib import Path

import pytest

from lsbatch import settings
from lsbatch.settings import to_yaml
from tests.chaos import arena, file_systems
from tests.chaos.comparison import differences

# interpreters of their own, because faults are loaded when a program starts
pytestmark = pytest.mark.slow


def _run(
    home: arena.Nursery, folder: Path, faults: str, command: str = "run", **more: str
) -> "subprocess.CompletedProcess[str]":
    cluster = settings.ClusterSettings(kind="serial", wait_s=0.0)
    config = home.undisturbed.model_copy(update={"output": folder / "s", "cluster": cluster})
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    words = ["-m", "lsbatch.cli", command, str(folder / "config.yaml"), *(["--all"] if command == "retry" else [])]
    done = file_systems.python(file_systems.library(folder), folder, faults, *words, **more)
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("faults", ["nolock", "nolink", "squash", "short=143"])
def test_a_survey_that_goes_through(home: arena.Nursery, tmp_path: Path, faults: str) -> None:
    done = _run(home, tmp_path, faults)
    assert done.returncode == 0, done.stdout + done.stderr
    assert differences(tmp_path / "s", home.undisturbed.output) == []


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ("quota=2000", "Disk quota exceeded"),
        ("full=2000", "No space left on device"),
        ("norename", "Operation not permitted"),
        ("readonly", "Read-only file system"),
    ],
)
def test_a_survey_that_stops_and_is_resumed(home: arena.Nursery, tmp_path: Path, faults: str, reason: str) -> None:
    done = _run(home, tmp_path, faults)
    assert done.returncode in (1, 2)
    assert reason in done.stdout + done.stderr
    if (tmp_path / "s" / "plan" / "plan.json").exists():
        assert _run(home, tmp_path, "none", "retry").returncode == 0
    assert _run(home, tmp_path, "none").returncode == 0
    assert differences(tmp_path / "s", home.undisturbed.output) == []


def test_a_survey_whose_files_become_stale(home: arena.Nursery, tmp_path: Path) -> None:
    """Shards of the cube are not opened again: a tile is tried again, and the next run makes a report that failed."""
    done = _run(home, tmp_path, "stale=100")
    if done.returncode:
        assert "Stale file handle" in done.stdout + done.stderr
        assert _run(home, tmp_path, "none").returncode == 0
    assert differences(tmp_path / "s", home.undisturbed.output) == []


def test_a_user_without_a_home(home: arena.Nursery, tmp_path: Path) -> None:
    done = _run(home, tmp_path, "none", HOME="/proc/none", XDG_CACHE_HOME="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert differences(tmp_path / "s", home.undisturbed.output) == []
