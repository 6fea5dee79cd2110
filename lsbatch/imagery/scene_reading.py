"""Read the bands of one scene on a grid, independent of how the grid is cut into tiles.

Each band is opened once, one window of it is decoded, and `lsbatch.kernels.resampling` computes the target pixels from
it. odc-stac tells which rasters an item has; its `load` is not used, because for one scene it projects footprints, bins
chunks and makes coordinates for as long as reading takes, and holds the GIL meanwhile (docs/measured.md). GDAL's warper
is not used either: it is ten times slower than the kernel, and its approximate transformer gives pixels that depend on
the piece that is warped.

Values that no sensor can measure are excluded before interpolation, also if neither item nor file declares them nodata
(see `Rule`).
"""

import math
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import odc.stac
import pystac
import rasterio
import rasterio.session
from odc.geo.geobox import GeoBox
from odc.loader.types import RasterSource
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from lsbatch.catalog import national_dem
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import lattice_mapping, retry
from lsbatch.imagery.valid_values import WHOLE_NUMBERS, Rule, rule_of
from lsbatch.kernels import resampling
from lsbatch.storage import archive_login
from lsbatch.storage.addresses import REMOTE, shown, without_secrets
from lsbatch.storage.archive_login import Login
from lsbatch.storage.s3 import endpoint

# a raster with ground control points is refused with a sentence (see `_refuse_unreadable`)
warnings.filterwarnings("ignore", "Dataset has no geotransform", NotGeoreferencedWarning)

# If keys are in the environment and boto3 is installed, rasterio would make a session of it in each call for S3, with
# the GIL held (45 ms). GDAL takes the keys from the environment itself.
rasterio.session.boto3 = None

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

#: A source at least this many times finer than the target is averaged; below it bilinear weights cover all its pixels.
MEAN_FROM = 1.8


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
    login = _login(scene)
    if login is None or threading.current_thread() is not threading.main_thread():
        return _read_bands(scene, bands, geobox, attempts, login)
    # GDAL applies the options of the main thread to all threads, which must not use these keys
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_read_bands, scene, bands, geobox, attempts, login).result()


def _read_bands(
    scene: Scene, bands: tuple[str, ...], geobox: GeoBox, attempts: int, login: Login | None
) -> dict[str, np.ndarray]:
    rasters = odc.stac.parse_item(pystac.Item.from_dict(scene.item, preserve_dict=False, migrate=False)).bands  # type: ignore[arg-type]
    out = {}
    with _environment(scene, attempts, login):
        for band in bands:
            kind = "uint8" if band in WHOLE_NUMBERS else _DTYPES[scene.sensor]
            out[band] = np.full(geobox.shape, np.nan if kind == "float32" else 0, kind)
            key = scene.assets.get(band)
            if key is None:
                continue
            if (key, 1) not in rasters:
                raise SceneError(f"{scene.id}: asset {key} is no raster by its type and its roles")
            _fill(out[band], rasters[key, 1], geobox, scene, rule_of(scene, band), attempts)  # type: ignore[arg-type]
    return out


def _login(scene: Scene) -> Login | None:
    """Return the account of the archive that has all files of a scene; keys are not used for a mixture."""
    found = {archive_login.of_address(address) for address in _addresses(scene)}
    return found.pop() if len(found) == 1 else None


def _addresses(scene: Scene) -> list[str]:
    return [asset["href"] for asset in scene.item["assets"].values()]


