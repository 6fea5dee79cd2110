"""Releases: one version in all files, workflows that fit the project, and builds that give the same bytes."""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lsbatch import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
#: Writes the time zone of the machine into the package.
HOOK = """
import os
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Zone(BuildHookInterface):
    def initialize(self, version, build_data):
        Path(self.root, "lsbatch", "zone.txt").write_text(os.environ.get("TZ", ""))
"""


def text(*names: str) -> str:
    """Return the text of a file of the repository."""
    return ROOT.joinpath(*names).read_text(encoding="utf-8")


def workflow(name: str) -> Mapping[Any, Any]:
    """Return a workflow. YAML reads its key `on` as true."""
    found: Mapping[Any, Any] = yaml.safe_load(text(".github", "workflows", name))
    return found


def steps(job: Mapping[str, Any]) -> str:
    """Return the commands of a job."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_all_files_name_one_version() -> None:
    chart = yaml.safe_load(text("deploy", "helm", "lsbatch", "Chart.yaml"))
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {chart["version"], chart["appVersion"], citation["version"]} == {__version__}
    images = re.findall(r"lsbatch(?::|, tag: )(\d[\w.]*)", text("deploy", "Dockerfile") + text("docs", "kubernetes.md"))
    assert len(images) >= 6
    assert {image.rstrip(".") for image in images} == {__version__}


def test_changelog_has_this_version_with_its_date_first() -> None:
    numbered = re.findall(r"^## (\d\S*) - (.*)$", text("CHANGELOG.md"), re.MULTILINE)
    assert numbered[0] == (__version__, str(yaml.safe_load(text("CITATION.cff"))["date-released"]))


def test_workflows_have_the_form_that_github_reads() -> None:
    files = sorted(map(str, WORKFLOWS.glob("*.yml")))
    assert len(files) == 2
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tests_run_on_every_python_that_is_promised() -> None:
    matrix = workflow("test.yml")["jobs"]["test"]["strategy"]["matrix"]
    classifiers = tomllib.loads(text("pyproject.toml"))["project"]["classifiers"]
    assert [f"Programming Language :: Python :: {python}" for python in matrix["python"]] == [
        each for each in classifiers if re.search(r":: 3\.\d+$", each)
    ]
    assert "make check test" in steps(workflow("test.yml")["jobs"]["test"])


def test_only_the_job_that_publishes_can_prove_who_it_is() -> None:
    jobs = workflow("release.yml")["jobs"]
    assert {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})} == {"publish"}
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert "make release" in steps(jobs["build"])
    assert all("secrets." not in path.read_text(encoding="utf-8") for path in WORKFLOWS.glob("*.yml"))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the last commit."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=60)
    return folder


def build(clone: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run deploy/build_release.sh of the clone."""
    return subprocess.run(
        [str(clone / "deploy" / "build_release.sh"), str(folder)], capture_output=True, text=True, timeout=300,
        check=False, env=os.environ | {"PYTHON": sys.executable},
    )  # fmt: skip


def commit(clone: Path, name: str, old: str, new: str) -> None:
    """Commit a file with other text."""
    path = clone / name
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new, 1), encoding="utf-8")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "commit", "--quiet", "--all", "--message", "test"], cwd=clone, check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("CHANGELOG.md", f"## {__version__} - ", "## Unreleased\n\n## 0.0.1 - ", "begins with '## Unreleased'"),
        ("lsbatch/__init__.py", f'"{__version__}"', '"9.9.9"', "expected '## 9.9.9 - YYYY-MM-DD'"),
    ],
)
def test_release_without_its_heading_is_refused(
    clone: Path, tmp_path: Path, name: str, old: str, new: str, sentence: str
) -> None:
    commit(clone, name, old, new)
    done = build(clone, tmp_path / "dist")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "dist").exists()


def test_release_of_uncommitted_changes_is_refused(clone: Path, tmp_path: Path) -> None:
    (clone / "README.md").write_text("changed", encoding="utf-8")
    done = build(clone, tmp_path / "dist")
    assert done.returncode == 2
    assert "M README.md" in done.stderr


@pytest.mark.slow
def test_release_is_whole_and_has_checksums(clone: Path, tmp_path: Path) -> None:
    """The script itself refuses two builds that differ."""
    pytest.importorskip("twine", reason="needs the extra release")
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "lsbatch-0.0.1.tar.gz").touch()
    done = build(clone, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("PASSED") == 2
    names = {f"lsbatch-{__version__}-py3-none-any.whl", f"lsbatch-{__version__}.tar.gz"}
    assert {path.name for path in folder.iterdir()} == {*names, "SHA256SUMS"}
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    assert sums == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    stem = f"lsbatch-{__version__}"
    wheel = {
        name for name in zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl").namelist() if ".dist-info/" not in name
    }
    with tarfile.open(folder / f"{stem}.tar.gz") as archive:
        sdist = {name.removeprefix(f"{stem}/") for name in archive.getnames()}
    assert wheel == {name for name in sdist if name.startswith("lsbatch/")}


@pytest.mark.slow
def test_builds_that_differ_are_refused(clone: Path, tmp_path: Path) -> None:
    """The wheel and the sdist hold what the hook writes."""
    pytest.importorskip("twine", reason="needs the extra release")
    (clone / "hatch_build.py").write_text(HOOK, encoding="utf-8")
    subprocess.run(["git", "add", "hatch_build.py"], cwd=clone, check=True, timeout=60)
    commit(clone, "pyproject.toml", "[tool.hatch.version]", "[tool.hatch.build.hooks.custom]\n\n[tool.hatch.version]")
    done = build(clone, tmp_path / "dist")
    assert done.returncode == 1
    assert "two builds of the same commit differ" in done.stderr
    assert not (tmp_path / "dist").exists()
