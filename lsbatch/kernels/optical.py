"""Sentinel-2: reflectance from digital numbers, the clear-sky mask, and the greenest-pixel fold."""

import numpy as np
from numba import njit
from scipy import ndimage

#: Scene classification classes that never take part: nodata, saturated, shadow, cloud medium, cloud high, cirrus,
#: snow. Class 2 (dark area) stays: it is mostly terrain shade, where landslides happen too.
DROPPED = (0, 1, 3, 8, 9, 10, 11)
CLOUDS = (8, 9)
NO_DAY = -32768


def reflectance(dn: np.ndarray, offset: float, scale: float) -> np.ndarray:
    """Surface reflectance (dn + offset) * scale; DN 0 is nodata.

    Parameters
    ----------
    dn : array of uint16
    offset : float
        In digital numbers: -1000 from processing baseline 04.00 unless the provider has applied it, 0 before.
    scale : float
        1e-4.

    Returns
    -------
    array of float32, NaN where DN is 0.
    """
    values = (np.asarray(dn, np.float32) + np.float32(offset)) * np.float32(scale)
    values[np.asarray(dn) == 0] = np.nan
    return values


def clear(scl: np.ndarray, dilate_px: int = 0) -> np.ndarray:
    """Pixels that may be used, from the scene classification; clouds are grown by a circle of `dilate_px`."""
    scl = np.asarray(scl)
    table = np.ones(256, bool)
    table[list(DROPPED)] = False
    good = table[scl]
    if dilate_px > 0:
        cloud = np.isin(scl, CLOUDS)
        if cloud.any():
            # a distance transform costs the same for every radius
            good &= ndimage.distance_transform_edt(~cloud) > dilate_px
    return good


def ndvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    """(nir - red) / (nir + red), float32, clipped to -1..1; NaN where the sum is not positive."""
    nir, red = np.asarray(nir, np.float32), np.asarray(red, np.float32)
    total = nir + red
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (nir - red) / total
        return np.where(total > 0, np.clip(out, -1, 1), np.float32(np.nan)).astype(np.float32)


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

    The first four arrays are changed. The order of folding does not matter: ties go to the latest day.

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
    _greener_into(best, best_ndvi, best_day, looks, bands, ndvi, clear, day)


@njit(nogil=True)
def _greener_into(best, best_ndvi, best_day, looks, bands, ndvi, clear, day):  # type: ignore[no-untyped-def]
    for row in range(ndvi.shape[0]):
        for col in range(ndvi.shape[1]):
            new = ndvi[row, col]
            if not clear[row, col] or np.isnan(new):
                continue
            if looks[row, col] < 255:
                looks[row, col] += 1
            old = best_ndvi[row, col]
            if np.isnan(old) or new > old or (new == old and day > best_day[row, col]):
                best_ndvi[row, col] = new
                best_day[row, col] = day
                for band in range(best.shape[0]):
                    best[band, row, col] = bands[band, row, col]
