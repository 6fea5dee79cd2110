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

#: Fields with the projection, of the item or of its polarisations.
_PROJECTIONS = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")
_POLARISATION = re.compile(r"(?:.*_)?v[vh](?:\.tif)?")
_GEOCODE = "or correct a raw product (GRD) with lsbatch geocode"

GAMMA0_RTC, SIGMA0 = "gamma0, terrain-corrected", "sigma0 on the ellipsoid"


def decide(item: Mapping[str, Any]) -> str:
    """Return `GAMMA0_RTC`, which needs no slope correction, or `SIGMA0`, which needs it.

    Raises
    ------
    CatalogError
        If it is neither, or is sigma0 without incidence angle or georeference, which cannot be corrected.
    """
    properties, keys = item.get("properties") or {}, [key.lower() for key in item.get("assets") or {}]
    name, declared = item["id"], str(properties.get("product:type") or "")[:80]
    level = re.search(r"\d", str(properties.get("processing:level") or ""))
    if _RAW.search(declared.upper()) and level and level[0] in ("0", "1"):
        raise CatalogError(
            f"{name}: is {declared}, level {level[0]}, in the geometry of the satellite and not terrain-corrected; "
            f"use a collection of terrain-corrected gamma0 (RTC), {_GEOCODE}"
        )
    if _is_terrain_corrected(item, keys):
        return GAMMA0_RTC
    product = _product(properties)[:80] or "SIGMA0"
    if product not in ("SIGMA0", "GRD"):
        raise CatalogError(
            f"{name}: is {product}; allowed are terrain-corrected gamma0 (RTC), and geocoded sigma0 (GRD) with its "
            f"incidence angle, in linear power; use a collection of these, {_GEOCODE}"
        )
    lacks = []
    if not set(INCIDENCE) & set(keys):
        lacks.append("an asset with the incidence angle")
    if not _has_projection(item):
        lacks.append("a projection")
    if lacks:
        raise CatalogError(
            f"{name}: is {product} without {' and without '.join(lacks)}, so it cannot be corrected for the slope; "
            "allowed are terrain-corrected gamma0 (RTC), and geocoded sigma0 with its incidence angle; use a "
            f"collection of these, {_GEOCODE}"
        )
    return SIGMA0


def _has_projection(item: Mapping[str, Any]) -> bool:
    """Return whether an item or one of its polarisations declares its projection. Newer catalogues do it per asset."""
    assets = (asset for key, asset in (item.get("assets") or {}).items() if _POLARISATION.fullmatch(key.lower()))
    return any(fields.get(key) for fields in (item.get("properties") or {}, *assets) for key in _PROJECTIONS)


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
