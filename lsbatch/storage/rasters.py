"""National maps as COGs: written tile by tile, read in part."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid, Tile
from lsbatch.storage import objects
from lsbatch.storage.files import aside, opened, scratch

Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class Legend:
    """Meaning of the numbers of a map: number * scale, in units."""

    description: str = ""
    units: str = ""
    scale: float = 1.0


def write_classes(
    path: Path,
    grid: Grid,
    tiles: Iterable[Tile],
    read: Callable[[Tile], np.ndarray],
    colours: Mapping[int, Colour],
    nodata: int,
) -> None:
    """Write uint8 classes with a colour table; as `write`.

    Parameters
    ----------
    colours : mapping of class to red, green, blue, alpha
    """
    write(path, grid, tiles, read, np.uint8, nodata, colours)


def write(
    path: Path,
    grid: Grid,
    tiles: Iterable[Tile],
    read: Callable[[Tile], np.ndarray],
    dtype: type[np.integer],
    nodata: int | None,
    colours: Mapping[int, Colour] | None = None,
    *,
    legend: Legend = Legend(),
    overviews: str = "mode",
    samples: int = 1,
) -> None:
    """Write integers tile by tile; memory holds one tile.

    GDAL's own threads would save a third of the time on two cores. But their pool does not survive a fork: a child
    process that inherits it waits forever.

    Parameters
    ----------
    read : callable Tile -> array of `dtype`, (rows, cols), or (rows, cols, samples) of a picture
    legend : Legend
        Meaning of the numbers.
    overviews : str
        GDAL's resampling method for overviews; "mode" for classes, which have no mean.
    samples : int
        1, or 3 for a picture in red, green and blue.
    """
    rows, cols = grid.shape
    side = grid.tile_px
    profile = {
        "driver": "GTiff",
        "height": rows,
        "width": cols,
        "count": samples,
        "interleave": "pixel",
        **({} if samples == 1 else {"photometric": "rgb"}),
        "dtype": np.dtype(dtype).name,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "crs": grid.crs,
        "transform": grid.geobox.transform,
        "SPARSE_OK": True,
        "BIGTIFF": "IF_SAFER",
    }
    with scratch(beside=path) as folder:
        flat = folder / "flat.tif"
        with rasterio.open(flat, "w", **profile) as out:
            if colours is not None:
                out.write_colormap(1, dict(colours))
            out.scales = (legend.scale,) * samples
            out.units = (legend.units,) * samples
            out.descriptions = (legend.description,) * samples
            for tile in tiles:
                tall, wide = tile.region
                pixels = np.atleast_3d(read(tile)).transpose(2, 0, 1)
                out.write(pixels, window=Window(wide.start, tall.start, side, side))
        with aside(path) as temporary:
            rasterio.shutil.copy(
                flat, temporary, driver="COG", compress="DEFLATE", overview_resampling=overviews, bigtiff="IF_SAFER"
            )


def read_part(path: Path, rows: slice, cols: slice, shape: tuple[int, int]) -> np.ndarray:
    """Read rows and columns of a map, reduced to a shape from the overviews; in object storage only these blocks.

    Parameters
    ----------
    path : Path
    rows, cols : slice
        Inside the map.
    shape : (int, int)
        Rows and columns of the result.

    Returns
    -------
    array (bands, rows, cols) of the type of the map

    Raises
    ------
    StaleStoreError
        If the file is damaged.
    FileNotFoundError
    OSError
    """
    where = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    with opened(path) as file:
        try:
            # on disk by its name, which is quicker than through a file of Python
            with rasterio.open(file if objects.is_remote(path) else path) as data:
                return data.read(window=where, out_shape=(data.count, *shape))
        except RasterioError as error:
            raise StaleStoreError(f"{path}: is damaged: {error}; make it again with lsbatch run") from None
