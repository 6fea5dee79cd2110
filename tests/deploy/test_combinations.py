"""Every combination of the chart's options.

Renders what it should, is valid for three Kubernetes, and has restricted pods alone.

The quick test takes combinations in which every two choices meet, the slow one all of them.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import charts

pytestmark = pytest.mark.skipif(
    charts.HELM is None, reason="helm is not installed; pip install 'lsbatch[test]' brings it"
)

#: Pods of a combination by who makes them, and what each may mount.
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def components(choice: charts.Choice) -> set[str]:
    """Which pods there have to be: counted from the options."""
    if choice["who"] == "parts":
        return {"driver"}
    return {"driver", "scheduler", "worker"} | ({"gpu-worker"} if choice["gpu"] == "yes" else set())


def assert_restricted(pod: dict[str, Any]) -> None:
    """Field by field what the restricted Pod Security Standard asks for.

    And a read-only root, no token, and limits besides.
    """
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "ephemeralContainers", "initContainers"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    # a release named dask would put DASK_... variables into Dask's own configuration
    assert pod["enableServiceLinks"] is False
    context = pod["securityContext"]
    assert set(context) == {
        "runAsNonRoot",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "fsGroupChangePolicy",
        "seccompProfile",
    }
    assert context["runAsNonRoot"] is True
    assert min(context["runAsUser"], context["runAsGroup"], context["fsGroup"]) > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for volume in pod["volumes"]:
        assert len(set(volume) & VOLUMES) == 1, volume
        assert set(volume) - VOLUMES == {"name"}
    assert len(pod["containers"]) == 1
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["limits"]["memory"]
        assert not any({"hostPort", "hostIP"} & set(port) for port in container.get("ports", []))
        # where it may write: its own scratch, and the survey
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert "/tmp" in writable
        assert writable <= {"/tmp", "/survey"}
        # a value would be in the API for all to read; a Secret's name is not
        assert not any("SECRET" in variable["name"] or "KEY" in variable["name"] for variable in container["env"])


def look_at(choices: Sequence[charts.Choice], folder: Path) -> tuple[int, int, int]:
    """Render and check all of them; how many documents there were, how many different ones, and how many pods."""
    different: dict[str, charts.Document] = {}
    total = pods = 0
    for choice in choices:
        documents = charts.rendered(charts.values_of(choice))
        assert dict(Counter(d["kind"] for d in documents)) == charts.kinds_of(choice), choice
        found = charts.pods(documents)
        assert set(found) == components(choice), choice
        total, pods = total + len(documents), pods + len(found)
        different |= {json.dumps(d, sort_keys=True, default=str): d for d in documents}
        for pod in found.values():
            assert_restricted(pod)
    own = [d for d in different.values() if d["apiVersion"] not in charts.CUSTOM]
    for version in charts.VERSIONS:
        assert charts.kubernetes_faults(own, version, folder) == []
    dask = [d for d in different.values() if d["apiVersion"] == "kubernetes.dask.org/v1"]
    assert {d["kind"] for d in dask} == {"DaskJob", "DaskCluster", "DaskWorkerGroup", "DaskAutoscaler"}
    for document in dask:
        assert charts.dask_faults(document) == []
    monitors = [d for d in different.values() if d["apiVersion"] == "monitoring.coreos.com/v1"]
    for monitor in monitors:
        assert_is_service_monitor(monitor)
    # each was looked at by one of the three
    assert len(own) + len(dask) + len(monitors) == len(different)
    print(
        f"{len(choices)} combinations, {total} documents, {len(different)} different: {len(own)} against Kubernetes "
        f"{', '.join(charts.VERSIONS)}, {len(dask)} against Dask's schemas, {len(monitors)} ServiceMonitors; {pods} "
        "pods restricted"
    )
    return total, len(different), pods


def assert_is_service_monitor(document: charts.Document) -> None:
    """Word for word: its schema is not at hand."""
    spec = document["spec"]
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(spec) == {"selector", "endpoints"}
    assert spec["selector"] == {
        "matchLabels": {"app.kubernetes.io/name": "lsbatch", "app.kubernetes.io/instance": "jolster"}
    }
    assert spec["endpoints"][0] == {"port": "http-metrics", "path": "/metrics"}
    assert spec["endpoints"][1:] in ([], [{"port": "http-dashboard", "path": "/metrics"}])


def test_every_two_options_together(tmp_path: Path) -> None:
    choices = charts.pairwise()
    # that it is what it is called: every pair of any sensible combination is in one of them
    wanted = {pair for choice in charts.sensible() for pair in charts.pairs(choice)}
    assert wanted == {pair for choice in choices for pair in charts.pairs(choice)}
    total, _, pods = look_at(choices, tmp_path)
    assert total == sum(sum(charts.kinds_of(choice).values()) for choice in choices)
    assert pods == sum(len(components(choice)) for choice in choices)


@pytest.mark.slow
def test_every_combination(tmp_path: Path) -> None:
    choices = charts.sensible()
    # parts: 2 x 3 x 3 x 2; the others 2 x 2 x 3 x 2 x 2 x 2 x 3 x 2 each, less those with TLS and an autoscaling
    # operator
    assert len(choices) == 36 + 2 * 576 - 144
    total, different, pods = look_at(choices, tmp_path)
    assert total == sum(sum(charts.kinds_of(choice).values()) for choice in choices)
    assert pods == sum(len(components(choice)) for choice in choices)
    assert different < total


def test_combinations_without_sense_are_refused() -> None:
    """One refused choice at a time: whatever else is chosen, the chart looks at each of them alone."""
    alone = [c for c in map(dict, charts.combinations()) if not charts.makes_sense(c)]
    first = {axis: next(iter(names)) for axis, names in charts.AXES.items()}
    refused = [c for c in alone if sum(c[axis] != first[axis] for axis in c) == 2]
    # parts with gpu, tls, scaling, budget
    assert len(refused) == 4
    refused.append(first | {"who": "operator", "scaling": "yes", "tls": "yes"})
    for choice in refused:
        done = charts.helm("template", "x", str(charts.CHART), values=charts.values_of(choice))
        assert done.returncode != 0, choice
        assert "leave it out" in done.stderr or "would get no answer" in done.stderr


@pytest.mark.parametrize("choice", charts.pairwise(), ids=lambda choice: "-".join(choice.values()))
def test_chart_lints(choice: charts.Choice) -> None:
    done = charts.helm("lint", "--strict", str(charts.CHART), values=charts.values_of(choice))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout


def test_validation_would_see_a_fault(tmp_path: Path) -> None:
    """A field that is not there, and a value of another type, in kinds of both sorts."""
    documents = charts.rendered()
    charts.one(documents, "Job")["spec"]["template"]["spec"]["containers"][0]["securityContexts"] = {}
    charts.one(documents, "NetworkPolicy")["spec"]["policyTypes"] = "Ingress"
    for version in charts.VERSIONS:
        faults = charts.kubernetes_faults(documents, version, tmp_path)
        assert len(faults) == 2
        assert any("securityContexts" in fault for fault in faults)
        assert any("policyTypes" in fault for fault in faults)


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("job", "spec", "containers", 0, "securityContexts"), {}, "securityContexts"),
        (("job", "spec", "containers", 0, "args"), "lsbatch run", "args"),
        (("cluster", "spec", "worker", "replica"), 2, "replica"),
        (
            ("cluster", "spec", "worker", "spec", "containers", 0, "resources", "limits"),
            {"nvidia.com/gpu": 1},
            "limits",
        ),
        (("cluster", "spec", "scheduler", "service", "ports", 0, "port"), "8786", "port"),
        (("cluster", "spec", "scheduler", "spec"), None, "spec"),
    ],
)
def test_dask_validation_would_see_a_fault(where: tuple[Any, ...], value: Any, said: str) -> None:
    document = charts.one(charts.rendered({"mode": "operator"}), "DaskJob")
    assert charts.dask_faults(document) == []
    inside = document["spec"]
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = value
    faults = charts.dask_faults(document)
    assert len(faults) == 1
    assert said in faults[0]


@pytest.mark.parametrize(
    "change",
    [
        {"hostNetwork": True},
        {"automountServiceAccountToken": True},
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        {"securityContext": {"runAsNonRoot": False}},
        {"containers": [{"name": "worker", "securityContext": {"readOnlyRootFilesystem": False}}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_restriction_would_see_a_fault(change: dict[str, Any]) -> None:
    pod = charts.pods(charts.rendered())["worker"]
    assert_restricted(pod)
    with pytest.raises(AssertionError):
        assert_restricted(pod | change)


def fenced(kind: str) -> charts.Document:
    """The example of this kind in the guide."""
    text = (charts.ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    blocks = [
        yaml.safe_load(block)
        for block in re.findall(r"^```yaml\n(.*?)^```$", text.replace("  ...\n", ""), re.MULTILINE | re.DOTALL)
    ]
    (found,) = [block for block in blocks if block.get("kind") == kind]
    return found


def test_guides_pod_is_valid_and_restricted(tmp_path: Path) -> None:
    pod = fenced("Pod")
    for version in charts.VERSIONS:
        assert charts.kubernetes_faults([pod], version, tmp_path) == []
    assert_restricted(pod["spec"])


def test_guide_counts_as_the_tests_do() -> None:
    text = (charts.ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert f"all {len(charts.sensible()):,} valid combinations" in text
    assert all(version in text for version in charts.VERSIONS)
