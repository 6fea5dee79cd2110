"""How hard the varied synthetic countries are for a classifier of single pixels that learned in other countries.

    python benchmarks/varied_countries.py [--seeds 101 ... 108] [--size 512] [--folder DIR]

Each country (`lsbatch simulate --varied`) is surveyed to its STACK. Gradient boosting learns from the pixels of all
countries but one, with the mapper's outlines as labels, and is scored on the one that was left out: F1 of landslide
pixels, of the bands s2 with terrain (bands, NDVI change, elevation, slope) and of s1_s2_dem. The limit of the
probability is chosen on the countries of training. A network also sees shapes and neighbours, so it does better; the
countries are too easy if this classifier is already good. The last column compares the mapper's outlines with the
exact ones: no method can be expected to do better than that.
"""

import argparse
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio.features
from calibrate_country import stacked
from sklearn.ensemble import HistGradientBoostingClassifier

from lsbatch.bands import BAND_SETTINGS
from lsbatch.synthetic import country
from lsbatch.synthetic.conditions import drawn

INPUTS = {"s2_dem": (*BAND_SETTINGS["s2"], "elevation", "slope"), "s1_s2_dem": BAND_SETTINGS["s1_s2_dem"]}
#: Pixels without a landslide that a country gives to the training, for each pixel with one; and at most as many.
OTHERS, MOST = 8, 6000


class Country:
    """One country: STACK, the mapper's labels and the exact ones."""

    def __init__(self, folder: Path, seed: int, size: int) -> None:
        conditions = drawn(seed)
        self.seed, self.bands = seed, stacked(folder, seed, size, conditions)
        made = country.make(seed, size, size, conditions)
        self.exact = made.slides.labels > 0
        shapes = gpd.read_file(folder / f"seed-{seed}" / "truth.gpkg").geometry
        self.mapped = rasterio.features.rasterize(shapes, made.shape, transform=made.geobox.transform) > 0
        print(
            f"seed {seed}: {conditions.land.pixel_m:g} m, {conditions.radar.passes} passes a season and orbit, "
            f"{conditions.optical.days} days, landslides {100 * self.mapped.mean():.2f} %",
            flush=True,
        )

    def pixels(self, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Samples (n, bands) and the places (rows, cols) that have them."""
        stack = np.stack([self.bands[name] for name in names], axis=-1)
        seen = np.isfinite(stack).all(axis=-1)
        return stack[seen], seen

    def samples(self, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """A part of the pixels for training, and their labels."""
        values, seen = self.pixels(names)
        labels, dice = self.mapped[seen], np.random.default_rng(self.seed)
        yes, no = (dice.permutation(np.flatnonzero(labels == value)) for value in (True, False))
        yes = yes[:MOST]
        chosen = np.concatenate([yes, no[: OTHERS * len(yes)]])
        return values[chosen], labels[chosen]


def f1(found: np.ndarray, real: np.ndarray) -> float:
    """F1 of a mask."""
    return 2 * np.count_nonzero(found & real) / max(1, np.count_nonzero(found) + np.count_nonzero(real))


def learned(others: list[Country], names: tuple[str, ...]) -> tuple[HistGradientBoostingClassifier, float]:
    """A classifier and the limit that is best on whole countries of its training."""
    parts = [other.samples(names) for other in others]
    model = HistGradientBoostingClassifier(max_iter=120, random_state=0)
    model.fit(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    scores = []
    limits = np.arange(0.2, 0.96, 0.05)
    for other in others[:3]:
        values, seen = other.pixels(names)
        chance = model.predict_proba(values)[:, 1]
        scores.append([f1(chance > limit, other.mapped[seen]) for limit in limits])
    return model, float(limits[np.mean(scores, axis=0).argmax()])


def main() -> None:
    """Print a line a country and input, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 109)))
    parser.add_argument("--size", type=int, default=512, help="pixels on a side")
    parser.add_argument("--folder", type=Path, help="keep the countries here; default: thrown away")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        places = [Country(arguments.folder or Path(temporary), seed, arguments.size) for seed in arguments.seeds]
        means: dict[str, list[tuple[float, float, float]]] = {}
        print(f"{'inputs':10} {'seed':>5} {'limit':>5} {'F1':>5} {'F1 exact':>8} {'outlines':>8}")
        for name, bands in INPUTS.items():
            for place in places:
                model, limit = learned([other for other in places if other is not place], bands)
                values, seen = place.pixels(bands)
                found = model.predict_proba(values)[:, 1] > limit
                mapped, exact = place.mapped[seen], place.exact[seen]
                row = f1(found, mapped), f1(found, exact), f1(exact, mapped)
                means.setdefault(name, []).append(row)
                print(f"{name:10} {place.seed:5d} {limit:5.2f} {row[0]:5.2f} {row[1]:8.2f} {row[2]:8.2f}", flush=True)
    for name, rows in means.items():
        print(f"{name:10}  mean       {np.mean(rows, axis=0)[0]:5.2f} {np.mean(rows, axis=0)[1]:8.2f} "
              f"{np.mean(rows, axis=0)[2]:8.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
