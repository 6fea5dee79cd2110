"""How hard the varied synthetic countries are, within minutes: CART inside each, gradient boosting across them.

    python -m benchmarks.varied_countries [--seeds 201 ... 208] [--size 400] [--draws 4] [--plain]

STACK is approximated in memory, without writing scenes: medians of at most three passes per orbit, the greenest clear
pixel, terrain of the exact relief. `calibrate_country.py --varied` measures CART through the real pipeline, which takes
minutes a country. Two classifiers of single pixels are scored:

- CART as the paper trained its own (130 points of the same country), by the exact outlines: MCC for settings 1 to 4.
- Gradient boosting with s2 and terrain (bands, NDVI change, elevation, slope, red and infrared before), which learns
  from the mapper's outlines in all countries but one and is scored on that one: F1 by the mapper's outlines, and by
  the exact ones. The limit of the probability is the best on two countries of its training.

The last column is F1 of the exact outlines by the mapper's: a perfect method reaches no more. A network also sees
shapes and neighbours, so it does better than boosting.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import rasterio.features
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.calibrate_country import PAPER, trials
from lsbatch.bands import BAND_SETTINGS
from lsbatch.synthetic import country, mapping, optical, radar, scenes, truth, weather
from lsbatch.synthetic.conditions import PLAIN, drawn

NAMES = (*BAND_SETTINGS["s2"], "elevation", "slope", "preR", "preNIR")
MOST_PASSES = 3
#: Pixels of landslides that a country gives to the training, and others for each of them.
MOST, OTHERS = 1200, 6
LIMITS = np.arange(0.2, 0.96, 0.05)


@dataclass(frozen=True)
class Place:
    """The pixels of a country that have all bands: samples, the mapper's labels, the exact ones."""

    seed: int
    values: np.ndarray
    mapped: np.ndarray
    exact: np.ndarray

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels for training, and their labels."""
        dice = np.random.default_rng(self.seed)
        yes, no = (dice.permutation(np.flatnonzero(self.mapped == value)) for value in (True, False))
        chosen = np.concatenate([yes[:MOST], no[: OTHERS * min(MOST, len(yes))]])
        return self.values[chosen], self.mapped[chosen]


def moved(values: np.ndarray, shift_px: tuple[float, float]) -> np.ndarray:
    """An image with its geolocation error, by nearest neighbour; edges are repeated."""
    rows, cols = (
        np.clip(np.floor(np.arange(n) + s + 0.5).astype(int), 0, n - 1)
        for n, s in zip(values.shape[-2:], shift_px, strict=True)
    )
    return values[..., rows[:, None], cols[None, :]]


def backscatter(made: country.Ground, year: int) -> dict[str, np.ndarray]:
    """Median VV and VH of a season in dB."""
    passes: dict[str, list[np.ndarray]] = {"VV": [], "VH": []}
    for orbit in radar.orbits(made):
        days = scenes.acquisition_days(made, year, made.conditions.radar.passes, orbit.number)
        for day in days[:MOST_PASSES]:
            for name, power in radar.gamma0(made, orbit, day).items():
                seen = moved(power, weather.shift_px(made, orbit.number, day))
                passes[name].append(np.where(seen > 0, seen, np.nan))
    return {name: 10 * np.log10(np.nanmedian(np.stack(seen), axis=0)) for name, seen in passes.items()}


def greenest(made: country.Ground, year: int) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance of the greenest clear look of a season (bands, rows, cols), and its NDVI; NaN where all is cloudy."""
    best = np.full(made.shape, -9.0, np.float32)
    bands = np.full((4, *made.shape), np.nan, np.float32)
    for number, day in enumerate(scenes.acquisition_days(made, year, made.conditions.optical.days, 0)):
        seen = optical.look(made, day, number, scenes.cloudiness(made, day, number))
        shift = weather.shift_px(made, 2, day)
        values, classes = moved(seen.reflectance, shift), moved(seen.scl, shift)
        ndvi = (values[3] - values[0]) / (values[3] + values[0])
        better = np.isin(classes, (4, 5, 6)) & (ndvi > best)
        best[better], bands[:, better] = ndvi[better], values[:, better]
    return bands, np.where(best > -9, best, np.nan)


