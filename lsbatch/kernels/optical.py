"""Sentinel-2: reflectance from digital numbers, cloud and shadow masks, spectral indices."""

from collections.abc import Callable, Mapping

import numpy as np

from lsbatch.kernels import focal
from lsbatch.kernels.compilation import kernel
from lsbatch.kernels.sun_rays import cast

#: Scene classification classes that are never used: nodata, saturated, shadow, cloud medium, cloud high, cirrus, snow.
#: Class 2 (dark area) is used: it is mostly terrain shade, where landslides also occur, and `cast_shadow` masks it
#: better.
DROPPED = (0, 1, 3, 8, 9, 10, 11)
#: Classes that are dilated: cloud medium, cloud high, cirrus.
CLOUDS = (8, 9, 10)


def reflectance(dn: np.ndarray, offset: float, scale: float) -> np.ndarray:
    """Return surface reflectance (dn + offset) * scale; DN 0 is nodata.

    Parameters
    ----------
    dn : array of uint16
        Other types are accepted; NaN stays NaN.
    offset : float
        In digital numbers: -1000 from processing baseline 04.00 unless the provider has subtracted it, 0 before.
    scale : float
        1e-4.

    Returns
    -------
    array of float32, NaN where DN is 0.
    """
    dn = np.asarray(dn)
    if dn.dtype != np.uint16:
        dn = dn.astype(np.float64)
    # allocated by numpy, which requests huge pages
    out = np.empty(dn.shape, np.float32)
    _reflectance_into(out.reshape(-1), np.ascontiguousarray(dn).reshape(-1), float(offset), float(scale))
    return out


@kernel
def _reflectance_into(out: np.ndarray, dn: np.ndarray, offset: float, scale: float) -> None:
    for i in range(dn.size):
        out[i] = np.float32(np.nan) if dn[i] == 0 else np.float32((dn[i] + offset) * scale)


def clear(scl: np.ndarray, dilate_px: float = 0) -> np.ndarray:
    """Return the usable pixels, from the scene classification.

    Parameters
    ----------
    scl : array (rows, cols), uint8
        SCL classes; see `DROPPED`.
    dilate_px : float
        Radius of the circle by which the classes `CLOUDS` are grown.

    Returns
    -------
    bool array (rows, cols)
    """
    scl = np.asarray(scl, np.uint8)
    good = _among(DROPPED, scl, False)
    if dilate_px > 0:
        good &= ~focal.dilate(_among(CLOUDS, scl, True), dilate_px)
    return good


def _among(classes: tuple[int, ...], scl: np.ndarray, value: bool) -> np.ndarray:
    """Write `value` where the class is one of `classes`, and the opposite elsewhere."""
    table = np.full(256, not value)
    table[list(classes)] = value
    out = np.empty(scl.shape, np.bool_)
    _look_up_into(out.reshape(-1), np.ascontiguousarray(scl).reshape(-1), table)
    return out


@kernel
def _look_up_into(out: np.ndarray, places: np.ndarray, table: np.ndarray) -> None:
    # numpy's indexing converts the places to int64 first: five times as long
    for i in range(places.size):
        out[i] = table[places[i]]


def cloud_shadow(
    probability: np.ndarray,
    nir: np.ndarray,
    water: np.ndarray,
    sun_azimuth_deg: float,
    dx_m: float,
    dy_m: float,
    *,
    cloudy: float = 50,
    dark: float = 0.15,
    distance_m: float = 1000,
    opening_m: float = 40,
    buffer_m: float = 50,
) -> np.ndarray:
    """Return cloud and cloud shadow from a cloud probability, as in the s2cloudless recipe.

    Cloud is `probability` > `cloudy`. Shadow is dark, is not water and lies within `distance_m` of cloud on the side
    away from the sun. Both together are opened and grown. Pixels may be oblong: a radius is then counted in the longer
    side, so a mask is larger than requested by at most that.

    Parameters
    ----------
    probability : array (rows, cols)
        Percent; NaN is not cloud.
    nir : array (rows, cols)
        Reflectance; NaN is not dark.
    water : bool array (rows, cols)
        SCL class 6.
    sun_azimuth_deg : float
        Mean solar azimuth, the direction to the sun clockwise from north; shadows fall on the opposite side.
    dx_m, dy_m : float
        Sides of a pixel.
    cloudy, dark, distance_m, opening_m, buffer_m : float
        Percent, reflectance and metres. The opening is 2 px of 20 m.

    Returns
    -------
    bool array (rows, cols), True where not to be used. A tile needs a halo of `distance_m` + `opening_m` * 2 +
    `buffer_m`.
    """
    cloud = np.greater(probability, cloudy)
    shade = np.less(nir, dark) & ~np.asarray(water, np.bool_)
    shade &= cast(cloud, sun_azimuth_deg, distance_m, dx_m, dy_m)
    side_m = max(dx_m, dy_m)
    core = focal.erode(cloud | shade, opening_m / side_m)
    return focal.dilate(core, (opening_m + buffer_m) / side_m)


def ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Return (nir - red) / (nir + red), float32, between -1 and 1; NaN if one of them is not positive.

    Parameters
    ----------
    nir, red : arrays of one shape
        Reflectance. Values of 0 and less are noise of the atmospheric correction, whose ratio has no meaning.

    Returns
    -------
    array of the same shape, float32
    """
    nir, red = np.ascontiguousarray(nir, np.float32), np.ascontiguousarray(red, np.float32)
    out = np.empty(nir.shape, np.float32)
    _ndvi_into(out.reshape(-1), nir.reshape(-1), red.reshape(-1))
    return out


@kernel(error_model="numpy")
def _ndvi_into(out: np.ndarray, nir: np.ndarray, red: np.ndarray) -> None:
    for i in range(nir.size):
        ratio = (nir[i] - red[i]) / (nir[i] + red[i])
        out[i] = ratio if nir[i] > 0 and red[i] > 0 else np.float32(np.nan)


def nbr(nir: np.ndarray, swir2: np.ndarray) -> np.ndarray:
    """Return the normalised burn ratio (nir - swir2) / (nir + swir2); NaN if a term is not positive.

    Parameters
    ----------
    nir, swir2 : arrays of one shape
        Reflectance; `swir2` at 2.2 um.

    Returns
    -------
    array of the same shape, float32

    Notes
    -----
    Key and Benson (2006), Landscape assessment, in FIREMON, USDA Forest Service RMRS-GTR-164-CD.
    """
    return ndvi(nir, swir2)


def ndmi(nir: np.ndarray, swir1: np.ndarray) -> np.ndarray:
    """Return the normalised difference moisture index (nir - swir1) / (nir + swir1); NaN if a term is not positive.

    Parameters
    ----------
    nir, swir1 : arrays of one shape
        Reflectance; `swir1` at 1.6 um.

    Returns
    -------
    array of the same shape, float32

    Notes
    -----
    Gao (1996), Remote Sensing of Environment 58; with the band at 1.6 um, Wilson and Sader (2002), Remote Sensing of
    Environment 80.
    """
    return ndvi(nir, swir1)


def bsi(swir1: np.ndarray, red: np.ndarray, nir: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Return the bare soil index ((swir1 + red) - (nir + blue)) / (swir1 + red + nir + blue).

    Parameters
    ----------
    swir1, red, nir, blue : arrays of one shape
        Reflectance; `swir1` at 1.6 um.

    Returns
    -------
    array of the same shape, float32
        NaN if a term is not positive.

    Notes
    -----
    Rikimaru, Roy and Miyatake (2002), Tropical forest cover density mapping, Tropical Ecology 43.
    """
    measured = np.logical_and.reduce([band > 0 for band in (swir1, red, nir, blue)])
    return np.where(measured, ndvi(swir1 + red, nir + blue), np.float32(np.nan))


#: The index of each change in `lsbatch.bands.INDEX_TERMS`, a function of its terms in their order.
INDICES: Mapping[str, Callable[..., np.ndarray]] = {"dNBR": nbr, "dNDMI": ndmi, "dBSI": bsi}


def dndvi(pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """Return NDVI after minus NDVI before; landslides are negative.

    Parameters
    ----------
    pre, post : arrays of one shape
        NDVI.

    Returns
    -------
    array of the same shape
    """
    return np.asarray(post, np.float32) - np.asarray(pre, np.float32)
