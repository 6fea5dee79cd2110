"""Records a second of the inventory, by step.

    python -m benchmarks.inventory [--landslides 50000] [--tile-px 256] [--workers 2]

The parts are synthetic: ellipses on a slope with random bands, outlined by the stage `outline` itself, so the columns
and the outlines are of the kind that a survey has. No images are read and no model is applied. The receipts of earlier
stages and the planned scenes are made up. Then the stages `provenance` and `records` run on the workers, one after the
other, and the reductions `inventory` and `catalog` in this process.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from odc.geo.geom import Geometry

from benchmarks.scaling import workers
from lsbatch import settings
from lsbatch.catalog import plan
from lsbatch.catalog.date_windows import KEYS
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.survey import Position, Survey, open_survey
from lsbatch.engine import distribute, execution, tile_task, todo
from lsbatch.engine.schedule import Schedule
from lsbatch.errors import LsbatchError
from lsbatch.grid import Grid, Tile
from lsbatch.models import cards
from lsbatch.pipeline import outline
from lsbatch.pipeline.types import Block, Reduction, Stage
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt

#: Side in pixels of the cells with at most one landslide each, and the share of cells with one.
CELL_PX, SHARE = 32, 0.85
#: Mean half length of a landslide in pixels. A survey of 256 px tiles has landslides of 60 pixels in the mean.
HALF_PX = 5.0
#: Planned scenes of a tile for each use.
SCENES = 12
PIXEL_M = 10.0
DAY = 18_400


def main() -> None:
    """Make the parts in a temporary folder, run the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landslides", type=int, default=50_000)
    parser.add_argument("--tile-px", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        survey = make(Path(folder), args.landslides, args.tile_px, args.workers)
        print("\n".join(measured(survey, args.workers).lines()))


@dataclass(frozen=True)
class Measured:
    """Records of the inventory, tiles, and for each step the seconds and the CPU seconds of its processes.

    CPU seconds are little changed by other programs on the machine.
    """

    records: int
    tiles: int
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Records a second of the steps that make the inventory."""
        return self.records / (self.seconds["records"] + self.seconds["inventory"])

    def lines(self) -> list[str]:
        """Return the table as text."""
        rows = [
            f"{name:12} {spent:8.2f} s {self.records / spent:10,.0f} records/s {self.cpu_s[name]:8.2f} CPU s"
            for name, spent in self.seconds.items()
        ]
        head = f"{self.records} records of synthetic parts in {self.tiles} tiles"
        return [head, *rows, f"inventory in all: {self.per_second:,.0f} records/s"]


def measured(survey: Survey, count: int) -> Measured:
    """Run the stage `records` on so many workers and the reductions after it."""
    seconds, cpu_s = {}, {}
    with workers(count) as client:
        # modules are imported and plans read before the clock starts, as in a run
        client.run(_warm, survey.config)
        for name in ("provenance", "records"):
            stage = todo.step_named(name)
            assert isinstance(stage, Stage)
            began = time.perf_counter()
            # its inputs are there without the stages before them
            schedule = Schedule(survey, (replace(stage, after=()),))
            found = list(distribute.run_tiles(survey, schedule, lambda _: client))
            seconds[name] = time.perf_counter() - began
            cpu_s[name] = sum(one.cpu_s for one in found)
            if faults := [one for one in found if not one]:
                raise LsbatchError(f"{faults[0].tile}: {faults[0].error}")
    made = {}
    for name in ("inventory", "catalog"):
        step = todo.step_named(name)
        assert isinstance(step, Reduction)
        began, before = time.perf_counter(), time.process_time()
        receipt = execution.run_reduction(survey, step)
        if not receipt:
            raise LsbatchError(f"{name}: {'was up to date' if receipt is None else receipt.error}")
        seconds[name], cpu_s[name] = time.perf_counter() - began, time.process_time() - before
        made[name] = receipt
    return Measured(made["inventory"].tally["landslides"], len(survey.positions), seconds, cpu_s)


def _warm(config: settings.Config) -> None:
    open_survey(config)


def make(folder: Path, landslides: int, tile_px: int, processes: int) -> Survey:
    """Make a survey with parts of about so many landslides, on so many processes."""
    config = _config(folder, tile_px)
    tiles = max(1, round(landslides / (SHARE * (tile_px / CELL_PX) ** 2)))
    cols = max(1, round(tiles**0.5))
    rows = -(-tiles // cols)
    grid = Grid("EPSG:25833", PIXEL_M, tile_px,
                (0.0, 6_400_000.0, cols * tile_px * PIXEL_M, 6_400_000.0 + rows * tile_px * PIXEL_M))  # fmt: skip
    positions = tuple(divmod(i, cols) for i in range(tiles))
    region = shapely.box(*grid.bounds)
    places = Geometry(region, grid.crs).to_crs("EPSG:4326").geom
    scenes = {key: tuple(_scene(key, i, places) for i in range(SCENES if key != "dem" else 1)) for key in KEYS}
    planned = {grid.tile(*one).id: plan.TilePlan(scenes, "nothing", 0.0, None) for one in positions}
    summary = {"tiles": tiles, "region_km2": region.area / 1e6, "left_out": []}
    plan.save(plan.Plan("", grid, positions, region, planned, summary), config.output)
    survey = Survey(config, grid, positions)
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(_part, survey), positions, chunksize=8))
    return survey


def _config(folder: Path, tile_px: int) -> settings.Config:
    weights = folder / "weights.safetensors"
    source = {"preset": "stac", "url": "https://example.org/stac", "collections": ["c"]}
    raw = {
        "survey": {"id": "synthetic-parts", "year": 2020},
        "region": {"bounds": [0.0, 6_400_000.0, 1000.0, 6_401_000.0]},
        "grid": {"tile_px": tile_px},
        "archives": dict.fromkeys(("sentinel2", "sentinel1", "dem"), source),
        "model": {"weights": str(weights)},
        "output": str(folder / "survey"),
        "inventory": {"radar_dates": False},
    }
    config = settings.parse(raw, folder)
    bands = len(config.inputs)
    card = cards.Card("unet", config.inputs, (0.0,) * bands, (1.0,) * bands, {}, 96, 16)
    cards.save(weights, {"nothing": np.zeros(3, np.float32)}, card)
    return config


def _scene(key: str, number: int, footprint: shapely.Geometry) -> Scene:
    day = f"20{19 if key.startswith('pre') else 20}-07-{number + 1:02d}T10:00:00Z"
    assets = {name: f"https://example.org/{key}/{number}/{name}.tif" for name in ("B02", "B03", "B04", "B08", "SCL")}
    item = {
        "id": key,
        "geometry": shapely.geometry.mapping(footprint),
        "assets": {name: {"href": href} for name, href in assets.items()},
    }
    return Scene(f"{key}-{number}", "sentinel2", "c", day, "platform", 44, "ascending", "05.00", -1000.0, 1e-4,
                 "processing baseline is 04.00 or later", 0.0, None, 160.0, 40.0, assets, item)  # fmt: skip


def _part(survey: Survey, position: Position) -> None:
    """Write the part of a tile and the receipts that later steps read."""
    tile = survey.tile(position)
    block = outline.apply(Block(tile, 1, _bands(tile)), survey.config)
    sums = tile_task._write(survey.workspace, None, "outline", block)
    scenes = tuple(f"{key}-{i}" for key in KEYS for i in range(0, SCENES, 2))
    decisions = {"offsets": ["-1000: processing baseline"], "orbits": ["ascending 44 platform"]}
    tallies = {"stack": {"decisions": decisions, "region_pixels": survey.grid.tile_px**2}, "outline": block.tally}
    for name, tally in tallies.items():
        receipts.write(survey.workspace.receipts, Receipt(
            name, tile.id, "made", 0.0, 0, 0.0, "benchmark", "2020-10-01T00:00:00+00:00", tally=tally,
            scenes=scenes if name == "stack" else (), sums=sums if name == "outline" else {},
        ))  # fmt: skip


def _bands(tile: Tile) -> dict[str, np.ndarray]:
    """Return the bands that the stage `outline` reads, with a halo of one pixel."""
    side = tile.geobox.shape[0] + 2
    rng = np.random.default_rng((tile.row, tile.col))
    rows, cols = np.mgrid[:side, :side] + np.array([tile.row, tile.col]).reshape(2, 1, 1) * (side - 2) - 1
    slides = _slides(tile, side)
    bands = {name: rng.normal(0, 1, (side, side)).astype(np.float32) for name in outline._STACK}
    bands["slope"] = np.clip(25 + 8 * bands["slope"] + 6 * np.sin(rows / 7), 0, 80).astype(np.float32)
    bands["elevation"] = (1000 - 4.0 * rows % 900 + 40 * np.sin(cols / 30) + bands["elevation"]).astype(np.float32)
    bands["probability"] = np.where(slides, rng.uniform(0.5, 1, slides.shape), 0.1).astype(np.float32)
    bands["observed"] = rng.choice(np.array([27, 31, 11], np.uint8), slides.shape)
    bands["pre_date"], bands["post_date"] = (
        np.full(slides.shape, DAY + days, np.int16) for days in (-370, 20)
    )  # fmt: skip
    bands["landslide"] = slides.astype(np.uint8)
    return bands


def _slides(tile: Tile, side: int) -> np.ndarray:
    """Return the landslides of a tile with its halo, bool; those of neighbouring tiles continue in it."""
    out = np.zeros((side, side), bool)
    first_row, first_col = tile.row * (side - 2) - 1, tile.col * (side - 2) - 1
    for cell_row in range(first_row // CELL_PX - 1, (first_row + side) // CELL_PX + 2):
        for cell_col in range(first_col // CELL_PX - 1, (first_col + side) // CELL_PX + 2):
            _draw(out, (cell_row, cell_col), (first_row, first_col))
    return out


def _draw(out: np.ndarray, cell: tuple[int, int], first: tuple[int, int]) -> None:
    rng = np.random.default_rng((cell[0] + 10, cell[1] + 10))
    if rng.random() > SHARE:
        return
    row, col = np.multiply(cell, CELL_PX) - first + rng.uniform(0, CELL_PX, 2)
    long = HALF_PX * rng.lognormal(0, 0.5)
    wide, turned = max(0.8, long * rng.uniform(0.3, 0.6)), rng.normal(0, 0.5)
    top, left = (max(0, int(place - long - 2)) for place in (row, col))
    rows, cols = np.ogrid[top : max(top, int(row + long + 2)), left : max(left, int(col + long + 2))]
    along = (rows - row) * np.cos(turned) + (cols - col) * np.sin(turned)
    across = (cols - col) * np.cos(turned) - (rows - row) * np.sin(turned)
    window = out[top : top + len(rows), left : left + cols.shape[1]]
    window |= ((along / long) ** 2 + (across / wide) ** 2 < 1)[: window.shape[0], : window.shape[1]]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
