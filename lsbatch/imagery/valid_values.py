"""Which values of a band are measurements, and how the band is resampled."""

from dataclasses import dataclass

import numpy as np

from lsbatch.bands import FURTHER
from lsbatch.catalog.items.scenes import Scene

#: Classes and percentages, read as they are.
WHOLE_NUMBERS = ("SCL", "cloud", "mask")

#: Bands whose ratios are used (NDVI, R/G, NBR and other indices): they must be positive before interpolation, or a
#: mixture of a negative and a positive red makes the highest NDVI of all.
RATIO_BANDS = ("R", "G", "NIR", *FURTHER)
#: Least reflectance of the other bands. Blue of dark forest is often a little below 0 after atmospheric correction, and
#: the pixel is measured all the same.
LEAST_REFLECTANCE = -0.05
#: Reflectance above this is no measurement: clouds and snow on slopes reach about 1.6 in Level 2A.
MOST_REFLECTANCE = 2.0
#: Elevations on land, metres: the Dead Sea lies at -430, Everest at 8,849.
ELEVATION_M = (-1000.0, 9000.0)
INCIDENCE_DEG = (0.1, 89.9)


@dataclass(frozen=True)
class Rule:
    """How a band is resampled, and which of its values are measurements.

    Attributes
    ----------
    nearest : bool
        Nearest neighbour instead of bilinear.
    limits : (float, float)
        Least and most valid value, both included; NaN is invalid.
    nodata : float or None
        Nodata by the item; None leaves it to the file.
    """

    nearest: bool
    limits: tuple[float, float]
    nodata: float | None


def rule_of(scene: Scene, band: str) -> Rule:
    """Return the rule of a band.

    Valid are digital numbers of Sentinel-2 with a reflectance up to `MOST_REFLECTANCE` and above 0, of blue from
    `LEAST_REFLECTANCE`; linear power above 0; elevations that exist. Classes are all valid.
    """
    if band in WHOLE_NUMBERS:
        return Rule(True, (0, 255), scene.nodata if scene.sensor == "sentinel2" else None)
    if scene.sensor == "sentinel2":
        # a little above 0, because limits are included
        least = 1e-6 if band in RATIO_BANDS else LEAST_REFLECTANCE / scene.scale
        least, most = least - scene.offset_dn, MOST_REFLECTANCE / scene.scale - scene.offset_dn
        return Rule(False, (max(1.0, least), most), scene.nodata)
    if scene.sensor == "dem":
        return Rule(False, ELEVATION_M, scene.nodata)
    if band == "incidence":
        return Rule(False, INCIDENCE_DEG, scene.nodata)
    return Rule(
        False, (float(np.nextafter(np.float32(0), np.float32(1))), float(np.finfo(np.float32).max)), scene.nodata
    )
