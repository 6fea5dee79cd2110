"""Comparison of U-Net inputs, and of the U-Net with a tree, on synthetic countries with several training seeds.

    python -m benchmarks.unet_settings [--folder DIR] [--seeds 0 1 2] [--bands s1vv_s2 ...] [--size 1024] [--varied]

Learned on countries 311, 313, 314 and 315, scored on 312 and 316; 1024 x 1024 pixels of 10 m each. With --varied:
learned on varied countries 1 to 8, scored on 301 to 304; 640 x 640 pixels of 10 to 30 m. CART learns from the points of
all the same countries. Prints, for each band setting, the MCC of CART, of the U-Net (mean and spread over the seeds of
its training), its F1, and false alarms on slopes that face north and south. MCC is by the exact outlines; F1 and false
alarms are by the mapper's, which are the exact ones in countries that are not varied. Run again after an interruption,
it goes on: what is trained is not trained again.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from benchmarks import packaged_weights
from benchmarks.synthetic_countries import settings_file
from benchmarks.variants import variant
from lsbatch import settings
from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import compare, run
from lsbatch.kernels import terrain
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.settings import Config
from lsbatch.storage import cube, vectors

LEARN, SCORE = (311, 313, 314, 315), (312, 316)
BANDS = ("s1_s2_dem", "s1vv_s2", "s1vv", "s2", "s1vv_apart_s2", "s2_rgb")
#: Half the default width: four countries on two cores, in minutes.
TRAIN = {"width": 8, "epochs": 20, "validation_share": 0.15, "test_share": 0.1}
#: Eight smaller countries: blocks of 512 px would be too few.
TRAIN_VARIED = TRAIN | {"depth": 3, "epochs": 12, "block_px": 320}
SCORE_VARIED = (301, 302, 303, 304)
#: What published networks read on real data (docs/synthetic-country.md): Sentinel-2 and terrain.
S2_DEM = "postR+postG+postB+postNIR+dNDVI+elevation+slope"
BANDS_VARIED = ("s1_s2_dem", "s1vv_s2", "s1vv", "s2", S2_DEM, "s1_change", "s1_change_s2")
#: Slopes on which light matters, and how far from north or south they may face.
STEEP_DEG, FACING_DEG = 20.0, 45.0


@dataclass(frozen=True)
class Alarms:
    """False positives and pixels without a landslide on steep slopes that face north, and south."""

    north: tuple[int, int] = (0, 0)
    south: tuple[int, int] = (0, 0)

    def __add__(self, other: "Alarms") -> "Alarms":
        pairs = [
            tuple(a + b for a, b in zip(x, y, strict=True))
            for x, y in ((self.north, other.north), (self.south, other.south))
        ]
        return Alarms(*pairs)  # type: ignore[arg-type]


def surveyed(folder: Path, number: int, size: int, varied: bool) -> Config:
    """Settings of a country, made and stacked if it is not there."""
    if varied:
        # one process: a cluster for each of the many small surveys takes longer to start than they take
        config = packaged_weights.surveyed(folder, number, {"cluster": {"kind": "serial"}}, varied)
    else:
        config = settings.load(settings_file(folder / f"country-{number}", number, size))
    if run.survey(config, terminal.Screen(), until="stack"):
        raise SystemExit(f"country {number}: not every tile could be stacked")
    return config


def seeded(config: Config, folder: Path, seed: int, varied: bool) -> Config:
    """The same survey with another seed of the training, in a folder of its own that shares STACK."""
    how = {**(TRAIN_VARIED if varied else TRAIN), "seed": seed}
    return variant(config, folder / config.survey.id, {"train": how})


def by_exact_outlines(survey: Survey, classes: np.ndarray) -> Confusion:
    """Pixels right and wrong by the exact outlines, which a varied country has beside the mapper's."""
    truth, total = survey.config.truth, Confusion()
    assert truth is not None
    exact = truth.file.with_name("outlines.gpkg")
    truth = truth.model_copy(update={"file": exact if exact.exists() else truth.file})
    for position in survey.positions:
        tile = survey.tile(position)
        found = classes[tile.region]
        real = vectors.truth_mask(truth, survey.config.survey.windows, tile.geobox)[: found.shape[0], : found.shape[1]]
        called, observed = np.isin(found, (compare.TP, compare.FP)), found != UNOBSERVED
        total += Confusion(*score_intervals.confusion(called, real, observed))
    return total


