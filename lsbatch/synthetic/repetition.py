"""A country repeated side by side, so that a whole nation can be rehearsed with the pixels of one small country.

Each file has the blocks of one country; the index of the TIFF leads to the same block from every place. GDAL reads
such a file like any other. 1,000 places of 256 x 256 pixels take as much disk as one place.
"""

import math
import struct
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pystac
import rasterio
import shapely
from odc.geo.geobox import GeoBox

from lsbatch.synthetic import truth, write
from lsbatch.synthetic.country import Ground

#: Sides of a country that can be repeated are multiples of this; the blocks of its files must end with the country.
STEP_PX = 256
#: Side of the Sentinel-2 granules of a repeated country. 1,000 tiles of 256 px then have about 50 granules, as many as
#: a nation has with tiles of 2048 px.
GRANULE_PX = 1280
#: Tags of the index of a TIFF: offset and size of each block. Types of their numbers.
OFFSETS, SIZES = 324, 325
_NUMBERS = {3: "<u2", 4: "<u4"}
#: Fields of Sentinel-2 items with the direction of the sun.
AZIMUTHS = ("view:sun_azimuth", "s2:mean_solar_azimuth")
#: Layers with landslides or other changes that each place has, by file name.
LAYERS = {"truth": "landslides", "outlines": "landslides", "scars": "scars", "confounders": "confounders"}

#: Rows and columns of places.
Times = tuple[int, int]


def geobox(ground: Ground, times: Times) -> GeoBox:
    """Return the geobox of all places."""
    return _extended(ground.geobox, times)


def _extended(box: GeoBox, times: Times) -> GeoBox:
    return GeoBox((box.shape[0] * times[0], box.shape[1] * times[1]), box.transform, box.crs)


def repeat_raster(path: Path, times: Times) -> None:
    """Replace a raster of one band by one that shows it at every place; blocks are stored once.

    Parameters
    ----------
    path : Path
        Its sides must be multiples of 16 pixels.
    times : (int, int)
        Rows and columns of places.
    """
    with rasterio.open(path) as file:
        values, profile = file.read(1), file.profile
    rows, cols = values.shape
    side = next(side for side in (256, 128, 64, 32, 16) if rows % side == 0 and cols % side == 0)
    wanted = {
        "driver": "GTiff", "height": rows * times[0], "width": cols * times[1], "tiled": True, "blockxsize": side,
        "blockysize": side, "compress": "deflate", "zlevel": 1, "sparse_ok": True, "bigtiff": "NO",
    }  # fmt: skip
    kept = {key: profile[key] for key in ("count", "dtype", "nodata", "crs", "transform")}
    with rasterio.open(path, "w", **kept, **wanted) as file:
        file.write(values, 1, window=((0, rows), (0, cols)))
    _repeat_index(path, (rows // side, cols // side), times)


def _repeat_index(path: Path, blocks: tuple[int, int], times: Times) -> None:
    """Let all places have the blocks of the first one, which is at the top left."""
    content = bytearray(path.read_bytes())
    for tag in (OFFSETS, SIZES):
        start, kind, count = _entry(content, tag)
        index = np.frombuffer(content, kind, count, start).reshape(-1, blocks[1] * times[1])
        repeated = np.tile(index[: blocks[0], : blocks[1]], times).tobytes()
        content[start : start + len(repeated)] = repeated
    path.write_bytes(content)


def _entry(content: bytearray, tag: int) -> tuple[int, str, int]:
    """Return position, type and count of the numbers of a tag in the first directory of a little-endian TIFF."""
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    for place in range(directory + 2, directory + 2 + 12 * entries, 12):
        found, kind, count, value = struct.unpack_from("<HHII", content, place)
        if found == tag:
            numbers = _NUMBERS[kind]
            # few numbers are in the entry itself
            return place + 8 if count * np.dtype(numbers).itemsize <= 4 else value, numbers, count
    raise ValueError(f"the TIFF has no tag {tag}")


def repeat_items(items: list[pystac.Item], ground: Ground, times: Times) -> list[pystac.Item]:
    """Repeat the files of items, and return items that cover all places: of Sentinel-2, one a granule.

    Granules of a day share their files, which reach beyond the granule. A pass of Sentinel-1 and the DEM are one item.
    """
    whole = geobox(ground, times)
    out = []
    for item in items:
        for asset in item.assets.values():
            path = Path(asset.href)
            repeat_raster(path, times)
            _describe(asset.extra_fields, path)
        key = next((name for name in AZIMUTHS if name in item.properties), None)
        for part, box in _granules(whole) if key else [("", whole)]:
            made = write.item(f"{item.id}{part}", item.datetime or datetime.min, box, item.properties)
            made.properties |= _lattice(whole)
            if key:
                # grid north differs between granules; the same shadows are wanted everywhere
                made.properties[key] += _north_deg(ground.geobox) - _north_deg(box)
            made.assets = {key: asset.clone() for key, asset in item.assets.items()}
            out.append(made)
    return out


def _describe(fields: dict[str, object], path: Path) -> None:
    """Correct the lattice of an asset that has another one than its item."""
    if "proj:shape" in fields:
        with rasterio.open(path) as file:
            fields["proj:shape"] = list(file.shape)


def _lattice(box: GeoBox) -> dict[str, object]:
    return {"proj:shape": list(box.shape), "proj:transform": [float(v) for v in box.transform[:6]]}


def _granules(whole: GeoBox) -> Iterator[tuple[str, GeoBox]]:
    """Return the ending of the id and the geobox of each granule."""
    rows, cols = (math.ceil(side / GRANULE_PX) for side in whole.shape)
    for row, col in product(range(rows), range(cols)):
        part = whole[row * GRANULE_PX : (row + 1) * GRANULE_PX, col * GRANULE_PX : (col + 1) * GRANULE_PX]
        yield f"_{row:02d}{col:02d}", part


def _north_deg(box: GeoBox) -> float:
    """Return the direction of true north on the grid, in the middle of a box."""
    middle = shapely.box(*box.extent.to_crs("EPSG:4326").boundingbox).centroid
    transformer = pyproj.Transformer.from_crs("EPSG:4326", str(box.crs), always_xy=True)
    x, y = transformer.transform([middle.x, middle.x], [middle.y, middle.y + 1e-4])
    return math.degrees(math.atan2(x[1] - x[0], y[1] - y[0]))


def repeat_truth(ground: Ground, folder: Path, times: Times) -> None:
    """Repeat landslides, other changes and land cover; the training points stay those of the first place."""
    for name, layer in LAYERS.items():
        path = folder / f"{name}.gpkg"
        if path.exists():
            truth.write_layer(_repeated(pyogrio.read_dataframe(path), ground, times), path, layer)
    truth.write_layer(truth.quarters(geobox(ground, times)), folder / "plots.gpkg", "plots")
    repeat_raster(folder / "cover.tif", times)


def _repeated(frame: gpd.GeoDataFrame, ground: Ground, times: Times) -> gpd.GeoDataFrame:
    """Return the rows of a frame at every place, moved; the place is added to the ids."""
    height, width = (side * ground.pixel_m for side in ground.shape)
    places = []
    for row, col in product(range(times[0]), range(times[1])):
        moved = frame.copy()
        moved.geometry = frame.geometry.translate(col * width, -row * height)
        if "landslide_id" in moved:
            moved["landslide_id"] += f"-{row:03d}{col:03d}"
        places.append(moved)
    return gpd.GeoDataFrame(pd.concat(places, ignore_index=True), crs=frame.crs)
