"""STAC documents: catalogues, collections, items, and pages of an API."""

import json
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import odc.stac
import pystac
import shapely
from pystac_client.exceptions import APIError

from lsbatch.catalog import http, search
from lsbatch.catalog.items.scenes import Scene
from lsbatch.settings import SourceSettings
from tests.catalog import archive_items
from tests.fuzz.judging import SECRET
from tests.fuzz.mutation import damaged_json
from tests.fuzz.targets.target import Target
from tests.security.hostile import item

URL = f"https://surveyor:{SECRET}@archive.example/v1?token={SECRET}"
#: Place and days of the search.
FOOTPRINT = shapely.box(14.5, 61.2, 14.7, 61.4)
DAYS = (date(2019, 1, 1), date(2025, 1, 1))
SENSORS = ("sentinel2", "sentinel1", "dem")


def api(folder: Path) -> Target:
    """Pages of a STAC API: its root, then pages of items."""
    root = {
        "type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "",
        "conformsTo": ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"],
        "links": [{"rel": "search", "href": URL, "method": "POST", "type": "application/geo+json"}],
    }  # fmt: skip
    more = [{"rel": "next", "href": URL, "method": "POST", "body": {"token": "2"}}]
    found = items()
    pages = [
        {"type": "FeatureCollection", "features": found[:3], "links": more},
        {"type": "FeatureCollection", "features": found[3:], "links": []},
    ]
    seed = json.dumps([root, root, *pages]).encode()

    def feed(data: bytes) -> None:
        documents = json.loads(data) if _is_json(data) else [data.decode(errors="replace")]
        waiting = iter(documents if isinstance(documents, list) else [documents])
        last = ""

        def request(*_: Any, **__: Any) -> str:
            # the last page again and again: a server that never ends
            nonlocal last
            last = json.dumps(next(waiting, last))
            return last

        with mock.patch.object(http.Io, "request", request):
            read(URL, "sentinel2")

    return Target(damaged_json([seed]), (seed,), feed)


def static(folder: Path) -> Target:
    """A catalogue on disk: its root, collections and items, one file each."""
    found = items()
    links = [{"rel": "item", "href": f"./{number}.json"} for number in range(1, 1 + len(found))]
    root = {"type": "Catalog", "id": "root", "stac_version": "1.0.0", "description": "", "links": links}
    child = {"type": "Collection", "id": found[0]["collection"], "stac_version": "1.0.0", "links": links[:1]}
    more = [*links[1:], {"rel": "child", "href": f"./{len(links) + 1}.json"}]
    seeds = tuple(json.dumps(one).encode() for one in ([root, *found], [root | {"links": more}, *found, child]))

    def feed(data: bytes) -> None:
        documents = json.loads(data) if _is_json(data) else data
        for number, document in enumerate(documents if isinstance(documents, list) else [documents]):
            text = document if isinstance(document, bytes) else json.dumps(document).encode()
            (folder / (f"{number}.json" if number else "catalog.json")).write_bytes(text)
        with mock.patch.object(http.Io, "request", _nobody):
            for sensor in SENSORS:
                read(str(folder / "catalog.json"), sensor)

    return Target(damaged_json(seeds), seeds, feed)


def _nobody(*_: Any, **__: Any) -> str:
    raise APIError("no network")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def items() -> list[dict[str, Any]]:
    """Return items of several archives, over the place of the search."""
    forms = (
        archive_items.cdse_sentinel2(),
        archive_items.earth_search_collection_1(),
        archive_items.planetary_computer_rtc(),
        archive_items.planetary_computer_dem(),
        archive_items.opera(),
        archive_items.cdse_dem(),
    )
    place = {"bbox": item()["bbox"], "geometry": item()["geometry"]}
    return [item(1), *(one | place for one in forms)]


def read(url: str, sensor: str) -> None:
    """Search a catalogue, and keep and read the scenes as a plan does."""
    names = tuple(dict.fromkeys(one["collection"] for one in items()))
    found = search.search(
        SourceSettings(preset="stac", url=url, collections=names), sensor, FOOTPRINT, DAYS, attempts=1
    )
    for reason in found.left_out:
        assert reason.isprintable(), reason
        assert SECRET not in reason, reason
    for scene in found.scenes:
        text = json.dumps(scene.to_dict(), allow_nan=False)
        assert SECRET not in text, text
        planned = Scene(**json.loads(text))
        assert planned.footprint.bounds
        # as `scene_reading` does
        odc.stac.parse_item(pystac.Item.from_dict(planned.item, preserve_dict=False, migrate=False))  # type: ignore[arg-type]
