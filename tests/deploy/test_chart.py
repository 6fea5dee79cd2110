"""What the Helm chart makes of its values.

What it refuses, who reaches whom, what each pod runs, and what it says afterwards.

No cluster is at hand: what a cluster would do with it is not shown here (docs/kubernetes.md lists it).
"""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml

from lsbatch import settings
from lsbatch.engine.cluster import network
from lsbatch.engine.registry import PIPELINE
from lsbatch.pipeline.types import Stage
from tests.deploy import charts, settings_schema
from tests.deploy.charts import CHART, ROOT, one, pods, rendered

pytestmark = pytest.mark.skipif(
    charts.HELM is None, reason="helm is not installed; pip install 'lsbatch[test]' brings it"
)

GPU = {"gpuWorkers": {"enabled": True}}
BUCKET = {"storage": "s3://surveys/norway", "envFromSecret": "keys"}
OPERATOR = {"mode": "operator"}
PARTS = {"driver": {"parts": 8}}
TLS = {"tls": {"secret": "dask-tls"}}
AUTOSCALING = {"workers": {"autoscaling": {"enabled": True}}}
YEARLY = {"schedule": "0 4 15 10 *", "config": {"survey": {"id": "norway", "kind": "annual"}}}
FULL = GPU | {
    "image": {"repository": "registry.example.org/lsbatch", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
    "driver": {"args": ["--until", "stack"], "ttlSecondsAfterFinished": 0, "nodeSelector": {"pool": "stable"}},
    "workers": {
        "nodeSelector": {"pool": "spot"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "persistence": {"storageClass": "nfs", "size": "2Ti"},
    "envFromSecret": "keys",
}


# ---- values


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"worker": {"replicas": 2}}, "worker"),
        ({"workers": {"replica": 2}}, "replica"),
        ({"workers": {"replicas": -1}}, "replicas"),
        ({"workers": {"resources": {"limits": {"memory": "lots"}}}}, "memory"),
        ({"workers": {"resources": {"limits": {"memory": None}}}}, "memory"),
        ({"workers": {"autoscaling": {"max": 3}}}, "max"),
        ({"workers": {"autoscaling": {"minimum": 5, "maximum": 4}}}, "minimum is more than maximum"),
        ({"workers": {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}}, "requests.cpu"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"securityContext": {"runAsUser": 0}}, "runAsUser"),
        ({"persistence": {"accessModes": ["ReadOnlyMany"]}}, "accessModes"),
        ({"mode": "swarm"}, "mode"),
        ({"schedule": "daily"}, "schedule"),
        ({"schedule": "0 4 15 10 *"}, "kind annual"),
        (charts.merged(YEARLY, {"config": {"survey": {"year": 2026}}}), "leave it out"),
        ({"storage": "gs://bucket/x", "envFromSecret": "keys"}, "storage"),
        ({"storage": "s3://bucket/x"}, "needs envFromSecret"),
        (BUCKET | {"persistence": {"existingClaim": "mine"}}, "either in a bucket or on a volume"),
        ({"tls": {"secret": "not a name"}}, "secret"),
        ({"networkPolicy": {"ports": [0]}}, "ports"),
        ({"networkPolicy": {"allow": []}}, "allow"),
        ({"podDisruptionBudget": True}, "podDisruptionBudget"),
        ({"serviceMonitor": {"interval": "5s"}}, "interval"),
        ({"driver": {"parts": -1}}, "parts"),
        ({"driver": {"parts": 4, "args": ["--replan"]}}, "driver.args has nothing to do"),
        ({"config": {"output": "/elsewhere"}}, "output"),
        ({"config": {"cluster": {"kind": "local"}}}, "cluster"),
        ({"config": {"survey": None}}, "survey"),
        ({"config": {"grid": {"tile": 256}}}, "tile"),
        ({"config": {"predict": {"device": "cuda"}}}, "gpuWorkers.enabled is false"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], said: str) -> None:
    done = charts.helm("template", "x", str(CHART), values=values)
    assert done.returncode != 0
    assert said in done.stderr


def test_settings_must_be_given() -> None:
    done = charts.helm("template", "x", str(CHART), example=False)
    assert done.returncode != 0
    assert "survey is required" in done.stderr


