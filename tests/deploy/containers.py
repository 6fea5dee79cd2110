"""Real containers for tests, without a Docker engine: the image, pods of the chart, and what a kubelet does for them.

Images, containers and networks lie in a storage of their own, so nothing of the machine's is touched.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import charts

#: Commands, and the Debian packages that have them; `make test-containers` installs them.
COMMANDS = ("podman", "buildah", "runc", "mmdebstrap")
#: What deploy/Dockerfile builds on.
BASE = "docker.io/library/python:3.11-slim-bookworm"
IMAGE = "localhost/lsbatch:test"
NETWORK = "lsbatch-test"
#: `make test-containers` keeps the storage here, so that the next build finds its layers.
KEPT = charts.ROOT / "build" / "containers"

# crun refuses hybrid cgroups, and not every machine lets limits be raised
_CONTAINERS = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
[engine]
runtime = "runc"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


@dataclass(frozen=True)
class Engine:
    """Podman and buildah with the storage of a folder."""

    folder: Path

    def run(self, *command: str, check: bool = True, timeout_s: float = 600, stdin: str = "") -> str:
        """Run a command with this storage; return what it prints."""
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False,
            env=os.environ | self.environment,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{' '.join(command[:6])} ...: {done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def podman(self, *args: str, **options: Any) -> str:
        """Run podman."""
        return self.run("podman", *args, **options)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that name the storage."""
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }


@contextmanager
def engine(scratch: Path) -> Iterator[Engine]:
    """An engine without containers; afterwards nothing is left, but the layers in `KEPT` if that folder was there."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no containers here: {', '.join(missing)} missing; make test-containers installs them")
    if os.getuid() != 0:
        pytest.skip("containers with memory limits need root here")
    folder = KEPT if KEPT.is_dir() else scratch
    (folder / "containers.conf").write_text(_CONTAINERS, encoding="utf-8")
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder), encoding="utf-8")
    made = Engine(folder)
    _clear(made)
    try:
        yield made
    finally:
        _clear(made)
        if folder != KEPT:
            made.podman("rmi", "--all", "--force", check=False)
            made.run("umount", str(folder / "storage" / "overlay"), check=False)
            shutil.rmtree(folder, ignore_errors=True)


def _clear(engine: Engine) -> None:
    engine.podman("pod", "rm", "--all", "--force", "--time", "0", check=False)
    engine.podman("rm", "--all", "--force", "--time", "0", check=False)
    engine.podman("volume", "rm", "--all", "--force", check=False)
    engine.podman("secret", "rm", "--all", check=False)
    engine.podman("network", "rm", "--force", NETWORK, check=False)


def build(engine: Engine, folder: Path) -> None:
    """Build the image of deploy/Dockerfile and its lists, on a base of Debian's own packages where none can be had."""
    if not _has(engine, BASE):
        engine.podman("pull", "--quiet", BASE, check=False)
    if not _has(engine, BASE):
        _make_base(engine, folder)
    pip = _pip_of_this_machine(folder)
    done = engine.run(
        str(charts.ROOT / "deploy" / "image.sh"), str(folder / "image"), IMAGE, "--isolation", "chroot",
        "--pull-never", *pip, timeout_s=3600,
    )  # fmt: skip
    print(done[-300:])


def _has(engine: Engine, image: str) -> bool:
    return bool(engine.podman("images", "--quiet", image).strip())


def _make_base(engine: Engine, folder: Path) -> None:
    """An image under the name of `BASE` with Debian's Python 3.11."""
    root = folder / "rootfs"
    packages = "python3,python3-venv,python3-pip,ca-certificates"
    engine.run(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", str(root),
        "/etc/apt/sources.list.d/debian.sources",
    )  # fmt: skip
    (root / "usr" / "bin" / "python").symlink_to("python3")
    made = engine.run("buildah", "from", "scratch").strip()
    engine.run("buildah", "copy", "--quiet", made, str(root), "/")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    engine.run("buildah", "config", "--env", f"PATH={path}", made)
    engine.run("buildah", "commit", "--quiet", "--rm", made, BASE)
    shutil.rmtree(root)


def _pip_of_this_machine(folder: Path) -> list[str]:
    """Options that give a build this machine's own settings of pip, and the folders that they name; not the image."""
    home = Path.home() / ".config" / "pip"
    if not home.is_dir():
        return []
    named = {Path(word.removeprefix("file://")) for word in (home / "pip.conf").read_text(encoding="utf-8").split()}
    local = {path if path.parent == Path("/opt") else path.parent for path in named if path.is_absolute()}
    volumes = [home, *sorted(path for path in local if path.is_dir()), Path("/etc/ssl/certs")]
    return [f"--volume={path}:{'/root/.config/pip' if path == home else path}:ro" for path in volumes]


# ---- containers


def inspect(engine: Engine, container: str) -> dict[str, Any]:
    """State and settings of a container."""
    (found,) = json.loads(engine.podman("inspect", "--type", "container", container))
    assert isinstance(found, dict)
    return found


def log(engine: Engine, container: str) -> str:
    """What it has printed, also before it was started again."""
    return engine.podman("logs", container, check=False)


def is_running(engine: Engine, container: str) -> bool:
    """Whether its process lives."""
    return bool(inspect(engine, container)["State"]["Running"])


def kill(engine: Engine, container: str, number: int = signal.SIGKILL) -> None:
    """Signal all processes of a container from outside, as the kernel does for lack of memory."""
    for line in engine.podman("top", container, "hpid").split()[1:]:
        with suppress(ProcessLookupError):
            os.kill(int(line), number)


def exit_code(engine: Engine, container: str, limit_s: float = 600) -> int:
    """Wait for its end."""
    return int(engine.podman("wait", container, timeout_s=limit_s).split()[-1])


def wait_for(ready: Callable[[], Any], what: str, limit_s: float = 300) -> None:
    """Until something is so."""
    end = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.3)


def probe(container: dict[str, Any], kind: str, address: str) -> str:
    """Ask a container as a kubelet does, once.

    Parameters
    ----------
    container : dict
        Of the pod's specification.
    kind : str
        ``readinessProbe`` or ``livenessProbe``.
    address : str
        Of the pod.

    Returns
    -------
    str
        Empty if the probe succeeds, else the reason.
    """
    spec = container[kind]
    (port,) = [one["containerPort"] for one in container["ports"] if one["name"] == spec["httpGet"]["port"]]
    try:
        with urllib.request.urlopen(
            f"http://{address}:{port}{spec['httpGet']['path']}", timeout=spec.get("timeoutSeconds", 1)
        ):
            return ""
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
    except OSError as error:
        return str(error)
