"""Run time for many tiles and many workers.

Efficiency, the scheduler's own share, the driver's memory, receipts, placement.

    python -m benchmarks.scaling [--tiles 10000 50000] [--receipts 50000] [--size 2048x2048]

Nothing here is asserted; `tests/benchmarks/test_scaling.py` runs it small and asserts what must hold on any machine.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import dask.config
import psutil
from distributed import Client, LocalCluster, get_worker

from lsbatch import settings, synthetic
from lsbatch.catalog import plan, planning, survey_variants
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands.bench import measurement
from lsbatch.engine import distribute, execution, todo
from lsbatch.engine.cluster import network
from lsbatch.engine.schedule import Schedule
from lsbatch.engine.tile_task import Task, make_receipt
from lsbatch.grid import Grid, tile_id
from lsbatch.pipeline.types import Stage
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt


@contextmanager
def workers(count: int, gpus: int = 0) -> Iterator[Client]:
    """Processes with one thread each, on loopback; the first `gpus` of them say that they have a GPU.

    As `lsbatch run` starts them: without NUMBA_NUM_THREADS one worker alone uses all cores, and two look useless.
    """
    own = network.worker_config(settings.example().cluster.model_copy(update={"threads": 1}))
    options: dict[str, Any] = {
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": 40,
    }
    with dask.config.set(own), LocalCluster(n_workers=count - gpus, **options) as cluster:
        if gpus:
            spec = next(iter(cluster.worker_spec.values()))
            for i in range(gpus):
                tagged = {**spec["options"], "resources": {"GPU": 1}}
                cluster.worker_spec[f"gpu-{i}"] = {**spec, "options": tagged}
            cluster.sync(cluster._correct_state)
        with Client(cluster) as client:
            client.wait_for_workers(count)
            yield client


def nothing(config: settings.Config, grid: Grid, task: Task) -> Receipt:
    """Stand-in for `tile_task.commit`: a tile that takes no time. Says where it was done."""
    del config, grid
    return make_receipt(task, time.perf_counter(), tally={"worker": get_worker().address})


def blank(rows: int, cols: int, folder: Path) -> Survey:
    """A survey of so many tiles, of which nothing exists but the packaged weights."""
    example = settings.example()
    model = example.model.model_copy(update={"weights": "package:unet-s1vv_s2"})
    config = example.model_copy(update={"output": folder, "model": model})
    side = config.grid.tile_px
    grid = Grid("EPSG:25833", 10.0, side, (0.0, 0.0, cols * side * 10.0, rows * side * 10.0))
    return Survey(config, grid, tuple((row, col) for row in range(rows) for col in range(cols)))


@dataclass
class Memory:
    """Most resident memory of this process while it is watched, in MB."""

    before: float = 0.0
    peak: float = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look ten times a second."""
        me, stop = psutil.Process(), threading.Event()
        self.before = self.peak = me.memory_info().rss / 2**20

        def look() -> None:
            while not stop.wait(0.1):
                self.peak = max(self.peak, me.memory_info().rss / 2**20)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()


