"""Decide the radiometry of a Sentinel-1 item: terrain-corrected gamma0 or calibrated on the ellipsoid."""

import re
from collections.abc import Mapping
from typing import Any

from lsbatch.errors import CatalogError

#: Products that are not terrain-corrected or not in power. A GRD is read if it is geocoded and has an asset with its
#: incidence angle.
RAW_PRODUCTS = ("RAW", "SLC", "GRD", "OCN")
#: Asset keys of the incidence angle on the ellipsoid, in degrees.
INCIDENCE = ("incidence", "incidence_angle", "incidence-angle", "incidenceanglefromellipsoid", "angle")

#: Kinds of product inside the field ``product:type`` of newer catalogues.
_RAW = re.compile(rf"(?:^|[_-])({'|'.join(RAW_PRODUCTS)})[A-Z]?(?:[_-]|$)")

GAMMA0_RTC, SIGMA0 = "gamma0, terrain-corrected", "sigma0 on the ellipsoid"


def decide(item: Mapping[str, Any]) -> str:
    """Return `GAMMA0_RTC`, which needs no slope correction, or `SIGMA0`, which needs it.

    Raises
    ------
    CatalogError
        If it is neither, or is sigma0 without incidence angle or georeference, which cannot be corrected.
    """
    properties, keys = item.get("properties") or {}, [key.lower() for key in item.get("assets") or {}]
    name, declared = item["id"], str(properties.get("product:type") or "")
    level = str(properties.get("processing:level") or "").upper().removeprefix("L")
    if _RAW.search(declared.upper()) and level in ("0", "1"):
        raise CatalogError(
            f"{name}: is {declared}, level {level}, in the geometry of the satellite and not terrain-corrected; use a "
            "collection of terrain-corrected gamma0 (RTC), or correct the product with lsbatch geocode"
        )
    if _is_terrain_corrected(item, keys):
        return GAMMA0_RTC
    product = _product(properties) or "SIGMA0"
    if product not in ("SIGMA0", "GRD"):
        raise CatalogError(
            f"{name}: is {product}; allowed are terrain-corrected gamma0 (RTC), and geocoded sigma0 (GRD) with its "
            "incidence angle, in linear power"
        )
    lacks = []
    if not set(INCIDENCE) & set(keys):
        lacks.append("an asset with the incidence angle")
    if not any(properties.get(key) for key in ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")):
        lacks.append("a projection")
    if lacks:
        raise CatalogError(
            f"{name}: is {product} without {' and without '.join(lacks)}, so it cannot be corrected for the slope; "
            "allowed are terrain-corrected gamma0 (RTC), and geocoded sigma0 with its incidence angle"
        )
    return SIGMA0


def _product(properties: Mapping[str, Any]) -> str:
    """Return the kind of product in capitals, GRD of IW_GRDH_1S; empty if the item does not tell."""
    found = _RAW.search(str(properties.get("product:type") or "").upper())
    return str(properties.get("sar:product_type") or (found[1] if found else "")).upper()


def _is_terrain_corrected(item: Mapping[str, Any], keys: list[str]) -> bool:
    """Return whether an item is RTC. RTC items of the Planetary Computer keep the product type of their GRD."""
    names = (item["id"], item.get("collection") or "", *keys)
    if any(re.search(r"(^|[^a-z])(rtc|gamma0)([^a-z]|$)", name.lower()) for name in names):
        return True
    return _product(item.get("properties") or {}) not in RAW_PRODUCTS and not any(
        key.startswith("sigma0") for key in keys
    )
