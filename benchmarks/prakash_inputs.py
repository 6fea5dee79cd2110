"""Scores of the three-stream network on the paper's inputs: a Level 1C pair, a Level 2A pair, and greenest pixels.

    python -m benchmarks.prakash_inputs [--folder DIR] [--inputs l1c l2a greenest] [--minutes 8] [--size 1024]

Learned on countries 331 and 332 together ("global"), scored on 333, which it has not seen, and on the test blocks of
the two. A pair is one look before and one after, the least cloudy of the season; greenest pixels are of all looks.
Prints MCC on both, and false alarms per mille of the barren pixels of steep slopes that face north and south on the
unseen one.
"""

import argparse
from pathlib import Path

import yaml

from benchmarks.synthetic_countries import settings_file
from benchmarks.unet_settings import alarms
from lsbatch import settings
from lsbatch.cli import terminal
from lsbatch.commands import compare, run
from lsbatch.models import base
from lsbatch.settings import Config

LEARN, UNSEEN = (331, 332), 333
#: Collections and season; the first fortnight holds the least cloudy look alone.
INPUTS = {
    "l1c": (["sentinel-2-l1c"], ["06-20", "07-02"]),
    "l2a": (["sentinel-2-l2a", "sentinel-2-l2a-pc"], ["06-20", "07-02"]),
    "greenest": (["sentinel-2-l2a", "sentinel-2-l2a-pc"], ["06-20", "09-10"]),
}
TRAIN = {"batch": 16, "learning_rate": 2e-3, "validation_share": 0.15, "test_share": 0.15}


def surveyed(folder: Path, seed: int, name: str, size: int, minutes: float) -> Config:
    """Settings of a country with one of the inputs; the country is made once."""
    path = settings_file(folder / f"country-{seed}", seed, size, level_1c=True)
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    collections, season = INPUTS[name]
    raw["survey"]["season"] = season
    raw["archives"]["sentinel2"]["collections"] = collections
    raw |= {"output": f"survey-{name}", "model": {"family": "prakash"}, "train": TRAIN | {"max_minutes": minutes}}
    config = settings.parse(raw, path.parent)
    if run.survey(config, terminal.Screen(), until="stack"):
        raise SystemExit(f"{path}: not every tile could be stacked")
    return config


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("prakash-work"))
    parser.add_argument("--inputs", nargs="+", default=list(INPUTS))
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, at most")
    parser.add_argument("--size", type=int, default=1024, help="pixels on a side")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    lines = [
        "input | seen regions, test blocks: MCC | unseen region: P | R | MCC (95 %) | false alarms per mille, north | "
        "south"
    ]
    for name in arguments.inputs:
        learn = tuple(surveyed(folder, seed, name, arguments.size, arguments.minutes) for seed in LEARN)
        unseen = surveyed(folder, UNSEEN, name, arguments.size, arguments.minutes)
        found = compare.compare(compare.Contest(learn, (unseen,), ("prakash",), ("own",)), terminal.Screen())[0]
        home = learn[0].output / "compare"
        card = base.card(home / "prakash-own" / "model" / "prakash-own.safetensors")
        raw = unseen.model_dump(mode="json") | {"output": str(home / "prakash-own" / unseen.survey.id)}
        total = alarms(settings.parse(raw, home))
        shares = [f"{1000 * hit / pixels:.2f}" if pixels else "undefined" for hit, pixels in (total.north, total.south)]
        scores = [
            f"{value:.3f}" if value is not None else "undefined"
            for value in (card.scores["test"]["mcc"], found["precision"], found["recall"], found["mcc"])
        ]
        span = "" if found["mcc_low"] is None else f" ({found['mcc_low']:.3f} to {found['mcc_high']:.3f})"
        lines.append(" | ".join([name, *scores]) + span + " | " + " | ".join(shares))
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