def overhead(client: Client, tiles: int, folder: Path) -> dict[str, float]:
    """Seconds and the driver's memory for so many tiles that do nothing, by the path that real tiles take."""
    survey = blank(-(-tiles // 100), 100, folder)
    stage = todo.step_named("stack")
    assert isinstance(stage, Stage)
    survey = Survey(survey.config, survey.grid, survey.positions[:tiles])
    real, distribute.commit = distribute.commit, nothing  # type: ignore[assignment]
    memory, began = Memory(), time.perf_counter()
    try:
        with memory.watched():
            done = sum(bool(one) for one in distribute.run_tiles(survey, _alone(survey, stage), lambda _: client))
    finally:
        distribute.commit = real
    seconds = time.perf_counter() - began
    return {
        "tiles": done,
        "seconds": seconds,
        "ms_a_tile": 1000 * seconds / tiles,
        "driver_mb_more": memory.peak - memory.before,
    }


def _alone(survey: Survey, stage: Stage) -> Schedule:
    """Return the tasks of a stage as if it read nothing."""
    return Schedule(survey, (replace(stage, after=(), scenes=lambda config, tile: None),))


def placement(client: Client, tiles: int, folder: Path) -> tuple[int, int]:
    """How many of so many predictions, by the path that real ones take, were done by workers with a GPU; and all."""
    survey = blank(1, tiles, folder)
    config = survey.config.model_copy(update={"predict": survey.config.predict.model_copy(update={"device": "cuda"})})
    survey = Survey(config, survey.grid, survey.positions)
    stage = todo.step_named("predict")
    assert isinstance(stage, Stage)
    real, distribute.commit = distribute.commit, nothing  # type: ignore[assignment]
    try:
        where = Counter(
            one.tally["worker"] for one in distribute.run_tiles(survey, _alone(survey, stage), lambda resources: client)
        )
    finally:
        distribute.commit = real
    tagged = {
        address
        for address, info in client.scheduler_info(n_workers=-1)["workers"].items()
        if info["resources"].get("GPU")
    }
    assert tagged
    assert len(tagged) < len(client.scheduler_info(n_workers=-1)["workers"])
    return sum(count for address, count in where.items() if address in tagged), sum(where.values())


def listing(count: int, folder: Path) -> dict[str, float]:
    """Seconds to find out what is pending, with so many receipts of one stage on disk."""
    survey = blank(-(-count // 100), 100, folder)
    for name in ("predict", "clean"):
        for row, col in survey.positions[:count]:
            receipt = make_receipt(Task(name, (row, col), "0" * 16), time.perf_counter(), pixels=survey.grid.tile_px**2)
            path = receipts.path(survey.workspace.receipts, name, tile_id(row, col))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(receipt.to_dict()), encoding="utf-8")
    began = time.perf_counter()
    read = len(receipts.read_stage(survey.workspace.receipts, "predict"))
    middle = time.perf_counter()
    predict, clean = (todo.step_named(name) for name in ("predict", "clean"))
    assert isinstance(predict, Stage)
    assert isinstance(clean, Stage)
    Schedule(survey, (replace(predict, after=()), replace(clean, after=("predict",)))).todo()
    return {"receipts": read, "read_s": middle - began, "pending_s": time.perf_counter() - middle}


def efficiency(survey: Survey, folder: Path, tiles: int = 16, rounds: int = 3) -> dict[str, Any]:
    """Seconds of STACK with one worker on one core and with two on two.

    Each worker has done two tiles before, so kernels are compiled.

    A worker has a core for itself, as on a node that is full. The two take turns, because this machine gets slower and
    faster from minute to minute: each round is a pair, and the middle pair counts.
    """
    pairs = []
    for i in range(rounds):
        took = {}
        for count in (1, 2):
            with _cores(count), workers(count) as client:
                _timed(
                    survey,
                    folder / f"{i}-{count}-warm",
                    measurement.spread(survey.positions, 2 * count),
                    client,
                    "stack",
                )
                took[count] = _timed(
                    survey, folder / f"{i}-{count}", measurement.spread(survey.positions, tiles), client, "stack"
                )
        pairs.append((took[1], took[2]))
    found = [one / two / 2 for one, two in pairs]
    return {"pairs": pairs, "each": found, "efficiency": median(found)}


def growth(survey: Survey, folder: Path) -> dict[int, float]:
    """Return the seconds a tile, from STACK to outlines, in runs of 1/16, 1/4 and all tiles on the same two workers.

    Tiles differ by up to a half in scenes and clouds, so all are done in each kind of run: 64 in one, in four of 16, in
    sixteen of 4. Two quarters come before the one run of all and two after it, so that a machine that gets slower
    favours none. One run of all is not counted: kernels that only some tiles need are compiled in it.
    """
    every = survey.positions
    spent: dict[int, list[float]] = {}
    with workers(2) as client:

        def do(positions: tuple[tuple[int, int], ...], name: str) -> None:
            spent.setdefault(len(positions), []).append(_timed(survey, folder / name, positions, client, "outline"))

        def do_quarter(i: int) -> None:
            do(every[i::4], f"quarter-{i}")
            for j in range(4):
                do(every[i + 4 * j :: 16], f"sixteenth-{i}-{j}")

        _timed(survey, folder / "warm", every, client, "outline")
        do_quarter(0)
        do_quarter(1)
        do(every, "all")
        do_quarter(2)
        do_quarter(3)
    return {tiles: sum(seconds) / len(every) for tiles, seconds in sorted(spent.items())}


def _timed(survey: Survey, folder: Path, positions: tuple[tuple[int, int], ...], client: Client, until: str) -> float:
    """Return the seconds to process some tiles of a survey again, in a separate folder."""
    survey_variants.sample(survey.config.output, folder, positions)
    part = Survey(survey.config.model_copy(update={"output": folder}), survey.grid, positions)
    began = time.perf_counter()
    faults = execution.run(part, lambda resources: client, until=until)
    assert faults == 0
    return time.perf_counter() - began


@contextmanager
def _cores(count: int) -> Iterator[None]:
    """Limit this process and its children to this many cores."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def country_of(folder: Path, size: str, tile_px: int = 256) -> Survey:
    """A synthetic country with its plan."""
    rows, cols = map(int, size.split("x"))
    folder.mkdir()
    config = settings.load(synthetic.simulate(folder, seed=900, rows=rows, cols=cols))
    config = config.model_copy(update={"grid": config.grid.model_copy(update={"tile_px": tile_px})})
    config.output.mkdir(parents=True)
    plan.save(planning.make(config), config.output)
    return open_survey(config)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tiles", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--receipts", type=int, default=50_000)
    parser.add_argument("--size", default="2048x2048", help="of the synthetic country, ROWSxCOLS")
    asked = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="lsbatch-scaling-") as name:
        folder = Path(name)
        with workers(2) as client:
            for tiles in asked.tiles:
                found = overhead(client, tiles, folder)
                print(
                    (
                        "{tiles:,} tiles that do nothing: {seconds:.1f} s, {ms_a_tile:.2f} ms a tile, driver "
                        "{driver_mb_more:.0f} MB more"
                    ).format(**found)
                )
        with workers(2, gpus=1) as client:
            here, every = placement(client, 500, folder)
            print(f"predictions on the worker with a GPU: {here} of {every}")
        print(
            "{receipts:,} receipts: read in {read_s:.1f} s; what is pending after them in {pending_s:.1f} s".format(
                **listing(asked.receipts, folder / "many")
            )
        )
        survey = country_of(folder / "country", asked.size)
        result = efficiency(survey, folder / "runs")
        pairs = ", ".join(
            f"{one:.1f} and {two:.1f} s ({each:.2f})"
            for (one, two), each in zip(result["pairs"], result["each"], strict=True)
        )
        print(
            f"STACK of 16 tiles with 1 worker on 1 core and with 2 on 2: {pairs}; efficiency of the middle pair "
            f"{result['efficiency']:.2f}"
        )
        paces = growth(survey, folder / "growth")
        print(
            "from STACK to outlines, seconds a tile: "
            + ", ".join(f"{seconds:.3f} for {count} tiles" for count, seconds in paces.items())
        )


if __name__ == "__main__":
    main()