def _environment(scene: Scene, attempts: int, login: Login | None) -> AbstractContextManager[Any]:
    """Return GDAL's options for the place of the scene; those of the shell's environment have priority.

    The options of an archive's account have priority over both, so that no other key is sent to the archive.
    """
    options = dict(GDAL_OPTIONS)
    schemes = {urlsplit(address).scheme for address in _addresses(scene)}
    if schemes & set(REMOTE):
        # GDAL's own tries for 429 and 5xx: it remembers that an address failed, so a later open fails unasked
        options |= NETWORK_OPTIONS | {"GDAL_HTTP_MAX_RETRY": attempts - 1, "GDAL_HTTP_RETRY_DELAY": FIRST_WAIT_S}
    if "s3" in schemes:
        options |= endpoint.gdal_options()
        if not endpoint.has_credentials():
            # the Copernicus DEM and the Sentinel-2 COGs are public: without it GDAL looks for credentials and gives up
            options["AWS_NO_SIGN_REQUEST"] = "YES"
    options = {key: value for key, value in options.items() if key not in os.environ}
    keys = login.options() if login else None
    return rasterio.Env(session=_Keys(keys) if keys else None, **options)


class _Keys(rasterio.session.Session):  # type: ignore[misc]
    """Options of an archive's account; `rasterio.Env` takes keys of S3 from a session only."""

    def __init__(self, options: dict[str, str]) -> None:
        self._options = options

    def get_credential_options(self) -> dict[str, str]:
        return self._options


def _fill(target: np.ndarray, source: RasterSource, geobox: GeoBox, scene: Scene, rule: Rule, attempts: int) -> None:
    """Resample an asset into `target`, which keeps nodata where nothing is valid; retry transient failures."""
    driver = _driver(source.uri, scene)
    try:
        retry.with_retries(
            source.uri,
            attempts,
            FIRST_WAIT_S,
            lambda signed: _open_and_resample(target, signed, source.band, geobox, rule, driver),
        )
    except (RasterioError, CRSError, OSError) as error:
        raise SceneError(_sentence(scene, source.uri, error), may_pass=retry.is_transient(source.uri, error)) from error


def _sentence(scene: Scene, uri: str, error: BaseException) -> str:
    keys = {asset["href"]: key for key, asset in scene.item["assets"].items()}
    cause = " ".join(without_secrets(str(error.__cause__ or error)).split())
    hint = retry.hint(uri, error, cause)
    login = archive_login.of_address(uri)
    # without keys some archives answer with a page for people to log in, which is no error of HTTP
    if login and (retry.needs_key(uri, error) or login.options() is None):
        hint = f"; this archive needs {login.needs} (docs/archives.md)"
    return f"{scene.id}: asset {keys.get(uri, '?')} ({shown(uri)}) cannot be read: {cause[:LONGEST_CAUSE]}{hint}"


def _open_and_resample(target: np.ndarray, uri: str, band: int, geobox: GeoBox, rule: Rule, driver: str) -> None:
    with rasterio.open(uri, driver=driver, sharing=False) as full:
        _refuse_unreadable(full)
        level = _overview(full, geobox)
        if level is None:
            _resample(target, full, band, geobox, rule)
            return
    with rasterio.open(uri, driver=driver, sharing=False, overview_level=level) as smaller:
        _refuse_unreadable(smaller)
        _resample(target, smaller, band, geobox, rule)


def _driver(uri: str, scene: Scene) -> str:
    """Return GDAL's driver by the file name, not by content: a VRT in a catalogue could name forbidden files."""
    ending = Path(urlsplit(uri).path).suffix.lower()
    if ending == ".vrt" and scene.collection == national_dem.COLLECTION:
        return "VRT"
    return "JP2OpenJPEG" if ending == ".jp2" else "GTiff"


def _refuse_unreadable(raster: Any) -> None:
    """Refuse a raster without a lattice, or whose header claims blocks of gigabytes in a small file."""
    if raster.crs is None:
        raise RasterioError(
            "it has ground control points instead of a lattice; geocode it first" if raster.gcps[0] else "it has no CRS"
        )
    area = raster.transform.determinant
    if not (area and all(map(math.isfinite, (area, 1 / area, *raster.transform)))):
        raise RasterioError("its pixels have no area, or no place")
    together = raster.count if raster.interleaving is not None and raster.interleaving.value == "PIXEL" else 1
    size = math.prod(raster.block_shapes[0]) * np.dtype(raster.dtypes[0]).itemsize * together
    if size > LARGEST_BLOCK_BYTES:
        raise RasterioError(
            f"it is compressed in blocks of {size / 2**20:,.0f} MB; allowed are up to {LARGEST_BLOCK_BYTES >> 20} MB"
        )


