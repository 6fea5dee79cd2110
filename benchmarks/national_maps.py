"""National maps: seconds a tile of the parts that workers make and of putting them together, against GDAL's way.

    python -m benchmarks.national_maps [--side 4] [--tile 2048]

A survey of side x side tiles whose cube is made here: a probability with the structure of a smooth field, landslides
where it is high, clouds that cover a fifth, dates in patches of a kilometre, and observation bits in patches. It is not
a real country; the sizes of the maps are printed.

Ours: the stage `map_blocks` of every tile, one process after another and on two processes at once, then the reduction
`rasters` in a new process, for its memory. GDAL's way is what lsbatch did before: read each tile from the cube for each
map, write a flat GeoTIFF, copy it with the driver COG. Seconds on the clock depend on what else the machine does, so
processor seconds are printed too. The full resolution of both must be equal.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import scipy.ndimage
import shapely

from lsbatch import settings
from lsbatch.bands import STACK, Layer, mask, probability
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine import tile_task
from lsbatch.engine.tile_task import Task
from lsbatch.grid import Grid, Tile
from lsbatch.pipeline import map_contents, national_maps
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.map_contents import Map
from lsbatch.storage import cube, rasters

#: The bands of STACK that the maps read.
LOOKS = Layer(STACK.name, (STACK["post_date"], STACK["observed"]))
#: Those that the maps on request read.
PICTURES = tuple(f"{period}{colour}" for period in ("pre", "post") for colour in "RGB")
FURTHER = Layer(STACK.name, (*LOOKS.bands, *(STACK[name] for name in (*PICTURES, "diffVV"))))
#: A landslide is where the probability is at least this.
THRESHOLD = 0.3
WORKERS = 2


def survey(
    folder: Path,
    tile_px: int,
    shape: tuple[int, int],
    positions: tuple[Position, ...] | None = None,
    *,
    further: bool = False,
) -> Survey:
    """Make a survey of rows x cols tiles without scenes, planned, with an empty cube; all tiles or these positions.

    With `further` the maps on request are made too.
    """
    side = 10.0 * tile_px
    bounds = (0.0, 0.0, shape[1] * side, shape[0] * side)
    source = {"preset": "stac", "url": "https://example.org/stac", "collections": ["c"]}
    config = settings.parse(
        {
            "survey": {"id": "synthetic-maps", "year": 2020},
            "region": {"bounds": list(bounds)},
            "grid": {"tile_px": tile_px, "crs": "EPSG:25833"},
            "archives": {"sentinel2": source, "sentinel1": source, "dem": source},
            "maps": {"true_colour": further, "radar_change": further},
            "output": str(folder),
        },
        Path.cwd(),
    )
    grid = Grid(config.grid.crs, 10.0, tile_px, bounds)
    every = tuple((row, col) for row in range(shape[0]) for col in range(shape[1]))
    made = Survey(config, grid, every if positions is None else positions)
    summary: Mapping[str, Any] = {"tiles": len(made.positions), "region_km2": 1.0, "left_out": []}
    plan.save(plan.Plan("", grid, made.positions, shapely.box(*bounds), {}, summary), config.output)
    for layer in _layers(made):
        cube.create(made.workspace.store, grid, layer)
    return made


def _layers(made: Survey) -> tuple[Layer, ...]:
    family = made.config.model.family
    return probability(family), mask(family), FURTHER if made.config.maps.true_colour else LOOKS


def fill(made: Survey, position: Position, bands: Mapping[str, np.ndarray]) -> None:
    """Write a tile of the cube."""
    unknown = {"spread": np.full_like(bands["probability"], np.nan)}
    for layer in _layers(made):
        chosen = {name: values for name, values in {**unknown, **bands}.items() if name in layer.names}
        cube.write(made.workspace.store, layer, made.tile(position), chosen)


def content(side: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the bands of a tile."""

    def smooth(sigma: float) -> np.ndarray:
        values = scipy.ndimage.gaussian_filter(rng.normal(size=(side, side)), sigma, mode="wrap")
        return values / values.std()

    def patches(patch: int, low: int, high: int) -> np.ndarray:
        count = side // patch
        return np.kron(rng.integers(low, high, (count, count)), np.ones((patch, patch), int))

    chance = 1 / (1 + np.exp(3 - 1.5 * smooth(3)))
    chance[smooth(side / 16) > 0.85] = np.nan
    shown = np.where(smooth(side / 16) > 0.85, np.nan, 1).astype(np.float32)
    colours = {name: shown * 0.2 * np.abs(smooth(3)) for name in PICTURES}
    return {
        **colours,
        "diffVV": shown * smooth(3),
        "probability": chance.astype(np.float32),
        "landslide": np.where(np.isnan(chance), UNOBSERVED, chance >= THRESHOLD).astype(np.uint8),
        "post_date": (18000 + patches(min(side, 128), 0, 60)).astype(np.int16),
        "observed": patches(min(side, 32), 0, 16).astype(np.uint8),
    }


