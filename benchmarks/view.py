"""Seconds until the map of a nation is seen, and for a pan and a zoom, in a headless Chromium.

    python -m benchmarks.view [--landslides 50000] [--rows 40000] [--cols 60000] [--pictures FOLDER]

The survey is synthetic: landslides of random size at random places, and the national map `probability` as a COG with a
block in a third of its places, which is about the land of a country in its box. There is no cube. The server runs in a
process of its own; Chromium draws without a GPU. Both sides are told: what the server needs for a tile, and what a
person waits for in the browser until all tiles of the view are drawn.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from lsbatch import settings
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.grid import Grid
from lsbatch.inventory import schema
from lsbatch.pipeline.map_contents import MAPS
from lsbatch.review import mercator
from lsbatch.review.image_tiles import ImageTiles
from lsbatch.review.mercator import Tile
from lsbatch.review.outline_tiles import Outlines
from lsbatch.settings import Config, to_yaml
from lsbatch.storage import cog, receipts, vectors
from lsbatch.storage.receipts import Receipt
from tests import browser

LEFT, BOTTOM, TILE_PX, PIXEL_M = 204_800.0, 6_799_360.0, 2048, 10.0
#: Share of the blocks of the map that hold something.
SHARE = 1 / 3
IDLE = "document.body.dataset.ready === 'yes' && window.lsbatchMap.loaded() && window.lsbatchMap.areTilesLoaded()"
#: Resolves in the page, so that nobody asks while it draws.
UNTIL_IDLE = "new Promise(done => window.lsbatchMap.once('idle', () => done(performance.now())))"


def main() -> None:
    """Make the survey in a temporary folder, measure and print the table."""
    args = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        survey = make(Path(folder), args.rows, args.cols, args.landslides)
        print(f"{args.landslides:,} landslides, {args.rows:,} x {args.cols:,} px, made in {_since(began)}")
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print("\n".join(of_server(survey)), flush=True)
        print("\n".join(of_browser(survey, Path(folder), args.pictures)))


def options(about: str) -> argparse.Namespace:
    """Return the command line of a benchmark of this nation."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landslides", type=int, default=50_000)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--cols", type=int, default=60_000)
    parser.add_argument("--pictures", type=Path)
    return parser.parse_args()


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:.2f} s"


def make(folder: Path, rows: int, cols: int, count: int) -> Survey:
    """Write the settings, the plan, a national map and an inventory."""
    bounds = (LEFT, BOTTOM, LEFT + cols * PIXEL_M, BOTTOM + rows * PIXEL_M)
    source = {"preset": "stac", "url": "https://example.org/stac", "collections": ["c"]}
    config = settings.parse(
        {
            "survey": {"id": "bench", "year": 2020},
            "region": {"bounds": list(bounds)},
            "archives": {"sentinel2": source},
            "grid": {"tile_px": TILE_PX},
            "bands": "s2",
            "output": str(folder / "survey"),
        },
        folder,
    )
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    grid = Grid.snapped(config.grid.crs, PIXEL_M, TILE_PX, bounds)
    positions = tuple((tile.row, tile.col) for tile in grid.tiles())
    summary = {"tiles": len(positions), "region_km2": 1.0, "left_out": []}
    plan.save(plan.Plan("", grid, positions, shapely.box(*bounds), {}, summary), config.output)
    survey = Survey(config, grid, positions)
    _map(survey)
    _inventory(survey, config, count)
    return survey


def _map(survey: Survey) -> None:
    """Write a probability map whose blocks are all the same picture, at the places of an ellipse."""
    content, side = MAPS["probability"].content, cog.block_px(TILE_PX)
    y, x = np.mgrid[:side, :side]
    block = cog.compress(((np.sin(x / 9) * np.sin(y / 7) > 0.8) * 90 + (x + y) % 7).astype(np.uint8))
    sizes = []
    for level in cog.no_blocks(survey.grid.shape, side):
        rows, cols = np.mgrid[: level.shape[0], : level.shape[1]] + 0.5
        middle = (np.array(level.shape) / 2)[:, None, None]
        inside = (((np.stack([rows, cols]) - middle) / middle) ** 2).sum(axis=0) <= SHARE * 4 / np.pi
        sizes.append(np.where(inside | (max(level.shape) < 3), len(block), 0).astype(np.uint32))
    path = survey.workspace.maps / "probability.tif"
    path.parent.mkdir(parents=True)
    head, offsets = cog.header(path, survey.grid, content, sizes)
    with path.open("wb") as file:
        file.write(head)
        for level in offsets:
            for offset in level[level > 0].tolist():
                cog.put(file, offset, block)


def _inventory(survey: Survey, config: Config, count: int) -> None:
    dice = np.random.default_rng(1)
    left, bottom, right, top = survey.grid.bounds
    places = dice.uniform((left + 5e3, bottom + 5e3), (right - 5e3, top - 5e3), (count, 2))
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False) + dice.uniform(0, 0.2, (count, 16))
    size = dice.lognormal(3.5, 0.5, (count, 1)) * dice.uniform(0.7, 1.3, (count, 16))
    ring = places[:, None] + np.stack([1.8 * size * np.cos(turn), size * np.sin(turn)], axis=-1)
    frame = gpd.GeoDataFrame(
        {field.name: _column(field, count, dice) for field in schema.FIELDS},
        geometry=shapely.polygons(ring),
        crs=config.grid.crs,
    )
    frame["landslide_id"] = [f"bench-{i:010x}" for i in range(count)]
    frame["area_m2"] = frame.area
    frame = frame.sort_values("area_m2", ascending=False, ignore_index=True)
    vectors.write_parquet(survey.workspace.inventory / "landslides.parquet", frame)


