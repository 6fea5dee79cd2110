"""Read a static STAC catalogue: linked JSON documents on disk or over HTTP."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from shapely.geometry.base import BaseGeometry

from lsbatch.catalog.http import Io, links, read
from lsbatch.catalog.items import item_validation
from lsbatch.errors import CatalogError
from lsbatch.storage.addresses import Fence, shown

#: Limit of links followed from the root. A deeper catalogue has a cycle.
MAX_DEPTH = 20
#: Limit of documents read for one search. A server may generate them without end.
MOST_DOCUMENTS = 500_000
#: Collections that a message lists.
MOST_NAMES = 20

#: An item, and the address of its document, to which its own addresses are relative.
Answer = tuple[dict[str, Any], str]


@dataclass(frozen=True)
class Query:
    """A query: collection ids, a footprint in EPSG:4326, first and last day or None."""

    collections: tuple[str, ...]
    footprint: BaseGeometry
    days: tuple[date, date] | None


def walk(address: str, root: Mapping[str, Any], query: Query, io: Io, fence: Fence) -> Iterator[Answer]:
    """Yield the items of the collections within the footprint's bounds and the days.

    Raises
    ------
    CatalogError
        If the catalogue has none of the collections, or a document names an address that it may not name.
    """
    seen: set[str] = set()
    names: set[str] = set()
    waiting = [(address, root, 0)]
    while waiting:
        here, document, depth = waiting.pop()
        kind = document.get("type")
        if kind == "Feature":
            names.add(str(document.get("collection")))
            if document.get("collection") in query.collections and _fits(document, query):
                yield dict(document), here
            continue
        if kind == "Collection":
            names.add(str(document.get("id")))
            if document.get("id") not in query.collections:
                continue
        for target in (fence.resolve(href, here) for href in links(document, "child", "item")):
            if target in seen or depth >= MAX_DEPTH:
                continue
            seen.add(target)
            if len(seen) > MOST_DOCUMENTS:
                raise CatalogError(
                    f"{shown(address)}: links to more than {MOST_DOCUMENTS:,} documents, too many to read one by "
                    "one; give the address of a STAC API, which can search by place and time"
                )
            waiting.append((target, read(target, io), depth + 1))
    if not names & set(query.collections):
        there = ", ".join(name[:80] for name in sorted(names)[:MOST_NAMES]) or "none"
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        raise CatalogError(
            f"{shown(address)}: has no collection {' or '.join(query.collections)}; it has {there}{more}"
        )


def collections(address: str, io: Io, fence: Fence) -> tuple[str, ...]:
    """Return the ids of the collections that the root of a catalogue links to.

    Raises
    ------
    CatalogError
        If a document cannot be read, or names an address that it may not name.
    """
    children = links(read(address, io), "child")
    documents = (read(fence.resolve(href, address), io) for href in children[:MOST_NAMES])
    return tuple(str(one["id"]) for one in documents if one.get("type") == "Collection" and "id" in one)


def _fits(item: Mapping[str, Any], query: Query) -> bool:
    box: Any = item.get("bbox")
    properties = item.get("properties")
    bounds, days = query.footprint.bounds, query.days
    if item_validation.is_bbox(box):
        (left, bottom), (right, top) = box[:2], box[len(box) // 2 :][:2]
        # west is larger than east across the antimeridian; the outline is tested later
        beside = left <= right and (left > bounds[2] or right < bounds[0])
        if beside or bottom > bounds[3] or top < bounds[1]:
            return False
    if not isinstance(properties, Mapping):
        return True
    day = str(properties.get("datetime") or properties.get("start_datetime") or "")[:10]
    # ISO texts compare like dates; `describe` decides about an item without a date
    return days is None or not day or days[0].isoformat() <= day <= days[1].isoformat()
