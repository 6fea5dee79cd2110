"""Workers of this machine that stand still while they start, and a scheduler that stands still when it is asked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import locket
import pytest
import yaml

from lsbatch.engine.cluster.network import PunctualClient

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

# The first process that is started is stopped as soon as it is there.
AT_THE_START = """
import os, signal, sys, threading, time
from pathlib import Path
import psutil
from lsbatch import settings
from lsbatch.engine.cluster import connect, local

def stop_first():
    while True:
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):
                os.kill(child.pid, signal.SIGSTOP)
                print(child.pid, flush=True)
                return
        time.sleep(0.01)

if __name__ == "__main__":
    local.START_S = 20.0
    threading.Thread(target=stop_first, daemon=True).start()
    with connect(settings.load(Path(sys.argv[1])), say=lambda line: print(line, flush=True)) as client_for:
        print(client_for({}).submit(int, "42").result(), flush=True)
"""


RUN = """
import sys
from pathlib import Path
from lsbatch import settings
from lsbatch.engine.cluster import connect

if __name__ == "__main__":
    with connect(settings.load(Path(sys.argv[1])), say=lambda line: None) as client_for:
        print(client_for({}).submit(int, "42").result(), flush=True)
"""


@pytest.fixture
def config(country: Path, tmp_path: Path) -> Path:
    raw = yaml.safe_load(country.read_text(encoding="utf-8"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw | {"cluster": {"kind": "local", "workers": 1}}), encoding="utf-8")
    return path


def _said_by(code: str, config: Path, seconds: float, **environment: str) -> str:
    """Run a driver with these settings; return its output. Fails if it does not end in time and without an error."""
    words = [sys.executable, "-c", code, str(config)]
    env = os.environ | environment
    return subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, timeout=seconds, check=True).stdout


def _assert_gone(pid: str) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), signal.SIGCONT)


def test_a_worker_that_stands_still_while_it_starts_does_not_keep_the_driver(config: Path) -> None:
    state, stopped, ended = _said_by(AT_THE_END, config, 120).split()
    assert (state, ended) == ("starting", "ended")
    _assert_gone(stopped)


def test_a_worker_that_stands_still_while_it_starts_is_replaced(config: Path) -> None:
    stopped, *lines, answer = _said_by(AT_THE_START, config, 240).splitlines()
    assert lines[0] == "A worker has not started after 20 s: it is killed, and another is started"
    assert answer == "42"
    _assert_gone(stopped)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A scheduler in a process of its own: its number and address."""
    file = tmp_path / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *words], stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not file.exists() or not file.read_text(encoding="utf-8"):
                assert process.poll() is None
                time.sleep(0.05)
            yield process.pid, json.loads(file.read_text(encoding="utf-8"))["address"]
        finally:
            process.kill()


def test_a_scheduler_that_stands_still_is_given_up(scheduler: tuple[int, str]) -> None:
    pid, address = scheduler
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(OSError, match="the scheduler does not answer within 3 s"):
        PunctualClient(address, timeout="1s")
    os.kill(pid, signal.SIGCONT)
    with PunctualClient(address, timeout="20s") as client:
        assert client.scheduler_info()["workers"] == {}


def test_a_lock_that_a_stopped_process_of_the_machine_holds_stops_nobody(config: Path, tmp_path: Path) -> None:
    """Dask's schedulers and workers would wait for it before they listen."""
    shared = tmp_path / "tmp" / "dask-scratch-space"
    own = tmp_path / "survey" / "dask" / "dask-scratch-space"
    for folder in (shared, own):
        folder.mkdir(parents=True)
    with locket.lock_file(str(shared / "global.lock")), locket.lock_file(str(own / "global.lock")):
        assert _said_by(RUN, config, 120, DASK_TEMPORARY_DIRECTORY=str(shared.parent)) == "42\n"
    # and its own folder is removed
    assert [path.name for path in own.parent.iterdir()] == [own.name]
