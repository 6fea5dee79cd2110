"""Peak memory of one worker on a 2048 px tile, with 10 + 10 and with 40 + 40 scenes, from STACK to report.

    python benchmarks/tile_memory.py [--tile 2048] [--scenes 10 40]

Each case runs in a process of its own, so that the peak is its own. The pixels are noise in real formats (COG, STAC);
a few files stand for many dates, because the number of looks is what is measured, not what they show.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pystac
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

LEFT, TOP = 245760.0, 6819840.0
CRS_NAME = "EPSG:25833"
#: Days on which the looks fall, per window.
WINDOWS = {"pre": datetime(2019, 6, 16, tzinfo=UTC), "post": datetime(2020, 6, 16, tzinfo=UTC)}
FILES = 4


def build(folder: Path, tile_px: int, scenes: int) -> Path:
    """A catalogue with `scenes` Sentinel-2 and as many Sentinel-1 items (half before, half after) and a DEM."""
    rng = np.random.default_rng(0)
    catalog = pystac.Catalog("noise", "noise in real formats")
    writers = {"sentinel-2-l2a": _sentinel2, "sentinel-1-rtc": _sentinel1}
    for name, make in writers.items():
        collection = _collection(name)
        catalog.add_child(collection)
        files = [make(folder, tile_px, i, rng) for i in range(FILES)]
        for window, first in WINDOWS.items():
            for i in range(scenes // 2):
                when = first + timedelta(days=2 * i)
                collection.add_item(_item(f"{name}-{window}-{i:02d}", when, tile_px, files[i % FILES], name))
    dem = _collection("dem")
    catalog.add_child(dem)
    dem.add_item(_item("dem", WINDOWS["pre"], tile_px, _dem(folder, tile_px, rng), "dem"))
    catalog.normalize_hrefs(str(folder))
    catalog.make_all_asset_hrefs_relative()
    catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return _settings(folder, tile_px)


def _collection(name: str) -> pystac.Collection:
    extent = pystac.Extent(pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[None, None]]))
    return pystac.Collection(name, name, extent)


def _write(path: Path, values: np.ndarray, nodata: float) -> str:
    profile = {
        "driver": "COG",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype.name,
    }
    where = {"crs": CRS.from_string(CRS_NAME), "transform": from_origin(LEFT, TOP, 10, 10), "nodata": nodata}
    with rasterio.open(path, "w", **profile, **where, compress="deflate", blocksize=512, overviews="none") as file:
        file.write(values, 1)
    return str(path)


def _sentinel2(folder: Path, n: int, i: int, rng: np.random.Generator) -> dict[str, str]:
    out = {}
    for band in ("red", "green", "blue", "nir"):
        out[band] = _write(folder / f"{band}{i}.tif", rng.integers(1100, 4000, (n, n)).astype(np.uint16), 0)
    # nine tenths clear, the rest cloud
    out["scl"] = _write(folder / f"scl{i}.tif", np.where(rng.random((n, n)) < 0.9, 4, 9).astype(np.uint8), 0)
    return out


def _sentinel1(folder: Path, n: int, i: int, rng: np.random.Generator) -> dict[str, str]:
    return {
        p: _write(folder / f"{p}{i}.tif", rng.gamma(4.4, 0.02, (n, n)).astype(np.float32), -32768) for p in ("vv", "vh")
    }


def _dem(folder: Path, n: int, rng: np.random.Generator) -> dict[str, str]:
    # hills that throw no shadow at 45 degrees of sun, so that the shadow's work is done and no pixel lost
    rows, cols = np.indices((n, n), np.float32)
    hills = 500 + 150 * np.sin(rows / 60) * np.cos(cols / 75) + rng.normal(0, 0.1, (n, n))
    return {"data": _write(folder / "dem.tif", hills.astype(np.float32), -32768)}


def _item(name: str, when: datetime, n: int, files: dict[str, str], collection: str) -> pystac.Item:
    from pyproj import Transformer

    corners = [(LEFT, TOP), (LEFT + 10 * n, TOP), (LEFT + 10 * n, TOP - 10 * n), (LEFT, TOP - 10 * n), (LEFT, TOP)]
    to_lonlat = Transformer.from_crs(CRS_NAME, "EPSG:4326", always_xy=True)
    ring = [to_lonlat.transform(*corner) for corner in corners]
    lons, lats = zip(*ring, strict=True)
    properties = {
        "proj:epsg": 25833, "proj:shape": [n, n], "proj:transform": [10, 0, LEFT, 0, -10, TOP], "eo:cloud_cover": 10.0,
        "s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False, "platform": "sentinel-1a",
        "sat:orbit_state": "ascending", "sat:relative_orbit": 44, "view:sun_azimuth": 165.0, "view:sun_elevation": 45.0,
    }  # fmt: skip
    item = pystac.Item(
        name, {"type": "Polygon", "coordinates": [ring]}, [min(lons), min(lats), max(lons), max(lats)], when, properties
    )
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


def measure(tile_px: int, scenes: int) -> dict[str, float]:
    """Build a catalogue, survey its one tile in a separate process, and read the memory peaks from the receipts."""
    with tempfile.TemporaryDirectory() as name:
        path = build(Path(name), tile_px, scenes)
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
    arguments = parser.parse_args()
    for scenes in arguments.scenes:
        found = measure(arguments.tile, scenes)
        print(
            f"{scenes:3d} + {scenes:3d} scenes, tile {arguments.tile} px: peak {found['stack_mb']:.0f} MB in STACK, "
            f"{found['peak_mb']:.0f} MB in all stages; STACK {found['seconds']:.1f} s, {found['scenes']} scenes read"
        )


if __name__ == "__main__":
    main()
