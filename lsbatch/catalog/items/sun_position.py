"""Position of the sun over a scene."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyproj
from shapely.geometry.base import BaseGeometry

from lsbatch.storage import longitudes

#: Distance in metres to the north for measuring the direction of north.
STEP_DEG = 1e-4


def of_item(properties: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return azimuth (clockwise from true north) and elevation of the sun in degrees, from fields of the item."""
    azimuth = _number(properties, "view:sun_azimuth", "s2:mean_solar_azimuth")
    elevation, zenith = _number(properties, "view:sun_elevation"), _number(properties, "s2:mean_solar_zenith")
    return azimuth, 90 - zenith if elevation is None and zenith is not None else elevation


def _number(properties: Mapping[str, Any], *keys: str) -> float | None:
    """Return the first of the fields that is a finite number."""
    for key in keys:
        value = properties.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def on_grid(azimuth_deg: float, footprint: BaseGeometry, crs: str) -> float:
    """Return the azimuth clockwise from grid north at the centre of a scene; one value a scene, so that tiles agree.

    At 10 degrees of longitude from the central meridian of a UTM zone and 61.5 N, grid north differs by 8.8 degrees
    from true north: 150 m at the end of a shadow of 1 km.
    """
    return (azimuth_deg + _north_deg(crs, *longitudes.middle(footprint))) % 360


@lru_cache(maxsize=4096)
def _north_deg(crs: str, longitude: float, latitude: float) -> float:
    """Return the azimuth of true north on the grid."""
    transformer = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = transformer.transform([longitude, longitude], [latitude, latitude + STEP_DEG])
    return math.degrees(math.atan2(x[1] - x[0], y[1] - y[0]))
