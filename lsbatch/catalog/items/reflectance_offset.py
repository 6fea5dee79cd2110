"""Decide the reflectance offset of a Sentinel-2 item, which is added to DN before scaling by 1/10000.

Since processing baseline 04.00, ESA adds 1000 to DN. Baseline 05 does the same for reprocessed scenes since 2015. Some
providers subtract it again. Three fields of an item tell which is true, the one nearest to the pixels first:

1. the provider's flag ``boa_offset_applied``: true means that the files hold DN without offset, whatever other fields
   say. Earth Search keeps the ``raster:bands`` offset -0.1 on all such items, so this field does not contradict the
   flag;
2. the provider's ``raster:bands`` scale and offset, which describe the files. GDAL's default, scale 1 and offset 0, has
   no information;
3. the processing baseline, which describes ESA's product. It is used if the provider gives no other field.

If two of them contradict each other, the item is refused. One scene less costs an image; a wrong offset is 0.1 of
reflectance in every pixel. A flag that is itself wrong (Element84/earth-search issues 66 and 71, some scenes of 2022
and 2025) cannot be detected from the item. The collection ``sentinel-2-c1-l2a`` does not have this fault.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lsbatch.bands import FURTHER
from lsbatch.catalog.items.texts import quoted
from lsbatch.errors import CatalogError

QUANTIFICATION = 1e-4
OFFSET_DN = -1000.0
FIRST_WITH_OFFSET = (4, 0)

FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")

_BASELINE = re.compile(r"(\d{1,2})\.(\d{1,2})")
_IN_NAME = re.compile(r"_N(\d{2})\.?(\d{2})(?:_|$)")


@dataclass(frozen=True)
class Offset:
    """Reflectance = (DN + dn) * scale, and the reason as a sentence."""

    dn: float
    scale: float
    reason: str


def decide(item: Mapping[str, Any], assets: Mapping[str, str], baseline: str | None) -> Offset:
    """Decide the offset from three sources: the provider's flag, raster:bands and the processing baseline.

    Raises
    ------
    CatalogError
        If they contradict each other or all of them are missing.
    """
    name = item["id"]
    flag, written = _flag(item), _written(item, assets)
    shifted = None if baseline is None else _number(baseline) >= FIRST_WITH_OFFSET
    if flag is not None and flag[1]:
        note = f"; raster:bands offset {written.reason} is not applied again" if written and written.dn else ""
        return Offset(0.0, QUANTIFICATION, f"{flag[0]} is true: the provider has subtracted the offset{note}")
    if written is not None:
        if written.dn and shifted is False:
            raise CatalogError(
                f"{name}: raster:bands says offset {written.reason}, but baseline {baseline} has none; not read, "
                "because one of them is wrong"
            )
        if not written.dn and shifted and flag is not None:
            raise CatalogError(
                f"{name}: {flag[0]} is false and baseline {baseline} has an offset, but raster:bands gives "
                "none; not read, because one of them is wrong"
            )
        return Offset(written.dn, written.scale, f"raster:bands gives offset {written.reason}")
    if shifted is None:
        raise CatalogError(
            f"{name}: has no processing baseline, no raster:bands and no boa_offset_applied, so its offset is "
            "unknown; not read"
        )
    not_applied = f", and {flag[0]} is false" if flag else ", and the item has no other field"
    rule = "04.00 or later" if shifted else "before 04.00"
    return Offset(OFFSET_DN if shifted else 0.0, QUANTIFICATION, f"processing baseline is {rule}{not_applied}")


def baseline_of(item: Mapping[str, Any]) -> str | None:
    """Return the processing baseline as ``NN.NN``, from its own field or from the product name.

    Raises
    ------
    CatalogError
        If field and name lie on different sides of 04.00.
    """
    given, named = declared_baselines(item)
    if given and named and (_number(given) >= FIRST_WITH_OFFSET) != (_number(named) >= FIRST_WITH_OFFSET):
        raise CatalogError(
            f"{item['id']}: its processing baseline is {given} by field and {named} by product name; not read, because "
            "one of them is wrong"
        )
    return given or named


def declared_baselines(item: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the processing baseline by field and by product name, as ``NN.NN``; None if it is not given."""
    properties = item.get("properties") or {}
    fields = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
    given = next((b for key in fields if (b := _parse(_BASELINE, properties.get(key)))), None)
    return given, next((b for text in product_names(item) if (b := _parse(_IN_NAME, text))), None)


def product_names(item: Mapping[str, Any]) -> Iterator[str]:
    """Return the texts of an item that contain ESA's product name."""
    properties = item.get("properties") or {}
    for key in ("s2:product_uri", "sentinel:product_id", "s2:product_id", "s2:datatake_id"):
        if isinstance(properties.get(key), str):
            yield properties[key].removesuffix(".SAFE")
    yield str(item.get("id", ""))


def _parse(pattern: re.Pattern[str], text: Any) -> str | None:
    found = pattern.search(str(text)) if text else None
    if not found:
        return None
    number = int(found[1]), int(found[2])
    # 99.99 and similar are private runs of Sen2Cor: their offset is that of the L1C product, which is not recorded
    return f"{number[0]:02d}.{number[1]:02d}" if (1, 0) <= number < (20, 0) else None


def _number(baseline: str) -> tuple[int, int]:
    major, minor = baseline.split(".")
    return int(major), int(minor)


def _flag(item: Mapping[str, Any]) -> tuple[str, bool] | None:
    properties = item.get("properties") or {}
    for key in FLAGS:
        value = properties.get(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if isinstance(value, bool):
            return key, value
        if value is not None:
            raise CatalogError(f"{item['id']}: {key} = {quoted(value)} is neither true nor false")
    return None


def _written(item: Mapping[str, Any], assets: Mapping[str, str]) -> Offset | None:
    """Return the offset in raster:bands of the reflectances. Its `reason` is the offset as written."""
    bands = ("R", "G", "B", "NIR", *(band for band in FURTHER if band in assets))
    found = {_of_asset(item["assets"][assets[band]]) for band in bands}
    if len(found) > 1:
        raise CatalogError(f"{item['id']}: raster:bands gives its colours different scales or offsets; not read")
    pair = found.pop()
    if pair is None:
        return None
    scale, offset = pair
    # with scale 1 the offset is in DN
    dn = offset / scale
    if not (math.isfinite(dn) and 0 < scale <= 1 and -5000 <= dn <= 0) or (dn and dn > -1):
        raise CatalogError(
            f"{item['id']}: raster:bands scale {scale:g} and offset {offset:g} are not a Sentinel-2 "
            "calibration; not read"
        )
    return Offset(round(dn, 6), QUANTIFICATION if scale == 1 else scale, f"{offset:g}")


def _of_asset(asset: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return (scale, offset) of version 1 or 2 of the raster extension; None if not given."""
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    first = bands[0] if isinstance(bands[0], Mapping) else {}
    offset = first.get("offset", first.get("raster:offset", asset.get("raster:offset")))
    scale = first.get("scale", first.get("raster:scale", asset.get("raster:scale")))
    if offset is None:
        return None
    scale, offset = QUANTIFICATION if scale is None else float(scale), float(offset)
    return None if (scale, offset) == (1.0, 0.0) else (scale, offset)
