"""Water before the event, where nothing can slide."""

import numpy as np

from lsbatch.kernels import sar, speckle
from lsbatch.kernels.local_change.surroundings import half_width

#: VH of open water, as a mean over `MEAN_M` of the median of the passes. The sea off California has -25 dB and less in
#: 99 % of its pixels, and 1 % of the land -25 dB (../shared/data/s1_opera_california, three winters).
DARKEST_LAND_DB, MEAN_M = -24.0, 150.0
#: Near infrared of the greenest look above which ground is snow or dry; below, water has NDWI > 0 (McFeeters 1996).
WATER_NIR = 0.10
#: Water is flat; the DEM of a narrow lake is not quite.
STEEPEST_DEG = 5.0


def before(vh_db: np.ndarray, green: np.ndarray, nir: np.ndarray, slope_deg: np.ndarray, side_m: float) -> np.ndarray:
    """Return the pixels that were water before.

    Where Sentinel-2 saw the ground, by its greenest look: NDWI above 0 and a dark near infrared. Elsewhere by
    Sentinel-1: VH below `DARKEST_LAND_DB` as a mean over some 150 m. Slopes above `STEEPEST_DEG` are no water.

    Parameters
    ----------
    vh_db : array (rows, cols)
        Median gamma0 VH before in dB, NaN as nodata. A tile needs a halo of `halo_px`.
    green, nir : array (rows, cols)
        Reflectance of the greenest look before, NaN as nodata.
    slope_deg : array (rows, cols)
        NaN where unknown: counts as flat.
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    bool array (rows, cols)
    """
    seen = np.isfinite(green) & np.isfinite(nir)
    with np.errstate(invalid="ignore"):
        optical = (green > nir) & (nir < WATER_NIR)
        radar = sar.to_db(speckle.boxcar(sar.from_db(vh_db), 2 * halo_px(side_m) + 1)) < DARKEST_LAND_DB
        steep = slope_deg > STEEPEST_DEG
    return np.where(seen, optical, radar) & ~steep


def halo_px(side_m: float) -> int:
    """Return the pixels on each side of a pixel over which VH is averaged, at least one.

    Parameters
    ----------
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    int
    """
    return half_width(MEAN_M, side_m)
