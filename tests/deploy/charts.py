"""The chart as tests see it: rendered, its pods, its combinations of options, and validators of what comes out."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import major_minor

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "lsbatch"
EXAMPLE = CHART / "ci" / "jolster-values.yaml"
BIN = Path(sys.executable).parent
HELM = shutil.which("helm", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
VALIDATE = shutil.which("kubernetes-validate", path=str(BIN))
VERSIONS = ("1.28", "1.32", "1.37")
#: No schema of Kubernetes' own.
CUSTOM = {"kubernetes.dask.org/v1", "monitoring.coreos.com/v1"}

Document = dict[str, Any]
Values = dict[str, Any]


def merged(*layers: Values) -> Values:
    """Values on values, as helm puts them together."""
    made: Values = {}
    for layer in layers:
        for key, value in layer.items():
            old = made.get(key)
            made[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return made


def helm(*args: str, values: Values | None = None, example: bool = True) -> subprocess.CompletedProcess[str]:
    """Run helm with values on standard input, upon those of the example."""
    assert HELM is not None
    base = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")) if example else {}
    whole = json.dumps(merged(base, values or {}), default=str)
    return subprocess.run(
        [HELM, *args, "--values", "-"], input=whole, capture_output=True, text=True, timeout=60, check=False
    )


def rendered(
    values: Values | None = None, release: str = "jolster", chart: Path = CHART, example: bool = True
) -> list[Document]:
    """The documents of a release."""
    done = helm("template", release, str(chart), "--namespace", "surveys", values=values, example=example)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if document]


def one(documents: Sequence[Document], kind: str, suffix: str = "") -> Document:
    """The document of this kind whose name ends so."""
    found = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1
    return found[0]


def pods(documents: Sequence[Document]) -> dict[str, Document]:
    """Pod specifications by who makes them: the component, as Kubernetes or the Dask operator labels it."""
    found = {}
    for document in documents:
        for labels, pod in _templates(document):
            component = labels["app.kubernetes.io/component"]
            assert component not in found
            found[component] = pod
    return found


def _templates(document: Document) -> Iterator[tuple[dict[str, str], Document]]:
    spec = document.get("spec", {})
    match document["kind"]:
        case "Deployment" | "Job":
            made = [spec["template"]]
        case "CronJob":
            made = [spec["jobTemplate"]["spec"]["template"]]
        case "DaskCluster":
            made = [spec["scheduler"], spec["worker"]]
        case "DaskWorkerGroup":
            made = [spec["worker"]]
        case "DaskJob":
            made = [spec["job"], spec["cluster"]["spec"]["scheduler"], spec["cluster"]["spec"]["worker"]]
        case _:
            made = []
    for template in made:
        yield template["metadata"]["labels"], template["spec"]


# ---- combinations of options

_EVERY_YEAR = {"survey": {"id": "norway", "kind": "annual", "event_date": None}}
#: What may be chosen, by axis; the first choice of each is the chart's own.
AXES: dict[str, dict[str, Values]] = {
    "who": {
        "plain": {},
        "operator": {"mode": "operator"},
        "parts": {"driver": {"parts": 8}},
    },
    "when": {"now": {}, "yearly": {"schedule": "0 4 15 10 *", "config": _EVERY_YEAR}},
    "gpu": {"no": {}, "yes": {"gpuWorkers": {"enabled": True}}},
    "storage": {
        "new-claim": {},
        "own-claim": {"persistence": {"existingClaim": "mine"}},
        "bucket": {
            "storage": "s3://surveys/norway",
            "envFromSecret": "keys",
            "config": {"model": {"weights": "s3://surveys/unet.safetensors"}},
        },
    },
    "tls": {"no": {}, "yes": {"tls": {"secret": "dask-tls"}}},
    "scaling": {"no": {}, "yes": {"workers": {"autoscaling": {"enabled": True}}}},
    "budget": {"no": {}, "yes": {"podDisruptionBudget": {"enabled": True}}},
    "network": {
        "closed": {},
        "scraped": {"networkPolicy": {"prometheusNamespace": "monitoring", "ports": [443, 9000]}},
        "open": {"networkPolicy": {"enabled": False}},
    },
    "monitor": {"no": {}, "yes": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}},
}
Choice = dict[str, str]


def makes_sense(choice: Choice) -> bool:
    """Whether the chart takes these together (templates/_checks.tpl says why not)."""
    if choice["who"] == "parts":
        return all(choice[axis] == "no" for axis in ("gpu", "tls", "scaling", "budget"))
    return not (choice["who"] == "operator" and choice["scaling"] == choice["tls"] == "yes")


@cache
def combinations() -> tuple[tuple[tuple[str, str], ...], ...]:
    """All combinations, also those that the chart refuses."""
    return tuple(tuple(zip(AXES, names, strict=True)) for names in itertools.product(*AXES.values()))


def sensible() -> list[Choice]:
    """All combinations that the chart takes."""
    return [choice for choice in map(dict, combinations()) if makes_sense(choice)]


def pairwise() -> list[Choice]:
    """A few combinations in which every two choices of different axes meet that can meet at all."""
    left = {pair: choice for choice in sensible() for pair in pairs(choice)}
    open_pairs, chosen = set(left), []
    while open_pairs:
        best = max(sensible(), key=lambda choice: len(open_pairs & set(pairs(choice))))
        chosen.append(best)
        open_pairs -= set(pairs(best))
    return chosen


def pairs(choice: Choice) -> list[tuple[tuple[str, str], ...]]:
    """Choices two by two."""
    return list(itertools.combinations(choice.items(), 2))


def values_of(choice: Choice) -> Values:
    """What to give to helm."""
    return merged(*(AXES[axis][name] for axis, name in choice.items()))


def kinds_of(choice: Choice) -> dict[str, int]:
    """Documents by kind that a combination has to render: counted from the options, not from the templates."""

    def yes(axis: str) -> bool:
        return choice[axis] == "yes"

    plain, parts = choice["who"] == "plain", choice["who"] == "parts"
    yearly, operator = choice["when"] == "yearly", choice["who"] == "operator"
    counts = {
        "ConfigMap": 1,
        "PersistentVolumeClaim": choice["storage"] == "new-claim",
        "NetworkPolicy": choice["network"] != "open",
        "Service": plain + yes("monitor"),
        "Deployment": (2 + yes("gpu")) * plain,
        "HorizontalPodAutoscaler": plain and yes("scaling"),
        "Job": (plain or parts) and not yearly,
        "CronJob": yearly,
        "PodDisruptionBudget": 2 * yes("budget"),
        "ServiceMonitor": yes("monitor"),
        "DaskJob": operator and not yearly,
        "DaskCluster": operator and yearly,
        "DaskWorkerGroup": operator and yes("gpu"),
        "DaskAutoscaler": operator and yes("scaling"),
    }
    return {kind: int(n) for kind, n in counts.items() if n}


# ---- validation


def kubernetes_faults(documents: Sequence[Document], version: str, folder: Path) -> list[str]:
    """What kubernetes-validate says against documents of Kubernetes' own kinds; it must have looked at each."""
    assert VALIDATE, "kubernetes-validate comes with the test extra"
    path = folder / f"rendered-{version}.yaml"
    path.write_text(yaml.dump_all(documents, Dumper=yaml.CSafeDumper), encoding="utf-8")
    done = subprocess.run(
        [VALIDATE, "--strict", "-k", version, str(path)], capture_output=True, text=True, timeout=600, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    faults = [line for line in lines if not line.startswith("INFO ")]
    passed = sum(" passed for resource " in line and line.endswith(f"version {major_minor(version)}") for line in lines)
    # it passes an empty file, and only warns of what it does not know
    assert passed + len(faults) == len(documents), lines
    assert bool(done.returncode) == bool(faults), lines
    return faults


def dask_faults(document: Document) -> list[str]:
    """What the Dask operator's schemas say against one of its resources."""
    validator = _dask_validators()[document["kind"]]
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(document)]


@cache
def _dask_validators() -> dict[str, Draft202012Validator]:
    # found, not imported: importing it brings the whole operator
    spec = find_spec("dask_kubernetes")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "operator" / "deployment" / "helm" / "dask-kubernetes-operator" / "crds"
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        crd = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        (version,) = crd["spec"]["versions"]
        schema = _strict(version["schema"]["openAPIV3Schema"])
        # every object has these, whatever the schema of its kind says
        schema["properties"] |= {
            "apiVersion": {"const": f"{crd['spec']['group']}/{version['name']}"},
            "kind": {"const": crd["spec"]["names"]["kind"]},
            "metadata": {"type": "object", "required": ["name"]},
        }
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        found[crd["spec"]["names"]["kind"]] = Draft202012Validator(schema)
    return found


def _strict(schema: Any) -> Any:
    """A structural schema as the API server reads it under strict validation.

    What is not named is refused, not dropped.
    """
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: _strict(value)
        for key, value in schema.items()
        if key not in ("properties", "description", "default", "example")
    }
    if "properties" in schema:
        made["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if made.pop("nullable", False):
        made["type"] = [made["type"], "null"]
    if made.pop("x-kubernetes-int-or-string", False):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return made
