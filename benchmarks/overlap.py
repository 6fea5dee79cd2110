"""Two kinds of workers at once: a CPU worker and a GPU worker, stage after stage and without a barrier.

    python -m benchmarks.overlap [--side 8] [--seconds 0.5] [--picture overlap.png]

STACK and predictions of a square survey run by the path of `lsbatch run`: the schedule, and two Dask clusters as in
SLURM, one worker for tasks of the CPU and one with a GPU resource. The tiles are stand-ins that only wait: both stages
take the same time for a tile, so both halves of the work are equal. A prediction waits for STACK of its eight
neighbours. The staged run does all of STACK before the first prediction, as lsbatch did before. Prints the wall times
and their ratio; the picture shows which worker did what and when. The aim is a ratio of at most 0.75.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from distributed import Client, LocalCluster, get_worker

from benchmarks.scaling import blank
from lsbatch import settings
from lsbatch.catalog.survey import Survey
from lsbatch.engine import distribute
from lsbatch.engine.schedule import Schedule
from lsbatch.engine.tile_task import Task, make_receipt
from lsbatch.engine.todo import step_named
from lsbatch.grid import Grid
from lsbatch.pipeline.types import Stage
from lsbatch.storage.receipts import Receipt

COLOURS = {"stack": "#0072b2", "predict": "#d55e00"}
#: Row of the picture.
ROWS = {"cpu": 1, "gpu": 0}


@dataclass(frozen=True)
class Bar:
    """Work of one worker on one tile, in seconds since the start of the run."""

    worker: str
    stage: str
    began_s: float
    ended_s: float


class _Wait:
    """Stand-in for `tile_task.commit` that takes a fixed time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, config: settings.Config, grid: Grid, task: Task) -> Receipt:
        began = time.time()
        time.sleep(self.seconds)
        tally = {"worker": get_worker().name, "began": began, "ended": time.time()}
        return make_receipt(task, time.perf_counter(), tally=tally)


def stages() -> tuple[Stage, Stage]:
    """Return STACK without scenes, and predictions that read its halo."""
    stack, predict = step_named("stack"), step_named("predict")
    assert isinstance(stack, Stage)
    assert isinstance(predict, Stage)
    return replace(stack, scenes=lambda config, tile: None), replace(predict, after=("stack",))


def timed(survey: Survey, runs: tuple[tuple[Stage, ...], ...], clients: Mapping[str, Client]) -> list[Bar]:
    """Run groups of stages one after another; return what each worker did."""
    began, bars = time.time(), []
    for group in runs:
        for receipt in distribute.run_tiles(
            survey, Schedule(survey, group), lambda resources: clients["gpu" if resources.get("GPU") else "cpu"]
        ):
            found = receipt.tally
            bars.append(Bar(found["worker"], receipt.stage, found["began"] - began, found["ended"] - began))
    return bars


def compare(side: int, seconds: float, folder: Path) -> dict[str, list[Bar]]:
    """Return what each worker did in the staged run and in the one without a barrier."""
    survey = blank(side, side, folder)
    config = survey.config.model_copy(update={"predict": survey.config.predict.model_copy(update={"device": "cuda"})})
    survey = Survey(config, survey.grid, survey.positions)
    logging.getLogger("distributed").setLevel(logging.ERROR)
    stack, predict = stages()
    real, distribute.commit = distribute.commit, _Wait(seconds)  # type: ignore[assignment]
    try:
        with ExitStack() as held:
            clients = {name: held.enter_context(_client(name)) for name in ROWS}
            return {
                "stage after stage": timed(survey, ((stack,), (replace(predict, after=()),)), clients),
                "no barrier": timed(survey, ((stack, predict),), clients),
            }
    finally:
        distribute.commit = real


def _client(name: str) -> Client:
    """Return the client of a cluster with one worker of this name."""
    # a thread is enough for a worker that waits
    cluster = LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR,
    )  # fmt: skip
    spec = cluster.new_worker_spec()
    (each,) = spec.values()
    each["options"] |= {"name": name, "resources": {"GPU": 1} if name == "gpu" else {}}
    cluster.worker_spec[name] = each
    cluster.sync(cluster._correct_state)
    client = Client(cluster)
    client.wait_for_workers(1)
    return client


def wall_s(bars: list[Bar]) -> float:
    """Return the seconds from the start to the end of the last tile."""
    return max(bar.ended_s for bar in bars)


def draw(found: Mapping[str, list[Bar]], path: Path) -> None:
    """Draw one time line a run: a row a worker, coloured by stage."""
    mpl.use("Agg")
    figure, axes = plt.subplots(len(found), sharex=True, figsize=(10, 1.4 * len(found) + 0.8), layout="constrained")
    for ax, (name, bars) in zip(axes, found.items(), strict=True):
        for bar in bars:
            ax.barh(
                ROWS[bar.worker], bar.ended_s - bar.began_s, left=bar.began_s, color=COLOURS[bar.stage],
                edgecolor="white", linewidth=0.4,
            )  # fmt: skip
        ax.set_yticks(list(ROWS.values()), [f"{worker.upper()} worker" for worker in ROWS])
        ax.set_title(f"{name}: {wall_s(bars):.1f} s", loc="left", fontsize=10)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[-1].set_xlabel("seconds")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    axes[0].legend(handles, ["STACK", "prediction"], ncols=2, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8, help="tiles on a side of the survey")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each stage of a tile")
    parser.add_argument("--picture", type=Path, help="PNG file of the time lines")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = compare(arguments.side, arguments.seconds, Path(folder))
    walls = {name: wall_s(bars) for name, bars in found.items()}
    for name, seconds in walls.items():
        print(f"{name}: {seconds:.1f} s")
    print(f"ratio {walls['no barrier'] / walls['stage after stage']:.2f} (aim: at most 0.75)")
    if arguments.picture:
        draw(found, arguments.picture)


if __name__ == "__main__":
    main()
