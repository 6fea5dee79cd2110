"""National maps as COG, written tile by tile."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.windows import Window

from lsbatch.archive.files import aside, scratch
from lsbatch.grid import Grid, Tile

Colour = tuple[int, int, int, int]


def write_classes(
    path: Path, grid: Grid, tiles: Iterable[Tile], read: Callable[[Tile], np.ndarray], colours: Mapping[int, Colour], nodata: int
) -> None:
    """Write uint8 classes with a colour table; as `write`.

    Parameters
    ----------
    colours : mapping of class to red, green, blue, alpha
    """
    write(path, grid, tiles, read, np.uint8, nodata, colours)


def write(
    path: Path, grid: Grid, tiles: Iterable[Tile], read: Callable[[Tile], np.ndarray], dtype: type[np.unsignedinteger],
    nodata: int, colours: Mapping[int, Colour] | None = None,
) -> None:
    """Write whole numbers, such as classes, that have no mean; memory holds one tile.

    Parameters
    ----------
    read : callable Tile -> array (rows, cols) of `dtype`
    """
    rows, cols = grid.shape
    side = grid.tile_px
    profile = {
        "driver": "GTiff", "height": rows, "width": cols, "count": 1, "dtype": np.dtype(dtype).name, "nodata": nodata, "tiled": True,
        "blockxsize": 256, "blockysize": 256, "compress": "deflate", "crs": grid.crs, "transform": grid.geobox.transform,
        "SPARSE_OK": True, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    with scratch(beside=path) as folder:
        flat = folder / "flat.tif"
        with rasterio.open(flat, "w", **profile) as out:
            if colours is not None:
                out.write_colormap(1, dict(colours))
            for tile in tiles:
                tall, wide = tile.region
                out.write(read(tile), 1, window=Window(wide.start, tall.start, side, side))
        with aside(path) as temporary:
            # the most frequent number: a mean of them is none
            rasterio.shutil.copy(flat, temporary, driver="COG", compress="DEFLATE", overview_resampling="mode")
