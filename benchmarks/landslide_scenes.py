"""Scenes of a tile that show landslides: a quiet forest, patches of cloud, and 36 landslides in the scenes after.

Formats, numbers and lattices are those of `tile_memory`. What is planted is known on the ground, so scenes of every
lattice show the same landslides.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pystac
from pyproj import Transformer
from scipy import ndimage

from benchmarks import tile_memory
from benchmarks.tile_memory import Lattice

#: Landslides along a side; one in each cell, so that they do not meet.
CELLS = 6
#: Digital numbers of Sentinel-2 with its offset of 1000: forest, and what a landslide leaves of it.
FOREST = {"red": 1300, "green": 1500, "blue": 1250, "nir": 4200}
BARE = {"red": 2000, "green": 2000, "blue": 1700, "nir": 3600}
NOISE_DN = 40
CLOUD_SHARE = 0.1
#: Change of VV where debris is rough and where it is smooth, in turn; VH changes by half. Rough debris the network
#: finds by this alone, smooth debris where NDVI falls by 0.3; here it falls by 0.4.
CHANGES_DB = (3.5, -3.5)
#: Row, column, half axes in pixels of the tile, direction in radians.
Ellipse = tuple[float, float, float, float, float]


def build(folder: Path, tile_px: int, scenes: int, geometry: str) -> tuple[Path, np.ndarray]:
    """Write what `tile_memory.build` writes, with other pixels, and files before and after.

    Returns
    -------
    (Path, array (tile_px, tile_px))
        The settings, and the change of VV by landslides on the tile, in dB.
    """
    rng = np.random.default_rng(0)
    ellipses = list(_ellipses(tile_px, rng))
    where = tile_memory.lattices(geometry, tile_px)
    catalog = pystac.Catalog("landslides", "forest and landslides in real formats")
    for name, make in {"sentinel-2-l2a": _sentinel2, "sentinel-1-rtc": _sentinel1}.items():
        collection = tile_memory._collection(name)
        catalog.add_child(collection)
        change = planted(where[name], ellipses)
        for window, first in tile_memory.WINDOWS.items():
            home = folder / f"{name}-{window}"
            home.mkdir()
            here = change if window == "post" else np.zeros_like(change)
            files = [make(home, where[name], i, here, rng, geometry == "nation") for i in range(tile_memory.FILES)]
            for i in range(scenes // 2):
                when = first + timedelta(days=2 * i)
                scene = f"{name}-{window}-{i:02d}"
                collection.add_item(tile_memory._item(scene, when, where[name], files[i % tile_memory.FILES]))
    dem = tile_memory._collection("dem")
    catalog.add_child(dem)
    heights = tile_memory._dem(folder, where["dem"], rng, geometry == "nation")
    dem.add_item(tile_memory._item("dem", tile_memory.WINDOWS["pre"], where["dem"], heights))
    catalog.normalize_hrefs(str(folder))
    catalog.make_all_asset_hrefs_relative()
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    tile = tile_memory.lattices("same", tile_px)["dem"]
    return tile_memory._settings(folder, tile_px), planted(tile, ellipses)


def _ellipses(tile_px: int, rng: np.random.Generator) -> Iterator[Ellipse]:
    """Yield landslides of 4,000 to 12,000 m2."""
    side = tile_px / CELLS
    for cell in range(CELLS**2):
        row, col = (np.array(divmod(cell, CELLS)) + rng.uniform(0.35, 0.65, 2)) * side
        yield row, col, rng.uniform(5, 10), rng.uniform(2.5, 4), rng.uniform(0, np.pi)


def planted(where: Lattice, ellipses: list[Ellipse]) -> np.ndarray:
    """Change of VV in dB by landslides, 0 elsewhere, float32 (rows, cols)."""
    rows, cols = _on_tile(where)
    change = np.zeros(rows.shape, np.float32)
    for cell, (row, col, long, wide, angle) in enumerate(ellipses):
        along = (rows - row) * np.cos(angle) + (cols - col) * np.sin(angle)
        across = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
        change[(along / long) ** 2 + (across / wide) ** 2 <= 1] = CHANGES_DB[cell % 2]
    return change


def _on_tile(where: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Return the tile's rows and columns, float32, on which pixels of a lattice lie; the first pixel's centre is 0."""
    rows, cols = np.indices((where.rows, where.cols))
    x, y = where.left + (cols + 0.5) * where.side, where.top - (rows + 0.5) * where.side
    if where.crs != tile_memory.CRS_NAME:
        x, y = Transformer.from_crs(where.crs, tile_memory.CRS_NAME, always_xy=True).transform(x, y)
    on_tile = (tile_memory.TOP - y) / 10 - 0.5, (x - tile_memory.LEFT) / 10 - 0.5
    return on_tile[0].astype(np.float32), on_tile[1].astype(np.float32)


def _sentinel2(
    home: Path, where: Lattice, i: int, change: np.ndarray, rng: np.random.Generator, cut: bool
) -> dict[str, str]:
    out = {}
    outside = tile_memory._beyond_swath(change.shape, i) & cut
    for band, forest in FOREST.items():
        values = np.where(change != 0, BARE[band], forest) + rng.normal(0, NOISE_DN, change.shape)
        values[outside] = 0
        out[band] = tile_memory._write(home / f"{band}{i}.tif", values.astype(np.uint16), 0, where)
    patches = ndimage.gaussian_filter(rng.standard_normal(change.shape, np.float32), 12)
    classes = np.where(patches > np.quantile(patches, 1 - CLOUD_SHARE), 9, 4).astype(np.uint8)
    classes[outside] = 0
    out["scl"] = tile_memory._write(home / f"scl{i}.tif", classes, 0, where)
    return out


def _sentinel1(
    home: Path, where: Lattice, i: int, change: np.ndarray, rng: np.random.Generator, cut: bool
) -> dict[str, str]:
    out = {}
    outside = tile_memory._beyond_swath(change.shape, i) & cut
    for name, share in (("vv", 1.0), ("vh", 0.5)):
        power = rng.gamma(4.4, 0.02, change.shape) * 10 ** (share * change / 10)
        power[outside] = -32768
        out[name] = tile_memory._write(home / f"{name}{i}.tif", power.astype(np.float32), -32768, where)
    return out
