"""Calibration of the difficulty of the synthetic country.

A plain CART, trained as the paper trained its own, must reach the
paper's MCC within 0.15 on the band settings 1 to 4.

    python -m benchmarks.calibrate_country [--seeds 11 12 13 14] [--size 1024] [--draws 5] [--folder DIR] [--varied]

With --varied the countries have drawn conditions (`lsbatch simulate --varied`); then also run
benchmarks/varied_countries.py, which asks how well what was learned in other countries is found.

Each country is surveyed to its STACK by the pipeline itself. The tree learns from 18 landslide points and 112 points of
seven other classes, is merged to landslide or not, and cleaned by a focal mode of 1.5 px; it is scored on every
observed pixel of the country. One tree on 130 points is a game of chance, so each country's points are drawn several
times. Exit code 1 if a setting is out of bounds.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.synthetic_countries import settings_file
from lsbatch import settings
from lsbatch.bands import BAND_SETTINGS, STACK
from lsbatch.catalog.survey import open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.kernels import decision_trees, focal
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import cart
from lsbatch.storage import cube
from lsbatch.synthetic import country, truth
from lsbatch.synthetic.conditions import PLAIN, Conditions, drawn

#: MCC of CART in the paper's Table 4, settings 1 to 4.
PAPER = {"s1_s2_dem": 0.63, "s1vv_s2": 0.73, "s1vv": 0.20, "s2": 0.65}
TOLERANCE = 0.15


def stacked(folder: Path, seed: int, size: int, conditions: Conditions = PLAIN) -> dict[str, np.ndarray]:
    """STACK of a country, national arrays cropped to the country, float32."""
    config = settings.load(settings_file(folder / f"seed-{seed}", seed, size, conditions=conditions))
    if run.survey(config, terminal.Screen(), until="stack"):
        raise SystemExit(f"seed {seed}: not every tile could be stacked")
    survey = open_survey(config)
    names = tuple(sorted({name for bands in BAND_SETTINGS.values() for name in bands}))
    out = {name: np.full(survey.grid.shape, np.nan, np.float32) for name in names}
    for position in survey.positions:
        tile = survey.tile(position)
        for name, values in cube.read(survey.workspace.store, survey.grid, STACK, tile, 0, names).items():
            out[name][tile.region] = values
    return {name: values[:size, :size] for name, values in out.items()}


def trials(bands: dict[str, np.ndarray], made: country.Ground, setting: str, draws: int) -> Iterator[Confusion]:
    """Counts of one tree a draw of points."""
    stack = np.stack([bands[name] for name in BAND_SETTINGS[setting]])
    seen = np.isfinite(stack).all(axis=0)
    real = made.slides.labels > 0
    for draw in range(draws):
        points = truth.points(made, draw)
        cols, rows = ~made.geobox.transform @ (points.geometry.x.to_numpy(), points.geometry.y.to_numpy())
        samples = stack[:, np.floor(rows).astype(int), np.floor(cols).astype(int)].T
        good = np.isfinite(samples).all(axis=1)
        tree = cart.fit(samples[good], points["class"].to_numpy()[good], draw)
        labels = np.full(seen.shape, focal.NODATA, np.uint8)
        labels[seen] = decision_trees.walk(np.ascontiguousarray(stack[:, seen]), **tree) > 0.5
        cleaned = focal.mode(labels, 1.5)
        yield Confusion(*score_intervals.confusion(cleaned == 1, real, cleaned != focal.NODATA))


def main() -> int:
    """Print a line a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14])
    parser.add_argument("--size", type=int, default=1024, help="pixels on a side")
    parser.add_argument("--draws", type=int, default=5, help="of the training points, a country")
    parser.add_argument("--varied", action="store_true", help="countries with drawn conditions")
    parser.add_argument("--folder", type=Path, help="keep the countries here; default: thrown away")
    arguments = parser.parse_args()
    found: dict[str, list[Confusion]] = {name: [] for name in PAPER}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            conditions = drawn(seed) if arguments.varied else PLAIN
            bands = stacked(arguments.folder or Path(temporary), seed, arguments.size, conditions)
            made = country.make(seed, arguments.size, arguments.size, conditions)
            for name in PAPER:
                found[name] += trials(bands, made, name, arguments.draws)
    return report(found)


def report(found: dict[str, list[Confusion]]) -> int:
    """Table of the paper's and the reached MCC; 1 if one is out of bounds."""
    print(
        f"{'setting':10} {'paper':>6} {'mean':>6} {'sd':>5} {'P':>5} {'R':>5} {'prevalence':>10} {'TP':>8} {'FP':>8} "
        f"{'FN':>8} {'TN':>10}"
    )
    worst = 0.0
    for name, counts in found.items():
        # a tree that finds nothing has no MCC; it counts as no better than chance, or bad trees would be left out
        values = np.array([0.0 if tree.mcc is None else tree.mcc for tree in counts])
        total = sum(counts, Confusion())
        worst = max(worst, abs(values.mean() - PAPER[name]))
        print(
            f"{name:10} {PAPER[name]:6.2f} {values.mean():6.2f} {values.std():5.2f} {total.precision or 0:5.2f} "
            f"{total.recall or 0:5.2f} {total.prevalence or 0:10.4f} {total.tp:8d} {total.fp:8d} {total.fn:8d} "
            f"{total.tn:10d}"
        )
    print(f"{'within' if worst <= TOLERANCE else 'OUT OF'} bounds: largest difference {worst:.2f}, allowed {TOLERANCE}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
