"""Workers and drivers on another host, behind a line that is slow, loses packets or is cut.

The survey has the same bytes, or one sentence says what is wrong.

The nursery gives a silent process up after 8 s, a real run after three minutes.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lsbatch import settings
from lsbatch.catalog.survey import open_survey
from lsbatch.engine.cluster import network
from lsbatch.settings import to_yaml
from lsbatch.storage import lease, receipts
from tests import servers
from tests.chaos import arena, hosts
from tests.chaos.comparison import differences
from tests.storage.buckets import in_bucket, on_disk

#: Dask breaks a connection on which nothing is acknowledged for 30 s (`distributed.comm.timeouts.tcp`).
LONG_CUT_S = 40.0
#: Seconds of a cut, and seconds after which a silent process is given up.
CUTS = [
    pytest.param(3.0, 8.0, marks=pytest.mark.slow(ci=True)),
    pytest.param(LONG_CUT_S, LONG_CUT_S * 3, marks=pytest.mark.slow),
]
#: Receipts of workers in a survey of four tiles: ten stages.
TILES = 40
#: Of a machine on which other tests run, too.
SOON_S = 240.0
#: Of a survey in a bucket behind a bad line: some thousand requests, most of them one after another.
STORAGE_S = 1500.0


@dataclass
class Cluster:
    """A scheduler on this host, and workers and a driver on either.

    Attributes
    ----------
    home : Nursery
    host : Host
        The other one.
    folder : Path
    driver : int
    started : list of int
    """

    home: arena.Nursery
    host: hosts.Host
    folder: Path
    driver: int = 0
    started: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.address = f"tcp://{self.host.here}:{arena.free_port()}"
        cluster = settings.ClusterSettings(
            kind="address", address=self.address, workers=2, memory_gb=2.0, attempts=20, wait_s=0.1
        )
        self.config = self.home.undisturbed.model_copy(update={"output": self.folder / "s", "cluster": cluster})
        self.path = self.folder / "config.yaml"
        self.path.write_text(to_yaml(self.config), encoding="utf-8")
        self._start("scheduler", "--host", self.address.rpartition(":")[0], "--port", self.address.rpartition(":")[2])

    def run(self, *, away: bool = False, **more: object) -> int:
        """Start a driver."""
        self.driver = self._start("lsbatch", "run", str(self.path), away=away, **more)
        return self.driver

    def work(self, *, away: bool) -> int:
        """Start a worker with its nanny; the number of the nanny."""
        words = ["--nthreads", "1", "--memory-limit", "2GB", "--local-directory", str(self.folder / "dask")]
        where = self.host.there if away else self.host.here
        return self._start("worker", self.address, *words, "--host", where, away=away)

    def _start(self, program: str, *words: str, away: bool = False, **more: object) -> int:
        if program != "lsbatch":
            # as docs/failures.md tells who starts them
            words = (*words, "--no-dashboard")
            more["environment"] = network.variables(self.config.cluster)
        if away:
            more["host"] = self.host.name
        pid = self.home.start(program, self._log(program, away=away), *words, **more)
        self.started.append(pid)
        return pid

    def _log(self, program: str, *, away: bool) -> Path:
        return self.folder / f"{program}{'-away' if away else ''}.log"

    def until(self, true: Callable[[], object], seconds: float = SOON_S) -> None:
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)

    def done(self) -> int:
        """Number of receipts."""
        return sum(1 for _ in (self.config.output / "receipts").glob("*/[!.]*.json"))

    def computed_by(self, nanny: int) -> int:
        """Number of tiles whose receipt is of a worker of this nanny."""
        names = {str(pid) for pid in arena.of_session(nanny)}
        folder = self.config.output / "receipts"
        found = [receipts.read_stage(folder, step.name) for step in folder.iterdir()] if folder.is_dir() else []
        return sum(one.worker.rpartition(":")[2] in names for stage in found for one in stage.values())

    def said(self, *, away: bool = False) -> str:
        """What the driver has said."""
        log = self._log("lsbatch", away=away)
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def log(self) -> str:
        """The last lines of everybody."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-5000:]}" for log in logs)

    def ends(self, seconds: float = SOON_S) -> int:
        """Exit code of the driver, which ends soon."""
        end = time.monotonic() + seconds
        while (code := self.home.ended(self.driver)) is None:
            assert time.monotonic() < end, f"the driver still runs after {seconds} s\n{self.log()}"
            time.sleep(0.02)
        return code


@pytest.fixture
def cluster(home: arena.Nursery, tmp_path: Path) -> Iterator[Cluster]:
    with hosts.another() as host:
        made = Cluster(home, host, tmp_path / "c")
        try:
            yield made
        finally:
            for pid in made.started:
                for member in arena.of_session(pid):
                    arena.end(member)


def _is_same(cluster: Cluster) -> None:
    assert "cli/program.py" not in cluster.said() + cluster.said(away=True), "a traceback of the driver"
    assert differences(cluster.config.output, cluster.home.undisturbed.output) == []
    assert lease.holders(cluster.config.output) == []


def _cut(cluster: Cluster, seconds: float) -> None:
    cluster.host.line.is_cut = True
    time.sleep(seconds)
    cluster.host.line.is_cut = False


