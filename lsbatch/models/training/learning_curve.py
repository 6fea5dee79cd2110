"""Plot the learning curve of a training from its log."""

import csv
from pathlib import Path

from lsbatch.storage.files import aside


def draw(log: Path, picture: Path) -> None:
    """Draw loss and validation MCC by epoch, as PNG."""
    # object interface: pyplot keeps figures and a backend for the whole process
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with log.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    for name, colour in (("train_loss", "#0072B2"), ("validation_loss", "#56B4E9")):
        points = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
        if points:
            left.plot(*zip(*points, strict=True), color=colour, label=name.replace("_", " "), marker=".")
    right = left.twinx()
    points = [(int(row["epoch"]), float(row["validation_mcc"])) for row in rows if row["validation_mcc"]]
    if points:
        right.plot(*zip(*points, strict=True), color="#D55E00", label="validation MCC", marker=".")
    left.set(xlabel="epoch", ylabel="loss")
    right.set(ylabel="MCC", ylim=(-0.05, 1))
    for side, place in ((left, "center left"), (right, "center right")):
        # all values undefined so far: an empty legend would give a warning
        if side.lines:
            # matplotlib types `loc` as a list of literals
            side.legend(loc=place, frameon=False)  # type: ignore[call-overload]
    with aside(picture) as temporary:
        figure.savefig(temporary, dpi=110)
