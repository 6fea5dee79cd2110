"""Read the bands of one scene on a grid, independent of how the grid is cut into tiles.

odc-stac tells which rasters an item has. Its `load` is not used: for one scene it projects footprints, bins chunks and
makes coordinates for as long as reading takes, with the GIL held, and opens each file anew for each chunk of 2048 px
(docs/measured.md).

Three habits of GDAL's warper make a pixel depend on the piece it is in; measured on a Sentinel-2 scene moved from one
UTM zone to the next, over 90 % of the pixels of a 2048 px tile differed from those of its parts, by up to 61 DN:

- it guesses from the piece's outline how much it must blur (see `_shrink`, which tells it);
- it halves a piece again and again where the source does not fill it;
- it transforms two ends and the middle of each row and bends in between where that is off by less than 1/8 pixel, so
  rows of other lengths bend elsewhere. Columns are therefore warped in blocks of `BLOCK_PX` on the national lattice.
"""

import math
import os
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import odc.stac
import pystac
import rasterio
import rasterio.session
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.overlap import compute_reproject_roi
from odc.geo.roi import roi_is_empty
from odc.loader.types import RasterSource
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.warp import Resampling, reproject
from rasterio.windows import Window

from lsbatch.catalog import national_dem
from lsbatch.catalog.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import retry
from lsbatch.storage import endpoint
from lsbatch.storage.addresses import REMOTE, shown, without_secrets

# of the block in memory that rasterio warps into; it silences this itself with warnings.catch_warnings, which another
# thread undoes
warnings.filterwarnings("ignore", "Dataset has no geotransform", NotGeoreferencedWarning)

# Where keys are in the environment and boto3 is installed, rasterio makes a session of it in every call of `reproject`,
# with the GIL held: 45 ms, against 1 ms for warping a small block. GDAL takes the keys from the environment itself.
rasterio.session.boto3 = None

#: Columns of a block of warping; every tile's side is a multiple of it (see GridSettings.tile_px).
BLOCK_PX = 128
METRES_A_DEGREE = 111_320.0
#: First wait before a read is tried again; doubles.
FIRST_WAIT_S = 0.5

GDAL_OPTIONS: dict[str, Any] = {
    # or GDAL lists the folder, a request a file on object stores
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    # bounds what GDAL keeps of decoded blocks, whatever the machine's memory
    "GDAL_CACHEMAX": 256 * 2**20,
    "GDAL_NUM_THREADS": "1",
}
NETWORK_OPTIONS = {
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "60",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "5000000",
}

#: Of a raster's unit of compression, unpacked, all bands of it: GDAL makes room for one before it reads a pixel.
#: Archives have 0.1 to 4 MB, a strip of a whole Sentinel-2 scene in one piece has 241.
LARGEST_BLOCK_BYTES = 256 * 2**20
#: Characters of what GDAL says.
LONGEST_CAUSE = 500

_DTYPES = {"sentinel2": "uint16", "sentinel1": "float32", "dem": "float32"}
#: Classes and percentages, read as they are.
WHOLE_NUMBERS = ("SCL", "cloud", "mask")


def read(scene: Scene, bands: tuple[str, ...], geobox: GeoBox, *, attempts: int = 4) -> dict[str, np.ndarray]:
    """Read bands of a scene on a grid: `WHOLE_NUMBERS` by nearest neighbour, all others bilinear.

    Parameters
    ----------
    scene : Scene
    bands : tuple of str
        Our names, e.g. ``("R", "SCL")``. What the scene lacks comes back as nodata.
    geobox : GeoBox
        On the national lattice: any tile, any part of it, with or without halo.
    attempts : int
        Tries for an asset on the network; waits double from `FIRST_WAIT_S`.

    Returns
    -------
    dict of str to array (rows, cols)
        Numbers as stored, offset not applied: uint16 with 0 as nodata for Sentinel-2, float32 with NaN as nodata for
        Sentinel-1 and DEM, uint8 with 0 as nodata for `WHOLE_NUMBERS`.

    Raises
    ------
    SceneError
        Names the scene, the asset and the cause.
    """
    rasters = odc.stac.parse_item(pystac.Item.from_dict(scene.item, preserve_dict=False, migrate=False)).bands  # type: ignore[arg-type]
    out = {}
    with _environment(scene, attempts):
        for band in bands:
            kind = "uint8" if band in WHOLE_NUMBERS else _DTYPES[scene.sensor]
            out[band] = np.full(geobox.shape, np.nan if kind == "float32" else 0, kind)
            key = scene.assets.get(band)
            if key is None:
                continue
            if (key, 1) not in rasters:
                raise SceneError(f"{scene.id}: asset {key} is no raster by its type and its roles")
            _fill(out[band], rasters[key, 1], geobox, scene, attempts)  # type: ignore[arg-type]
    return out