def finish(survey: Survey) -> None:
    """Write the receipts of a finished survey."""
    folder = survey.workspace.receipts
    for name, tiles in {
        "outline": [survey.tile(one).id for one in survey.positions],
        "inventory": ["all"],
        "rasters": ["all"],
    }.items():
        for tile in tiles:
            receipts.write(folder, Receipt(name, tile, "d", 1.0, 0, 1.0, "bench", "2020-10-01T00:00:00+00:00"))


def _column(field: schema.Field, count: int, dice: np.random.Generator) -> object:
    if field.values:
        return [field.values[i] for i in dice.integers(0, len(field.values), count)]
    if field.name.startswith("date_") and field.name != "date_confidence":
        return ["2020-05-01" if "earliest" in field.name else "2020-08-01"] * count
    if field.dtype == "float64":
        return dice.random(count)
    return [1] * count if field.dtype == "int64" else [""] * count


def of_server(survey: Survey) -> list[str]:
    """Return the milliseconds of tiles in this process, without a browser."""
    images = ImageTiles(survey)
    frame = vectors.read_part(survey.workspace.inventory / "landslides.parquet")
    began = time.perf_counter()
    outlines = Outlines.of(frame)
    lines = [f"server: index of the outlines in {_since(began)}"]
    for zoom in (5, 8, 10, 12):
        tiles = _around(survey, zoom)
        maps = _median_ms(lambda tile: images.picture("probability", tile), tiles)
        drawn = _median_ms(outlines.tile, tiles)
        lines.append(f"server: zoom {zoom}: image tile {maps}, outline tile {drawn}")
    return lines


def _around(survey: Survey, zoom: int) -> list[Tile]:
    """Return nine tiles in the middle of the survey."""
    box = survey.grid.geobox.boundingbox
    to_mercator = mercator.transformer(survey.grid.crs, mercator.CRS)
    place = np.array(to_mercator.transform((box.left + box.right) / 2, (box.bottom + box.top) / 2))
    col, row = ((place * (1, -1) + mercator.WORLD_M) / (2 * mercator.WORLD_M) * 2**zoom).astype(int).tolist()
    return [Tile(zoom, col + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def _median_ms(make: Callable[[Tile], object], tiles: list[Tile]) -> str:
    """Return the median of wall time, and of CPU time, which other programs on the machine change less."""
    wall, cpu = [], []
    for tile in tiles:
        began, busy = time.perf_counter(), time.thread_time()
        make(tile)
        wall.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - busy)
    return f"{1000 * statistics.median(wall):.0f} ms ({1000 * statistics.median(cpu):.0f} ms of CPU)"


def of_browser(survey: Survey, folder: Path, pictures: Path | None) -> list[str]:
    """Return the seconds until the first picture, and of pans and zooms at three zooms."""
    command = [sys.executable, "-m", "lsbatch.cli", "view", str(folder / "config.yaml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "400"})
    try:
        assert process.stdout is not None
        address = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        return of_page(address, survey, folder, pictures)
    finally:
        process.terminate()
        process.wait(60)


def of_page(address: str, survey: Survey, folder: Path, pictures: Path | None) -> list[str]:
    """Return the seconds of the page at an address; the folder is for the browser's files."""
    lines = []
    with browser.Page(folder) as page:
        firsts = [_first(page, address) for _ in range(3)]
        lines.append(f"browser: first picture with all landslides after {', '.join(f'{s:.2f}' for s in firsts)} s")
        _picture(page, pictures, "nation")
        box = survey.grid.geobox.boundingbox
        to_lonlat = mercator.transformer(survey.grid.crs, "EPSG:4326")
        lon, lat = to_lonlat.transform((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        for zoom in (6, 9, 12):
            page.value(f"window.lsbatchMap.jumpTo({{center: [{lon}, {lat}], zoom: {zoom}}}); {UNTIL_IDLE}")
            _picture(page, pictures, f"zoom-{zoom}")
            pans = [_moved(page, "panBy([500, 120], {animate: false})") for _ in range(5)]
            zooms = [_moved(page, f"jumpTo({{zoom: {zoom + step}}})") for step in (1, 0, 1)]
            lines.append(
                f"browser: zoom {zoom}: pan {statistics.median(pans):.2f} s (at most {max(pans):.2f}), "
                f"zoom {statistics.median(zooms):.2f} s (at most {max(zooms):.2f})"
            )
        assert not page.errors, page.errors
    return lines


def _first(page: browser.Page, address: str) -> float:
    """Return the seconds until the first picture; the first of several also fills the cache of the browser."""
    page.open("data:text/html,")
    began = time.perf_counter()
    page.open(address)
    while not page.value(f"document.body && {IDLE}"):
        time.sleep(0.05)
    return time.perf_counter() - began


def _moved(page: browser.Page, what: str) -> float:
    """Return the seconds of a movement until all tiles are drawn."""
    script = (
        f"(() => {{ const began = performance.now(); const end = {UNTIL_IDLE}; window.lsbatchMap.{what}; "
        "return end.then(t => t - began); })()"
    )
    return page.value(script) / 1000


def _picture(page: browser.Page, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        page.picture(folder / f"{name}.png", whole=False)


if __name__ == "__main__":
    main()
