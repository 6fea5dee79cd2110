"""Time to read four bands of one scene, compared with plain decoding and with odc.stac.load.

    python -m benchmarks.resampling [--tile 2048]

A scene of four uint16 bands as local COGs (deflate, blocks of 512 px), read on a tile in three geometries: on the
tile's own lattice, half a pixel off, and in the next UTM zone. `decoding` reads the same windows with rasterio and does
nothing else. `odc.stac.load` reads the same tile with the same resampling. All three run in turns in one process, best
of five, with one thread and with two (one scene a thread, milliseconds of a scene). The kernel's result is compared
with float64 bilinear interpolation at the coordinates of PROJ.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import from_origin
from scipy import ndimage

from benchmarks import tile_memory
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.imagery import lattice_mapping, scene_reading

BANDS = {"R": "red", "G": "green", "B": "blue", "NIR": "nir"}
GEOMETRIES = ("own lattice", "half a pixel off", "next UTM zone")
ROUNDS = 5


def scene(folder: Path, geometry: str, tile_px: int) -> pystac.Item:
    """Write the scene and return its item."""
    kind = "same" if geometry == "own lattice" else "nation"
    where = tile_memory.lattices(kind, tile_px)[
        "sentinel-1-rtc" if geometry == "half a pixel off" else "sentinel-2-l2a"
    ]
    rng = np.random.default_rng(0)
    shape = where.rows, where.cols
    ground = ndimage.gaussian_filter(rng.standard_normal(shape), 3) * 8000 + 3000
    files = {}
    for band in (*BANDS.values(), "scl"):
        values = np.full(shape, 4) if band == "scl" else np.clip(ground + rng.normal(0, 60, shape), 1001, 9000)
        path = folder / f"{geometry}-{band}.tif"
        profile = {"driver": "COG", "height": shape[0], "width": shape[1], "count": 1, "dtype": "uint16"}
        lattice = {"crs": where.crs, "transform": from_origin(where.left, where.top, where.side, where.side)}
        with rasterio.open(path, "w", **profile, **lattice, nodata=0, compress="deflate", blocksize=512) as file:
            file.write(values.astype(np.uint16), 1)
        files[band] = str(path)
    return tile_memory._item(geometry, datetime(2020, 7, 1, tzinfo=UTC), where, files)


def box(tile_px: int) -> GeoBox:
    """Return the tile."""
    return GeoBox((tile_px, tile_px), from_origin(tile_memory.LEFT, tile_memory.TOP, 10, 10), tile_memory.CRS_NAME)


def decode(item: pystac.Item, tile: GeoBox) -> None:
    """Read the windows that the tile needs, and nothing else."""
    for name in BANDS.values():
        with rasterio.open(item.assets[name].href, sharing=False) as file:
            pieces = lattice_mapping.pieces(tile, file.crs.to_wkt(), file.transform, file.width)
            file.read(1, window=scene_reading._window(pieces, file.shape))


def calls(item: pystac.Item, ours: Scene, tile: GeoBox) -> dict[str, Callable[[], object]]:
    """Return what is timed."""
    return {
        "ours": lambda: scene_reading.read(ours, tuple(BANDS), tile),
        "decoding": lambda: decode(item, tile),
        "odc.stac.load": lambda: odc.stac.load(
            [item], bands=list(BANDS.values()), geobox=tile, resampling="bilinear", dtype="uint16", nodata=0
        ),
    }


def milliseconds(work: dict[str, Callable[[], object]], threads: int) -> dict[str, float]:
    """Return the milliseconds of a scene, best of some rounds in which all take turns."""
    found = dict.fromkeys(work, np.inf)
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            for name, call in work.items():
                began = time.perf_counter()
                list(pool.map(lambda _, call=call: call(), range(threads)))
                found[name] = min(found[name], 1000 * (time.perf_counter() - began) / threads)
    return found


def error_dn(item: pystac.Item, ours: Scene, tile: GeoBox) -> float:
    """Return the largest difference to exact bilinear interpolation on pixels inside the scene, in digital numbers."""
    with rasterio.open(item.assets["red"].href) as file:
        values, transform, crs = file.read(1).astype(np.float64), file.transform, file.crs
    x, y = np.meshgrid(*(np.asarray(tile.coordinates[name].values) for name in ("x", "y")))
    x, y = Transformer.from_crs(tile_memory.CRS_NAME, crs, always_xy=True).transform(x, y)
    back = ~transform
    row, col = back.d * x + back.e * y + back.f - 0.5, back.a * x + back.b * y + back.c - 0.5
    inside = (row > 1) & (col > 1) & (row < values.shape[0] - 2) & (col < values.shape[1] - 2)
    exact = ndimage.map_coordinates(values, [row[inside], col[inside]], order=1)
    return float(np.abs(scene_reading.read(ours, ("R",), tile)["R"][inside] - exact).max())


def rows(tile_px: int) -> Iterator[tuple[str, dict[int, dict[str, float]], float]]:
    """Yield each geometry with its milliseconds by number of threads, and its largest error."""
    tile = box(tile_px)
    for geometry in GEOMETRIES:
        with tempfile.TemporaryDirectory() as name:
            item = scene(Path(name), geometry, tile_px)
            ours = describe(item.to_dict(), "sentinel2")
            work = calls(item, ours, tile)
            yield geometry, {threads: milliseconds(work, threads) for threads in (1, 2)}, error_dn(item, ours, tile)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=2048)
    arguments = parser.parse_args()
    print("| scene | threads | ours, ms | decoding, ms | odc.stac.load, ms | of decoding | times odc | error, DN |")
    print("|---|---|---|---|---|---|---|---|")
    for geometry, found, error in rows(arguments.tile):
        for threads, row in found.items():
            ours, plain, peer = row["ours"], row["decoding"], row["odc.stac.load"]
            print(
                f"| {geometry} | {threads} | {ours:.0f} | {plain:.0f} | {peer:.0f} | {ours / plain:.2f} | "
                f"{peer / ours:.1f} | {error:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