def test_schema_refuses_what_it_does_not_name() -> None:
    """In every object of the chart's own values.

    Node selectors, amounts, labels and Helm's globals have names of the user's.
    """
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    objects: dict[str, Any] = {}

    def walk(part: Any, where: str) -> None:
        if isinstance(part, dict):
            if "object" in part.get("type", ()):
                objects[where] = part.get("additionalProperties", True)
            for key, value in part.items():
                walk(value, f"{where}/{key}")
        elif isinstance(part, list):
            for i, value in enumerate(part):
                walk(value, f"{where}/{i}")

    walk(schema, "")
    users = {
        "/definitions/amounts",
        "/definitions/nodeSelector",
        "/properties/serviceMonitor/properties/labels",
        "/properties/global",
    }
    assert {where for where, more in objects.items() if more is not False} == users
    assert len(objects) > 30
    # and every value that the chart has is named, so that none is refused by its own chart
    own = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(own) == set(schema["properties"]) - {"global"} == set(schema["required"])


def test_schema_knows_the_settings_of_lsbatch() -> None:
    """After a change of settings: python -m tests.deploy.settings_schema."""
    schema = json.loads(settings_schema.SCHEMA.read_text(encoding="utf-8"))
    assert schema["properties"]["config"] == settings_schema.expected()


# ---- settings


@pytest.mark.parametrize("values", [{}, GPU, BUCKET, TLS, PARTS, OPERATOR, {"serviceMonitor": {"enabled": True}}])
def test_config_map_holds_settings_that_lsbatch_takes(values: dict[str, Any]) -> None:
    documents = rendered(values)
    made = settings.parse(yaml.safe_load(one(documents, "ConfigMap")["data"]["config.yaml"]), Path("/config"))
    assert str(made.output) == ("s3://surveys/norway" if values is BUCKET else "/survey")
    assert made.cluster.kind == ("serial" if values is PARTS else "address")
    scheme = "tls" if values is TLS else "tcp"
    assert made.cluster.address == (None if values is PARTS else f"{scheme}://jolster-lsbatch-scheduler:8786")
    assert (made.cluster.tls is not None) == (values is TLS)
    assert made.cluster.metrics == ("0.0.0.0:9464" if "serviceMonitor" in values else None)
    assert made.predict.device == ("cuda" if values is GPU else "auto")
    # the chart's example is the one in configs/
    shipped = settings.load(ROOT / "configs" / "jolster-2019.yaml")
    assert (made.survey, made.region, made.grid, made.bands) == (
        shipped.survey, shipped.region, shipped.grid, shipped.bands,
    )  # fmt: skip


def test_address_is_the_service_of_the_scheduler() -> None:
    service = one(rendered(), "Service")
    assert service["metadata"]["name"] == "jolster-lsbatch-scheduler"
    ports = {port["name"]: (port["port"], port["targetPort"]) for port in service["spec"]["ports"]}
    assert ports == {"tcp-comm": (8786, "tcp-comm"), "http-dashboard": (8787, "http-dashboard")}
    container = pods(rendered())["scheduler"]["containers"][0]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "tcp-comm": 8786,
        "http-dashboard": 8787,
    }
    # the operator makes the Service of the same name, from what it is told
    told = one(rendered(OPERATOR), "DaskJob")
    assert told["metadata"]["name"] == "jolster-lsbatch"
    assert told["spec"]["cluster"]["spec"]["scheduler"]["service"] == service["spec"]


# ---- the driver


