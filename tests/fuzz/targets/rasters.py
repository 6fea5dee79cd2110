"""Scenes and DEMs as GeoTIFF, COG and JPEG 2000."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.imagery import scene_reading
from tests.fuzz.mutation import damaged_bytes
from tests.fuzz.targets.target import Target
from tests.small_archive import CRS, LEFT, TOP, write_tif

SIDE_PX = 64
#: The lattice of the rasters, and one that is turned against it.
HERE = GeoBox.from_bbox(BoundingBox(LEFT, TOP - 640, LEFT + 640, TOP, crs=CRS), shape=(64, 64), tight=True)
THERE = GeoBox.from_bbox(BoundingBox(178_000, 6_820_000, 179_000, 6_821_000, crs="EPSG:32634"), shape=(50, 50))


#: A scene of each sensor, of the same bytes.
NAMES = (
    *(f"S2A_20190701_N0211_{band}.tif" for band in ("B02", "B03", "B04", "B08", "SCL")),
    *(f"S1A_20190702T170211_T044_asc_{band}.tif" for band in ("VV", "VH")),
    "dem_10m.tif",
)


def scene(folder: Path) -> Target:
    """A raster of a scene: header, directories, blocks. It is read on its own lattice and on another one."""
    seeds = _seeds(folder / "seeds")

    def feed(data: bytes) -> None:
        ending = ".jp2" if data[4:8] == b"jP  " else ".tif"
        path = folder / f"damaged{ending}"
        path.write_bytes(data)
        for sensor, band in (("sentinel1", "VV"), ("dem", "elevation")):
            for box in (HERE, THERE):
                found = scene_reading.read(_scene(path, sensor), (band,), box, attempts=1)[band]
                assert found.shape == box.shape

    return Target(damaged_bytes(seeds), seeds, feed)


def folder_of_rasters(folder: Path) -> Target:
    """A raster in a folder of which lsbatch makes a catalogue: tags, lattice, scale."""
    place = folder / "archive"
    seeds = _seeds(folder / "seeds")

    def feed(data: bytes) -> None:
        place.mkdir(exist_ok=True)
        for name in NAMES:
            (place / name).write_bytes(data)
        for reason in make_catalog(place).skipped:
            assert reason.isprintable(), reason

    return Target(damaged_bytes(seeds), seeds, feed)


def _scene(path: Path, sensor: str) -> Scene:
    key = {"sentinel1": "vv", "dem": "data"}[sensor]
    item: dict[str, Any] = {
        "type": "Feature",
        "id": "scene",
        "bbox": [-180, -90, 180, 90],
        "properties": {"datetime": "2019-07-01T10:50:31Z"},
        "assets": {key: {"href": str(path)}},
    }
    return describe(item, sensor)


def _seeds(folder: Path) -> tuple[bytes, ...]:
    """Return small rasters of the kinds that archives have."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(1000, 6000, (SIDE_PX, SIDE_PX), dtype=np.uint16)
    power = rng.gamma(4.4, 0.02, (SIDE_PX, SIDE_PX)).astype(np.float32)
    small = {"blockxsize": 32, "blockysize": 32}
    made = [
        write_tif(folder / "tiles.tif", numbers, **small),
        write_tif(folder / "strips.tif", power, nodata=np.nan, tiled=False, blockxsize=None, blockysize=8),
        write_tif(folder / "predictor.tif", numbers, compress="lzw", predictor=2, **small),
        write_tif(folder / "floats.tif", power, nodata=None, compress="zstd", predictor=3, **small),
        write_tif(
            folder / "plain.tif", numbers.astype(np.uint8)[:24, :24], compress=None, blockxsize=16, blockysize=16
        ),
        write_tif(folder / "big.tif", numbers[:32, :32], BIGTIFF="YES", **small),
    ]
    for driver, options in (("COG", {"BLOCKSIZE": 32, "OVERVIEW_COUNT": 1}), ("JP2OpenJPEG", {})):
        if driver in rasterio.drivers.raster_driver_extensions().values():
            made.append(folder / f"copy.{'tif' if driver == 'COG' else 'jp2'}")
            rasterio.shutil.copy(made[0], made[-1], driver=driver, **options)
    return tuple(path.read_bytes() for path in made)
