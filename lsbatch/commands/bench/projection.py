"""Project the time of a national run from seconds a tile."""

import math
from collections.abc import Mapping
from typing import Any

from lsbatch.settings import BenchSettings


def projected(
    measured: Mapping[str, Any], tiles: int, workers: int, prices: BenchSettings, *, threads: int, gpu: bool
) -> dict[str, float | None]:
    """Project the time of this many tiles on this many workers.

    Parameters
    ----------
    measured : mapping
        Result of `lsbatch bench`: `stages`, `folds`, `tiles`, `watched`.
    tiles, workers : int
    prices : BenchSettings
    threads : int
        Cores of a worker.
    gpu : bool
        Whether predictions are made on GPUs.

    Returns
    -------
    dict
        `hours` of the tiles, divided among the workers; `more_hours` of the steps that one process then does for all of
        them (see `fold_seconds`). `worker_hours`, `core_hours` and `gpu_hours` of work; `gb_read` from files and
        `gb_network`; `euro`; `kwh`, None if the machine has no energy counters.
    """
    rows = measured["stages"]
    seconds = tiles * sum(row["mean_s"] for row in rows)
    # a worker computes whole tiles: 65 tiles on 64 workers take as long as 128
    rounds = math.ceil(tiles / workers)
    on_gpu = tiles * sum(row["mean_s"] for row in rows if row["stage"] == "predict") if gpu else 0.0
    gb_read = tiles * sum(row["read_mb"] for row in rows) / 1e3
    gb_network = tiles / measured["tiles"] * measured["watched"]["network_mb"] / 1e3
    joules = measured["watched"]["joules"]
    core_hours, gpu_hours = seconds * threads / 3600, on_gpu / 3600
    return {
        "hours": rounds * sum(row["mean_s"] for row in rows) / 3600,
        "more_hours": sum(fold_seconds(row, measured["tiles"], tiles) for row in measured["folds"]) / 3600,
        "worker_hours": seconds / 3600,
        "core_hours": core_hours,
        "gpu_hours": gpu_hours,
        "gb_read": gb_read,
        "gb_network": gb_network,
        "euro": core_hours * prices.euro_core_hour + gpu_hours * prices.euro_gpu_hour + gb_network * prices.euro_gb,
        "kwh": None if joules is None else tiles / measured["tiles"] * joules / 3.6e6,
    }


def fold_seconds(measured: Mapping[str, Any], measured_tiles: int, tiles: int) -> float:
    """Return the seconds of a reduction for this many tiles, on the line through half and all measured tiles.

    If all tiles took no longer than half of them, the line is constant. If the line would start below zero, or half was
    not measured, it starts at zero.
    """
    each = max(0.0, measured["seconds"] - measured["half_s"]) / (measured_tiles - measured["half_tiles"])
    start = measured["seconds"] - each * measured_tiles
    return tiles * measured["seconds"] / measured_tiles if start < 0 else start + tiles * each


def nation_tiles(area_km2: float, side_m: float) -> int:
    """Return the number of tiles of a square country, including the tiles that its border cuts.

    A convex outline of perimeter P meets A / s^2 + 2 P / (pi s) + 1 squares of a lattice of side s on average (Cauchy's
    formula for its widths). A ragged coast meets more: `lsbatch plan` counts them.
    """
    side_km = side_m / 1000
    return math.ceil(area_km2 / side_km**2 + 2 * 4 * math.sqrt(area_km2) / (math.pi * side_km) + 1)
