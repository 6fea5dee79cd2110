"""Peak memory of one worker on a 2048 px tile, with 10 + 10 and with 40 + 40 scenes, from STACK to report.

    python -m benchmarks.tile_memory [--tile 2048] [--scenes 10 40] [--geometry nation|same]

Each case runs in a process of its own, so that the peak is its own. The pixels are noise in real formats (COG, STAC);
a few files stand for many dates, because the number of looks is what is measured, not what they show.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pystac
import rasterio
import shapely
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.transform import from_origin

LEFT, TOP = 245760.0, 6819840.0
CRS_NAME, NEXT_ZONE = "EPSG:25833", "EPSG:32632"
#: Days on which the looks fall, per window.
WINDOWS = {"pre": datetime(2019, 6, 16, tzinfo=UTC), "post": datetime(2020, 6, 16, tzinfo=UTC)}
FILES = 4


@dataclass(frozen=True)
class Lattice:
    """Where the pixels of a scene lie."""

    crs: str
    left: float
    top: float
    side: float
    rows: int
    cols: int


def lattices(geometry: str, tile_px: int) -> dict[str, Lattice]:
    """Return the lattice of each collection.

    `same` is the tile's own lattice, which hardly occurs in a nation. `nation` is what western Norway has in
    EPSG:25833: Sentinel-2 of the next UTM zone, Sentinel-1 half a pixel off, a DEM in degrees.
    """
    own = Lattice(CRS_NAME, LEFT, TOP, 10.0, tile_px, tile_px)
    if geometry == "same":
        return {"sentinel-2-l2a": own, "sentinel-1-rtc": own, "dem": own}
    box = LEFT, TOP - 10 * tile_px, LEFT + 10 * tile_px, TOP
    # the margins hold the halo of clouds and of terrain shadow
    west, south, east, north = Transformer.from_crs(CRS_NAME, NEXT_ZONE, always_xy=True).transform_bounds(*box, 64)
    left, top = math.floor(west / 10) * 10 - 640.0, math.ceil(north / 10) * 10 + 640.0
    rows, cols = round((top - south) / 10) + 64, round((east - left) / 10) + 64
    degrees = Transformer.from_crs(CRS_NAME, "EPSG:4326", always_xy=True).transform_bounds(*box, 64)
    arc = 1 / 3600
    return {
        "sentinel-2-l2a": Lattice(NEXT_ZONE, left, top, 10.0, rows, cols),
        "sentinel-1-rtc": Lattice(CRS_NAME, LEFT - 645, TOP + 645, 10.0, tile_px + 128, tile_px + 128),
        "dem": Lattice(
            "EPSG:4326",
            math.floor(degrees[0] / arc - 120) * arc,
            math.ceil(degrees[3] / arc + 120) * arc,
            arc,
            round((degrees[3] - degrees[1]) / arc) + 240,
            round((degrees[2] - degrees[0]) / arc) + 240,
        ),
    }


def build(folder: Path, tile_px: int, scenes: int, geometry: str = "nation") -> Path:
    """A catalogue with `scenes` Sentinel-2 and as many Sentinel-1 items (half before, half after) and a DEM."""
    rng = np.random.default_rng(0)
    catalog = pystac.Catalog("noise", "noise in real formats")
    where = lattices(geometry, tile_px)
    writers = {"sentinel-2-l2a": _sentinel2, "sentinel-1-rtc": _sentinel1}
    for name, make in writers.items():
        collection = _collection(name)
        catalog.add_child(collection)
        files = [make(folder, where[name], i, rng, geometry == "nation") for i in range(FILES)]
        for window, first in WINDOWS.items():
            for i in range(scenes // 2):
                when = first + timedelta(days=2 * i)
                collection.add_item(_item(f"{name}-{window}-{i:02d}", when, where[name], files[i % FILES]))
    dem = _collection("dem")
    catalog.add_child(dem)
    dem.add_item(_item("dem", WINDOWS["pre"], where["dem"], _dem(folder, where["dem"], rng, geometry == "nation")))
    catalog.normalize_hrefs(str(folder))
    catalog.make_all_asset_hrefs_relative()
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return _settings(folder, tile_px)


def _collection(name: str) -> pystac.Collection:
    extent = pystac.Extent(pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[None, None]]))
    return pystac.Collection(name, name, extent)


def _write(path: Path, values: np.ndarray, nodata: float, where: Lattice) -> str:
    profile = {
        "driver": "COG",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype.name,
    }
    place = {
        "crs": CRS.from_string(where.crs),
        "transform": from_origin(where.left, where.top, where.side, where.side),
        "nodata": nodata,
    }
    with rasterio.open(path, "w", **profile, **place, compress="deflate", blocksize=512, overviews="none") as file:
        file.write(values, 1)
    return str(path)


def _beyond_swath(shape: tuple[int, int], i: int) -> np.ndarray:
    """Return the pixels beyond the edge of a swath, which cuts a corner of every second scene."""
    rows, cols = np.indices(shape, sparse=True)
    return cols > shape[1] * 0.9 - rows / 4 if i % 2 else np.zeros(shape, np.bool_)


def _sentinel2(folder: Path, where: Lattice, i: int, rng: np.random.Generator, cut: bool) -> dict[str, str]:
    out, shape = {}, (where.rows, where.cols)
    outside = _beyond_swath(shape, i) & cut
    for band in ("red", "green", "blue", "nir"):
        values = np.where(outside, 0, rng.integers(1100, 4000, shape)).astype(np.uint16)
        out[band] = _write(folder / f"{band}{i}.tif", values, 0, where)
    # nine tenths clear, the rest cloud
    classes = np.where(outside, 0, np.where(rng.random(shape) < 0.9, 4, 9)).astype(np.uint8)
    out["scl"] = _write(folder / f"scl{i}.tif", classes, 0, where)
    return out


def _sentinel1(folder: Path, where: Lattice, i: int, rng: np.random.Generator, cut: bool) -> dict[str, str]:
    out, shape = {}, (where.rows, where.cols)
    outside = _beyond_swath(shape, i) & cut
    for name in ("vv", "vh"):
        values = np.where(outside, -32768, rng.gamma(4.4, 0.02, shape)).astype(np.float32)
        out[name] = _write(folder / f"{name}{i}.tif", values, -32768, where)
    return out


def _dem(folder: Path, where: Lattice, rng: np.random.Generator, is_steep: bool) -> dict[str, str]:
    # hills that throw no shadow at 45 degrees of sun, so that the shadow's work is done and no pixel lost; or valleys
    # whose walls do
    rows, cols = np.indices((where.rows, where.cols), np.float32)
    scale = 3 if where.crs == "EPSG:4326" else 1
    height = 900 if is_steep else 150
    hills = 1000 + height * np.sin(rows * scale / 60) * np.cos(cols * scale / 75) + rng.normal(0, 0.1, rows.shape)
    return {"data": _write(folder / "dem.tif", hills.astype(np.float32), -32768, where)}


def _item(name: str, when: datetime, where: Lattice, files: dict[str, str]) -> pystac.Item:
    right, bottom = where.left + where.side * where.cols, where.top - where.side * where.rows
    outline = shapely.segmentize(shapely.box(where.left, bottom, right, where.top), (right - where.left) / 16)
    to_lonlat = Transformer.from_crs(where.crs, "EPSG:4326", always_xy=True)
    outline = shapely.transform(outline, to_lonlat.transform, interleaved=False)
    properties = {
        "proj:code": where.crs, "proj:shape": [where.rows, where.cols],
        "proj:transform": [where.side, 0, where.left, 0, -where.side, where.top], "eo:cloud_cover": 10.0,
        "s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False, "platform": "sentinel-1a",
        "sat:orbit_state": "ascending", "sat:relative_orbit": 44, "view:sun_azimuth": 165.0, "view:sun_elevation": 45.0,
    }  # fmt: skip
    item = pystac.Item(name, shapely.geometry.mapping(outline), list(outline.bounds), when, properties)
    item.stac_extensions = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
    for key, href in files.items():
        item.add_asset(key, pystac.Asset(href, media_type=pystac.MediaType.COG, roles=["data"]))
    return item


def _settings(folder: Path, tile_px: int) -> Path:
    source = {"preset": "local", "url": "catalog.json"}
    config = {
        "survey": {"id": "noise", "year": 2020},
        "region": {"bounds": [LEFT + 1, TOP - 10 * tile_px + 1, LEFT + 10 * tile_px - 1, TOP - 1]},
        "grid": {"tile_px": tile_px},
        "archives": {
            "sentinel2": source | {"collections": ["sentinel-2-l2a"]},
            "sentinel1": source | {"collections": ["sentinel-1-rtc"]},
            "dem": source | {"collections": ["dem"]},
        },
        "cluster": {"kind": "serial"},
        "bands": "s1vv_s2",
        "model": {"weights": "package:unet-s1vv_s2"},
    }
    path = folder / "config.yaml"
    # JSON is YAML
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def measure(tile_px: int, scenes: int, geometry: str = "nation") -> dict[str, float]:
    """Build a catalogue, survey its one tile in a separate process, and read the memory peaks from the receipts."""
    with tempfile.TemporaryDirectory() as name:
        path = build(Path(name), tile_px, scenes, geometry)
        done = subprocess.run([sys.executable, "-m", "lsbatch.cli", "run", str(path)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the run failed: {done.stdout}{done.stderr}")
        folder = Path(name) / "survey" / "receipts"
        found = [json.loads(receipt.read_text(encoding="utf-8")) for receipt in folder.glob("*/*.json")]
    stack = next(receipt for receipt in found if receipt["stage"] == "stack")
    return {
        "scenes": len(stack["scenes"]),
        "stack_mb": stack["peak_mb"],
        "peak_mb": max(receipt["peak_mb"] for receipt in found),
        "seconds": stack["seconds"],
    }


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--scenes", type=int, nargs="+", default=[10, 40], help="of each sensor")
    parser.add_argument("--geometry", choices=("nation", "same"), default="nation", help="of the scenes' lattices")
    arguments = parser.parse_args()
    for scenes in arguments.scenes:
        found = measure(arguments.tile, scenes, arguments.geometry)
        print(
            f"{arguments.geometry}: {scenes:3d} + {scenes:3d} scenes, tile {arguments.tile} px: "
            f"peak {found['stack_mb']:.0f} MB in STACK, "
            f"{found['peak_mb']:.0f} MB in all stages; STACK {found['seconds']:.1f} s, {found['scenes']} scenes read"
        )


if __name__ == "__main__":
    main()