def stack(made: country.Ground) -> dict[str, np.ndarray]:
    """An approximation of STACK."""
    out: dict[str, np.ndarray] = {}
    ndvi = {}
    for period, year in (("pre", country.YEAR - 1), ("post", country.YEAR)):
        out |= {f"{period}{name}": values for name, values in backscatter(made, year).items()}
        bands, ndvi[period] = greenest(made, year)
        out |= {f"{period}{name}": values for name, values in zip(("R", "G", "B", "NIR"), bands, strict=True)}
    out |= {f"diff{name}": out[f"post{name}"] - out[f"pre{name}"] for name in ("VV", "VH")}
    # a DEM of 30 m
    height = ndimage.gaussian_filter(made.relief.elevation_m, 12 / made.pixel_m)
    slope = np.degrees(np.arctan(np.hypot(*np.gradient(height, made.pixel_m))))
    return out | {"dNDVI": ndvi["post"] - ndvi["pre"], "elevation": height, "slope": slope}


def place(seed: int, size: int, draws: int, plain: bool) -> tuple[Place, list[float]]:
    """A country, and CART's mean MCC in it for each setting."""
    conditions = PLAIN if plain else drawn(seed)
    made = country.make(seed, size, size, conditions)
    bands, outlines = stack(made), truth.landslides(made)
    if not plain:
        outlines = mapping.mapped(outlines, truth.outlines(made.varied.scars, made), made)
    mapped = rasterio.features.rasterize(outlines.geometry, made.shape, transform=made.geobox.transform) > 0
    mcc = [float(np.mean([tree.mcc or 0.0 for tree in trials(bands, made, name, draws)])) for name in PAPER]
    values = np.stack([bands[name] for name in NAMES], axis=-1)
    seen = np.isfinite(values).all(axis=-1)
    text = " ".join(f"{value:5.2f}" for value in mcc)
    print(f"{seed:5d} {made.pixel_m:4.0f} m {100 * mapped.mean():5.2f} %  {text}", flush=True)
    return Place(seed, values[seen], mapped[seen], (made.slides.labels > 0)[seen]), mcc


def f1(found: np.ndarray, real: np.ndarray) -> float:
    """F1 of a mask."""
    return 2 * np.count_nonzero(found & real) / max(1, np.count_nonzero(found) + np.count_nonzero(real))


def across(places: list[Place], left_out: Place) -> tuple[float, float, float]:
    """F1 in one country of what the others taught: by the mapper's outlines, by the exact ones, between both."""
    others = [one for one in places if one is not left_out]
    parts = [one.samples() for one in others]
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    model.fit(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
    chances = [(model.predict_proba(one.values)[:, 1], one.mapped) for one in others[:2]]
    scores = [np.mean([f1(chance > limit, real) for chance, real in chances]) for limit in LIMITS]
    found = model.predict_proba(left_out.values)[:, 1] > LIMITS[int(np.argmax(scores))]
    return f1(found, left_out.mapped), f1(found, left_out.exact), f1(left_out.exact, left_out.mapped)


def main() -> None:
    """Print a line a country and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(201, 209)))
    parser.add_argument("--size", type=int, default=400, help="pixels on a side")
    parser.add_argument("--draws", type=int, default=4, help="of CART's points, a country")
    parser.add_argument("--plain", action="store_true", help="plain countries instead of varied ones")
    arguments = parser.parse_args()
    print(f"CART, MCC (paper: {PAPER})\n{'seed':>5} {'pixel':>6} {'mapped':>7}   {' '.join(PAPER)}")
    both = [place(seed, arguments.size, arguments.draws, arguments.plain) for seed in arguments.seeds]
    print("mean " + 16 * " " + " ".join(f"{value:5.2f}" for value in np.mean([mcc for _, mcc in both], axis=0)))
    print(f"boosting in a country left out\n{'seed':>5} {'F1':>6} {'exact':>6} {'outlines':>8}")
    places, rows = [one for one, _ in both], []
    for one in places:
        rows.append(across(places, one))
        print(f"{one.seed:5d} " + " ".join(f"{value:6.2f}" for value in rows[-1]), flush=True)
    print(" mean " + " ".join(f"{value:6.2f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
