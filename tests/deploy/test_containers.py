"""The chart's pods as real containers: a survey ends with the bytes of a serial run, whatever is killed on the way."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsbatch.settings import Config
from lsbatch.storage import lease
from tests import servers
from tests.deploy import charts, containers
from tests.deploy.containers import (
    Engine,
    Release,
    exit_code,
    inspect,
    is_running,
    kill,
    log,
    restart,
    wait_for,
)
from tests.deploy.results import STAGES, landslides, make_certificates, state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(charts.HELM is None, reason="helm is not installed; pip install 'lsbatch[test]' brings it"),
]

#: Real limits, far below the chart's own: tiles have 256 px.
SMALL = {
    "scheduler": {"resources": {"limits": {"memory": "700Mi"}}},
    "workers": {"resources": {"limits": {"memory": "1800Mi"}}},
    "driver": {"resources": {"limits": {"memory": "1200Mi"}}},
}


@pytest.fixture
def network(engine: Engine, image: Path) -> Iterator[Engine]:
    """A network; afterwards it and all pods are removed."""
    del image
    with containers.network(engine) as made:
        yield made


def in_the_middle(release: Release, driver: str, config: Config, ready: Callable[[int], bool]) -> int:
    """Wait until so many tiles of all stages are done that `ready`, while the driver runs; return their number."""

    def done() -> int:
        return sum(len(tiles) for tiles in state(config).values())

    def is_time() -> bool:
        assert is_running(release.engine, driver), log(release.engine, driver)
        return ready(done())

    wait_for(is_time, lambda: release.logs())
    return done()


def ended(release: Release, driver: str, code: int) -> str:
    """Wait for a driver's end with this exit code; return its log."""
    found = exit_code(release.engine, driver)
    assert found == code, release.logs()
    return log(release.engine, driver)


def same(release: Release, config: Config, serial: Config) -> None:
    """The digests and checksums of all that was written, and the table of landslides, are those of the serial run."""
    found = state(config)
    assert found == state(serial), release.logs()
    assert landslides(config) == landslides(serial)
    sums = [sum for tiles in found.values() for _, _, sums in tiles.values() for sum in sums]
    print(f"{sum(map(len, found.values()))} tiles of {len(found)} stages, {len(sums)} checksums, are the same")


def test_survey_on_a_volume_with_kills(done_survey: Any, country: Path, network: Engine) -> None:
    """A worker, the driver and the scheduler are killed on the way, each as the kernel does it."""
    release = Release(network, done_survey.config, country.parent, SMALL)
    folder = release.grant_claim()
    config = done_survey.config.model_copy(update={"output": folder})
    driver = release.drive()
    wait_for(lambda: "waiting for the scheduler at tcp://" in log(network, driver), release.logs)
    release.start_cluster()
    done = in_the_middle(release, driver, config, lambda done: done >= 1)

    worker = release.containers("worker")[0]
    kill(network, worker)
    done = in_the_middle(release, driver, config, lambda now: now > done)

    kill(network, driver)
    assert exit_code(network, driver) == 137
    assert [holder.part for holder, _ in lease.holders(folder)] == ["all"]
    driver = release.drive()
    wait_for(lambda: "waiting for the lease of another run" in log(network, driver), release.logs)
    # the workers go on meanwhile; it must be this driver that loses its scheduler
    wait_for(lambda: "Dask dashboard" in log(network, driver), release.logs)
    done = in_the_middle(release, driver, config, lambda now: now > 0)
    in_the_middle(release, driver, config, lambda now: now > done)

    (scheduler,) = release.containers("scheduler")
    kill(network, scheduler)
    said = ended(release, driver, 2)
    assert "finished tiles are kept: run the same command again to continue" in said
    assert "Traceback" not in said
    # podman, like a kubelet, has started the scheduler again, and the workers that left with it
    release.wait_until_ready("scheduler", "worker")
    said = ended(release, release.drive(), 0)
    assert "waiting for the lease" not in said
    assert {name: inspect(network, name)["RestartCount"] > 0 for name in release.containers("worker")} == dict.fromkeys(
        release.containers("worker"), True
    )
    same(release, config, done_survey.config)


