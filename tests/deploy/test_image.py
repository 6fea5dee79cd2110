"""The image of deploy/Dockerfile, built: what it needs, what is in it, and what is not."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lsbatch import __version__
from tests.deploy import charts
from tests.deploy.containers import IMAGE, Engine

pytestmark = pytest.mark.slow

#: docs/kubernetes.md promises them.
LARGEST_GB, LARGEST_RELEASE_MB = 2.5, 15
#: As the chart starts it, but with another user, whom no file of the image knows; Podman would add a passwd entry.
LIKE_THE_CHART = (
    "run", "--rm", "--passwd=false", "--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all",
    "--security-opt", "no-new-privileges", "--user", "471100:471100",
)  # fmt: skip


@pytest.fixture(scope="module")
def volume(engine: Engine, image: Path) -> str:
    """A volume that any user may write to."""
    del image
    engine.podman("volume", "create", "lsbatch-test-image")
    Path(engine.podman("volume", "inspect", "--format", "{{.Mountpoint}}", "lsbatch-test-image").strip()).chmod(0o1777)
    return "lsbatch-test-image"


def started(engine: Engine, volume: str, *command: str, options: tuple[str, ...] = (), check: bool = True) -> str:
    """What a command in a container prints."""
    mounts = ("--tmpfs", "/tmp:rw,mode=1777", "--volume", f"{volume}:/survey")
    return engine.podman(*LIKE_THE_CHART, *mounts, *options, IMAGE, *command, check=check, timeout_s=580)


def inside(engine: Engine, script: str) -> str:
    """What a shell prints that may read everything."""
    return engine.podman("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "sh", IMAGE, "-c", script)


def test_layers(engine: Engine, image: Path) -> None:
    """By size; after a change of lsbatch only the last ones are pushed and pulled again."""
    rows = json.loads(engine.podman("history", "--format", "json", "--no-trunc", IMAGE))
    layers = [(row["size"] / 1e6, row["CreatedBy"]) for row in rows if row["size"]]
    for size, made_by in layers:
        print(f"{size:8.1f} MB  {made_by[:90]}")
    total = sum(size for size, _ in layers)
    print(f"{total:8.1f} MB")
    assert 0.5 < total / 1e3 < LARGEST_GB
    size, made_by = layers[0]
    assert "COPY" in made_by
    assert 1 < size < LARGEST_RELEASE_MB
    assert len((image / "layers.txt").read_text(encoding="utf-8").splitlines()) == len(rows)


def test_help_and_doctor(engine: Engine, volume: str) -> None:
    """Without network, with a read-only root, by a user without a passwd entry."""
    assert "471100" not in inside(engine, "cat /etc/passwd /etc/group")
    assert "Usage: lsbatch" in started(engine, volume, "lsbatch", "--help")
    assert started(engine, volume, "lsbatch", "--version").strip().endswith(__version__)
    found = started(engine, volume, "lsbatch", "doctor", options=("--memory", "1500m", "--cpus", "1"), check=False)
    print(found)
    assert "1.6 GB" in found
    assert re.search(r"versions.*lsbatch", found)
    assert "kept in /tmp/.cache/lsbatch/kernels" in found
    assert "Traceback" not in found


def test_without_a_home(engine: Engine, volume: str) -> None:
    """Neither HOME nor a passwd entry: kernels are compiled in each process, and nothing else is missed."""
    without = ("env", "--unset=HOME", "lsbatch")
    found = started(engine, volume, *without, "doctor", check=False)
    print(found)
    assert "set XDG_CACHE_HOME to a folder" in found
    assert "Traceback" not in found
    made = started(engine, volume, *without, "simulate", "/survey/homeless", "--size", "256x256")
    assert "Traceback" not in made
    planned = started(engine, volume, *without, "plan", "/survey/homeless/config.yaml")
    print(planned)
    assert "Traceback" not in planned


def test_workers_fit_the_limit_of_a_container(engine: Engine, volume: str) -> None:
    script = (
        "from lsbatch.engine.cluster import local; from lsbatch.settings import ClusterSettings; "
        "print(local.memory_bytes(), local.workers(ClusterSettings(kind='local', memory_gb=1.0)))"
    )
    found = started(engine, volume, "python", "-c", script, options=("--memory", "1500m"))
    assert found.split() == [str(1500 * 2**20), "1"]


def test_demo(engine: Engine, volume: str) -> None:
    """A survey from the country to the report, with the writable places of the chart alone."""
    found = started(engine, volume, "lsbatch", "demo", "/survey/demo", "--seed", "901", "--size", "256x256")
    print(found[-1500:])
    assert "Found " in found
    listed = started(engine, volume, "find", "/survey/demo", "-name", "report.html", "-o", "-name", "landslides.csv")
    assert {Path(line).name for line in listed.split()} == {"report.html", "landslides.csv"}
    refused = started(engine, volume, "sh", "-c", "touch /opt/lsbatch/x /survey/y; ls /survey", check=False)
    assert "Read-only file system" in refused
    assert "y" in refused.split()


def test_what_is_not_in_it(engine: Engine, image: Path) -> None:
    """No compiler, no cache, no tests, no key, and nothing of the machine that built it."""
    del image
    found = inside(
        engine,
        "for name in gcc cc g++ c++ ld as make clang cmake git curl; do command -v $name; done; "
        "find / -xdev -type d \\( -name tests -o -name test \\) -path '*/opt/*'; "
        "find /root /tmp /var/tmp /survey /src /wheel -type f -not -name .bashrc -not -name .profile 2>/dev/null; "
        "find /var/lib/apt/lists /var/cache/apt -type f; "
        "find / -xdev \\( -name '*.key' -o -name id_rsa -o -name .netrc -o -name pip.conf -o -name .pypirc \\); "
        "grep -rlE 'BEGIN ([A-Z]+ )?PRIVATE KEY' /opt /etc /root --include '*.pem' --include '*.txt' --include '*.py' "
        "| head",
    )
    assert found.split() == []
    settings = json.loads(engine.podman("inspect", IMAGE))[0]
    assert settings["Config"]["User"] == "10001:10001"
    names = {line.partition("=")[0] for line in settings["Config"]["Env"]}
    assert names == {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "HOME", "CURL_CA_BUNDLE"} | (
        names & {"LANG", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"}
    )
    setuid = inside(engine, "find /opt -xdev -perm -4000")
    assert setuid == ""


def test_list_of_packages(engine: Engine, image: Path) -> None:
    """The SBOM names what pip finds, in the versions of constraints.txt; another list has Debian's packages."""
    listed = json.loads((image / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert listed["bomFormat"] == "CycloneDX"
    packages = {canonicalize_name(one["name"]): one["version"] for one in listed["components"]}
    own = json.loads(engine.podman("run", "--rm", "--network", "none", IMAGE, "pip", "list", "--format", "json"))
    assert packages == {canonicalize_name(one["name"]): one["version"] for one in own}
    lines = (charts.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    wanted = {canonicalize_name(name): version for name, version in pairs}
    project = tomllib.loads((charts.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [canonicalize_name(Requirement(need).name) for need in project["dependencies"]]
    assert len(names) > 40
    assert {name: packages[name].partition("+")[0] for name in names} == {name: wanted[name] for name in names}
    debian = (image / "debian-packages.txt").read_text(encoding="utf-8").splitlines()
    assert {"tini", "libexpat1", "ca-certificates"} <= {line.split()[0] for line in debian}
    print(f"{len(packages)} Python packages, {len(debian)} Debian packages")
