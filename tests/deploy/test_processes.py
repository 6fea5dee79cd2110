"""What the rendered pods would run, run here as processes.

They form a cluster and do a survey, with the bytes of a serial run.

Names, ports and folders of a cluster are replaced by ones of this machine, everything else is as rendered.
"""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from lsbatch import settings
from lsbatch.settings import Config
from lsbatch.storage import lease
from lsbatch.storage.workspace import Workspace
from tests import servers
from tests.deploy import charts
from tests.deploy.results import STAGES, landslides, make_certificates, state

pytestmark = [
    pytest.mark.slow(ci=True),
    pytest.mark.skipif(charts.HELM is None, reason="helm is not installed; pip install 'lsbatch[test]' brings it"),
]


class Process(subprocess.Popen[bytes]):
    """A pod's process, and the file of its log."""

    log: Path

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8")


class Release:
    """A rendered release whose pods are processes here.

    Parameters
    ----------
    survey : Config
        Settings, of which the chart gets all but the output and the cluster.
    folder : Path
        Stands for what pods see as /config, /survey, /tls and /tmp.
    values : dict
        More values.
    secret : dict
        What the Secret that envFromSecret names would hold.
    """

    def __init__(
        self, survey: Config, folder: Path, values: charts.Values | None = None, secret: dict[str, str] | None = None
    ) -> None:
        config = survey.model_dump(mode="json", exclude=set(settings_of_the_chart()))
        documents = charts.rendered(charts.merged(values or {}, {"config": config}), example=False)
        self.pods = charts.pods(documents)
        self.folder = folder
        self.secret = secret or {}
        ports = [servers.free_port() for _ in range(3)]
        self.scheduler, self.dashboard, self.metrics = (f"127.0.0.1:{port}" for port in ports)
        #: Longest first, so that none is replaced inside another.
        self.here = {
            "jolster-lsbatch-scheduler:8786": self.scheduler,
            "0.0.0.0:9464": self.metrics,
            "0.0.0.0": "127.0.0.1",
            ":8787": self.dashboard,
            ":8788": "127.0.0.1:0",
            "8786": str(ports[0]),
            **{f"/{name}": str(folder / name) for name in ("config", "survey", "tls", "tmp")},
        }
        for name in ("config", "survey", "tls", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        data = charts.one(documents, "ConfigMap")["data"]
        raw = yaml.safe_load(data["config.yaml"])
        raw["output"] = self._placed(raw["output"])
        raw["cluster"] = self._placed(raw["cluster"])
        (folder / "config" / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        # quicker to look again
        assert "POLL_S = 15.0" in data["driver.py"]
        (folder / "config" / "driver.py").write_text(
            data["driver.py"].replace("POLL_S = 15.0", "POLL_S = 1.0"), encoding="utf-8"
        )

    @property
    def config(self) -> Config:
        """The settings that the driver reads."""
        return settings.load(self.folder / "config" / "config.yaml")

    def _placed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._placed(each) for key, each in value.items()}
        if isinstance(value, str):
            for there, here in self.here.items():
                # whole, or the end of an address, or the beginning of a path
                if value == there or value.endswith(f"//{there}"):
                    return value.replace(there, here)
                if there.startswith("/") and value.startswith(f"{there}/"):
                    return here + value.removeprefix(there)
        return value

    def command(self, component: str) -> list[str]:
        """What a pod of this component runs."""
        program, *args = self.pods[component]["containers"][0]["args"]
        return [str(charts.BIN / program), *map(self._placed, args)]

    def environment(self, component: str) -> dict[str, str]:
        """Its variables."""
        container = self.pods[component]["containers"][0]
        secret = self.secret if container.get("envFrom") else {}
        own = {variable["name"]: self._placed(variable["value"]) for variable in container["env"]}
        return os.environ | {"PATH": f"{charts.BIN}{os.pathsep}{os.environ['PATH']}"} | own | secret

    @contextmanager
    def running(self, component: str, **more: str) -> Iterator["Process"]:
        """A pod's process, ended with the block."""
        log = self.folder / f"{component}-{len(list(self.folder.glob('*.log')))}.log"
        # into a file: nobody reads a pipe meanwhile, and a full one would stop the process
        with log.open("w", encoding="utf-8") as out:
            started = Process(
                self.command(component),
                cwd=self.folder,
                env=self.environment(component) | more,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        started.log = log
        try:
            yield started
        finally:
            if started.poll() is None:
                started.terminate()
            started.wait(timeout=60)

    def run(self, component: str, **more: str) -> tuple[int, str]:
        """Run a pod's process to its end; exit code and log. One that does not end fails with the logs of all."""
        with self.running(component, **more) as process:
            try:
                process.wait(timeout=600)
            except subprocess.TimeoutExpired:
                logs = (
                    f"{path.name}:\n{path.read_text(encoding='utf-8')[-3000:]}"
                    for path in sorted(self.folder.glob("*.log"))
                )
                pytest.fail("\n\n".join(["it did not end", *logs]))
            return process.returncode, process.said()


def settings_of_the_chart() -> Sequence[str]:
    """What a user may not give."""
    return ("output", "cluster")


def test_survey_by_scheduler_workers_and_driver(done_survey: Any, tmp_path: Path) -> None:
    """Stopped in its middle by SIGTERM, as a drained node does; and asked by Prometheus meanwhile."""
    release = Release(done_survey.config, tmp_path, {"serviceMonitor": {"enabled": True}})
    assert release.config.model_dump(exclude={"output", "cluster"}) == done_survey.config.model_dump(
        exclude={"output", "cluster"}
    )
    with ExitStack() as stack:
        # the driver first: it waits
        driver = stack.enter_context(release.running("driver"))
        wait_for(lambda: f"waiting for the scheduler at tcp://{release.scheduler}" in driver.said(), driver)
        stack.enter_context(release.running("scheduler"))
        for i in range(2):
            # one scratch a pod
            stack.enter_context(release.running("worker", HOME=str(tmp_path / f"home-{i}")))
        wait_for(lambda: state(release.config)["stack"], driver)
        told = [read(f"http://{place}/metrics") for place in (release.metrics, release.dashboard)]
        assert 'lsbatch_tiles_pending{stage="stack"}' in told[0]
        assert "dask_scheduler_workers" in told[1]
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=120) == 143, driver.said()
        assert "stopped; finished tiles are kept" in driver.said()
        # handed back: the next one need not wait
        assert lease.holders(release.config.output) == []
        kept = state(release.config)["stack"]
        assert kept
        code, log = release.run("driver")
        assert code == 0, log
        assert "waiting for the lease" not in log
    assert state(release.config) == state(done_survey.config)
    assert landslides(release.config) == landslides(done_survey.config)


def test_survey_by_tls_into_a_bucket(done_survey: Any, tmp_path: Path) -> None:
    """Whoever has no certificate of ours is refused; the keys of the bucket are in no file and no log."""
    from distributed import Client

    values = {"tls": {"secret": "dask-tls"}, "storage": "s3://surveys/norway", "envFromSecret": "keys"}
    with servers.s3() as bucket, ExitStack() as stack:
        release = Release(done_survey.config, tmp_path, values, bucket.environment)
        make_certificates(tmp_path / "tls")
        stack.enter_context(release.running("scheduler"))
        stack.enter_context(release.running("worker"))
        code, log = release.run("driver")
        assert code == 0, log
        with pytest.raises(OSError, match=r"Timed out|no connection|closed|reset|refused"):
            Client(f"tcp://{release.scheduler}", timeout="3s")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in bucket.environment.items():
            patch.setenv(name, value)
        found = state(release.config)
    assert found == state(done_survey.config)
    secret = bucket.environment["AWS_SECRET_ACCESS_KEY"]
    assert secret not in log
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_survey_in_parts(done_survey: Any, tmp_path: Path) -> None:
    """Every index of the Job once, the first in disorder: one that is early waits for those before it."""
    release = Release(done_survey.config, tmp_path, {"driver": {"parts": 2}})
    assert set(release.pods) == {"driver"}
    with release.running("driver", JOB_COMPLETION_INDEX="2") as early:
        code, log = release.run("driver", JOB_COMPLETION_INDEX="0")
        assert code == 0, log
        done = state(release.config)
        assert len(done["stack"]) == 2
        assert not done[STAGES[1]]
        wait_for(lambda: "waiting for all parts to do stack" in early.said(), early)
        code, log = release.run("driver", JOB_COMPLETION_INDEX="1")
        assert code == 0, log
        assert early.wait(timeout=600) == 0, early.said()
        assert len(state(release.config)[STAGES[1]]) == 2
    for index in range(3, 2 * len(STAGES) + 1):
        assert not (Workspace(release.config.output).report / "report.html").exists()
        code, log = release.run("driver", JOB_COMPLETION_INDEX=str(index))
        assert code == 0, log
    assert state(release.config) == state(done_survey.config)
    assert landslides(release.config) == landslides(done_survey.config)
    # a part is a lease of its own, and all were handed back
    assert lease.holders(release.config.output) == []


def test_gpu_worker_alone_gets_what_asks_for_a_gpu(done_survey: Any, tmp_path: Path) -> None:
    from distributed import Client, get_worker

    release = Release(done_survey.config, tmp_path, {"gpuWorkers": {"enabled": True}})
    with ExitStack() as stack:
        for component in ("scheduler", "worker", "gpu-worker"):
            stack.enter_context(release.running(component))
        client = stack.enter_context(Client(f"tcp://{release.scheduler}", timeout="120s"))
        client.wait_for_workers(2, timeout=120)
        workers = client.scheduler_info()["workers"]
        tagged = [address for address, info in workers.items() if info["resources"].get("GPU")]
        assert len(tagged) == 1
        assert {info["nthreads"] for info in workers.values()} == {1}

        def where(_: int) -> tuple[str, str]:
            return get_worker().address, os.environ["OMP_NUM_THREADS"]

        futures = client.map(where, range(20), resources={"GPU": 1}, pure=False)
        assert set(client.gather(futures)) == {(tagged[0], "1")}
        # workers leave by themselves when they are told to stop
        with release.running("worker") as extra:
            client.wait_for_workers(3, timeout=120)
            extra.terminate()
            assert extra.wait(timeout=60) == 0


def read(url: str) -> str:
    """Text at an address."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def wait_for(ready: Callable[[], Any], process: Process, limit_s: float = 300) -> None:
    """Until something is so; fails if the process ends before."""
    end = time.monotonic() + limit_s
    while not ready():
        assert process.poll() is None, process.said()
        assert time.monotonic() < end
        time.sleep(0.2)
