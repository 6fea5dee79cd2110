"""Time real tiles in every stage, with the workers of the settings."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.catalog import plan, planning, survey_variants
from lsbatch.catalog.survey import Position, Survey, open_survey
from lsbatch.commands import run
from lsbatch.commands.bench import machine, machine_monitor, memory_limits
from lsbatch.commands.run import Screen
from lsbatch.engine import cluster, execution
from lsbatch.engine.distribute import ClientFor
from lsbatch.engine.tile_task import peak_mb
from lsbatch.engine.todo import steps
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.models import base, families, throughput
from lsbatch.pipeline.types import Reduction, Stage
from lsbatch.settings import Config
from lsbatch.storage import files, lease, symlinks
from lsbatch.storage.addresses import without_secrets
from lsbatch.storage.receipts import Receipt

#: Version of the saved file; results of different versions cannot be compared.
FORMAT = 3
#: Default number of tiles for each worker; the first tile of each worker includes compilation and loading.
TILES_A_WORKER = 3
#: Runs of a reduction for half of the tiles and for all; the fastest counts. With one run each, the report of 12 and 24
#: tiles of 256 px took 2.03 and 2.01 s once, and 2.09 and 2.96 s the next time.
REPEATS = 3


def _run(survey: Survey, client_for: ClientFor, screen: Screen) -> tuple[int, dict[str, list[Receipt]]]:
    """Run the tiles as a run does, and the reductions; return the number of failures and the receipts of each step.

    In order of arrival. Stage after stage, each would find its code and its inputs in the caches of the processor: of
    1,000 tiles the outlines took 0.10 s each like that, and 0.23 s in the run.
    """
    found: dict[str, list[Receipt]] = defaultdict(list)

    def done(receipt: Receipt) -> None:
        found[receipt.stage].append(receipt)
        screen.done(receipt)

    progress = execution.Progress(screen.begins, done, screen.ends, screen.text)
    return execution.run(survey, client_for, progress=progress), found


def measure(config: Config, screen: Screen, tiles: int | None) -> dict[str, Any]:
    """Plan if needed, run some tiles in a temporary folder, and return the measurements.

    Raises
    ------
    LsbatchError
        If a tile failed.
    """
    root = config.output / "bench"
    symlinks.refuse(config.output)
    with cluster.joined(config) as driver, lease.acquire(root):
        run.planned(config, screen)
        survey = open_survey(config)
        with _scratch(root / "run", config) as inner:
            with cluster.connect(inner, driver, screen.text) as client_for, machine_monitor.watching() as watched:
                positions = spread(survey.positions, tiles or TILES_A_WORKER * _started(client_for))
                survey_variants.sample(config.output, inner.output, positions)
                part = Survey(inner, survey.grid, positions)
                faults, made = _run(part, client_for, screen)
            folds = [] if faults else _folds(part, len(survey.positions))
        if faults:
            bad = next(one for group in made.values() for one in group if not one)
            raise LsbatchError(f"bench: {bad.stage} {bad.tile} failed, so there is no result: {bad.error}")
    return _result(config, survey, positions, made) | {"folds": folds, "watched": watched.as_dict()}


def spread(positions: Sequence[Position], count: int) -> tuple[Position, ...]:
    """Return this many tiles, evenly distributed over the survey in row order."""
    count = min(count, len(positions))
    return tuple(positions[int((i + 0.5) * len(positions) / count)] for i in range(count))


@contextmanager
def _scratch(folder: Path, config: Config) -> Iterator[Config]:
    """Return settings of a survey in a temporary folder on the same storage, with the same weights."""
    weights = config.model.weights or str(base.default_path(config))
    base.check(base.card(base.resolve(config)), config)
    # left by a bench that was killed
    files.remove_folder(folder)
    try:
        yield config.model_copy(
            update={"output": folder, "model": config.model.model_copy(update={"weights": weights})}
        )
    finally:
        files.remove_folder(folder)


def _folds(survey: Survey, all_tiles: int) -> list[dict[str, Any]]:
    """Return the seconds of each reduction for half of the tiles and for all, after one run that is not counted."""
    half = Survey(survey.config, survey.grid, survey.positions[: len(survey.positions) // 2])
    found = []
    for step in steps(survey.config):
        if isinstance(step, Reduction):
            half_s, seconds = (_seconds(step, each, all_tiles) if each.positions else 0.0 for each in (half, survey))
            found.append(
                {
                    "step": step.name,
                    "half_tiles": len(half.positions),
                    "half_s": half_s,
                    "seconds": seconds,
                    "peak_mb": round(peak_mb(), 1),
                }
            )
    return found


def _seconds(reduction: Reduction, survey: Survey, all_tiles: int) -> float:
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        if reduction.of_sample:
            reduction.of_sample(survey, survey.config, len(survey.positions) / all_tiles)
        else:
            reduction.apply(survey, survey.config)
        found.append(time.perf_counter() - began)
    return min(found)


def _started(client_for: ClientFor) -> int:
    """Start the workers before the measurement; return their number."""
    client = client_for({})
    if client is None:
        return 1
    client.wait_for_workers(1)
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _result(
    config: Config, survey: Survey, positions: Sequence[Position], made: Mapping[str, Sequence[Receipt]]
) -> dict[str, Any]:
    copy = memory_limits.copy_bytes_s()
    stages = []
    for step in steps(config):
        if isinstance(step, Stage):
            moved = memory_limits.moved_bytes(config, step, _scenes_mb(config, positions))
            stages.append(summary(step.name, made[step.name], config.cluster.threads, moved / copy))
    weights = base.resolve(config)
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.about(),
        "settings": json.loads(without_secrets(config.model_dump_json())),
        # the workers that have started: SLURM jobs may still be pending
        "workers": max(len({receipt.worker for receipt in group}) for group in made.values()),
        "threads": config.cluster.threads,
        "survey_tiles": len(survey.positions),
        "tile_m": survey.grid.tile_px * survey.grid.resolution_m,
        "tiles": len(positions),
        "measured": [tile_id(*position) for position in positions],
        "copy_gb_s": copy / 1e9,
        "stages": stages,
        "network": throughput.of(weights, config.predict, config.cluster.threads)
        if families.of(config).is_unet
        else None,
    }


def _scenes_mb(config: Config, positions: Sequence[Position]) -> float:
    """Return the mean megabytes of a tile's scenes before compression."""
    return float(
        np.mean(
            [planning.megabytes(plan.tile_scenes(config.output, tile_id(*position)), config) for position in positions]
        )
    )


