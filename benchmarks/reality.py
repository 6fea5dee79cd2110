"""False alarms of the packaged weights on real scenes without an event, and recall of planted landslides in them.

    python -m benchmarks.reality [--data ../shared/data] [--out FOLDER]
        [--only california belgium hokkaido synthetic] [--rgb-weights FILE]

The false alarms are measured on the real scenes as they are. The recall is measured on copies of the same scenes with
**planted** landslides: synthetic shapes whose backscatter is shifted by 1 to 6 dB with its own speckle, and whose
reflectance is mixed with that of debris. Both are surveyed by the product's own path, from the catalogue to the
inventory. It prints a table and writes reality.json, curve.png (recall against false records, by threshold) and a
picture of each real scene. Hokkaido has no near infrared: it needs --rgb-weights, of a model for s2_rgb.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from benchmarks import hokkaido, reality_pictures, score_weights
from benchmarks import reality_measures as measures
from benchmarks import reality_scenes as scenes
from benchmarks.reality_measures import Called, Method, Outcome
from benchmarks.reality_scenes import Case, Patch
from lsbatch import settings
from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.inventory import identity
from lsbatch.models import base
from lsbatch.storage import cube
from lsbatch.synthetic.planting import Planted

PLACES = ("california", "belgium", "hokkaido", "synthetic")
COLLECTIONS = {"sentinel1": "sentinel-1-rtc", "sentinel2": "sentinel-2-l2a", "dem": "dem"}
METHODS = (
    Method("disturbance", "s1vv", None, "disturbance"),
    Method("unet s1_change", "s1_change", "package:unet-s1_change", learned=scenes.LEARNED),
    Method("unet s1_change_s2", "s1_change_s2", "package:unet-s1_change_s2", sensors=("sentinel1", "sentinel2")),
    Method("unet s1vv", "s1vv", "package:unet-s1vv"),
    Method("unet s1vv_s2", "s1vv_s2", "package:unet-s1vv_s2", sensors=("sentinel1", "sentinel2")),
)


def measure(case: Case, methods: Iterable[Method], work: Path, seed: int) -> list[Outcome]:
    """Survey a case as it is and with planted landslides by each method that its sensors allow."""
    able = [method for method in methods if set(method.sensors) <= set(case.sensors)]
    quiet = _surveyed(case, able, work / "quiet", None)
    drawn = [
        {patch.name: scenes.plant(case, patch, draw, seed) for patch in case.patches if not patch.sea}
        for draw in range(case.draws)
    ]
    found = [_surveyed(case, able, work / f"planted-{i}", planted) for i, planted in enumerate(drawn)]
    return [
        Outcome(case, method, quiet[i], tuple((planted, one[i]) for planted, one in zip(drawn, found, strict=True)))
        for i, method in enumerate(able)
    ]


def _surveyed(
    case: Case, methods: list[Method], folder: Path, planted: Mapping[str, Planted] | None
) -> list[dict[str, Called]]:
    """Return the answers of each method; scenes, catalogue and STACK are made once."""
    scenes.copy(case, folder / "scenes", planted)
    make_catalog(folder / "scenes")
    write_region(case, folder / "region.gpkg")
    answers = []
    for method in methods:
        config = settings.parse(raw_settings(case, method), folder)
        if run.survey(config, terminal.Screen(), until="inventory"):
            raise SystemExit(f"{case.name}, {method.name}: not every tile could be surveyed")
        survey = open_survey(config)
        answers.append({patch.name: _called(survey, patch) for patch in case.patches})
    return answers


def write_region(case: Case, path: Path) -> None:
    """Write the outlines of a case's patches."""
    frame = gpd.GeoDataFrame(geometry=[patch.geobox.boundingbox.polygon.geom for patch in case.patches])
    frame.set_crs(case.patches[0].geobox.crs.to_wkt()).to_file(path)


def raw_settings(case: Case, method: Method) -> dict[str, Any]:
    """Return the settings of a survey as a YAML file would hold them."""
    box = case.patches[0].geobox
    return {
        "survey": case.survey.model_dump(mode="json", exclude_defaults=True),
        "region": {"file": "region.gpkg"},
        "grid": {"crs": f"EPSG:{box.crs.epsg}", "resolution_m": abs(box.resolution.x), "tile_px": 128},
        "archives": {
            sensor: {"preset": "local", "url": "scenes/catalog.json", "collections": [COLLECTIONS[sensor]]}
            for sensor in case.sensors
        },
        "bands": method.bands,
        "model": {"family": method.family, "weights": method.weights},
        "cluster": {"kind": "serial"},
        "output": "survey",
    }


def _called(survey: Survey, patch: Patch) -> Called:
    family, box = survey.config.model.family, patch.geobox
    col, row = ~survey.grid.geobox.transform @ (box.transform.c, box.transform.f)
    rows, cols = (slice(round(i), round(i) + n) for i, n in zip((row, col), box.shape, strict=True))

    def read(layer: Any, *names: str) -> dict[str, np.ndarray]:
        return cube.read_window(survey.workspace.store, survey.grid, layer, rows, cols, names)

    bands = read(STACK, "preVV", "postVV")
    records = identity.found(gpd.read_parquet(survey.workspace.inventory / "landslides.parquet"))
    inside = shapely.intersects(records.geometry.values, box.boundingbox.polygon.geom)
    return Called(
        read(probability(family), "probability")["probability"],
        read(mask(family), "landslide")["landslide"] == 1,
        bands["postVV"] - bands["preVV"],
        records["area_m2"].to_numpy(np.float64)[inside],
    )