def test_driver_is_one_resumable_job() -> None:
    job = one(rendered(FULL), "Job")
    assert job["metadata"]["name"] == "jolster-lsbatch-run"
    assert job["spec"]["backoffLimit"] == 6
    assert job["spec"]["ttlSecondsAfterFinished"] == 0
    assert "ttlSecondsAfterFinished" not in one(rendered(), "Job")["spec"]
    assert "completions" not in job["spec"]
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] == 60
    assert pod["containers"][0]["args"] == ["python", "/config/driver.py", "/config/config.yaml", "--until", "stack"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}]
    changed = FULL | {"config": {"bands": "s1vv"}}
    digests = [
        one(rendered(values), "Job")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for values in (FULL, FULL, changed)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_what_the_job_takes_for_nobodys_failure() -> None:
    """Evictions, being asked to stop, a place given up.

    Not exit code 2, of which a wrong setting would be tried for ever.
    """
    rules = one(rendered(), "Job")["spec"]["podFailurePolicy"]["rules"]
    assert {rule["action"] for rule in rules} == {"Ignore"}
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert rules[1]["onExitCodes"] == {"containerName": "driver", "operator": "In", "values": [75, 143]}
    assert pods(rendered())["driver"]["containers"][0]["name"] == "driver"


def test_parts_are_an_indexed_job_alone() -> None:
    documents = rendered(PARTS | {"workers": {"threads": 2, "nodeSelector": {"pool": "spot"}}})
    job = one(documents, "Job")["spec"]
    stages = sum(isinstance(step, Stage) for step in PIPELINE)
    assert (job["completionMode"], job["parallelism"], job["completions"]) == ("Indexed", 8, 8 * stages + 1)
    container = job["template"]["spec"]["containers"][0]
    assert container["args"] == ["python", "/config/driver.py", "/config/config.yaml", "--parts", "8"]
    # they do a worker's work, one tile at a time
    assert container["resources"]["limits"] == {"memory": "5Gi"}
    assert job["template"]["spec"]["nodeSelector"] == {"pool": "spot"}
    assert {v["name"]: v["value"] for v in container["env"]}["OMP_NUM_THREADS"] == "2"


def test_yearly_survey_is_the_same_driver_by_cron() -> None:
    cron = one(rendered(YEARLY), "CronJob")["spec"]
    assert (cron["schedule"], cron["timeZone"], cron["concurrencyPolicy"]) == ("0 4 15 10 *", "Etc/UTC", "Forbid")
    once = one(rendered(), "Job")["spec"]
    made = cron["jobTemplate"]["spec"]
    assert made["template"]["spec"]["containers"][0]["args"] == [
        "python",
        "/config/driver.py",
        "/config/config.yaml",
        "--annual",
    ]
    # nothing else differs but the settings
    made["template"]["spec"]["containers"][0]["args"].remove("--annual")
    for spec in (once, made):
        del spec["template"]["metadata"]["annotations"]
    assert made == once


def test_driver_in_the_config_map_is_the_file() -> None:
    text = one(rendered(), "ConfigMap")["data"]["driver.py"]
    assert text.strip() == (CHART / "files" / "driver.py").read_text(encoding="utf-8").strip()
    ast.parse(text)


# ---- workers


def test_gpu_workers_have_the_gpu_and_say_so() -> None:
    found = pods(rendered(FULL))
    gpu, cpu = (found[name]["containers"][0] for name in ("gpu-worker", "worker"))
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert gpu["image"] == "registry.example.org/lsbatch:1.2.3-gpu"
    assert gpu["args"][-2:] == ["--resources", "GPU=1"]
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert "--resources" not in cpu["args"]
    assert found["worker"]["tolerations"] == FULL["workers"]["tolerations"]
    assert "tolerations" not in found["gpu-worker"]


@pytest.mark.parametrize("values", [GPU, GPU | OPERATOR], ids=["plain", "operator"])
def test_cores_are_used_once(values: dict[str, Any]) -> None:
    found = pods(rendered(charts.merged(values, {"workers": {"threads": 3}})))
    for name, threads in (("worker", "3"), ("gpu-worker", "1")):
        args = found[name]["containers"][0]["args"]
        assert [args[args.index(key) + 1] for key in ("--nworkers", "--nthreads", "--memory-limit")] == [
            "1",
            threads,
            "0.9",
        ]
        env = {variable["name"]: variable["value"] for variable in found[name]["containers"][0]["env"]}
        # as many tiles at once as threads, each on one core
        assert {env[f"{library}_NUM_THREADS"] for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")} == {"1"}


@pytest.mark.parametrize("values", [GPU, GPU | OPERATOR], ids=["plain", "operator"])
def test_connections_outlast_a_broken_network(values: dict[str, Any]) -> None:
    found = pods(rendered(values))
    assert {"driver", "scheduler", "worker"} <= found.keys()
    for pod in found.values():
        told = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        assert told["DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP"] == "180s"


@pytest.mark.parametrize("values", [GPU, GPU | OPERATOR], ids=["plain", "operator"])
def test_workers_never_stand_still(values: dict[str, Any]) -> None:
    found = pods(rendered(values))
    for name in ("worker", "gpu-worker"):
        told = {variable["name"]: variable["value"] for variable in found[name]["containers"][0]["env"]}
        for key, value in network.WORKER_CONFIG.items():
            assert dask.config.get(key, config=dask.config.collect(paths=[], env=told)) == value


def test_resources_are_text_in_every_kind() -> None:
    values = {"workers": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 2.5, "memory": "5Gi"}}}}
    for mode in ({}, OPERATOR):
        resources = pods(rendered(values | mode))["worker"]["containers"][0]["resources"]
        assert resources["requests"]["cpu"] == "2"
        assert resources["limits"] == {"cpu": "2.5", "memory": "5Gi"}


