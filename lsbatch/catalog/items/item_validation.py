"""Validate the structure of STAC items."""

from collections.abc import Mapping
from typing import Any

from lsbatch.catalog.http import MALFORMED
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.catalog.items.texts import is_text, quoted
from lsbatch.errors import CatalogError

#: Fields that are read, of an item and of its properties, with their allowed types.
_FIELDS = {"properties": Mapping, "assets": Mapping, "geometry": Mapping, "collection": str}
_PROPERTIES = {
    "platform": str,
    "eo:cloud_cover": int | float,
    "sat:relative_orbit": int | float,
    "sar:product_type": str,
}


def fault(item: Any) -> str | None:
    """Return what is wrong with the structure of an item, as a sentence; None if it is valid."""
    if not isinstance(item, Mapping):
        return f"an entry of the catalogue is not a STAC item: {quoted(item, 40)}"
    name = f"item {quoted(item.get('id'))}"
    found = _of_wrong_kind(item, _FIELDS) or _of_wrong_kind(item.get("properties") or {}, _PROPERTIES)
    if found:
        return f"{name}: its {found} is not valid STAC; not read"
    if item.get("bbox") is not None and not is_bbox(item["bbox"]):
        return f"{name}: its bbox is not a list of 4 or 6 numbers; not read"
    bad = [
        key for key, asset in (item.get("assets") or {}).items() if not isinstance(asset, Mapping) or not is_text(key)
    ]
    if bad:
        return f"{name}: its asset {quoted(bad[0], 40)} is not valid STAC; not read"
    texts = (item.get("collection"), (item.get("properties") or {}).get("platform"))
    if not all(text is None or is_text(text) for text in texts):
        return (
            f"{name}: its collection or platform has a control character, over 255 characters or a password; not read"
        )
    return None


def described(item: Mapping[str, Any], sensor: str, further: tuple[str, ...] = ()) -> Scene:
    """Validate an item and describe it with `scenes.describe`.

    Raises
    ------
    CatalogError
        Also if a field has a value of an unexpected type.
    """
    try:
        return describe(item, sensor, further)
    except MALFORMED as error:
        raise CatalogError(
            f"item {quoted(item.get('id'))}: is not valid STAC ({type(error).__name__}: {quoted(error, 120)})"
        ) from None


def is_bbox(found: Any) -> bool:
    """Return whether a value is a list of 4 or 6 numbers."""
    return isinstance(found, list) and len(found) in (4, 6) and all(isinstance(one, int | float) for one in found)


def _of_wrong_kind(found: Mapping[str, Any], kinds: Mapping[str, Any]) -> str | None:
    wrong = (key for key, kind in kinds.items() if found.get(key) is not None and not isinstance(found[key], kind))
    return next(wrong, None)
