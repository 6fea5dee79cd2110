"""Chart of the time of a tile by stage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib.figure import Figure

from lsbatch.storage.files import aside

WAITING, COMPUTING = "#c6dbef", "#2171b5"


def draw(measured: Mapping[str, Any], path: Path) -> None:
    """Draw one bar a stage as PNG: seconds of a tile, the dark part is computing time of its cores."""
    rows = list(reversed(measured["stages"]))
    whole = sum(row["mean_s"] for row in rows)
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    # several cores can compute more seconds than the tile takes: the dark part is at most the whole bar
    dark = [min(row["mean_s"], row["cpu_s"] / measured["threads"]) for row in rows]
    axes.barh(places, [row["mean_s"] for row in rows], color=WAITING, label="reading, writing, waiting")
    axes.barh(places, dark, color=COMPUTING, label="computing")
    for place, row in zip(places, rows, strict=True):
        axes.annotate(
            f"{row['mean_s']:.2f} s, {row['mean_s'] / whole:.0%}",
            (row["mean_s"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(places, [row["stage"] for row in rows])
    axes.set_xlabel("seconds a tile, on average")
    axes.margins(x=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    cores = "1 core" if measured["threads"] == 1 else f"{measured['threads']} cores"
    side = measured["settings"]["grid"]["tile_px"]
    axes.set_title(f"{whole:.1f} s a tile of {side} px on {cores} of {measured['machine']['processor']}", fontsize=10)
    with aside(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