def test_autoscaler_has_the_replicas() -> None:
    documents = rendered(AUTOSCALING)
    hpa = one(documents, "HorizontalPodAutoscaler")["spec"]
    target = one(documents, "Deployment", "-lsbatch-worker")
    assert hpa["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": target["metadata"]["name"]}
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (1, 16)
    # otherwise every upgrade would set them back
    assert "replicas" not in target["spec"]
    assert one(rendered(), "Deployment", "-lsbatch-worker")["spec"]["replicas"] == 4
    dask = one(rendered(AUTOSCALING | OPERATOR), "DaskAutoscaler")
    assert dask["spec"] == {"cluster": "jolster-lsbatch", "minimum": 1, "maximum": 16}


def test_operator_finds_its_workers_by_name() -> None:
    documents = rendered(OPERATOR | GPU)
    for component in ("worker", "gpu-worker"):
        args = pods(documents)[component]["containers"][0]["args"]
        assert args[args.index("--name") + 1] == "$(DASK_WORKER_NAME)"
    assert one(documents, "DaskWorkerGroup")["spec"]["cluster"] == one(documents, "DaskJob")["metadata"]["name"]
    # components differ in labels, by which PodDisruptionBudget and Services find them
    assert "app.kubernetes.io/component" not in one(documents, "DaskJob")["metadata"]["labels"]
    # a cluster that a CronJob is to find stays
    assert one(rendered(OPERATOR | YEARLY), "DaskCluster")["metadata"]["name"] == "jolster-lsbatch"


def test_pods_of_both_modes_are_the_same() -> None:
    plain, operator = (pods(rendered(charts.merged(GPU, TLS, mode))) for mode in ({}, OPERATOR))
    assert set(plain) == set(operator)
    for component, pod in operator.items():
        args = pod["containers"][0]["args"]
        if "--name" in args:
            del args[args.index("--name") : args.index("--name") + 2]
        assert pod == plain[component]


# ---- storage, TLS, network


def test_bucket_has_no_volume_and_its_keys_go_to_those_who_write() -> None:
    documents = rendered(BUCKET | GPU)
    assert not [d for d in documents if d["kind"] == "PersistentVolumeClaim"]
    for component, pod in pods(documents).items():
        assert not [v for v in pod["volumes"] if "persistentVolumeClaim" in v]
        sources = pod["containers"][0].get("envFrom", [])
        assert sources == ([] if component == "scheduler" else [{"secretRef": {"name": "keys"}}])


