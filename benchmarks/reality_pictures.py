"""Pictures of `benchmarks.reality`: what was called on each real scene, and recall against false records."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from benchmarks.preprocessing_pictures import Panel, draw
from benchmarks.reality_measures import AIM, Called, Outcome, found_of
from lsbatch.synthetic.planting import Planted

CHANGE = {"cmap": "PuOr", "vmin": -6, "vmax": 6}
#: Not called, called, not observed; and the planted landslides found and missed.
GREY, CALLED, UNSEEN = (0.88, 0.88, 0.88), (0.75, 0.15, 0.15), (0.2, 0.4, 0.75)
FOUND, MISSED = (0.1, 0.55, 0.2), (0.95, 0.65, 0.1)


def outcome(path: Path, of: Outcome) -> None:
    """Draw a column for each patch: change of VV, what was called, and the first draw of planted landslides."""
    plt.switch_backend("agg")
    planted, answers = of.planted[0]
    names = [patch.name for patch in of.case.patches]
    kinds = {patch.name: "sea" if patch.sea else "land" for patch in of.case.patches}
    kinds |= dict.fromkeys(of.method.learned, "land, trained on")
    panels: list[Panel] = [(f"{name} ({kinds[name]}): VV, dB", of.quiet[name].change_db, CHANGE) for name in names]
    panels += [(f"called: {_share(of.quiet[name]):.1%}", called(of.quiet[name]), {}) for name in names]
    panels += [
        (_counts(answers[name], planted[name]), called(answers[name], planted[name]), {}) if name in planted
        else ("nothing planted", called(answers[name]), {})
        for name in names
    ]  # fmt: skip
    draw(path, panels, len(names) if len(names) > 1 else 3)


def _share(answer: Called) -> float:
    return float(answer.landslide.sum() / max(1, answer.observed.sum()))


def _counts(answer: Called, planted: Planted) -> str:
    return f"planted: {found_of(answer.landslide, planted).sum()} of {planted.count} found"


def called(answer: Called, planted: Planted | None = None) -> np.ndarray:
    """Return a picture of what was called: false in red, planted landslides found in green and missed in orange."""
    picture = np.full((*answer.landslide.shape, 3), GREY)
    picture[~answer.observed] = UNSEEN
    picture[answer.landslide] = CALLED
    if planted is not None:
        found = np.append(False, found_of(answer.landslide, planted))[planted.labels]
        picture[(planted.labels > 0) & found] = FOUND
        picture[(planted.labels > 0) & ~found] = MISSED
    return picture


def curve(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Draw recall of planted landslides against false records, a line for each scene; a colour for each setting."""
    plt.switch_backend("agg")
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    colours: dict[str, str] = {}
    for one in rows:
        points = [
            (p["large_records_per_100_km2"], p["recall"]) for p in one.get("curve", ()) if p["recall"] is not None
        ]
        if points:
            # named once; places are told apart by the dash alone, because a name for each line would hide them
            name = None if one["setting"] in colours else one["setting"]
            colour = colours.setdefault(one["setting"], f"C{len(colours)}")
            style = "o-" if one["scene"].startswith("California") else "s--"
            axes.plot(*zip(*points, strict=True), style, color=colour, markersize=3, linewidth=1, label=name)
    # the aims of the project
    axes.axvline(10, color="grey", linewidth=0.8, linestyle=":")
    axes.axhline(0.6, color="grey", linewidth=0.8, linestyle=":")
    # linear near 0, because a method may have no false record at all
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false records of 1 ha and more per 100 km2 of land, on the real scenes without planting")
    axes.set_ylabel(f"recall of planted landslides of {AIM}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, title="full: California, dashed: elsewhere", title_fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
