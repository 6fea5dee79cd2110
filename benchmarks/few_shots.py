"""Networks that learn from few mapped landslides: from scratch, fine-tuned, and fine-tuned with a frozen encoder.

    python -m benchmarks.few_shots [--folder DIR] [--polygons 5 20 100] [--only countries california] [--data DIR]

**Synthetic countries** (varied, seeds 401 to 403; no weights were trained on them): a mapper draws some landslides in
the west, and looks at 200 m around each. A network learns from this ground only (`truth.mapped_area`), and is scored in
the east, by the exact outlines. Bands s1_change_s2; it starts from package:unet-s1_change_s2 or from random weights.

**Planted in real scenes** (California): landslides planted into one burst, scored on another. The packaged weights
unet-s1_change saw neither. Bands s1_change.

Prints the MCC of each way by number of polygons: mean over three countries or three draws, and each. The weights as
they are, without any training, are the row for 0 polygons. Run again after an interruption, it goes on.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from benchmarks import packaged_weights, planted_surveys
from benchmarks import reality_scenes as scenes
from benchmarks.variants import variant
from lsbatch import settings
from lsbatch.bands import mask
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run, train
from lsbatch.errors import NoDataError
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import base
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.settings import Config
from lsbatch.storage import cube, vectors
from lsbatch.storage.files import write_json

REPEATS, FIRST_COUNTRY = 3, 401
#: A mapper sees what lies this near to a landslide that is drawn.
SEEN_M = 200.0
#: Structure of the packaged weights, and chips that few small areas can give.
TRAIN = {
    "width": 8, "depth": 3, "chip_px": 64, "stride_px": 32, "block_px": 128, "batch": 16, "epochs": 40, "patience": 10,
    "test_share": 0.0,
}  # fmt: skip
#: Seeds of the split that are tried until training and validation both have a landslide.
MOST_SEEDS = 50


#: Number of polygons and MCC; None where the MCC is undefined, or where the polygons are too near to each other to be
#: split into some for training and others for validation.
Result = tuple[int, float | None]


@dataclass(frozen=True)
class Way:
    """How a network learns: whether it starts from the packaged weights, frozen levels, peak of the learning rate."""

    pretrained: bool
    freeze_levels: int
    learning_rate: float


WAYS = {
    "from scratch": Way(False, 0, 4e-3),
    "fine-tuned": Way(True, 0, 1e-3),
    # the whole encoder
    "frozen below": Way(True, TRAIN["depth"] + 1, 1e-3),  # type: ignore[operator]
}


@dataclass(frozen=True)
class Place:
    """Ground to learn from and ground to score on.

    Attributes
    ----------
    name : str
    weights : str
        Packaged weights to start from.
    learn : callable (number of polygons, folder) -> surveys and the number of polygons
    score : callable (weights, folder) -> Confusion
    """

    name: str
    weights: str
    learn: Callable[[int, Path], tuple[list[Config], int]]
    score: Callable[[str, Path], Confusion]


def chosen(slides: gpd.GeoDataFrame, count: int, seed: int, seen_m: float = SEEN_M) -> tuple[np.ndarray, Any]:
    """Draw landslides one by one, with all that touch the ground around them, until there are `count` or more.

    Returns
    -------
    rows : int array
        Of the landslides that are mapped.
    area : shapely geometry
        The ground around those that were drawn, in which all are mapped.
    """
    shapes = slides.geometry.values
    tree, area = shapely.STRtree(shapes), shapely.Polygon()
    for row in np.random.default_rng(seed).permutation(len(shapes)):
        area = area.union(shapely.buffer(shapes[row], seen_m))
        rows = np.sort(tree.query(area, predicate="intersects"))
        if len(rows) >= count:
            break
    return rows, area


def country(number: int, folder: Path) -> Place:
    """Return a synthetic country: its west to learn from, its east to score on."""
    changes = {"cluster": {"kind": "serial"}, "bands": "s1_change_s2"}
    config = packaged_weights.surveyed(folder, number, changes, varied=True)
    if run.survey(config, terminal.Screen(), until="stack"):
        raise SystemExit(f"country {number}: not every tile could be stacked")
    # the grid is padded to whole tiles, the region is not
    assert config.region.bounds is not None
    left, bottom, right, top = config.region.bounds
    west = shapely.box(left, bottom, (left + right) / 2, top)
    truth = config.truth
    assert truth is not None

    def learn(count: int, home: Path) -> tuple[list[Config], int]:
        slides = vectors.read_truth(truth, config.survey.windows, config.grid.crs)
        slides = slides[shapely.within(slides.geometry.values, west)].reset_index(drop=True)
        rows, area = chosen(slides, count, number)
        home.mkdir(parents=True, exist_ok=True)
        gpd.GeoDataFrame(geometry=[area.intersection(west)], crs=slides.crs).to_file(home / "mapped.gpkg")
        mapped = truth.model_dump(mode="json") | {"mapped_area": str(home / "mapped.gpkg")}
        return [variant(config, home / config.survey.id, {"truth": mapped})], len(rows)

    def score(weights: str, home: Path) -> Confusion:
        survey = predicted(variant(config, home / config.survey.id, {"model": {"family": "unet", "weights": weights}}))
        exact = truth.model_copy(update={"file": truth.file.with_name("outlines.gpkg")})
        side_m = survey.grid.resolution_m
        first = round(((left + right) / 2 - survey.grid.bounds[0]) / side_m)
        return counted(survey, exact, slice(first, None))

    return Place("countries", "package:unet-s1_change_s2", learn, score)


def california(seed: int, data: Path, folder: Path) -> Place:
    """Return two bursts with planted landslides that no packaged weights saw: one to learn from, one to score on."""
    cases = scenes.cases(data, folder, ("california",))
    unseen = sorted({p.name for case in cases for p in case.patches if not p.sea} - set(scenes.LEARNED))

    def surveys(burst: str, draws: Sequence[int]) -> list[Config]:
        found = []
        for case in cases:
            some = replace(case, patches=tuple(p for p in case.patches if p.name == burst))
            for draw in draws:
                home = folder / f"{burst}-{case.survey.id}-{draw}"
                config = planted_surveys.survey(some, draw, home, {"bands": "s1_change"})
                if run.survey(config, terminal.Screen(), until="stack"):
                    raise SystemExit(f"{burst}: not every tile could be stacked")
                found.append(config)
        return found

    def learn(count: int, home: Path) -> tuple[list[Config], int]:
        every = surveys(unseen[0], range(planted_surveys.DRAWS))
        taken: list[Config] = []
        total = 0
        for i in np.random.default_rng(seed).permutation(len(every)):
            assert every[i].truth is not None
            total += len(gpd.read_file(every[i].truth.file))  # type: ignore[union-attr]
            taken.append(variant(every[i], home / every[i].survey.id, {}))
            # one block a survey: one to learn from and one to validate on
            if total >= count and len(taken) > 1:
                break
        return taken, total

    def score(weights: str, home: Path) -> Confusion:
        total = Confusion()
        for config in surveys(unseen[1], (0,)):
            model = {"model": {"family": "unet", "weights": weights}}
            survey = predicted(variant(config, home / config.survey.id, model))
            assert config.truth is not None
            total += counted(survey, config.truth, slice(None))
        return total

    return Place("california", "package:unet-s1_change", learn, score)


def predicted(config: Config) -> Survey:
    """Predict and clean a survey whose STACK is there."""
    if run.survey(config, terminal.Screen(), until="clean"):
        raise SystemExit(f"{config.survey.id}: not every tile could be predicted")
    return open_survey(config)


def counted(survey: Survey, truth: settings.TruthSettings, cols: slice) -> Confusion:
    """Count the pixels of some columns of the grid by outlines."""
    called, real = np.full(survey.grid.shape, UNOBSERVED, np.uint8), np.zeros(survey.grid.shape, bool)
    layer = mask(survey.config.model.family)
    for position in survey.positions:
        tile = survey.tile(position)
        called[tile.region] = cube.read(survey.workspace.store, survey.grid, layer, tile, 0, layer.names)["landslide"]
        real[tile.region] = vectors.truth_mask(truth, survey.config.survey.windows, tile.geobox)
    called, real = called[:, cols], real[:, cols]
    return Confusion(*score_intervals.confusion(called == 1, real, called != UNOBSERVED))


def trained(place: Place, way: Way, count: int, home: Path) -> tuple[Path | None, int]:
    """Train with the first seed whose split gives training and validation a landslide; None if no split does."""
    configs, polygons = place.learn(count, home)
    out = home / "weights.safetensors"
    start = base.named(place.weights) if way.pretrained else None
    how = TRAIN | {"freeze_levels": way.freeze_levels, "learning_rate": way.learning_rate}
    for seed in range(MOST_SEEDS):
        first = settings.parse(configs[0].model_dump(mode="json") | {"train": how | {"seed": seed}}, home)
        try:
            train.train([first, *configs[1:]], terminal.Screen(), out=out, fresh=False, extras=train.Extras(start))
        except NoDataError as error:
            terminal.Screen().text(f"seed {seed}: {error}")
        else:
            return out, polygons
    return None, polygons


def main() -> None:
    """Train, score, print."""
    here = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("few-shots-work"), help="where countries and models go")
    parser.add_argument("--polygons", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--only", nargs="+", choices=("countries", "california"), default=["countries", "california"])
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data", help="real scenes")
    options = parser.parse_args()
    folder = options.folder.absolute()
    for name in options.only:
        results = [measured(name, repeat, options, folder) for repeat in range(REPEATS)]
        print(table(name, results, options.polygons), flush=True)


def measured(name: str, repeat: int, options: argparse.Namespace, folder: Path) -> dict[str, Result]:
    """Return polygons and MCC of each way; what an earlier call measured is read."""
    home = folder / f"{name}-{repeat}"
    file = home / "results.json"
    found: dict[str, Result] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    number = FIRST_COUNTRY + repeat
    place = country(number, folder) if name == "countries" else california(repeat, options.data, folder)
    if "as it is" not in found:
        found["as it is"] = (0, place.score(place.weights, home / "as-it-is").mcc)
        write_json(file, found)
    for count in options.polygons:
        for way, how in WAYS.items():
            key = f"{way}, {count}"
            if key not in found:
                work = home / key.replace(", ", "-").replace(" ", "-")
                weights, polygons = trained(place, how, count, work)
                found[key] = (polygons, weights and place.score(str(weights), work / "scored").mcc)
                write_json(file, found)
    return found


def table(name: str, results: Sequence[dict[str, Result]], polygons: Sequence[int]) -> str:
    """Return a Markdown table: a row for each way and number of polygons; the mean is of the places with an MCC."""
    lines = [f"{name} | polygons | MCC, mean | each", "---|---|---|---"]
    for key in ("as it is", *(f"{way}, {count}" for count in polygons for way in WAYS)):
        drawn, scores = zip(*(found[key] for found in results), strict=True)
        each = " ".join("none" if score is None else f"{score:.3f}" for score in scores)
        known = [score for score in scores if score is not None]
        mean = f"{np.mean(known):.3f}" if known else "none"
        lines.append(f"{key.split(', ')[0]} | {np.mean(drawn):.0f} | {mean} | {each}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