def test_survey_by_tls_into_a_bucket_with_a_rolling_restart(
    done_survey: Any, country: Path, network: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Object storage, certificates and keys are the chart's; each worker is replaced after the one before is ready."""
    make_certificates(tmp_path)
    values = {"tls": {"secret": "dask-tls"}, "storage": "s3://surveys/norway", "envFromSecret": "keys"}
    release = Release(network, done_survey.config, country.parent, charts.merged(SMALL, values))
    url = release.start_bucket()
    keys = {
        "AWS_ACCESS_KEY_ID": "lsbatch-test", "AWS_SECRET_ACCESS_KEY": servers.S3_SECRET, "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    certificates = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    release.create_secret("keys", keys, is_volume=False)
    release.create_secret("dask-tls", certificates, is_volume=True)
    config = release.config
    release.start_cluster()
    driver = release.drive()
    in_the_middle(release, driver, config, lambda done: done >= 1)
    for worker in release.containers("worker"):
        restart(network, worker)
        assert release.probe("worker", worker), "a worker that has just begun is not ready"
        release.wait_until_ready("worker")
    said = ended(release, driver, 0)
    same(release, config, done_survey.config)
    assert servers.S3_SECRET not in said + release.logs()
    environment = inspect(network, release.containers("scheduler")[0])["Config"]["Env"]
    assert not [line for line in environment if "AWS" in line]


def test_survey_in_parts(done_survey: Any, country: Path, network: Engine) -> None:
    """An indexed Job of two pods at a time, as Kubernetes orders them; one is killed and started again."""
    release = Release(network, done_survey.config, country.parent, SMALL | {"driver": {"parts": 2}})
    assert set(release.pods) == {"driver"}
    folder = release.grant_claim()
    config = done_survey.config.model_copy(update={"output": folder})
    waiting = list(range(charts.one(release.documents, "Job")["spec"]["completions"]))
    assert waiting == list(range(2 * len(STAGES) + 1))
    running: dict[str, int] = {}
    killed = 0
    codes: Counter[int] = Counter()
    while waiting or running:
        while waiting and len(running) < 2:
            index = waiting.pop(0)
            running[release.drive(JOB_COMPLETION_INDEX=str(index))] = index
        first = next(iter(running))
        if not killed and running[first] == 2 and is_running(network, first):
            kill(network, first)
            killed = 1
        for name in [name for name in running if not is_running(network, name)]:
            code = exit_code(network, name)
            codes[code] += 1
            index = running.pop(name)
            if code:
                assert code in (75, 137), release.logs()
                waiting.insert(0, index)
        time.sleep(0.5)
    print(f"{release.attempts} pods, exit codes {dict(codes)}")
    assert codes[0] == 2 * len(STAGES) + 1
    assert codes[137] == 1
    same(release, config, done_survey.config)
    assert lease.holders(folder) == []


def test_memory_limit_of_workers(done_survey: Any, country: Path, network: Engine) -> None:
    """Tiles that do not fit end as failed, with a sentence that says what to raise; nothing else breaks."""
    own = done_survey.config
    whole = own.model_copy(update={"grid": own.grid.model_copy(update={"tile_px": 512})})
    # a worker that has just begun takes 370 MiB of the 540 that it gets; after a tile of 256 px it has 540
    limit = {"workers": {"replicas": 1, "resources": {"limits": {"memory": "600Mi"}}}}
    release = Release(network, whole, country.parent, charts.merged(SMALL, limit))
    release.grant_claim()
    # the default gives each attempt at a tile four workers, each of which has to start
    release.pods["scheduler"]["containers"][0]["env"].append(
        {"name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "value": "0"}
    )
    release.start_cluster()
    said = " ".join(ended(release, release.drive(), 1).split())
    print(said[-600:])
    assert (
        "the worker was killed, usually for lack of memory (1 workers); raise the memory limit of the workers" in said
    )
    assert "(chart: workers.resources)" in said
    assert "Traceback" not in said


def test_probes_tell_the_truth(done_survey: Any, country: Path, network: Engine) -> None:
    """A scheduler that stands still is neither ready nor alive; a worker without a scheduler is not ready, and ends."""
    release = Release(network, done_survey.config, country.parent, SMALL | {"workers": {"replicas": 1}})
    release.grant_claim()
    release.start_workers()
    (worker,) = release.containers("worker")
    time.sleep(10)
    assert release.probe("worker", worker), "nobody has started a scheduler yet"
    release.start_scheduler()
    release.wait_until_ready("scheduler", "worker")
    (scheduler,) = release.containers("scheduler")
    for component, container in (("scheduler", scheduler), ("worker", worker)):
        for kind in ("readinessProbe", "livenessProbe"):
            assert not release.probe(component, container, kind)
        kill(network, container, signal.SIGSTOP)
        for kind in ("readinessProbe", "livenessProbe"):
            assert "timed out" in release.probe(component, container, kind)
        kill(network, container, signal.SIGCONT)
        release.wait_until_ready(component)
    began = inspect(network, worker)["RestartCount"]
    network.podman("stop", "--time", "30", scheduler)
    wait_for(lambda: release.probe("worker", worker), release.logs, 60)
    # it ends by itself, and is started again
    wait_for(lambda: inspect(network, worker)["RestartCount"] > began, release.logs, 300)
