"""Reading one scene into one lattice: warped by odc-stac, tried again when it fails in passing."""

import re
from functools import lru_cache
from typing import Any

import numpy as np
import odc.stac
import planetary_computer
import pystac
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from lsbatch.archive.scenes import Scene
from lsbatch.errors import SceneError

#: Seconds before the second try; doubled before each later one.
FIRST_WAIT_S = 0.5

#: Errors that another try will not mend.
_LASTING = re.compile(r"No such file|not recognized as|does not exist|404|403|corrupt|TIFFReadEncodedTile", re.IGNORECASE)

_DTYPES = {"SCL": "uint8", "R": "uint16", "G": "uint16", "B": "uint16", "NIR": "uint16"}

#: GDAL for COGs over HTTP: no directory listings, merged range requests, a cache of headers, and its own quick retries.
GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_TIMEOUT": "60",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": str(16 * 2**20),
    # bounds what GDAL keeps of decoded blocks, whatever the machine's memory
    "GDAL_CACHEMAX": 256 * 2**20,
}


@lru_cache(maxsize=1)
def _configure() -> None:
    odc.stac.configure_rio(cloud_defaults=False, **GDAL)


def read(scene: Scene, bands: tuple[str, ...], geobox: GeoBox, *, attempts: int) -> dict[str, np.ndarray]:
    """Bands of a scene on a lattice, as stored (scale and offset are not applied).

    Parameters
    ----------
    scene : Scene
    bands : tuple of str
        Our names; SCL is resampled by nearest neighbour, everything else bilinearly.
    geobox : GeoBox
    attempts : int
        Tries in all.

    Returns
    -------
    dict of str to array (rows, cols)
        uint16 (uint8 for SCL) with 0 as nodata for Sentinel-2; float32 with NaN for Sentinel-1 and the DEM. A
        polarisation that the scene lacks is all NaN.

    Raises
    ------
    SceneError
        After the last try, naming the scene and the cause.
    """
    _configure()
    held = tuple(band for band in bands if band in scene.assets)
    waits = wait_exponential(multiplier=FIRST_WAIT_S, min=FIRST_WAIT_S, max=30)
    trying = Retrying(stop=stop_after_attempt(attempts), wait=waits, retry=retry_if_exception(_may_pass), reraise=True)
    try:
        found = trying(_read, scene, held, geobox)
    except (RasterioError, RetryError, OSError, ValueError) as error:
        raise SceneError(f"scene {scene.id}: cannot be read: {without_secrets(str(error))}") from None
    for band in set(bands) - set(held):
        found[band] = np.full(geobox.shape, np.nan, np.float32)
    return found


def without_secrets(text: str) -> str:
    """First line of a message, with the query strings of addresses, which may hold signatures, taken out."""
    lines = text.strip().splitlines() or ["no reason given"]
    return re.sub(r"\?\S*", "?...", lines[0])[:300]


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, RasterioError | OSError) and not _LASTING.search(str(error))


def _read(scene: Scene, bands: tuple[str, ...], geobox: GeoBox) -> dict[str, np.ndarray]:
    signed = _signed(scene.item)
    keys = [scene.assets[band] for band in bands]
    data = odc.stac.load(
        [pystac.Item.from_dict(signed)],
        bands=keys,
        geobox=geobox,
        resampling={"*": "bilinear", **{scene.assets[b]: "nearest" for b in bands if b == "SCL"}},
        stac_cfg={"*": {"assets": {scene.assets[b]: _asset_cfg(scene, b) for b in bands}}},
        fail_on_error=True,
        chunks=None,
        progress=None,
    )
    out = {}
    for band, key in zip(bands, keys, strict=True):
        values = data[key].values[0]
        if band not in _DTYPES:
            values = values.astype(np.float32, copy=False)
            if scene.nodata is not None and np.isfinite(scene.nodata):
                values = np.where(values == np.float32(scene.nodata), np.float32(np.nan), values)
        out[band] = values
    return out


def _asset_cfg(scene: Scene, band: str) -> dict[str, Any]:
    """Type and nodata of an asset; catalogues that leave them out would be read as float32 without nodata."""
    if band in _DTYPES:
        return {"data_type": _DTYPES[band], "nodata": 0}
    return {"data_type": "float32", "nodata": float("nan") if scene.nodata is None else scene.nodata}


def _signed(item: Any) -> dict[str, Any]:
    """Planetary Computer's assets signed now: a signature made with the plan would have expired in a long run."""
    hosts = ("blob.core.windows.net",)
    if any(host in asset["href"] for asset in item["assets"].values() for host in hosts):
        return planetary_computer.sign(dict(item))
    return dict(item)