@pytest.mark.slow(ci=True)
@pytest.mark.parametrize(
    ("loss", "delay_s"), [(0.0, 0.2), (0.2, 0.0)], ids=["200 ms", "a fifth of the packets is lost"]
)
def test_all_workers_are_behind_a_bad_line(cluster: Cluster, loss: float, delay_s: float) -> None:
    line = cluster.host.line
    line.loss, line.delay_s = loss, delay_s
    for _ in range(2):
        cluster.work(away=True)
    cluster.run()
    assert cluster.ends() == 0, cluster.log()
    assert line.packets["carried"] > 500
    assert (line.packets["lost"] > 50) == (loss > 0)
    _is_same(cluster)


@pytest.mark.parametrize(("seconds", "lost_s"), CUTS)
def test_all_workers_are_cut_off_and_go_on(cluster: Cluster, seconds: float, lost_s: float) -> None:
    """Their connections last; Dask's own limit of 30 s would end the workers for good."""
    away = cluster.work(away=True)
    cluster.run(lost_s=lost_s)
    cluster.until(lambda: cluster.computed_by(away))
    _cut(cluster, seconds)
    assert cluster.ends() == 0, cluster.log()
    assert " is given up " not in cluster.said()
    assert cluster.computed_by(away) == TILES
    _is_same(cluster)


@pytest.mark.slow(ci=True)
def test_the_tiles_of_a_worker_that_is_cut_off_are_done_by_others(cluster: Cluster) -> None:
    away = cluster.work(away=True)
    cluster.run()
    cluster.until(lambda: cluster.computed_by(away))
    cluster.host.line.is_cut = True
    here = cluster.work(away=False)
    cluster.until(lambda: " is given up and restarted: it has been silent since " in cluster.said())
    cluster.until(lambda: cluster.computed_by(here))
    # it may still write what it has computed meanwhile
    cluster.host.line.is_cut = False
    assert cluster.ends() == 0, cluster.log()
    assert " has been silent since " in cluster.said()
    _is_same(cluster)


@pytest.mark.slow
def test_a_run_whose_workers_are_gone_says_so_and_goes_on_with_others(cluster: Cluster) -> None:
    away = cluster.work(away=True)
    cluster.run()
    cluster.until(lambda: cluster.computed_by(away))
    cluster.host.line.is_cut = True
    cluster.until(lambda: "no worker is connected; the run continues when one is" in cluster.said())
    # with its line, it hears that it was given up, and ends
    cluster.host.line.is_cut = False
    cluster.until(lambda: cluster.home.ended(away) is not None)
    cluster.work(away=False)
    assert cluster.ends() == 0, cluster.log()
    _is_same(cluster)


@pytest.mark.parametrize(("seconds", "lost_s"), CUTS)
def test_the_driver_is_cut_off_and_goes_on(cluster: Cluster, seconds: float, lost_s: float) -> None:
    here = cluster.work(away=False)
    cluster.run(away=True, lost_s=lost_s)
    cluster.until(lambda: cluster.computed_by(here))
    _cut(cluster, seconds)
    assert cluster.ends() == 0, cluster.log()
    _is_same(cluster)


@pytest.mark.slow
def test_a_driver_that_stays_cut_off_ends_with_a_sentence(cluster: Cluster) -> None:
    here = cluster.work(away=False)
    cluster.run(away=True)
    cluster.until(lambda: cluster.computed_by(here))
    cluster.host.line.is_cut = True
    assert cluster.ends() == 2, cluster.log()
    last = cluster.said(away=True).splitlines()[-1]
    assert last.startswith(f"lsbatch: the Dask scheduler at {cluster.address} has not answered since ")
    assert last.endswith("then run the same command again to continue")
    cluster.host.line.is_cut = False
    cluster.run()
    assert cluster.ends() == 0, cluster.log()
    _is_same(cluster)


@pytest.mark.slow
@pytest.mark.timeout(1.2 * STORAGE_S)
@pytest.mark.parametrize(
    ("loss", "delay_s"), [(0.0, 0.1), (0.05, 0.0)], ids=["100 ms", "a twentieth of the packets is lost"]
)
def test_object_storage_is_behind_a_bad_line(home: arena.Nursery, tmp_path: Path, loss: float, delay_s: float) -> None:
    """A whole survey into a bucket, whose server is this host; the driver is on the other one."""
    before = home.undisturbed
    config = before.model_copy(update={"cluster": settings.ClusterSettings(kind="serial", wait_s=0.1)})
    path, log = tmp_path / "config.yaml", tmp_path / "lsbatch.log"
    with hosts.another() as host, servers.s3(address=host.here) as bucket:
        path.write_text(to_yaml(config).replace(str(before.output), f"s3://{bucket.name}/s"), encoding="utf-8")
        host.line.loss, host.line.delay_s = loss, delay_s
        driver = home.start("lsbatch", log, "run", str(path), host=host.name, environment=bucket.environment)
        assert home.wait(driver, STORAGE_S) == 0, log.read_text(encoding="utf-8")[-5000:]
        assert host.line.packets["carried"] > 500
        assert (host.line.packets["lost"] > 50) == (loss > 0)
        found, expected = in_bucket(bucket, "s"), on_disk(open_survey(before))
    assert "cli/program.py" not in log.read_text(encoding="utf-8"), "a traceback of the driver"
    assert {name for name in expected if found.get(name) != expected[name]} == set()
    assert found.keys() == expected.keys()
