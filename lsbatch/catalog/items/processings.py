"""Several processings of one acquisition: only the newest is used."""

import re
from collections.abc import Mapping
from typing import Any

from lsbatch.catalog.items.reflectance_offset import declared_baselines, product_names
from lsbatch.catalog.static_catalog import Answer

#: Name of a Sentinel-1 product up to its datatake, which is equal for all its processings.
_RADAR = re.compile(
    r"(S1[A-D]_[A-Z0-9]{2}_[A-Z]{3}[A-Z_]_\w{4}_\d{8}T\d{6}_\d{8}T\d{6}_\d{6}_[0-9A-F]{6})", re.IGNORECASE
)
#: Burst and sensing time of OPERA, then the time of processing.
_OPERA = re.compile(r"(OPERA_L2_RTC-S1_T\d{3}-\d{6}-IW\d_\d{8}T\d{6}Z)_(\d{8}T\d{6}Z)")
#: Fields with the time of processing, the nearest to the product first.
_TIMES = ("processing:datetime", "s1:processing_datetime", "updated", "created")


def newest(items: list[Answer]) -> list[Answer]:
    """Keep only the newest processing of each acquisition; items whose acquisition is unknown are kept.

    Of Sentinel-2 that is the newest baseline: two datastrips of one granule and baseline are both kept. Of Sentinel-1
    it is the latest processing time, or the last id if the items have none.
    """
    best: dict[tuple[str, ...], tuple[str, ...]] = {}
    known = [(acquisition(item), _age(item)) for item, _ in items]
    for key, age in known:
        if key is not None:
            best[key] = max(best.get(key, age), age)
    return [one for one, (key, age) in zip(items, known, strict=True) if key is None or age == best[key]]


def acquisition(item: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return what is equal for all processings of an acquisition; None if the item does not tell."""
    if key := granule(item):
        return key
    found = _OPERA.search(str(item.get("id"))) or _RADAR.search(str(item.get("id")))
    # the collections of an archive differ: the raw product, and the terrain-corrected one of the same name
    return (found[1].upper(), str(item.get("collection"))) if found else None


def granule(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return sensing start and granule of a Sentinel-2 item, equal for all its processings; None if unknown."""
    for text in product_names(item):
        found = re.search(r"(S2[A-D])_MSIL(?:1C|2A)_(\d{8}T\d{6})_.*_(T\d{2}[A-Z]{3})", text)
        if found:
            return f"{found[1]}_{found[2]}", found[3]
    return None


def _age(item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a value that is larger for a newer processing."""
    properties, name = item.get("properties") or {}, str(item.get("id"))
    if granule(item):
        given, named = declared_baselines(item)
        return (given or named or "",)
    if found := _OPERA.search(name):
        return found[2], name
    return next((str(properties[key]) for key in _TIMES if properties.get(key)), ""), name
