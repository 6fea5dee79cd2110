"""Scores of the packaged weights on synthetic countries not used for training, through the whole pipeline.

    python -m benchmarks.score_weights [--seeds 900 901 902 903] [--size 1024] [--folder DIR]

Counts are of pixels that were surveyed, after the focal mode, at the default threshold.
"""

import argparse
import tempfile
from pathlib import Path

import yaml

from benchmarks.synthetic_countries import settings_file
from lsbatch import settings
from lsbatch.catalog.survey import open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.inventory.evaluation import summary
from lsbatch.kernels.statistics.confusion import Confusion

BANDS = ("s1vv_s2", "s1vv")
HEAD = ("weights", "seed", "TP", "FP", "FN", "TN", "prevalence", "precision", "recall", "F1", "MCC", "found", "mapped")


def scored(folder: Path, seed: int, size: int, bands: str) -> dict[str, float]:
    """Counts of a country with one band setting; the country and its STACK are made once."""
    path = settings_file(folder / f"seed-{seed}", seed, size)
    raw = yaml.safe_load(path.read_text(encoding="utf-8")) | {
        "bands": bands,
        "model": {"weights": f"package:unet-{bands}"},
    }
    config = settings.parse(raw, path.parent)
    if run.survey(config, terminal.Screen(), until="inventory"):
        raise SystemExit(f"seed {seed}: not every tile could be surveyed")
    return summary(open_survey(config))


def line(name: str, seed: str, counts: Confusion, found: int, mapped: int) -> str:
    """A row of the table."""
    scores = (counts.prevalence, counts.precision, counts.recall, counts.f1, counts.mcc)
    shown = ["undefined" if value is None else f"{value:.4f}" for value in scores]
    return " | ".join(
        [name, seed, *(f"{n:,}" for n in (counts.tp, counts.fp, counts.fn, counts.tn)), *shown, str(found), str(mapped)]
    )


def main() -> None:
    """Print a row a country and weights, and one of all countries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[900, 901, 902, 903])
    parser.add_argument("--size", type=int, default=1024, help="pixels on a side")
    parser.add_argument("--folder", type=Path, help="keep the countries here; default: thrown away")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for bands in BANDS:
            total, objects = Confusion(), [0, 0]
            for seed in arguments.seeds:
                found = scored(arguments.folder or Path(temporary), seed, arguments.size, bands)
                counts = Confusion(*(int(found[key]) for key in ("tp", "fp", "fn", "tn")))
                total += counts
                hit, mapped = int(found["landslides_found"]), int(found["landslides_mapped"])
                objects = [objects[0] + hit, objects[1] + mapped]
                rows.append(line(bands, str(seed), counts, hit, mapped))
            rows.append(line(bands, "all", total, *objects))
    print(" | ".join(HEAD), *rows, sep="\n")


if __name__ == "__main__":
    main()
