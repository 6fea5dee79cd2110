"""The command `lsbatch bench`: time real tiles in every stage and project the time of a country."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lsbatch.commands import run as run_command
from lsbatch.commands.bench import comparison, measurement, projection, time_chart
from lsbatch.settings import Config
from lsbatch.storage.files import write_json

HEADS = (
    "stage",
    "tiles",
    "first s",
    "p50 s",
    "p95 s",
    "CPU s",
    "Mpx/s",
    "a core",
    "read MB",
    "written MB",
    "peak MB",
    "of the limit",
)


class Screen(run_command.Screen, Protocol):
    """Output of the command: that of a run, and tables."""

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show rows of text."""


def bench(config: Config, screen: Screen, *, tiles: int | None = None, compare: Path | None = None) -> Path:
    """Measure, print and save; return the written file.

    Raises
    ------
    LsbatchError
        If a tile failed, or `compare` is not a result of this command.
    """
    old = None if compare is None else comparison.read(compare)
    found = measurement.measure(config, screen, tiles)
    found["projection"] = _projections(config, found)
    stem = f"bench-{found['made'].replace(':', '').replace('+0000', 'Z')}"
    path = config.output / "bench" / f"{stem}.json"
    _tell(found, config, screen)
    time_chart.draw(found, path.with_suffix(".png"))
    write_json(path, found)
    screen.text(f"Saved: {path}; picture: {path.with_suffix('.png').name} beside it")
    if old is not None:
        _tell_compared(old, found, screen)
    return path


def _projections(config: Config, found: Mapping[str, Any]) -> dict[str, Any]:
    nation = projection.nation_tiles(config.bench.area_km2, found["tile_m"])
    asked = {"this survey": (found["survey_tiles"], found["workers"]), "the nation": (nation, config.bench.workers)}
    gpu = config.predict.device == "cuda" or (config.predict.device == "auto" and bool(found["machine"]["gpus"]))
    return {
        name: {"tiles": count, "workers": workers}
        | projection.projected(found, count, workers, config.bench, threads=found["threads"], gpu=gpu)
        for name, (count, workers) in asked.items()
    }


def _tell(found: Mapping[str, Any], config: Config, screen: Screen) -> None:
    about = found["machine"]
    gpus = ", ".join(about["gpus"]) or "no GPU"
    screen.text("")
    screen.text(
        (
            f"{about['processor']}, {about['cores']} cores, {about['memory_gb']:g} GB, {gpus}; lsbatch "
            f"{about['lsbatch']} {about['commit'] or ''}"
        ).rstrip()
    )
    screen.text(
        f"{found['tiles']} of {found['survey_tiles']} tiles of {config.grid.tile_px} px on {found['workers']} workers "
        f"of {found['threads']} threads"
    )
    screen.table(HEADS, [_row(row) for row in found["stages"]])
    screen.text(
        "p50, p95, CPU s, Mpx/s a core, MB: without the first tile of each worker. Of the limit: the time of copying "
        f"the tile's bands in memory once, at {found['copy_gb_s']:.1f} GB/s, relative to the tile's time. Read MB: "
        f"from files; network total {found['watched']['network_mb']:,.0f} MB."
    )
    reductions = ", ".join(f"{row['step']} {row['half_s']:.2f} s and {row['seconds']:.2f} s" for row in found["folds"])
    screen.text(f"In one process, for half of these tiles and for all of them: {reductions}")
    for line in _network(found["network"]):
        screen.text(line)
    watched = found["watched"]
    if watched["gpu_busy_share"] is not None:
        screen.text(
            f"GPU: busy {watched['gpu_busy_share']:.0%} of the time, {watched['gpu_memory_mb']:,.0f} MB at most"
        )
    for name, totals in found["projection"].items():
        for line in _lines(name, totals, config):
            screen.text(line)


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    seconds = (f"{row[key]:.2f}" for key in ("first_s", "p50_s", "p95_s", "cpu_s"))
    sizes = (f"{row[key]:,.1f}" for key in ("read_mb", "written_mb"))
    rates = (f"{row['mpx_s']:.3g}", f"{row['mpx_s_core']:.3g}")
    return (
        row["stage"],
        str(row["tiles"]),
        *seconds,
        *rates,
        *sizes,
        f"{row['peak_mb']:,.0f}",
        f"{row['limit_share']:.1%}",
    )


def _network(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    lines = [
        (
            f"U-Net in {name}: {one['mpx_s']:.2f} Mpx/s, {one['gflop_s']:,.0f} GFLOP/s of useful work, "
            f"{one['share']:.0%} of a matrix product at {one['product_gflop_s']:,.0f}"
        )
        for name, one in found.items()
    ]
    short = found["bfloat16"]
    ratio = short["mpx_s"] / found["float32"]["mpx_s"]
    lines.append(
        f"predict.precision bfloat16 would be {ratio:.1f} times as fast and changes probabilities by "
        f"{short['mean_difference']:.1e} on average, {short['largest_difference']:.2f} at most (on noise)"
    )
    return lines


def _lines(name: str, totals: Mapping[str, Any], config: Config) -> list[str]:
    area = f" ({config.bench.area_km2:,.0f} km2, assumed square)" if name == "the nation" else ""
    kwh = (
        "energy: not available on this machine"
        if totals["kwh"] is None
        else f"{totals['kwh']:,.1f} kWh (processors and GPUs)"
    )
    return [
        f"Projected for {name}{area}: {totals['tiles']:,} tiles on {totals['workers']} workers: "
        f"{_time(totals['hours'])}, then {_time(totals['more_hours'])} for the steps of one process",
        f"  {totals['worker_hours']:,.1f} worker-hours, {totals['core_hours']:,.1f} core-hours, "
        f"{totals['gpu_hours']:,.1f} GPU-hours; {totals['gb_read']:,.0f} GB read from files, "
        f"{totals['gb_network']:,.0f} GB over the network; "
        f"{totals['euro']:,.2f} euro at the prices of the settings; {kwh}",
    ]


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _tell_compared(old: Mapping[str, Any], new: Mapping[str, Any], screen: Screen) -> None:
    rows = comparison.compared(old, new)
    screen.text("")
    screen.text(f"Against {old['made']}:")
    for line in comparison.differences(old, new):
        screen.text(f"  not the same: {line}")
    shown = [
        (row["stage"], f"{row['then_s']:.2f}", f"{row['now_s']:.2f}", f"{row['ratio']:.2f}", row["word"])
        for row in rows
    ]
    screen.table(("stage", "p50 s then", "now", "ratio", ""), shown)
    slower = [row["stage"] for row in rows if row["word"] == "slower"]
    screen.text(f"Slower: {', '.join(slower)}" if slower else "Nothing got slower.")
