"""SIGSTOP: a process that stands still and is not dead. Dask itself notices it after five minutes or never."""

import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsbatch.storage import lease
from tests.chaos import arena
from tests.chaos.comparison import differences

SEED = int(os.environ.get("LSBATCH_CHAOS_SEED", "20200630"))
MINUTES = float(os.environ.get("LSBATCH_CHAOS_MINUTES", "20"))
#: Of a machine on which other tests run, too. The nursery's bound for a silent worker is 8 s.
SOON_S = 90.0


@pytest.fixture
def cast(home: arena.Nursery, tmp_path: Path) -> Iterator[arena.Cast]:
    found = arena.Cast.of(home, "address", tmp_path / "c")
    yield found
    found.dismiss()


def _until(cast: arena.Cast, true: Callable[[], object]) -> None:
    end = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end, cast.log()
        time.sleep(0.01)


def _said(cast: arena.Cast) -> str:
    return (cast.path.parent / "lsbatch.log").read_text()


def _stop_for_ever(cast: arena.Cast, role: str) -> int:
    """Stop one process of a role in the first stage."""
    cast.muster()
    _until(cast, lambda: cast.receipts() and cast._choose(role, random.Random(SEED)))
    pid = cast._choose(role, random.Random(SEED))
    os.kill(pid, signal.SIGSTOP)
    cast.stopped[pid] = math.inf
    return pid


@pytest.mark.slow(ci=True)
@pytest.mark.parametrize("kind", ["address", "local"])
def test_the_tiles_of_a_worker_that_is_stopped_are_done_by_others(
    home: arena.Nursery, tmp_path: Path, kind: str
) -> None:
    cast = arena.Cast.of(home, kind, tmp_path / "c")
    try:
        pid = _stop_for_ever(cast, "worker")
        code = home.wait(cast.driver, SOON_S)
        assert code == 0, cast.log()
        said = _said(cast)
        assert "has been silent since " in said
        assert " is given up and restarted: it has been silent since " in said
        assert not arena.alive(pid), "its nanny has not ended it"
    finally:
        cast.dismiss()
    assert differences(cast.config.output, home.undisturbed.output) == []


@pytest.mark.slow(ci=True)
def test_a_worker_and_its_nanny_are_stopped(cast: arena.Cast) -> None:
    worker = _stop_for_ever(cast, "worker")
    nanny = next(pid for pid in cast.nannies if worker in arena.children(pid))
    os.kill(nanny, signal.SIGSTOP)
    cast.stopped[nanny] = math.inf
    assert cast.home.wait(cast.driver, SOON_S) == 0, cast.log()
    # the late answer of the first: it goes on when all is done
    assert " is given up and restarted: it has been silent since " in _said(cast)
    for pid in (worker, nanny):
        os.kill(pid, signal.SIGCONT)
    time.sleep(2)
    assert differences(cast.config.output, cast.home.undisturbed.output) == []


@pytest.mark.slow(ci=True)
def test_a_scheduler_that_is_stopped_ends_the_driver_with_a_sentence(cast: arena.Cast) -> None:
    scheduler = _stop_for_ever(cast, "scheduler")
    assert cast.home.wait(cast.driver, SOON_S) == 2, cast.log()
    last = _said(cast).splitlines()[-1]
    assert last.startswith(f"lsbatch: the Dask scheduler at {cast.config.cluster.address} has not answered since ")
    assert last.endswith(
        "; finished tiles are kept: end it, start it again, then run the same command again to continue"
    )
    assert lease.holders(cast.config.output) == []
    arena.end(scheduler)
    # the workers leave, because their scheduler is gone
    cast.replaced += [cast.driver, scheduler, *cast.nannies]
    cast.driver, cast.scheduler, cast.nannies = 0, None, []
    cast.muster()
    assert cast.home.wait(cast.driver, 2 * SOON_S) == 0, cast.log()
    assert differences(cast.config.output, cast.home.undisturbed.output) == []


@pytest.mark.slow(ci=True)
def test_a_driver_that_is_stopped_loses_the_survey_to_a_second_run(cast: arena.Cast) -> None:
    first = _stop_for_ever(cast, "driver")
    until = time.monotonic() + 2 * SOON_S
    code: int | None = 2
    while code == 2:
        # refused until the lease has run out: a minute, in the nursery 20 s
        assert time.monotonic() < until, cast.log()
        log = cast.path.parent / "second.log"
        log.unlink(missing_ok=True)
        second = cast.home.start("lsbatch", log, "run", str(cast.path))
        code = cast.home.wait(second, SOON_S)
        if code == 2:
            assert "is being written by another run" in log.read_text(), log.read_text()
            time.sleep(1)
    assert code == 0, cast.log()
    # it goes on, and finds that it has lost the survey
    os.kill(first, signal.SIGCONT)
    assert cast.home.wait(first, SOON_S) != 0, cast.log()
    assert differences(cast.config.output, cast.home.undisturbed.output) == []


# the tests above stop each role once, and tests/chaos/test_kills.py has a quick siege
@pytest.mark.slow
def test_a_few_stops_leave_no_trace(home: arena.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toll = arena.siege(home, tmp_path, seed=SEED, kills=0, stops=3, minutes=6, each=3)
    with capsys.disabled():
        print(f"\nseed {SEED}: {toll}")
    assert toll.stops.total() >= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_and_stops_leave_no_trace(
    home: arena.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toll = arena.siege(home, tmp_path, seed=SEED, kills=60, stops=40, minutes=MINUTES)
    with capsys.disabled():
        print(f"\nseed {SEED}: {toll}")
    assert toll.total >= 60
    assert toll.stops.total() >= 40
