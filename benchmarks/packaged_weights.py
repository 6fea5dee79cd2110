"""Training of the packaged weights: on synthetic countries, and on landslides planted into real scenes.

    python -m benchmarks.packaged_weights [NAME ...] [--folder DIR] [--out DIR] [--data ../shared/data]

Countries are simulated and surveyed to their STACK, then `lsbatch train` learns from all of them; run it again to go on
after an interruption. Without names it makes the weights of plain countries (seeds 1 to 8; 25 minutes on two cores with
AMX). Weights for the change against the surroundings are trained on varied countries (seeds 1 to 16), and
unet-s1_change also on landslides planted into real scenes (`benchmarks/planted_surveys.py`). Seeds 900 to 999 are never
touched.
"""

import argparse
from pathlib import Path

import yaml

from benchmarks import planted_surveys
from benchmarks.synthetic_countries import settings_file
from lsbatch import settings
from lsbatch.cli import terminal
from lsbatch.commands import train
from lsbatch.synthetic import conditions

SEEDS = range(1, 9)
SIZE_PX = 1024
#: Less is held out than by default: whole countries of other seeds are the test that counts.
HELD_OUT = {"validation_share": 0.15, "test_share": 0.1}
WEIGHTS = {
    "unet-s1vv_s2": {"bands": "s1vv_s2", "train": {"width": 16, **HELD_OUT}},
    # half the width: both together stay below 5 MB, and two bands of speckle do not need more
    "unet-s1vv": {"bands": "s1vv", "train": {"width": 8, **HELD_OUT}},
}
#: Trained on varied countries, which differ in what misleads a network: level, weather, cover, pixel size.
VARIED_PX, VARIED_SEEDS = 640, range(1, 17)
VARIED_TRAIN = {"width": 8, "depth": 3, "block_px": 320, "epochs": 20, **HELD_OUT}
VARIED = {
    "unet-s1_change": {"bands": "s1_change", "train": VARIED_TRAIN},
    "unet-s1_change_s2": {"bands": "s1_change_s2", "train": VARIED_TRAIN},
}
#: Those that also learn from landslides planted into real radar scenes. The few real scenes with Sentinel-2 are all
#: kept for tests.
PLANTED = ("unet-s1_change",)


def surveyed(
    folder: Path, seed: int, changes: dict[str, object], varied: bool = False, side_px: int = VARIED_PX
) -> settings.Config:
    """Settings of a country, made if it is not there; `side_px` is the side of a varied one."""
    side, drawn = (side_px, conditions.drawn(seed)) if varied else (SIZE_PX, conditions.PLAIN)
    path = settings_file(folder / f"{'varied' if varied else 'seed'}-{seed}", seed, side, conditions=drawn)
    document = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    return settings.parse(document, path.parent)


def main() -> None:
    """Train the weights that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(WEIGHTS), help=f"of {', '.join(WEIGHTS | VARIED)}")
    parser.add_argument("--folder", type=Path, default=Path("weights-work"), help="where countries and chips go")
    parser.add_argument("--out", type=Path, default=Path(settings.__file__).parents[1] / "models" / "weights")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", help="real scenes")
    arguments = parser.parse_args()
    for name in arguments.names:
        varied = name in VARIED
        configs = [
            surveyed(arguments.folder, seed, (WEIGHTS | VARIED)[name], varied)
            for seed in (VARIED_SEEDS if varied else SEEDS)
        ]
        if name in PLANTED:
            configs += planted_surveys.surveyed(arguments.data, arguments.folder, VARIED[name])
        made = arguments.folder / f"{name}.safetensors"
        train.train(configs, terminal.Screen(), out=made, fresh=False)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / made.name).write_bytes(made.read_bytes())


if __name__ == "__main__":
    main()
