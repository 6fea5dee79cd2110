"""Real containers for tests, without a Docker engine: the image, pods of the chart, and what a kubelet does for them.

Images, containers and networks lie in a storage of their own, so nothing of the machine's is touched.
"""

import copy
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from lsbatch import settings
from lsbatch.settings import Config
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
    before = _networks(made)
    try:
        yield made
    finally:
        _clear(made)
        # `podman play kube` makes one of its own
        for name in _networks(made) - before:
            made.podman("network", "rm", name, check=False)
        if folder != KEPT:
            made.podman("rmi", "--all", "--force", check=False)
            made.run("umount", str(folder / "storage" / "overlay"), check=False)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def network(engine: Engine) -> Iterator[Engine]:
    """A network for the pods of a release; afterwards it and all pods are removed."""
    engine.podman("network", "create", NETWORK)
    try:
        yield engine
    finally:
        _clear(engine)


def _clear(engine: Engine) -> None:
    engine.podman("pod", "rm", "--all", "--force", "--time", "0", check=False)
    engine.podman("rm", "--all", "--force", "--time", "0", check=False)
    engine.podman("volume", "rm", "--all", "--force", check=False)
    engine.podman("secret", "rm", "--all", check=False)
    engine.podman("network", "rm", "--force", NETWORK, check=False)


def _networks(engine: Engine) -> set[str]:
    return set(engine.podman("network", "ls", "--quiet").split())


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


def restart(engine: Engine, container: str) -> None:
    """Replace it as a rolling update does: SIGTERM, its time to end, then the same again."""
    engine.podman("restart", "--time", "30", container)


def exit_code(engine: Engine, container: str, limit_s: float = 600) -> int:
    """Wait for its end."""
    return int(engine.podman("wait", container, timeout_s=limit_s).split()[-1])


def wait_for(ready: Callable[[], Any], what: Callable[[], str], limit_s: float = 300) -> None:
    """Until something is so; `what` says more if it is not so in time."""
    end = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"not within {limit_s:.0f} s: {what()}")
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


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


# ---- a release of the chart


#: Of the release; no name of another program's containers begins so.
RELEASE = "lsbatch-test"
#: Last numbers of addresses that stand for names of Services.
SCHEDULER, BUCKET = 10, 11


