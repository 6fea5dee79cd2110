"""Share of the ground that the packaged weights call unlike their training: real scenes, and synthetic countries.

    python -m benchmarks.applicability [--data ../shared/data] [--seeds 21 22] [--size 1024] [--folder DIR]

The real scenes are those of California of `benchmarks.reality`, without the burst of open sea and those that weights
were trained on, and the place in Belgium; the aim is at least 90 % of the winters of California with weights that saw
nothing like it. The synthetic countries are of the kind of the training, with seeds that it did not use; the aim is at
most 10 %. It also prints what share of the mapped landslides of each synthetic country is called unlike, the speed of
the stage and that of predictions, and the sentences of the run.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import packaged_weights, reality
from benchmarks import reality_scenes as scenes
from benchmarks.reality_scenes import Case
from lsbatch import settings
from lsbatch.bands import applicability
from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.grid import tile_id
from lsbatch.storage import cube, receipts, vectors

NETWORKS = tuple(method for method in reality.METHODS if method.weights)
COLUMNS = ("place", "weights", "unlike, %", "of mapped landslides, %", "stage, Mpx per CPU s", "predict, Mpx per CPU s")


class Screen(terminal.Screen):
    """One that keeps the sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def text(self, line: str) -> None:
        """Keep a line, and show it."""
        if "unlike" in line.lower():
            self.lines.append(line)
        super().text(line)


def surveyed(config: settings.Config) -> tuple[Survey, list[str]]:
    """Survey as far as predictions; return the survey, and what the run told about its weights."""
    screen = Screen()
    if run.survey(config, screen, until="predict"):
        raise SystemExit(f"{config.survey.id}: not every tile could be surveyed")
    return open_survey(config), screen.lines


def real(case: Case, method: reality.Method, work: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the row of a real case; open sea is left out."""
    folder = work / f"{case.survey.id}-{method.bands}"
    scenes.copy(case, folder / "scenes")
    make_catalog(folder / "scenes")
    reality.write_region(case, folder / "region.gpkg")
    survey, lines = surveyed(settings.parse(reality.raw_settings(case, method), folder))
    places = [patch for patch in case.patches if not patch.sea and patch.name not in method.learned]
    outside = np.concatenate([_read(survey, patch.geobox) for patch in places])
    return _row(f"{case.name} (real)", survey, outside, None), lines


def synthetic(seed: int, size_px: int, bands: str, work: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the row of a synthetic country."""
    weights = f"unet-{bands}"
    changes = {"bands": bands, "model": {"weights": f"package:{weights}"}, "cluster": {"kind": "serial"}}
    packaged_weights.SIZE_PX = size_px
    # a country of the kind that the weights were trained on
    survey, lines = surveyed(packaged_weights.surveyed(work, seed, changes, weights in packaged_weights.VARIED))
    config = survey.config
    assert config.truth is not None
    truth = vectors.truth_mask(config.truth, config.survey.windows, survey.grid.geobox)
    outside = cube.read_window(
        survey.workspace.store, survey.grid, applicability("unet"), *map(_all, survey.grid.shape), ("outside",)
    )["outside"]
    return _row(f"synthetic country {seed}", survey, outside.ravel(), outside[truth]), lines


def _all(size: int) -> slice:
    return slice(0, size)


def _read(survey: Survey, box: Any) -> np.ndarray:
    """Return the band `outside` of a piece of ground, flat."""
    col, row = ~survey.grid.geobox.transform @ (box.transform.c, box.transform.f)
    rows, cols = (slice(round(i), round(i) + n) for i, n in zip((row, col), box.shape, strict=True))
    found = cube.read_window(survey.workspace.store, survey.grid, applicability("unet"), rows, cols, ("outside",))
    return found["outside"].ravel()


def _row(place: str, survey: Survey, outside: np.ndarray, slides: np.ndarray | None) -> dict[str, Any]:
    speeds = [_speed(survey, stage) for stage in ("applicability", "predict")]
    return {
        "place": place,
        "weights": f"unet-{survey.config.bands}",
        "unlike": _share(outside),
        "landslides": None if slides is None else _share(slides),
        "speeds": speeds,
    }


def _share(outside: np.ndarray) -> float:
    return float((outside[outside != 255] == 1).mean())


def _speed(survey: Survey, stage: str) -> float:
    """Return megapixels a CPU second, reading and writing included, of the tile that took the median.

    CPU time, because others may use the machine; the median, because the first tile compiles and loads.
    """
    done = receipts.read_stage(survey.workspace.receipts, stage)
    seconds = np.median([done[tile_id(*position)].cpu_s for position in survey.positions])
    return survey.grid.tile_px**2 / 1e6 / float(seconds)


def main(words: list[str] | None = None) -> int:
    """Print a row a place and weights, then the sentences of the runs."""
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=here.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22])
    parser.add_argument("--size", type=int, default=1024, help="side in pixels of a country that is not varied")
    parser.add_argument("--folder", type=Path, help="keep the synthetic countries here; default: thrown away")
    options = parser.parse_args(words)
    rows, told = [], {}
    with tempfile.TemporaryDirectory() as temporary, contextlib.redirect_stdout(sys.stderr):
        work = Path(temporary)
        places = [name for name in ("california", "belgium") if not reality.missing(options.data, [name])]
        for case in scenes.cases(options.data, work, places):
            for method in NETWORKS:
                if set(method.sensors) <= set(case.sensors):
                    row, lines = real(case, method, work)
                    rows.append(row)
                    told[f"{row['place']}, {row['weights']}"] = lines
        for seed in options.seeds:
            for method in NETWORKS:
                row, lines = synthetic(seed, options.size, method.bands, options.folder or work)
                rows.append(row)
                told[f"{row['place']}, {row['weights']}"] = lines
    print(table(rows))
    for name, lines in told.items():
        print(f"\n{name}:", *(lines or ["nothing"]), sep="\n  ")
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures as a Markdown table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for row in rows:
        slides = "" if row["landslides"] is None else f"{100 * row['landslides']:.1f}"
        lines.append((row["place"], row["weights"], f"{100 * row['unlike']:.1f}", slides,
                      *(f"{speed:.2f}" for speed in row["speeds"])))  # fmt: skip
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