def alarms(survey: Survey, classes: np.ndarray) -> Alarms:
    """False positives by where a slope faces, from the map of right and wrong and the DEM."""
    total, side_m = Alarms(), survey.config.grid.resolution_m
    for position in survey.positions:
        tile = survey.tile(position)
        block = cube.read(survey.workspace.store, survey.grid, STACK, tile, 0, ("elevation", "slope"))
        faces = terrain.aspect(block["elevation"], side_m, side_m)
        found = classes[tile.region]
        found = np.pad(found, [(0, n - m) for n, m in zip(faces.shape, found.shape, strict=True)], constant_values=255)
        barren = np.isin(found, (compare.TN, compare.FP)) & (block["slope"] > STEEP_DEG)
        sides = []
        for middle in (0.0, 180.0):
            near = barren & (np.abs((faces - middle + 180) % 360 - 180) < FACING_DEG)
            sides.append((int((found[near] == compare.FP).sum()), int(near.sum())))
        total += Alarms(*sides)
    return total


def row(bands: str, results: dict[str, list[dict[str, float]]]) -> str:
    """A line of the table."""

    def share(side: str) -> str:
        hit, all_ = (sum(r[f"{side}_{k}"] for r in results["unet"]) for k in ("fp", "px"))
        return f"{1000 * hit / all_:.2f}" if all_ else "undefined"

    tree, network = ([r["mcc"] for r in results[family]] for family in ("cart", "unet"))
    mapped = [r["f1"] for r in results["unet"]]
    if None in (*tree, *network, *mapped):
        return f"{bands} | undefined: a model called nothing a landslide"
    spread = f"{np.std(network, ddof=1):.3f}" if len(network) > 1 else "one seed"
    minutes = np.mean([r["minutes"] for r in results["unet"]])
    return " | ".join([
        bands, f"{np.mean(tree):.3f}", f"{np.mean(network):.3f}", spread, " ".join(f"{m:.3f}" for m in network),
        f"{np.mean(network) - np.mean(tree):+.3f}", f"{np.mean(mapped):.3f}", share("north"), share("south"),
        f"{minutes:.1f}",
    ])  # fmt: skip


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("settings-work"), help="where countries and models go")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bands", nargs="+", help="default: all of the comparison")
    parser.add_argument("--size", type=int, default=1024, help="pixels on a side of a country that is not varied")
    parser.add_argument("--varied", action="store_true", help="countries with drawn conditions")
    arguments = parser.parse_args()
    folder, screen, varied = arguments.folder.absolute(), terminal.Screen(), arguments.varied
    chosen = (packaged_weights.SEEDS, SCORE_VARIED) if varied else (LEARN, SCORE)
    settings_of_bands = arguments.bands or (BANDS_VARIED if varied else BANDS)
    countries = {number: surveyed(folder, number, arguments.size, varied) for some in chosen for number in some}
    results: dict[str, dict[str, list[dict[str, float]]]] = {
        bands: {"cart": [], "unet": []} for bands in settings_of_bands
    }
    for seed in arguments.seeds:
        for bands in settings_of_bands:
            for family in ("cart", "unet"):
                home = folder / f"seed-{seed}-{family}-{bands}"
                learn, score = (tuple(seeded(countries[n], home, seed, varied) for n in some) for some in chosen)
                results[bands][family].append(one(compare.Contest(learn, score, (family,), (bands,)), screen))
        print(
            "bands | CART | U-Net | spread | each seed | U-Net over CART | its F1 | false alarms per mille, north | "
            "south | minutes",
            flush=True,
        )
        for bands in settings_of_bands:
            print(row(bands, results[bands]), flush=True)


def one(contest: compare.Contest, screen: terminal.Screen) -> dict[str, float]:
    """Scores over all countries, false alarms by slope, minutes of training."""
    rows = compare.compare(contest, screen)
    home = contest.learn[0].output / "compare"
    name = f"{contest.families[0]}-{contest.bands[0]}"
    total, counts = Alarms(), Confusion()
    for config in contest.score:
        raw = config.model_dump(mode="json") | {
            "output": str(home / name / config.survey.id),
            "bands": compare.bands_of(contest.bands[0]),
        }
        survey = open_survey(settings.parse(raw, home))
        with rasterio.open(survey.workspace.root / "confusion.tif") as source:
            classes = source.read(1)
        total += alarms(survey, classes)
        counts += by_exact_outlines(survey, classes)
    return {
        "mcc": counts.mcc, "f1": rows[-1]["f1"],
        "minutes": minutes(home / name / "model" / f"{name}-training" / "log.csv"),
        "north_fp": total.north[0], "north_px": total.north[1], "south_fp": total.south[0], "south_px": total.south[1],
    }  # fmt: skip


def minutes(log: Path) -> float:
    """Time of a training; a tree has no log."""
    if not log.exists():
        return 0.0
    lines = log.read_text(encoding="utf-8").splitlines()
    at = lines[0].split(",").index("seconds")
    return sum(float(line.split(",")[at]) for line in lines[1:]) / 60


if __name__ == "__main__":
    main()
