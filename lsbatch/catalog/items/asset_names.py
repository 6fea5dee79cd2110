"""Asset keys of our bands in the catalogues of each archive."""

import re
from collections.abc import Mapping
from typing import Any

from lsbatch.catalog.items import radar_radiometry
from lsbatch.catalog.items.reflectance_offset import product_names
from lsbatch.errors import CatalogError

#: Our band names and the asset keys of the archives, in order of preference.
BANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "sentinel2": {
        "R": ("red", "b04", "b04_10m"),
        "G": ("green", "b03", "b03_10m"),
        "B": ("blue", "b02", "b02_10m"),
        "NIR": ("nir", "b08", "b08_10m"),
        "SCL": ("scl", "scl_20m"),
    },
    "sentinel1": {"VV": ("vv", "gamma0_vv", "sigma0_vv"), "VH": ("vh", "gamma0_vh", "sigma0_vh")},
    "dem": {"elevation": ("elevation", "data", "dem")},
}

#: Further bands, looked for only if `composite.bands` asks for them (see `lsbatch.bands.FURTHER`).
FURTHER_BANDS: dict[str, tuple[str, ...]] = {
    "SWIR1": ("swir16", "b11", "b11_20m"),
    "SWIR2": ("swir22", "b12", "b12_20m"),
    "RE1": ("rededge1", "b05", "b05_20m"),
    "RE2": ("rededge2", "b06", "b06_20m"),
    "RE3": ("rededge3", "b07", "b07_20m"),
    "NIRn": ("nir08", "b8a", "b8a_20m"),
}

#: Assets that are read if an archive has them: short-wave infrared of 1.6 um; cloud probability in percent; incidence
#: angle on the ellipsoid in degrees; OPERA's mask of layover and shadow, 0 where there is neither.
EXTRAS: dict[str, dict[str, tuple[str, ...]]] = {
    "sentinel2": {"SWIR": ("swir16", "b11", "b11_20m"), "cloud": ("cloud", "cld", "cloud_probability", "cld_20m")},
    "sentinel1": {
        "incidence": radar_radiometry.INCIDENCE,
        "mask": ("mask",),
    },
    "dem": {},
}


def is_level_1c(item: Mapping[str, Any]) -> bool:
    """Return whether a Sentinel-2 item is Level 1C, by its processing level, product type or product name."""
    properties = item.get("properties") or {}
    levels = (str(properties.get(key, "")).upper() for key in ("processing:level", "product:type"))
    return any(level.endswith("1C") for level in levels) or any("_MSIL1C_" in text for text in product_names(item))


def choose(item: Mapping[str, Any], sensor: str, name: str, further: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the asset key of each of our bands that an item has.

    Raises
    ------
    CatalogError
        If the item lacks a band that every scene of its sensor needs, or one of the `further` bands of Sentinel-2.
    """
    keys = {key.lower(): key for key in item.get("assets") or {}}
    asked = {band: FURTHER_BANDS[band] for band in further}
    found = {band: _key(keys, wanted) for band, wanted in (BANDS[sensor] | asked).items()}
    chosen = {band: key for band, key in found.items() if key is not None}
    missing = [band for band in found if band not in chosen]
    # Level 1C has no scene classification
    if sensor == "sentinel2" and is_level_1c(item):
        missing = [band for band in missing if band != "SCL"]
    # HH scenes over sea ice have neither; a scene with only VV is used for VV
    needed = ["VV"] if sensor == "sentinel1" else missing
    lacking = sorted(set(needed) & set(missing))
    if lacking:
        why = ", which composite.bands asks for" if set(lacking) <= set(further) else ""
        raise CatalogError(
            f"{name}: has no asset for {', '.join(lacking)}{why}; it has {', '.join(keys.values()) or 'none'}"
        )
    extras = {band: _key(keys, wanted) for band, wanted in EXTRAS[sensor].items()}
    return chosen | {band: key for band, key in extras.items() if key is not None}


def _key(keys: Mapping[str, str], wanted: tuple[str, ...]) -> str | None:
    for one in wanted:
        if one in keys:
            return keys[one]
    # the asset keys of OPERA are whole file names; CMR lists each file also in its bucket, which only AWS can read
    pattern = re.compile(rf"(?!s3_).*_{wanted[0]}(\.tif)?")
    endings = [key for low, key in keys.items() if pattern.fullmatch(low)]
    return endings[0] if len(endings) == 1 else None