def row(outcome: Outcome) -> dict[str, Any]:
    """Return all figures of an outcome."""
    return {
        "scene": outcome.case.name,
        "setting": outcome.method.name,
        **measures.false_alarms(outcome),
        "recalls": measures.recalls(measures.planted_table(outcome)),
        "curve": list(measures.curve(outcome)),
    }


def elsewhere(outcome: Outcome) -> list[Outcome]:
    """Return the outcome of a method without training in the patches that no network learned from, to compare with."""
    learned = {patch.name for patch in outcome.case.patches} & set(scenes.LEARNED)
    if outcome.method.weights or not learned:
        return []
    name = f"{outcome.method.name}, unseen places"
    return [replace(outcome, method=replace(outcome.method, name=name, learned=scenes.LEARNED))]


def hokkaido_row(weights: Path, folder: Path) -> dict[str, Any]:
    """Return the share that a model for true colours calls on the scene of Hokkaido; it has no labels."""
    chance = hokkaido.answered(weights, hokkaido.bands(folder))
    share = float((chance[np.isfinite(chance)] >= 0.5).mean())
    scene, setting = "Hokkaido 2018 (landslides, no labels)", f"{base.card(weights).family} {weights.stem}"
    return {"scene": scene, "setting": setting, "land_called": share}


def synthetic_row(method: Method, seed: int, side_px: int, work: Path) -> dict[str, Any]:
    """Return the MCC of a method on a synthetic country."""
    found = score_weights.scored(work, seed, side_px, method.bands)
    return {"scene": f"synthetic country {seed}", "setting": method.name, "mcc": found["mcc"]}


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a Markdown table; recall is followed by that of chance and by the number of planted landslides."""
    aim = measures.AIM
    classes = [aim, *(f"{size}, all strengths" for size in measures.SIZES)]
    classes += [f"all sizes, {strength}" for strength in list(measures.STRENGTHS)[1:]]
    head = ["scene", "setting", "land called, %", "sea called, %", "records per 100 km2", "of 1 ha and more"]
    head += [f"recall: {name.removesuffix(', all strengths').removeprefix('all sizes, ')}" for name in classes] + [
        "MCC"
    ]
    lines = [head, ["---"] * len(head)]
    for one in rows:
        recalls = one.get("recalls", {})
        lines.append([
            one["scene"], one["setting"], _shown(one.get("land_called"), 100, 2), _shown(one.get("sea_called"), 100, 2),
            _shown(one.get("records_per_100_km2"), 1, 0), _shown(one.get("large_records_per_100_km2"), 1, 0),
            *(_recall(recalls.get(name)) for name in classes), _shown(one.get("mcc"), 1, 3),
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(value: float | None, times: float, digits: int) -> str:
    return "" if value is None else f"{times * value:.{digits}f}"


def _recall(of: Mapping[str, Any] | None) -> str:
    if of is None or of["recall"] is None:
        return ""
    return f"{of['recall']:.2f} ({of['by_chance']:.2f}; {of['planted']})"


def missing(data: Path, only: Iterable[str]) -> list[Path]:
    """Return the files of the wanted places that are absent."""
    needed = {"california": scenes.CALIFORNIA, "belgium": scenes.BELGIUM, "hokkaido": "s2_hokkaido"}
    return [data / path for place, path in needed.items() if place in only and not (data / path).exists()]


def arguments_of(words: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=here / "benchmarks" / "results" / "reality")
    parser.add_argument("--only", nargs="+", choices=PLACES, default=PLACES)
    parser.add_argument("--sea", nargs="+", default=scenes.SEA, help="bursts of open sea")
    parser.add_argument("--seed", type=int, default=0, help="of the planted landslides")
    parser.add_argument("--draws", type=int, help="copies with planted landslides; default: by scene")
    parser.add_argument("--rgb-weights", type=Path, nargs="+", default=(), help="models for Hokkaido")
    parser.add_argument("--country-seeds", type=int, nargs="+", default=(900,), help="of the synthetic countries")
    parser.add_argument("--country-px", type=int, default=1024, help="side of a synthetic country")
    return parser.parse_args(words)


def measured(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Measure all wanted places, draw their pictures, and return their figures."""
    rows = []
    for case in scenes.cases(options.data, work, options.only, tuple(options.sea)):
        drawn = replace(case, draws=options.draws or case.draws)
        for outcome in measure(drawn, METHODS, work / case.survey.id, options.seed):
            rows += [row(one) for one in (outcome, *elsewhere(outcome))]
            name = f"{case.survey.id}-{outcome.method.name.replace(' ', '-')}.png"
            reality_pictures.outcome(options.out / name, outcome)
    if "hokkaido" in options.only:
        rows += [hokkaido_row(weights, options.data / "s2_hokkaido") for weights in options.rgb_weights]
    if "synthetic" in options.only:
        rows += [
            synthetic_row(method, seed, options.country_px, work / "countries")
            for seed in options.country_seeds for method in METHODS
        ]  # fmt: skip
    return rows


def main(words: list[str] | None = None) -> int:
    """Print the table, write figures and pictures; return the exit code."""
    options = arguments_of(words)
    absent = missing(options.data, options.only)
    if absent:
        print(f"real scenes are not at {absent[0]}; give their folder with --data", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(sys.stderr):
        rows = measured(options, Path(work))
    (options.out / "reality.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    with contextlib.redirect_stdout(sys.stderr):
        reality_pictures.curve(options.out / "curve.png", rows)
    print(table(rows))
    if "hokkaido" in options.only and not options.rgb_weights:
        print("Hokkaido was not measured: no packaged weights read true colours alone; give --rgb-weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
