"""Workers that somebody else started: safe settings are put onto them, also onto those that join later."""

import inspect
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster, Worker

from lsbatch.engine.cluster import worker_safety

THREADS = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
#: A worker as others start it; after `--` the words of `dask worker`.
WORKER = "import sys; from distributed.cli.dask_worker import main; main(sys.argv[1:])"
#: The same where lsbatch is not installed.
STRANGER = (
    """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "lsbatch":
            raise ModuleNotFoundError("No module named 'lsbatch'", name="lsbatch")
sys.meta_path = [finder for finder in sys.meta_path if "lsbatch" not in repr(finder)]
sys.meta_path.insert(0, Absent())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "lsbatch" else real(name, package)
"""
    + WORKER
)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", local_directory=str(tmp_path)
        ) as cluster,
        Client(cluster) as found,
    ):
        yield found


@contextmanager
def worker(
    client: Client, tmp_path: Path, program: str = WORKER, **environment: str
) -> Iterator["subprocess.Popen[str]"]:
    """A worker with Dask's own settings: it pauses, and it profiles."""
    words = ["--no-nanny", "--nthreads", "1", "--memory-limit", "2GB", "--no-dashboard", "--host", "127.0.0.1"]
    words += ["--local-directory", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, client.scheduler.address, *words],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)} | environment,
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def state(dask_worker: Worker) -> dict[str, Any]:
    """What of a worker must not be so."""
    assert dask_worker.memory_manager is not None
    return {
        "profiles": [name for name in dask_worker.periodic_callbacks if "profile" in name],
        "pause": dask_worker.memory_manager.memory_pause_fraction,
        "status": dask_worker.status.name,
    }


def samples(dask_worker: Worker) -> int:
    """How many profiles the worker has taken."""
    return int(dask_worker.profile_recent["count"])


SAFE = {"profiles": [], "pause": False, "status": "running"}


def test_workers_that_are_there_and_that_join_later(client: Client, tmp_path: Path) -> None:
    with worker(client, tmp_path, **THREADS):
        client.wait_for_workers(1, timeout=60)
        before = client.run(state)
        assert [one["profiles"] for one in before.values()] == [["profile", "profile-cycle"]]
        assert [one["pause"] for one in before.values()] == [0.8]
        # it does take profiles
        client.submit(time.sleep, 1.0).result(timeout=30)
        assert min(client.run(samples).values()) > 0
        lines: list[str] = []
        worker_safety.make_safe(client, THREADS, lines.append)
        assert list(client.run(state).values()) == [SAFE]
        count = client.run(samples)
        client.submit(time.sleep, 1.0, pure=False).result(timeout=30)
        assert client.run(samples) == count, "it still takes profiles"
        with worker(client, tmp_path, **THREADS):
            client.wait_for_workers(2, timeout=60)
            assert list(client.run(state).values()) == [SAFE, SAFE]
        assert lines == []


def test_heartbeat_without_an_answer_prints_no_traceback(client: Client, tmp_path: Path) -> None:
    assert f'"{worker_safety.HEARTBEAT}"' in inspect.getsource(Worker.heartbeat), "Dask has other words for it"
    with worker(client, tmp_path, **THREADS):
        client.wait_for_workers(1, timeout=60)
        for _ in range(2):
            worker_safety.make_safe(client, THREADS, lambda line: None)
        (shown,) = client.run(_shown, worker_safety.HEARTBEAT).values()
        assert shown == (False, True, 1)


def _shown(heartbeat: str) -> tuple[bool, bool, int]:
    """Whether the two messages are printed, and how many filters there are."""
    logger = logging.getLogger("distributed.worker")
    records = [logger.makeRecord(logger.name, logging.ERROR, "", 0, text, (), None) for text in (heartbeat, "other")]
    first, second = (bool(logger.filter(record)) for record in records)
    return first, second, len(logger.filters)


def test_a_paused_worker_goes_on(client: Client, tmp_path: Path) -> None:
    with worker(client, tmp_path, **THREADS):
        client.wait_for_workers(1, timeout=60)
        client.run(_outgrow)
        until(lambda: {one["status"] for one in client.run(state).values()} == {"paused"})
        worker_safety.make_safe(client, THREADS, lambda line: None)
        assert list(client.run(state).values()) == [SAFE]
        assert client.submit(sum, (1, 2)).result(timeout=30) == 3


def _outgrow(dask_worker: Worker) -> None:
    assert dask_worker.memory_manager is not None
    dask_worker.memory_manager.memory_limit = int(dask_worker.monitor.get_process_memory() / 0.9)


def test_threads_that_differ_are_said_once(client: Client, tmp_path: Path) -> None:
    lines: list[str] = []
    worker_safety.make_safe(client, THREADS, lines.append)
    with worker(client, tmp_path, OMP_NUM_THREADS="7"), worker(client, tmp_path, OMP_NUM_THREADS="7"):
        client.wait_for_workers(2, timeout=60)
        until(lambda: lines)
        assert client.submit(sum, (1, 2)).result(timeout=30) == 3
    assert len(lines) == 1
    assert lines[0].startswith("Worker tcp://127.0.0.1:")
    assert lines[0].endswith(
        ": OMP_NUM_THREADS is 7, NUMBA_NUM_THREADS is not set; start it with OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1, "
        "which fits cluster.threads (said once, also for other workers)"
    )


def test_a_worker_without_lsbatch_gets_no_tiles(client: Client, tmp_path: Path) -> None:
    lines: list[str] = []
    worker_safety.make_safe(client, THREADS, lines.append)
    with worker(client, tmp_path, STRANGER, **THREADS):
        until(lambda: lines)
        assert "lsbatch is not installed there, so it gets no tiles; install the same version of lsbatch" in lines[0]
        waits = client.submit(sum, (1, 2))
        time.sleep(1)
        assert waits.status == "pending"
        with worker(client, tmp_path, **THREADS):
            assert waits.result(timeout=60) == 3
    assert len(lines) == 1


def test_a_worker_that_is_stopped_does_not_hold_up_the_start(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_safety, "ANSWER_S", 1.0)
    lines: list[str] = []
    with worker(client, tmp_path, **THREADS) as process:
        client.wait_for_workers(1, timeout=60)
        process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            worker_safety.make_safe(client, THREADS, lines.append)
            assert time.monotonic() - began < 10
        finally:
            process.send_signal(signal.SIGCONT)
        assert [line.split(" (")[0] for line in lines] == ["Not all workers answered within 1 s"]
        # it finds the message when it goes on
        until(lambda: list(client.run(state).values()) == [SAFE])