def _environment(scene: Scene, attempts: int) -> AbstractContextManager[Any]:
    """Return GDAL's options for the place of the scene; those of the shell's environment have priority."""
    options = dict(GDAL_OPTIONS)
    schemes = {urlsplit(asset["href"]).scheme for asset in scene.item["assets"].values()}
    if schemes & set(REMOTE):
        # GDAL's own tries for 429 and 5xx: it remembers that an address failed, so a later open fails unasked
        options |= NETWORK_OPTIONS | {"GDAL_HTTP_MAX_RETRY": attempts - 1, "GDAL_HTTP_RETRY_DELAY": FIRST_WAIT_S}
    if "s3" in schemes:
        options |= endpoint.gdal_options()
        if not endpoint.has_credentials():
            # the Copernicus DEM and the Sentinel-2 COGs are public: without it GDAL looks for credentials and gives up
            options["AWS_NO_SIGN_REQUEST"] = "YES"
    return rasterio.Env(**{key: value for key, value in options.items() if key not in os.environ})


def _fill(target: np.ndarray, source: RasterSource, geobox: GeoBox, scene: Scene, attempts: int) -> None:
    """Warp an asset into `target`, which keeps nodata where the asset has none; retry transient failures."""
    try:
        retry.with_retries(
            source.uri,
            attempts,
            FIRST_WAIT_S,
            lambda signed: _open_and_warp(target, signed, source.band, geobox, scene),
        )
    except (RasterioError, OSError) as error:
        raise SceneError(_sentence(scene, source.uri, error), may_pass=retry.is_transient(source.uri, error)) from error


def _sentence(scene: Scene, uri: str, error: BaseException) -> str:
    keys = {asset["href"]: key for key, asset in scene.item["assets"].items()}
    cause = " ".join(without_secrets(str(error.__cause__ or error)).split())
    hint = ""
    if retry.needs_key(uri, error):
        hint = "; keys in a catalogue's addresses are not kept, GDAL takes them from the environment (docs/security.md)"
    return f"{scene.id}: asset {keys.get(uri, '?')} ({shown(uri)}) cannot be read: {cause[:LONGEST_CAUSE]}{hint}"


def _open_and_warp(target: np.ndarray, uri: str, band: int, geobox: GeoBox, scene: Scene) -> None:
    # by name, not by content: a VRT in a catalogue could name files that the catalogue may not
    ending = Path(urlsplit(uri).path).suffix.lower()
    driver = "JP2OpenJPEG" if ending == ".jp2" else "GTiff"
    if ending == ".vrt" and scene.collection == national_dem.COLLECTION:
        driver = "VRT"
    with rasterio.open(uri, driver=driver, sharing=False) as full:
        _refuse_bomb(full)
        level = _overview(full, geobox)
        if level is None:
            _warp(target, full, band, geobox, scene)
            return
    with rasterio.open(uri, driver=driver, sharing=False, overview_level=level) as smaller:
        _refuse_bomb(smaller)
        _warp(target, smaller, band, geobox, scene)


def _refuse_bomb(raster: Any) -> None:
    """Refuse a raster whose header claims blocks of gigabytes in a small file."""
    rows, cols = raster.block_shapes[0]
    together = raster.count if raster.interleaving is not None and raster.interleaving.value == "PIXEL" else 1
    size = rows * cols * np.dtype(raster.dtypes[0]).itemsize * together
    if size > LARGEST_BLOCK_BYTES:
        raise RasterioError(
            f"it is compressed in blocks of {size / 2**20:,.0f} MB; up to {LARGEST_BLOCK_BYTES >> 20} are read"
        )


