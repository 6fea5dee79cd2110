"""Description of the training for packaged weights that were trained before there was one.

    python -m benchmarks.describe_weights [NAME ...] [--folder DIR] [--out DIR]

It makes the countries of the training again (`benchmarks/packaged_weights.py`), cuts the same chips from their STACK,
and adds the description to the file. Nothing is trained: arrays, checksum and predictions stay as they are.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import packaged_weights
from lsbatch import settings
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.commands.train import source
from lsbatch.models import cards, families
from lsbatch.models.family import NetworkRecipe
from lsbatch.models.training import applicability, chips
from lsbatch.settings import TrainSettings


def describe(file: Path, configs: list[settings.Config]) -> cards.Card:
    """Add the description to a file of weights; return its card."""
    before, arrays = cards.card(file), cards.arrays(file)
    for config in configs:
        if run.survey(config, terminal.Screen(), until="stack"):
            raise SystemExit(f"{config.survey.id}: not every tile could be surveyed")
    sources, of = [source(config) for config in configs], TrainSettings(**before.settings)
    recipe = families.of_card(before).training
    assert isinstance(recipe, NetworkRecipe)
    with tempfile.TemporaryDirectory() as folder:
        found = chips.collect(sources, before.bands, of, Path(folder), recipe.halo_px(of))
        # test chips keep more distance since then, and the description uses none
        counts = {name: len(found.of(name)) for name in ("train", "validation")}
        if not counts.items() <= dict(before.scores["chips"]).items():
            raise SystemExit(f"{file.name}: was trained on chips {before.scores['chips']}; these are {counts}")
        described = applicability.describe(found, sources, before.bands, of.seed)
    assert described is not None
    after = cards.save(file, arrays, replace(before, applicability=described[0]), described[1])
    assert after.checksum == before.checksum
    assert all(np.array_equal(arrays[name], again) for name, again in cards.arrays(file).items())
    return after


def main() -> int:
    """Describe the weights that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(packaged_weights.WEIGHTS))
    parser.add_argument("--folder", type=Path, default=Path("weights-work"), help="where countries go")
    parser.add_argument("--out", type=Path, default=Path(settings.__file__).parents[1] / "models" / "weights")
    options = parser.parse_args()
    for name in options.names:
        changes = packaged_weights.WEIGHTS[name] | {"cluster": {"kind": "serial"}}
        configs = [packaged_weights.surveyed(options.folder, seed, changes) for seed in packaged_weights.SEEDS]
        of = describe(options.out / f"{name}.safetensors", configs).applicability
        assert of is not None
        print(f"{name}: limit {of.limit:.3f}, {of.folds}, {len(of.means)} features, checksum {of.checksum}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