def gdal_maps(made: Survey, folder: Path, positions: tuple[Position, ...]) -> None:
    """Write the maps of these tiles as lsbatch did before: read each tile, write it flat, copy all with overviews."""
    bands = {band: layer for layer in _layers(made) for band in layer.names}

    def read(tile: Tile, one: Map) -> np.ndarray:
        names = [name for some in one.reads.values() for name in some]
        found = {
            name: cube.read(made.workspace.store, made.grid, bands[name], tile, 0, (name,))[name] for name in names
        }
        return np.asarray(one.pixels(found), one.content.dtype)

    for name, one in map_contents.wanted(made.config).items():
        content = one.content
        rasters.write(
            folder / f"{name}.tif", made.grid, [made.tile(position) for position in positions],
            partial(read, one=one), content.dtype, content.nodata, content.colours, legend=content.legend,
            overviews=content.overviews, samples=content.samples,
        )  # fmt: skip


def measure(side: int, tile_px: int, folder: Path) -> dict[str, float]:
    """Return seconds by step."""
    made = survey(folder / "survey", tile_px, (side, side))
    first = content(tile_px, np.random.default_rng(1))
    for number, position in enumerate(made.positions):
        moved = {name: np.roll(values, (37 * number, 411 * number), (0, 1)) for name, values in first.items()}
        fill(made, position, moved)
    found = _timed("blocks", lambda: [_blocks(made, position) for position in made.positions])
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(_blocks, made), made.positions[:WORKERS]))
        found |= _timed(
            "blocks, two workers", lambda: list(pool.map(partial(_blocks, made), made.positions)), inside=False
        )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found |= pool.submit(_merged, made).result()
    found |= _timed("GDAL", lambda: gdal_maps(made, folder, made.positions))
    _insist_equal(made, folder)
    sizes = ("parts", sum(path.stat().st_size for path in (folder / "survey" / "parts").rglob("*.parquet")))
    return found | dict([sizes, ("maps", sum(path.stat().st_size for path in made.workspace.maps.iterdir()))])


def _blocks(made: Survey, position: Position) -> None:
    receipt = tile_task.commit(made.config, made.grid, Task("map_blocks", position, "benchmark"))
    assert receipt, receipt.error


def _merged(made: Survey) -> dict[str, float]:
    before = tile_task.peak_mb()
    found = _timed("merging", lambda: national_maps.apply(made, made.config))
    return found | {"merging, MB": tile_task.peak_mb() - before}


def _timed(name: str, call: Callable[[], Any], *, inside: bool = True) -> dict[str, float]:
    """Return seconds on the clock, and processor seconds where the work is done inside this process."""
    began, used = time.perf_counter(), time.process_time()
    call()
    spent = {name: time.perf_counter() - began}
    return spent | ({f"{name}, processor": time.process_time() - used} if inside else {})


def _insist_equal(made: Survey, folder: Path) -> None:
    for name in map_contents.wanted(made.config):
        with (
            rasterio.open(made.workspace.maps / f"{name}.tif") as ours,
            rasterio.open(folder / f"{name}.tif") as theirs,
        ):
            for tile in made.grid.tiles():
                window = rasterio.windows.Window.from_slices(*tile.region)
                np.testing.assert_array_equal(ours.read(1, window=window), theirs.read(1, window=window))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=4)
    parser.add_argument("--tile", type=int, default=2048)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.side, asked.tile, Path(folder))
    tiles = asked.side**2
    print(f"{tiles} tiles of {asked.tile} px, four maps; seconds a tile")
    for name in (name for name in found if name not in ("parts", "maps", "merging, MB")):
        print(f"  {name:28} {found[name] / tiles:8.3f}")
    ours = found["blocks, two workers"] + found["merging"]
    print(
        f"  ours with two workers        {ours / tiles:8.3f}, {found['GDAL'] / ours:.1f} times faster than GDAL's way"
    )
    print(f"  parts {found['parts'] / tiles / 1e6:.2f} MB and maps {found['maps'] / tiles / 1e6:.2f} MB a tile; ")
    print(f"  merging takes {found['merging, MB']:.0f} MB more than the imported program")


if __name__ == "__main__":
    main()