def summary(name: str, receipts: Sequence[Receipt], threads: int, limit_s: float) -> dict[str, Any]:
    """Return the figures of a stage from its receipts, in order of arrival.

    The first tile of each worker, which includes compilation and loading of weights, is reported as `first_s` if
    other tiles are left. `mpx_s` is a later tile over its seconds, times the number of workers; `mpx_s_core` is that of
    one worker over its cores. `limit_share` is the time of copying once in memory what must be read and written,
    relative to those seconds.
    """
    seen: set[str] = set()
    first: list[Any] = []
    later: list[Any] = []
    for receipt in receipts:
        (later if receipt.worker in seen else first).append(receipt)
        seen.add(receipt.worker)
    counted = later or first
    seconds = np.array([receipt.seconds for receipt in counted])
    pixels = np.mean([receipt.pixels for receipt in counted])
    return {
        "stage": name,
        "tiles": len(receipts),
        "counted": len(counted),
        "first_s": max(receipt.seconds for receipt in first),
        "p50_s": float(np.median(seconds)),
        "p95_s": float(np.percentile(seconds, 95)),
        "mean_s": float(seconds.mean()),
        "cpu_s": float(np.mean([receipt.cpu_s for receipt in counted])),
        "mpx_s": float(len(seen) * pixels / seconds.mean() / 1e6),
        "mpx_s_core": float(pixels / seconds.mean() / threads / 1e6),
        "read_mb": float(np.mean([receipt.read_mb for receipt in counted])),
        "written_mb": float(np.mean([receipt.written_mb for receipt in counted])),
        "peak_mb": max(receipt.peak_mb for receipt in receipts),
        "limit_share": float(limit_s / seconds.mean()),
    }
