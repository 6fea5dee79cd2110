"""Sentinel-2: reflectance from digital numbers, masks of cloud and shadow, and the greenest-pixel fold."""

import numpy as np
from numba import njit

from lsbatch.kernels import focal
from lsbatch.kernels.rays import cast

#: Scene classification classes that never take part: nodata, saturated, shadow, cloud medium, cloud high, cirrus,
#: snow. Class 2 (dark area) stays: it is mostly terrain shade, where landslides happen too, and `terrain.shadow` is the
#: better guard there.
DROPPED = (0, 1, 3, 8, 9, 10, 11)
#: Classes that are dilated: cloud medium, cloud high, cirrus.
CLOUDS = (8, 9, 10)
NO_DAY = -32768


def reflectance(dn: np.ndarray, offset: float, scale: float) -> np.ndarray:
    """Surface reflectance (dn + offset) * scale; DN 0 is nodata.

    Parameters
    ----------
    dn : array of uint16
        Other types are taken too; a NaN stays NaN.
    offset : float
        In digital numbers: -1000 from processing baseline 04.00 unless the provider has applied it, 0 before.
    scale : float
        1e-4.

    Returns
    -------
    array of float32, NaN where DN is 0.
    """
    dn = np.asarray(dn)
    if dn.dtype != np.uint16:
        dn = dn.astype(np.float64)
    return _reflectance(np.ascontiguousarray(dn).reshape(-1), float(offset), float(scale)).reshape(dn.shape)


@njit(nogil=True)
def _reflectance(dn: np.ndarray, offset: float, scale: float) -> np.ndarray:
    out = np.empty(dn.size, np.float32)
    for i in range(dn.size):
        out[i] = np.float32(np.nan) if dn[i] == 0 else np.float32((dn[i] + offset) * scale)
    return out


def clear(scl: np.ndarray, dilate_px: float = 0) -> np.ndarray:
    """Pixels that may be used, from the scene classification.

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
    """`value` where the class is one of `classes`, the opposite elsewhere."""
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
    """Cloud and cloud shadow from a cloud probability, as in the s2cloudless recipe.

    Cloud is `probability` > `cloudy`. Shadow is what is dark, is not water and lies within `distance_m` of cloud on the
    side away from the sun. Both together are opened and grown. Pixels may be oblong; a radius is then counted in the
    longer side, so a mask is never larger than was asked for by more than that.

    Parameters
    ----------
    probability : array (rows, cols)
        Percent; NaN is not cloud.
    nir : array (rows, cols)
        Reflectance; NaN is not dark.
    water : bool array (rows, cols)
        SCL class 6.
    sun_azimuth_deg : float
        Mean solar azimuth, where the sun stands, clockwise from north; shadows fall on the opposite side.
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
    """(nir - red) / (nir + red), float32, clipped to -1..1; NaN where the sum is not positive.

    Parameters
    ----------
    nir, red : arrays of one shape
        Reflectance. After the offset it may be negative, which is why the ratio is clipped.
    """
    nir, red = np.ascontiguousarray(nir, np.float32), np.ascontiguousarray(red, np.float32)
    return _ndvi(nir.reshape(-1), red.reshape(-1)).reshape(nir.shape)


@njit(nogil=True, error_model="numpy")
def _ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    out = np.empty(nir.size, np.float32)
    for i in range(nir.size):
        total = nir[i] + red[i]
        ratio = (nir[i] - red[i]) / total
        ratio = min(max(ratio, np.float32(-1)), np.float32(1))
        out[i] = ratio if total > 0 else np.float32(np.nan)
    return out


def dndvi(pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """NDVI after minus NDVI before; a landslide is negative."""
    return np.asarray(post, np.float32) - np.asarray(pre, np.float32)


def greener_into(
    best: np.ndarray,
    best_ndvi: np.ndarray,
    best_day: np.ndarray,
    looks: np.ndarray,
    bands: np.ndarray,
    ndvi: np.ndarray,
    clear: np.ndarray,
    day: int,
) -> None:
    """Fold one look into a greenest-pixel composite: all bands from the one day with the highest NDVI.

    The first four arrays are changed. The order of folding does not matter: ties go to the latest day. A day is folded
    once; join its granules first.

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
        The look; a pixel that is not clear or whose NDVI is NaN does not take part.
    day : int
        Days since 1970-01-01.
    """
    look = np.ascontiguousarray(bands, np.float32), np.ascontiguousarray(ndvi, np.float32)
    _greener_into(best, best_ndvi, best_day, looks, *look, np.ascontiguousarray(clear, np.bool_), np.int64(day))


@njit(nogil=True)
def _greener_into(
    best: np.ndarray,
    best_ndvi: np.ndarray,
    best_day: np.ndarray,
    looks: np.ndarray,
    bands: np.ndarray,
    ndvi: np.ndarray,
    clear: np.ndarray,
    day: int,
) -> None:
    rows, cols = ndvi.shape
    wins = np.empty(cols, np.bool_)
    for row in range(rows):
        any_wins = _wins_into(wins, best_ndvi[row], best_day[row], looks[row], ndvi[row], clear[row], day)
        if any_wins:
            for band in range(best.shape[0]):
                _take_into(best[band, row], bands[band, row], wins)


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
    """Where the look of one row is chosen, and whether anywhere."""
    found = False
    for col in range(ndvi.size):
        new, old = ndvi[col], best_ndvi[col]
        seen = clear[col] & (new == new)
        later = (new == old) & (day > best_day[col])
        win = seen & ((old != old) | (new > old) | later)
        looks[col] += seen & (looks[col] < 255)
        best_ndvi[col] = new if win else old
        best_day[col] = day if win else best_day[col]
        wins[col] = win
        found |= win
    return found


@njit(nogil=True)
def _take_into(target: np.ndarray, source: np.ndarray, wins: np.ndarray) -> None:
    for col in range(target.size):
        if wins[col]:
            target[col] = source[col]
