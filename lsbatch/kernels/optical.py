"""Sentinel-2: reflectance from digital numbers, cloud and shadow masks, greenest-pixel composite."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from lsbatch.kernels import focal
from lsbatch.kernels.sun_rays import cast

#: Scene classification classes that are never used: nodata, saturated, shadow, cloud medium, cloud high, cirrus, snow.
#: Class 2 (dark area) is used: it is mostly terrain shade, where landslides also occur, and `sun_rays.shadow` masks it
#: better.
DROPPED = (0, 1, 3, 8, 9, 10, 11)
#: Classes that are dilated: cloud medium, cloud high, cirrus.
CLOUDS = (8, 9, 10)
NO_DAY = -32768


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


@njit(nogil=True)
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
    return table[scl]


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
    """Return (nir - red) / (nir + red), float32, clipped to -1..1; NaN if the sum is not positive.

    Parameters
    ----------
    nir, red : arrays of one shape
        Reflectance. After the offset it may be negative, which is why the ratio is clipped.
    """
    nir, red = np.ascontiguousarray(nir, np.float32), np.ascontiguousarray(red, np.float32)
    out = np.empty(nir.shape, np.float32)
    _ndvi_into(out.reshape(-1), nir.reshape(-1), red.reshape(-1))
    return out


@njit(nogil=True, error_model="numpy")
def _ndvi_into(out: np.ndarray, nir: np.ndarray, red: np.ndarray) -> None:
    for i in range(nir.size):
        total = nir[i] + red[i]
        ratio = (nir[i] - red[i]) / total
        ratio = min(max(ratio, np.float32(-1)), np.float32(1))
        out[i] = ratio if total > 0 else np.float32(np.nan)


def dndvi(pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """Return NDVI after minus NDVI before; landslides are negative."""
    return np.asarray(post, np.float32) - np.asarray(pre, np.float32)


def greenest(bands: np.ndarray, clear: np.ndarray, days: np.ndarray, nir: int, red: int) -> tuple[np.ndarray, ...]:
    """Return the greenest-pixel composite of images in memory; equal to `greener_into`, image by image.

    All images are processed row by row, so that the intermediate composite stays in the cache: twice as fast as image
    by image.

    Parameters
    ----------
    bands : array (looks, bands, rows, cols)
        Reflectance.
    clear : bool array (looks, rows, cols)
    days : array (looks,) of int
        Days since 1970-01-01.
    nir, red : int
        Indices of the bands for the NDVI.

    Returns
    -------
    best, best_ndvi, best_day, looks : arrays
        As `greener_into` computes them.
    """
    bands = np.ascontiguousarray(bands, np.float32)
    shape = bands.shape[2:]
    out = (
        np.full(bands.shape[1:], np.nan, np.float32),
        np.full(shape, np.nan, np.float32),
        np.full(shape, NO_DAY, np.int16),
        np.zeros(shape, np.uint8),
    )
    _greenest_into(*out, bands, np.ascontiguousarray(clear, np.bool_), np.asarray(days, np.int16), nir, red)
    return out


@njit(nogil=True)
def _greenest_into(
    best: np.ndarray,
    best_ndvi: np.ndarray,
    best_day: np.ndarray,
    looks: np.ndarray,
    bands: np.ndarray,
    clear: np.ndarray,
    days: np.ndarray,
    nir: int,
    red: int,
) -> None:
    count, channels, rows, cols = bands.shape
    green, wins = np.empty(cols, np.float32), np.empty(cols, np.bool_)
    for row in range(rows):
        so_far = best_ndvi[row], best_day[row], looks[row]
        for i in range(count):
            _ndvi_into(green, bands[i, nir, row], bands[i, red, row])
            if _wins_row_into(wins, so_far[0], so_far[1], so_far[2], green, clear[i, row], days[i]) > 0:
                for band in range(channels):
                    _take_row_into(best[band, row], bands[i, band, row], wins)


def greener_into(
    best: np.ndarray,
    best_ndvi: np.ndarray,
    best_day: np.ndarray,
    looks: np.ndarray,
    bands: Sequence[np.ndarray],
    ndvi: np.ndarray,
    clear: np.ndarray,
    day: int,
) -> None:
    """Merge one image into a greenest-pixel composite: all bands from the one day with the highest NDVI.

    The first four arrays are changed. The order of images has no effect: ties go to the latest day. Each day must be
    merged only once; join its granules first.

    Parameters
    ----------
    best : array (bands, rows, cols), float32
        Starts as NaN.
    best_ndvi : array (rows, cols), float32
        Starts as NaN.
    best_day : array (rows, cols), int16
        Days since 1970-01-01; starts as -32768.
    looks : array (rows, cols), uint8
        Clear looks, at most 255.
    bands, ndvi, clear : arrays (bands, rows, cols), (rows, cols) float32, (rows, cols) bool
        The image, its bands also as a list. A pixel that is not clear or whose NDVI is NaN is ignored.
    day : int
        Days since 1970-01-01.
    """
    ndvi, clear = np.ascontiguousarray(ndvi, np.float32), np.ascontiguousarray(clear, np.bool_)
    wins = np.empty(ndvi.shape, np.bool_)
    if _wins_into(wins, best_ndvi, best_day, looks, ndvi, clear, np.int64(day)):  # type: ignore[arg-type]
        # band by band: a strip of rows of one band is contiguous, of several bands it is not
        for target, source in zip(best, bands, strict=True):
            _take_into(target, np.ascontiguousarray(source, np.float32), wins)


@njit(nogil=True)
def _wins_into(
    wins: np.ndarray,
    best_ndvi: np.ndarray,
    best_day: np.ndarray,
    looks: np.ndarray,
    ndvi: np.ndarray,
    clear: np.ndarray,
    day: int,
) -> bool:
    """Write where the image is selected; return whether it is anywhere."""
    found = False
    for row in range(ndvi.shape[0]):
        one = _wins_row_into(wins[row], best_ndvi[row], best_day[row], looks[row], ndvi[row], clear[row], np.int16(day))  # type: ignore[arg-type]
        found |= one > 0
    return found


@njit(nogil=True)
def _wins_row_into(
    wins: np.ndarray,
    best_ndvi: np.ndarray,
    best_day: np.ndarray,
    looks: np.ndarray,
    ndvi: np.ndarray,
    clear: np.ndarray,
    day: int,
) -> int:
    found = np.int32(0)
    for col in range(ndvi.size):
        # all values are loaded before the selection: a load inside a selection is a branch a pixel, which prevents
        # vector code
        new, old, before, count = ndvi[col], best_ndvi[col], best_day[col], looks[col]
        seen = clear[col] & (new == new)
        win = seen & ((old != old) | (new > old) | ((new == old) & (day > before)))
        looks[col] = count + np.uint8(seen & (count < 255))
        best_ndvi[col] = new if win else old
        best_day[col] = day if win else before
        wins[col] = win
        found += np.int32(win)
    return found  # type: ignore[return-value]


@njit(nogil=True)
def _take_into(target: np.ndarray, source: np.ndarray, wins: np.ndarray) -> None:
    for row in range(wins.shape[0]):
        _take_row_into(target[row], source[row], wins[row])


@njit(nogil=True)
def _take_row_into(target: np.ndarray, source: np.ndarray, wins: np.ndarray) -> None:
    for col in range(wins.size):
        new, old = source[col], target[col]
        target[col] = new if wins[col] else old
