"""A static STAC catalogue: JSON documents that link to each other, on disk or over HTTP."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pystac_client.stac_api_io import StacApiIO
from shapely.geometry.base import BaseGeometry

from lsbatch.archive.hrefs import Fence, shown
from lsbatch.errors import CatalogError

#: Links followed from the root; a catalogue that is deeper links in circles.
MAX_DEPTH = 20


#: An item as it came, and the address of the document it came in, to which its own addresses are relative.
Answer = tuple[dict[str, Any], str]


@dataclass(frozen=True)
class Query:
    """What is asked: collection ids, a footprint in EPSG:4326, and the first and last day or None."""

    collections: tuple[str, ...]
    footprint: BaseGeometry
    days: tuple[date, date] | None


def read(address: str, io: StacApiIO) -> dict[str, Any]:
    """A document of a catalogue; through pystac's IO, which tries again what fails in passing."""
    document = json.loads(io.read_text(address))
    if not isinstance(document, dict) or not (document.get("links") or document.get("stac_version")):
        raise CatalogError(f"{shown(address)}: is JSON, but no STAC document: it has neither links nor stac_version")
    return document


def walk(
    address: str, root: Mapping[str, Any], query: Query, io: StacApiIO, fence: Fence
) -> Iterator[Answer]:
    """Items of the wanted collections in the footprint's bounds and the days.

    Raises
    ------
    CatalogError
        If none of the collections is there, or a document names what it may not name.
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
        for target in _links(document, here, fence):
            if target in seen or depth >= MAX_DEPTH:
                continue
            seen.add(target)
            waiting.append((target, read(target, io), depth + 1))
    if not names & set(query.collections):
        raise CatalogError(
            f"{shown(address)}: has no collection {' or '.join(query.collections)}; it has {', '.join(sorted(names)) or 'none'}"
        )


def _links(document: Mapping[str, Any], here: str, fence: Fence) -> list[str]:
    wanted = [link for link in document.get("links", ()) if link.get("rel") in ("child", "item")]
    return [fence.resolve(link.get("href"), here) for link in wanted]


def _fits(item: Mapping[str, Any], query: Query) -> bool:
    box, properties = item.get("bbox"), item.get("properties") or {}
    bounds, days = query.footprint.bounds, query.days
    if box:
        left, bottom, right, top = (*box[:2], *box[len(box) // 2 :][:2])
        if left > bounds[2] or right < bounds[0] or bottom > bounds[3] or top < bounds[1]:
            return False
    day = str(properties.get("datetime") or properties.get("start_datetime") or "")[:10]
    # text compares as dates do; an item without a day is judged by `describe`
    return days is None or not day or days[0].isoformat() <= day <= days[1].isoformat()