def test_survey_outlives_the_release_and_own_claims_are_used() -> None:
    claim = one(rendered(), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    found = pods(rendered({"persistence": {"existingClaim": "mine"}}))
    claims = {
        component: [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        for component, pod in found.items()
    }
    assert claims == {"driver": ["mine"], "worker": ["mine"], "scheduler": []}


def test_tls_is_said_to_everybody() -> None:
    documents = rendered(TLS | GPU)
    files = {
        "--tls-ca-file": "/tls/ca.crt",
        "--tls-cert": "/tls/tls.crt",
        "--tls-key": "/tls/tls.key",
        "--protocol": "tls",
    }
    for component, pod in pods(documents).items():
        container = pod["containers"][0]
        assert {"name": "tls", "mountPath": "/tls", "readOnly": True} in container["volumeMounts"]
        (volume,) = [v for v in pod["volumes"] if v["name"] == "tls"]
        # readable by the pod's group, nobody else
        assert volume["secret"] == {"secretName": "dask-tls", "defaultMode": 0o440}
        if component != "driver":
            args = container["args"]
            assert {name: args[args.index(name) + 1] for name in files} == files
        if "worker" in component:
            assert "tls://jolster-lsbatch-scheduler:8786" in container["args"]
    assert not [v for pod in pods(rendered()).values() for v in pod["volumes"] if "secret" in v]


@pytest.mark.parametrize("mode", [{}, OPERATOR, PARTS], ids=["plain", "operator", "parts"])
def test_network_is_closed_but_for_the_release(mode: dict[str, Any]) -> None:
    ours = {"matchLabels": {"app.kubernetes.io/name": "lsbatch", "app.kubernetes.io/instance": "jolster"}}
    policy = one(rendered(mode), "NetworkPolicy")["spec"]
    assert policy["podSelector"] == ours
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"][0] == {"from": [{"podSelector": ours}]}
    assert len(policy["ingress"]) == (2 if mode is OPERATOR else 1)
    assert policy["egress"] == [
        {"to": [{"podSelector": ours}]},
        {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
        {"ports": [{"protocol": "TCP", "port": 443}]},
    ]
    scraped = one(
        rendered(mode | {"networkPolicy": {"prometheusNamespace": "monitoring", "ports": [443, 9000]}}), "NetworkPolicy"
    )["spec"]
    # whoever scrapes does not reach Dask's own port
    assert scraped["ingress"][1] == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"protocol": "TCP", "port": 8787}, {"protocol": "TCP", "port": 9464}],
    }
    assert [port["port"] for port in scraped["egress"][2]["ports"]] == [443, 9000]