def _metres(raster: Any) -> tuple[float, float]:
    """Return nominal height and width of a pixel in metres, equal for all tiles."""
    height, width = abs(raster.transform.e), abs(raster.transform.a)
    if raster.crs is None or not raster.crs.is_geographic:
        return height, width
    latitude = (raster.bounds.top + raster.bounds.bottom) / 2
    return height * METRES_A_DEGREE, width * METRES_A_DEGREE * max(0.01, math.cos(math.radians(latitude)))


def _overview(raster: Any, geobox: GeoBox) -> int | None:
    """Return the smallest overview that is not coarser than the target."""
    # 2 %: 10 m of one UTM zone is 10.01 m of the next
    shrink = abs(geobox.resolution.x) / _metres(raster)[0] * 1.02
    fitting = [i for i, factor in enumerate(raster.overviews(1)) if factor <= shrink]
    return fitting[-1] if fitting else None


def _shrink(raster: Any, geobox: GeoBox) -> dict[str, float]:
    """Return the reduction factor for GDAL's warper.

    Left alone, GDAL guesses it from the box around the source of each piece. Between UTM zones that box is turned and
    too wide, so GDAL blurs as if it were shrinking, in each piece differently, and takes twice as long.
    """
    ratios = [size / abs(geobox.resolution.x) for size in _metres(raster)]
    return {name: ratio if ratio < 0.98 else 1.0 for name, ratio in zip(("YSCALE", "XSCALE"), ratios, strict=True)}


def _warp(target: np.ndarray, raster: Any, band: int, geobox: GeoBox, scene: Scene) -> None:
    nearest = target.dtype == np.uint8
    if raster.crs is None:
        raise RasterioError("it has no CRS")
    source = GeoBox(raster.shape, raster.transform, raster.crs)
    overlap = compute_reproject_roi(source, geobox, ttol=0.5 if nearest else 0.01)
    if roi_is_empty(overlap.roi_src) or roi_is_empty(overlap.roi_dst):
        return
    nodata = None if nearest and scene.sensor != "sentinel2" else _nodata(raster, scene)
    if overlap.paste_ok and overlap.read_shrink == 1:
        values = raster.read(band, window=Window.from_slices(*overlap.roi_src), out_dtype=target.dtype)
        if target.dtype.kind == "f" and nodata is not None:
            values[values == nodata] = np.nan
        target[overlap.roi_dst] = values  # type: ignore[index]
        return
    # odc-geo follows a curved edge by five points a side
    rows, cols = (
        slice(max(0, s.start - 16), min(n, s.stop + 16)) for s, n in zip(overlap.roi_dst, target.shape, strict=True)
    )
    for start in _block_starts(geobox, cols):
        # from the dataset, not from an array of the part that is needed: source coordinates then never depend on
        # where that part begins, not even in their last bit
        block = np.zeros((rows.stop - rows.start, BLOCK_PX), target.dtype)
        reproject(
            rasterio.band(raster, band),
            block,
            src_nodata=nodata,
            dst_transform=geobox.transform * Affine.translation(start, rows.start),
            dst_crs=str(geobox.crs),
            dst_nodata=0 if target.dtype.kind == "u" else np.nan,
            resampling=Resampling.nearest if nearest else Resampling.bilinear,
            **_shrink(raster, geobox),
            # at the edge of a scene GDAL would halve the block, in rows and in columns
            SRC_FILL_RATIO_HEURISTICS="NO",
        )
        inside = slice(max(start, cols.start), min(start + BLOCK_PX, cols.stop))
        target[rows, inside] = block[:, inside.start - start : inside.stop - start]


def _block_starts(geobox: GeoBox, cols: slice) -> range:
    """Return the first columns of the blocks that cover `cols`; the first may lie left of it."""
    shift = round(geobox.transform.c / geobox.resolution.x) % BLOCK_PX
    first = (cols.start + shift) // BLOCK_PX * BLOCK_PX - shift
    return range(first, cols.stop, BLOCK_PX)


def _nodata(raster: Any, scene: Scene) -> float | None:
    """Return nodata of the item or of the file; if neither gives it, power of exactly 0 is nodata."""
    if scene.nodata is not None:
        return scene.nodata
    if raster.nodata is not None:
        return float(raster.nodata)
    return 0.0 if scene.sensor == "sentinel1" else None