def _metres(raster: Any) -> float:
    """Return the nominal height of a pixel in metres, equal for all tiles."""
    height = math.hypot(raster.transform.e, raster.transform.b)
    return height * METRES_A_DEGREE if raster.crs.is_geographic else height


def _overview(raster: Any, geobox: GeoBox) -> int | None:
    """Return the smallest overview that is not coarser than the target."""
    # 2 %: 10 m of one UTM zone is 10.01 m of the next
    shrink = abs(geobox.resolution.x) / _metres(raster) * 1.02
    fitting = [i for i, factor in enumerate(raster.overviews(1)) if factor <= shrink]
    return fitting[-1] if fitting else None


def _resample(target: np.ndarray, raster: Any, band: int, geobox: GeoBox, rule: Rule) -> None:
    """Read the window that a target needs and resample it; `target` is unchanged where nothing is valid."""
    crs, transform = raster.crs.to_wkt(), raster.transform
    corner = lattice_mapping.offset(geobox, crs, transform)
    if corner is not None:
        _copy(target, raster, band, corner, rule)
        return
    pieces = lattice_mapping.pieces(geobox, crs, transform, raster.width)
    window = _window(pieces, raster.shape)
    if window is None:
        return
    source = _read(raster, band, window, rule, target.dtype)
    method = resampling.nearest if rule.nearest else resampling.bilinear
    if not rule.nearest and abs(geobox.resolution.x) / _metres(raster) >= MEAN_FROM:
        method = resampling.mean
    for piece in pieces:
        method(target[piece.rows, piece.cols], source, piece.nodes, (window.row_off, window.col_off), rule.limits)


def _window(pieces: tuple[lattice_mapping.Piece, ...], shape: tuple[int, int]) -> Window | None:
    """Return the window of a source that holds all pieces and their neighbours; None if it is empty."""
    # a piece none of whose pixels has a place in the source has an infinite extent
    extents = [piece.extent for piece in pieces if np.isfinite(piece.extent).all()]
    if not extents:
        return None
    first_row, last_row, first_col, last_col = np.array(extents).T
    top, bottom = max(0, math.floor(first_row.min()) - 2), min(shape[0], math.ceil(last_row.max()) + 2)
    left, right = max(0, math.floor(first_col.min()) - 2), min(shape[1], math.ceil(last_col.max()) + 2)
    return Window(left, top, right - left, bottom - top) if top < bottom and left < right else None


def _copy(target: np.ndarray, raster: Any, band: int, corner: tuple[int, int], rule: Rule) -> None:
    """Copy the part of a raster on the national lattice that a target covers."""
    spans = []
    for start, size, most in zip(corner, target.shape, raster.shape, strict=True):
        first, last = max(0, start), min(most, start + size)
        if first >= last:
            return
        spans.append((first, last, slice(first - start, last - start)))
    (top, bottom, rows), (left, right, cols) = spans
    values = _read(raster, band, Window(left, top, right - left, bottom - top), rule, target.dtype)
    resampling.keep_valid(values, rule.limits, np.nan if target.dtype.kind == "f" else 0)
    target[rows, cols] = values


def _read(raster: Any, band: int, window: Window, rule: Rule, dtype: np.dtype[Any]) -> np.ndarray:
    """Read a window in the type of the target; values of the file's nodata become invalid."""
    values = raster.read(band, window=window, out_dtype=dtype)
    nodata = rule.nodata if rule.nodata is not None else raster.nodata
    if nodata is not None and rule.limits[0] <= nodata <= rule.limits[1]:
        values[values == dtype.type(nodata)] = np.nan if dtype.kind == "f" else 0
    return values
