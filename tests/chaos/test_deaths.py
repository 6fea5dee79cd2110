"""Deaths that a person hears of.

A scheduler's, with which everything that it knew is gone, and workers' that one tile kills one after another.
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from distributed.comm import CommClosedError

from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.engine import distribute
from lsbatch.engine.schedule import Schedule
from lsbatch.engine.tile_task import Task
from lsbatch.engine.todo import step_named
from lsbatch.errors import LsbatchError
from lsbatch.settings import ClusterSettings
from lsbatch.storage import lease
from tests.chaos import arena
from tests.chaos.comparison import differences

#: Of a machine on which other tests run, too; alone it takes less than one.
SOON_S = 20.0


@pytest.fixture
def cast(home: arena.Nursery, tmp_path: Path):  # type: ignore[no-untyped-def]
    found = arena.Cast.of(home, "address", tmp_path / "c")
    yield found
    found.dismiss()


def _until_a_tile_is_done(cast: arena.Cast) -> None:
    cast.muster()
    until = time.monotonic() + 120
    while not list((cast.config.output / "receipts" / "stack").glob("*.json")):
        assert cast.home.ended(cast.driver) is None, cast.log()
        assert time.monotonic() < until, cast.log()
        time.sleep(0.01)


@pytest.mark.slow(ci=True)
def test_the_driver_says_at_once_how_to_go_on(cast: arena.Cast) -> None:
    _until_a_tile_is_done(cast)
    assert cast.scheduler
    arena.end(cast.scheduler)
    began = time.monotonic()
    code = cast.home.wait(cast.driver, SOON_S)
    print(f"the driver ended {time.monotonic() - began:.1f} s after its scheduler")
    said = (cast.path.parent / "lsbatch.log").read_text()
    assert code == 2, said
    assert said.splitlines()[-1] == (
        f"lsbatch: the Dask scheduler at {cast.config.cluster.address} stopped during stack; "
        "finished tiles are kept: run the same command again to continue"
    )
    assert "Traceback" not in said
    assert lease.holders(cast.config.output) == []
    # the workers leave, too, so that nobody writes for a run that has ended
    until = time.monotonic() + SOON_S
    while left := [pid for nanny in cast.nannies for pid in arena.of_session(nanny)]:
        assert time.monotonic() < until, f"left over: {left}\n{cast.log()}"
        time.sleep(0.05)
    assert arena.of_session(cast.driver) == arena.of_session(cast.scheduler) == []

    cast.driver, cast.scheduler, cast.nannies = 0, None, []
    cast.muster()
    assert cast.home.wait(cast.driver, 240) == 0, cast.log()
    assert differences(cast.config.output, cast.home.undisturbed.output) == []


@pytest.mark.slow(ci=True)
def test_workers_that_die_as_they_are_started(home: arena.Nursery) -> None:
    survey = open_survey(home.undisturbed)

    def crew(resources: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    stage = replace(step_named("stack"), version=-1)
    tiles = distribute.run_tiles(survey, Schedule(survey, (stage,)), crew)  # type: ignore[arg-type]
    with pytest.raises(
        LsbatchError, match=r"no workers could be started for stack .Nanny failed to start.*run the same command again"
    ):
        next(tiles)


@pytest.mark.slow(ci=True)
def test_it_dies_between_the_news_and_the_answer(home: arena.Nursery) -> None:
    """Met by chance in one of ten runs of the test above."""

    class Told:
        status = "finished"

        def result(self, timeout: float) -> None:
            raise CommClosedError("in <TCP (closed) ConnectionPool.gather>: Stream is closed")

    config = home.undisturbed.model_copy(
        update={"cluster": ClusterSettings(kind="address", address="tcp://127.0.0.1:8786")}
    )
    survey = Survey(config, open_survey(home.undisturbed).grid, ())
    schedule = Schedule(survey, (step_named("stack"),))  # type: ignore[arg-type]
    workers = distribute._Workers(survey, schedule, lambda resources: None, print, clients={(): None})  # type: ignore[dict-item]
    with pytest.raises(
        LsbatchError, match=r"scheduler at tcp://127.0.0.1:8786 stopped during stack; finished tiles are kept"
    ):
        workers._receipt(Told(), Task("stack", (0, 0), "digest"))  # type: ignore[arg-type]


@pytest.mark.slow
def test_no_scheduler_at_all(cast: arena.Cast) -> None:
    cast.driver = cast.home.start("lsbatch", cast.path.parent / "lsbatch.log", "run", str(cast.path))
    assert cast.home.wait(cast.driver, 60) == 2
    said = (cast.path.parent / "lsbatch.log").read_text().splitlines()[-1]
    assert said.startswith(
        f"lsbatch: cluster.address = '{cast.config.cluster.address}': no Dask scheduler answers at this address"
    )


@pytest.mark.slow
def test_tiles_that_take_their_workers_with_them(home: arena.Nursery, tmp_path: Path) -> None:
    cast = arena.Cast.of(home, "address", tmp_path / "c", attempts=1)
    cast.muster()
    log, said = cast.path.parent / "lsbatch.log", ""
    until = time.monotonic() + 240
    while "failed stack" not in said:
        assert time.monotonic() < until, cast.log()
        time.sleep(0.02)
        said = log.read_text()
        cast.muster()
        cast.look()
        for worker in [pid for nanny in cast.nannies for pid in arena.children(nanny)]:
            # long enough to have begun with a tile, too short to end it
            if cast.cpu_s.get(worker, 0.0) > 0.45:
                arena.end(worker)
    until = time.monotonic() + 120
    while (code := home.ended(cast.driver)) is None:
        assert time.monotonic() < until, cast.log()
        cast.muster()
        time.sleep(0.05)
    assert code == 1, cast.log()
    said = log.read_text()
    assert (
        "the worker was killed, usually for lack of memory (4 workers); raise the memory limit of the workers "
        "(chart: workers.resources) or lower grid.tile_px" in " ".join(said.split())
    )
    assert "Traceback" not in said
    retry = home.start("lsbatch", cast.path.parent / "retry.log", "retry", "--all", str(cast.path))
    assert home.wait(retry, 60) == 0
    cast.driver = 0
    cast.muster()
    assert home.wait(cast.driver, 240) == 0, cast.log()
    cast.dismiss()
    assert differences(cast.config.output, home.undisturbed.output) == []