class Release:
    """A rendered release whose pods are containers in one network.

    Podman makes the pods of Deployments and starts their containers again when they end, as a kubelet does. The test
    does what Podman does not know: Services (fixed addresses), Jobs (`drive`), fsGroup, and probes (`probe`).

    Parameters
    ----------
    engine : Engine
    survey : Config
        Settings, of which the chart gets all but the output and the cluster.
    archive : Path
        Folder with the scenes, at the same path in the containers.
    values : dict
        More values.
    """

    def __init__(
        self,
        engine: Engine,
        survey: Config,
        archive: Path,
        values: charts.Values,
    ) -> None:
        config = survey.model_dump(mode="json", exclude={"output", "cluster"})
        own = {"image": {"repository": "localhost/lsbatch", "tag": "test"}, "workers": {"replicas": 2}}
        self.documents = charts.rendered(charts.merged(own, values, {"config": config}), RELEASE, example=False)
        self.pods = charts.pods(self.documents)
        self.engine, self.archive = engine, archive
        self.attempts = 0
        driver = charts.one(self.documents, "ConfigMap")["data"]
        assert "POLL_S = 15.0" in driver["driver.py"]
        # quicker to look again
        driver["driver.py"] = driver["driver.py"].replace("POLL_S = 15.0", "POLL_S = 2.0")
        subnet = engine.podman(
            "network", "inspect", NETWORK, "--format", "{{range .Subnets}}{{.Subnet}}{{end}}"
        ).strip()
        self.addresses = {name: str(ip_network(subnet)[name]) for name in (SCHEDULER, BUCKET)}

    def play(self, *documents: charts.Document, address: int | None = None) -> None:
        """Create pods, with the ConfigMap of the release."""
        config = charts.one(self.documents, "ConfigMap")
        place = () if address is None else ("--ip", self.addresses[address])
        text = yaml.safe_dump_all([config, *map(self._here, documents)])
        self.engine.podman("play", "kube", "--network", NETWORK, *place, "-", stdin=text)

    def create_secret(self, name: str, data: dict[str, str], *, is_volume: bool) -> None:
        """Create a Secret for a volume or for `envFrom`; Podman 4.3 reads each in a form of its own."""
        made: dict[str, Any] = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        if is_volume:
            # as it is, although Kubernetes would encode it
            made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        self.engine.podman("secret", "create", name, "-", stdin=json.dumps(made))

    def _here(self, document: charts.Document) -> charts.Document:
        """The same pods for Podman: with names of Services and this machine's archive, without probes."""
        made = copy.deepcopy(document)
        spec = made["spec"] if made["kind"] == "Pod" else made["spec"]["template"]["spec"]
        spec["hostAliases"] = [{"ip": self.addresses[SCHEDULER], "hostnames": [f"{RELEASE}-scheduler"]}]
        spec["volumes"].append({"name": "archive", "hostPath": {"path": str(self.archive), "type": "Directory"}})
        for volume in spec["volumes"]:
            if "secret" in volume:
                # Podman 4.3 ends with a fault where it is missing
                volume["secret"]["optional"] = False
        for container in spec["containers"]:
            container["volumeMounts"].append({"name": "archive", "mountPath": str(self.archive), "readOnly": True})
            # probes are the test's; Podman 4.3 would open ports on this machine
            for name in ("readinessProbe", "livenessProbe", "ports"):
                container.pop(name, None)
        return made

    def start_cluster(self) -> None:
        """Start the scheduler and the workers, and wait until their probes tell that they are ready."""
        self.start_scheduler()
        self.start_workers()
        self.wait_until_ready("scheduler", "worker")

    def start_scheduler(self) -> None:
        """Start it at the address that its Service's name stands for."""
        self.play(charts.one(self.documents, "Deployment", "-scheduler"), address=SCHEDULER)

    def start_workers(self) -> None:
        """Start all replicas."""
        self.play(charts.one(self.documents, "Deployment", "-worker"))

    def wait_until_ready(self, *components: str) -> None:
        """Until the readiness probe of every container of these components succeeds."""
        for component in components:
            for container in self.containers(component):
                wait_for(partial(self._is_ready, component, container), partial(log, self.engine, container))

    def _is_ready(self, component: str, container: str) -> bool:
        return not self.probe(component, container)

    def containers(self, component: str) -> list[str]:
        """Names of the containers of a component."""
        names = self.engine.podman("ps", "--all", "--format", "{{.Names}}").split()
        return sorted(name for name in names if name.startswith(f"{RELEASE}-{component}") and name.endswith(component))

    def probe(self, component: str, container: str, kind: str = "readinessProbe") -> str:
        """Ask a container as its kubelet does; empty if it succeeds."""
        infra = inspect(self.engine, container)["Pod"]
        networks = self.engine.podman("pod", "inspect", infra, "--format", "{{.InfraContainerID}}").strip()
        address = inspect(self.engine, networks)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
        return probe(self.pods[component]["containers"][0], kind, address)

    def drive(self, **environment: str) -> str:
        """Start a pod of the Job's template, as the Job does for each attempt; return its container."""
        self.attempts += 1
        name = f"{RELEASE}-run-{self.attempts}"
        spec = copy.deepcopy(self.pods["driver"])
        spec["containers"][0]["env"] += [{"name": key, "value": value} for key, value in environment.items()]
        self.play({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        return f"{name}-driver"

    def start_bucket(self) -> str:
        """Start a server of the S3 API (moto) in a container, with an empty bucket; return its address.

        The image has no moto: its Python reads the one of the tests.
        """
        packages = Path(yaml.__file__).parents[1]
        self.engine.podman(
            "run", "--detach", "--name", f"{RELEASE}-bucket", "--network", NETWORK, "--ip", self.addresses[BUCKET],
            "--volume", f"{packages}:/site:ro", "--env", "PYTHONPATH=/site", "--tmpfs", "/tmp:rw,mode=1777", IMAGE,
            "python", "-c", "from moto.server import main; main()", "-H", "0.0.0.0", "-p", "9000",
        )  # fmt: skip
        url = f"http://{self.addresses[BUCKET]}:9000"
        wait_for(lambda: _answers(f"{url}/moto-api/"), lambda: log(self.engine, f"{RELEASE}-bucket"))
        urllib.request.urlopen(urllib.request.Request(f"{url}/surveys", method="PUT"), timeout=60).close()
        return url

    @property
    def config(self) -> Config:
        """The settings that the driver reads."""
        raw = yaml.safe_load(charts.one(self.documents, "ConfigMap")["data"]["config.yaml"])
        # certificates are named by their place in the pods
        return settings.parse(raw | {"cluster": {"kind": "serial"}}, Path("/config"))

    def logs(self) -> str:
        """The ends of the logs of all containers."""
        names = [f"{RELEASE}-run-{attempt}-driver" for attempt in range(1, self.attempts + 1)]
        names += self.containers("scheduler") + self.containers("worker")
        return "\n\n".join(f"{name}:\n{log(self.engine, name)[-3000:]}" for name in names)

    def grant_claim(self) -> Path:
        """Create the claim's volume for the group of the pods, as a kubelet does by fsGroup; return its folder."""
        claim = f"{RELEASE}-survey"
        # Podman sets the owner of a volume at its first use
        self.engine.podman("run", "--rm", "--network", "none", "--volume", f"{claim}:/survey", IMAGE, "true")
        folder = Path(self.engine.podman("volume", "inspect", "--format", "{{.Mountpoint}}", claim).strip())
        os.chown(folder, 0, self.pods["driver"]["securityContext"]["fsGroup"])
        folder.chmod(0o2775)
        return folder
