"""Workers of this machine that stand still while they start."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lsbatch.engine import cluster

# One worker is killed, as the memory limit does, and the one that follows it is stopped before it has started.
AT_THE_END = """
import os, signal, sys, time
from pathlib import Path
from lsbatch import settings
from lsbatch.engine.cluster import connect

if __name__ == "__main__":
    config = settings.load(Path(sys.argv[1]))
    with connect(config, say=lambda line: None) as client_for:
        (nanny,) = client_for({}).cluster.workers.values()
        first = nanny.pid
        os.kill(first, signal.SIGKILL)
        while nanny.pid in (None, first):
            time.sleep(0.01)
        second = nanny.pid
        os.kill(second, signal.SIGSTOP)
        print(nanny.process.status.name, second, flush=True)
    print("ended", flush=True)
"""


@pytest.fixture
def config(country: Path, tmp_path: Path) -> Path:
    raw = yaml.safe_load(country.read_text(encoding="utf-8"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw | {"cluster": {"kind": "local", "workers": 1}}), encoding="utf-8")
    return path


def test_a_worker_that_stands_still_while_it_starts_does_not_keep_the_driver(config: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", AT_THE_END, str(config)], stdout=subprocess.PIPE, text=True)
    try:
        said, _ = driver.communicate(timeout=120)
    finally:
        driver.kill()
    assert driver.returncode == 0
    state, stopped, ended = said.split()
    assert (state, ended) == ("starting", "ended")
    with pytest.raises(ProcessLookupError):
        os.kill(int(stopped), signal.SIGCONT)


def test_workers_that_take_long_to_start_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "START_S", 0.05)
    lines: list[str] = []
    with cluster._patience(lines.append):
        deadline = time.monotonic() + 30
        while not lines and time.monotonic() < deadline:
            time.sleep(0.01)
    assert lines == ["The workers have not started after 0 s; the run waits until all of them have"]
    with cluster._patience(lines.append):
        pass
    time.sleep(0.2)
    assert len(lines) == 1