def test_metrics_are_found() -> None:
    documents = rendered({"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}})
    monitor = one(documents, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    services = [d for d in documents if d["kind"] == "Service"]
    selector = monitor["spec"]["selector"]["matchLabels"]
    ports = {
        p["name"] for s in services if selector.items() <= s["metadata"]["labels"].items() for p in s["spec"]["ports"]
    }
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
    driver = pods(documents)["driver"]["containers"][0]
    assert driver["ports"] == [{"name": "http-metrics", "containerPort": 9464}]
    assert "ports" not in pods(rendered())["driver"]["containers"][0]


# ---- names and labels


@pytest.mark.parametrize("values", [GPU, GPU | OPERATOR, PARTS], ids=["plain", "operator", "parts"])
def test_selectors_find_their_own_pods_alone(values: dict[str, Any]) -> None:
    values = charts.merged(values, {"serviceMonitor": {"enabled": True}})
    if values.get("driver") is None:
        values["podDisruptionBudget"] = {"enabled": True}
    documents = rendered(values)
    labels = [found for document in documents for found, _ in charts._templates(document)]
    common = {"app.kubernetes.io/name": "lsbatch", "app.kubernetes.io/instance": "jolster"}
    # the operator hands its resource's own labels down
    carried = [common | own for own in labels]
    selectors = {
        (d["kind"], d["metadata"]["name"]): d["spec"]["selector"].get("matchLabels", d["spec"]["selector"])
        for d in documents
        if d["kind"] in ("Deployment", "Service", "PodDisruptionBudget")
    }
    assert selectors
    for (kind, name), selector in selectors.items():
        chosen = [own["app.kubernetes.io/component"] for own in carried if selector.items() <= own.items()]
        assert [f"jolster-lsbatch-{component}" for component in chosen] == [name], kind


@pytest.mark.parametrize("release", ["a", "lsbatch", "my-lsbatch", "x" * 53])
@pytest.mark.parametrize("values", [GPU, GPU | OPERATOR | YEARLY], ids=["plain", "operator"])
def test_names_are_valid_for_any_release(values: dict[str, Any], release: str) -> None:
    for document in rendered(charts.merged(values, {"serviceMonitor": {"enabled": True}}), release=release):
        name = document["metadata"]["name"]
        # a CronJob adds 11 characters, the operator "-scheduler"
        longest = {"CronJob": 52, "DaskCluster": 53}.get(document["kind"], 63)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= longest


# ---- notes


def notes(values: dict[str, Any], folder: Path) -> str:
    """NOTES.txt as helm would show it: `helm template` leaves it out, and `helm install` wants a cluster."""
    chart = folder / "lsbatch"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "NOTES.txt")
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\ntext: |\n  {{- tpl (.Files.Get "NOTES.txt") . | nindent 2 }}\n', encoding="utf-8"
    )
    (found,) = [d for d in rendered(values, chart=chart) if d["kind"] == "Notes"]
    return found["text"]


#: What the operator makes of its resources, by their kind: kinds that kubectl may ask for, and their suffix.
MADE = {
    "DaskJob": [("pod", "-runner"), ("svc", "-scheduler"), ("daskworkergroup", "-default")],
    "DaskCluster": [("svc", "-scheduler"), ("daskworkergroup", "-default")],
}


@pytest.mark.parametrize(
    "values",
    [{}, PARTS, OPERATOR, YEARLY, YEARLY | OPERATOR, charts.merged(YEARLY, PARTS), BUCKET, AUTOSCALING],
    ids=["plain", "parts", "operator", "yearly", "yearly-operator", "yearly-parts", "bucket", "autoscaling"],
)
def test_notes_name_what_there_is(values: dict[str, Any], tmp_path: Path) -> None:
    text = notes(values, tmp_path)
    documents = rendered(values)
    short = {"Service": "svc"}
    there = {f"{short.get(d['kind'], d['kind'].lower())}/{d['metadata']['name']}" for d in documents}
    there |= {f"{kind}/{d['metadata']['name']}{suffix}" for d in documents for kind, suffix in MADE.get(d["kind"], ())}
    # made by the first of its commands
    there |= {"job/jolster-lsbatch-now"} if values.get("schedule") else set()
    lines = [line for line in text.splitlines() if line.startswith("  kubectl")]
    assert all(line.startswith("  kubectl -n surveys ") for line in lines)
    named = {word for line in lines for word in re.findall(r"[a-z]+/jolster-lsbatch[-a-z]*", line)}
    assert named
    assert named <= there
    assert ("port-forward" in text) == ("driver" not in values)
    where = values.get("storage", "jolster-lsbatch-survey")
    assert where in text
    assert ("not encrypted" in text) == ("driver" not in values)


def test_notes_follow_the_parts(tmp_path: Path) -> None:
    text = notes(PARTS, tmp_path)
    assert "in 8 parts" in text
    assert "-l app.kubernetes.io/instance=jolster --prefix --max-log-requests 8" in text
    assert "not encrypted" not in text


# ---- Dockerfile


def instructions() -> list[str]:
    """The Dockerfile's instructions, lines joined."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()


def test_dockerfile_copies_what_there_is_and_ends_without_root() -> None:
    sources = [s for line in instructions() if re.match(r"COPY (?!--from)", line) for s in line.split()[1:-1]]
    assert sources
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored
    users = [line for line in instructions() if line.startswith("USER ")]
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["securityContext"]
    # the user of the chart, whose files a volume has
    assert users == [f"USER {values['runAsUser']}:{values['runAsGroup']}"]
    assert instructions().index(users[0]) > max(i for i, line in enumerate(instructions()) if line.startswith("RUN "))


def test_dockerfile_installs_what_the_project_asks_for() -> None:
    """Its line that reads pyproject.toml, run here; and that lsbatch itself comes last, without dependencies."""
    (line,) = [line for line in instructions() if "tomllib" in line]
    code = shlex.split(line.removeprefix("RUN "))[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert done.stdout.splitlines() == project["dependencies"] + extras["dashboard"] + extras["ccdc"]
    runs = [line for line in instructions() if line.startswith("RUN ")]
    assert "--no-deps --root /out /wheel/*.whl" in runs[-2]
    assert {"ca-certificates", "libexpat1", "tini"} <= set(runs[-1].split())
    copies = [line for line in instructions() if line.startswith("COPY ")]
    assert copies[-1] == "COPY --from=wheel /out /"


@pytest.mark.parametrize(("accelerator", "index"), [("cpu", True), ("gpu", False), ("tpu", None)])
def test_dockerfile_takes_torch_for_its_accelerator(accelerator: str, index: bool | None) -> None:
    """The shell line as it is, with pip replaced by echo."""
    (line,) = [line for line in instructions() if "^torch==" in line]
    script = line.removeprefix("RUN ").replace("pip install", "echo pip install")
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=ROOT,
        env={"ACCELERATOR": accelerator, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if index is None:
        assert done.returncode == 1
        assert "must be cpu or gpu" in done.stdout
        return
    assert done.returncode == 0
    assert re.search(r"torch==\d", done.stdout)
    assert ("download.pytorch.org/whl/cpu" in done.stdout) == index
