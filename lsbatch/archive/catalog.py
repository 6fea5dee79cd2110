"""Search: from a source, a sensor, a footprint and days to scenes; a STAC API and a static catalogue answer alike.

Nothing here reads a pixel, and nothing is signed: the addresses in a plan must still be good next week.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pystac_client
import requests
import shapely
from pystac.errors import STACError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry.base import BaseGeometry
from urllib3 import Retry

from lsbatch.archive import static
from lsbatch.archive.hrefs import Fence, shown, without_secrets
from lsbatch.archive.scenes import Scene, describe, granule
from lsbatch.archive.static import Answer, Query
from lsbatch.config import SourceSettings
from lsbatch.errors import CatalogError

#: First wait before a search is tried again; urllib3 doubles it from the second.
FIRST_WAIT_S = 0.5
TIMEOUT_S = (10, 60)
#: Items of an answer. Earth Search answers from a function that may return 6 MB.
PAGE = 100
#: Corners of the polygon sent to an API; tiles are tested against the whole one.
MAX_CORNERS = 400


@dataclass(frozen=True)
class Preset:
    """A known archive."""

    url: str
    collections: Mapping[str, tuple[str, ...]]


PRESETS = {
    # the Collection 1 items say what their files hold; those of sentinel-2-l2a carry wrong flags (see offset.py)
    "earth-search": Preset(
        "https://earth-search.aws.element84.com/v1",
        {"sentinel2": ("sentinel-2-c1-l2a",), "dem": ("cop-dem-glo-30",)},
    ),
    "planetary-computer": Preset(
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        {"sentinel2": ("sentinel-2-l2a",), "sentinel1": ("sentinel-1-rtc",), "dem": ("cop-dem-glo-30",)},
    ),
}


@dataclass(frozen=True)
class Found:
    """What a search gave.

    Attributes
    ----------
    scenes : tuple of Scene
        By time, then id.
    left_out : tuple of str
        Items that cannot be used, each with the reason.
    where : str
        The catalogue and collections that were asked, for messages.
    """

    scenes: tuple[Scene, ...]
    left_out: tuple[str, ...]
    where: str


def search(
    source: SourceSettings,
    sensor: str,
    footprint: BaseGeometry,
    days: tuple[date, date] | None,
    *,
    max_cloud_percent: float = 100.0,
    attempts: int = 4,
) -> Found:
    """Scenes of a sensor that touch a footprint.

    Parameters
    ----------
    source : SourceSettings
    sensor : str
        ``sentinel2``, ``sentinel1`` or ``dem``.
    footprint : shapely geometry
        In EPSG:4326.
    days : (first, last) or None
        Both included, in UTC; None for what has no date that matters.
    max_cloud_percent : float
        Sentinel-2 items that say more are skipped; those that say nothing are kept.
    attempts : int
        Tries for a request that fails in passing (no connection, 429, 5xx).

    Raises
    ------
    CatalogError
        If the catalogue cannot be reached, is no STAC, lacks the collections, or names what it may not name.
    """
    url, collections = _where(source, sensor)
    where = f"{shown(url)} ({', '.join(collections)})"
    query = Query(collections, footprint, days)
    with _in_one_sentence(url), _io(attempts) as io:
        items = list(_items(url, query, io))
    items = [one for one in items if _touches(one[0], footprint) and not _cloudy(one[0], sensor, max_cloud_percent)]
    fence = _fence(url)
    scenes: dict[str, Scene] = {}
    left_out: list[str] = []
    for item, document in _newest_processing(items):
        try:
            scene = describe(item, sensor)
        except CatalogError as error:
            left_out.append(str(error))
            continue
        # outside the try: a catalogue that names what it may not name is not used at all
        scenes[scene.id] = replace(scene, item=fence.item(scene.item, document))
    return Found(tuple(sorted(scenes.values(), key=lambda s: (s.time, s.id))), tuple(sorted(left_out)), where)


def _where(source: SourceSettings, sensor: str) -> tuple[str, tuple[str, ...]]:
    preset = PRESETS.get(source.preset)
    url = source.url or (preset.url if preset else "")
    collections = source.collections or (preset.collections.get(sensor, ()) if preset else ())
    if not collections:
        able = [name for name, one in PRESETS.items() if sensor in one.collections]
        raise CatalogError(
            f"archives.{sensor}: {source.preset} has no collection of this sensor that can be read; set collections, or use {' or '.join(able)}"
        )
    if "://" not in url:
        path = Path(url)
        url = str(path / "catalog.json" if path.is_dir() else path)
    return url, collections


@contextmanager
def _io(attempts: int) -> Iterator[StacApiIO]:
    retry = Retry(
        total=attempts - 1,
        backoff_factor=FIRST_WAIT_S,
        status_forcelist=(429, 500, 502, 503, 504),
        # None: a POST search changes nothing, so it may be sent again
        allowed_methods=None,
        retry_after_max=120,
    )
    io = StacApiIO(timeout=TIMEOUT_S, max_retries=retry)
    # each retry would be logged with the whole address, and a key may stand in it; the last failure is raised anyway
    logger = logging.getLogger("urllib3.connectionpool")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield io
    finally:
        logger.setLevel(before)
        io.session.close()


@contextmanager
def _in_one_sentence(url: str) -> Iterator[None]:
    """Whatever the network and the parsers raise, as a CatalogError that names the catalogue and no secret."""
    try:
        yield
    except FileNotFoundError as error:
        raise CatalogError(
            f"{error.filename or shown(url)}: there is no such file; a catalogue is the address of a STAC API or of a catalog.json, and 'lsbatch catalog FOLDER' makes one"
        ) from None
    except (APIError, requests.RequestException, OSError) as error:
        raise CatalogError(f"{shown(url)}: the catalogue cannot be reached or does not answer: {_short(error)}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, STACError, pystac_client.exceptions.ParametersError) as error:
        raise CatalogError(f"{shown(url)}: does not answer as a STAC catalogue: {_short(error)}") from None


def _short(error: Exception) -> str:
    text = " ".join(without_secrets(str(error)).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _fence(url: str) -> Fence:
    return Fence(None if "://" in url else Path(url).resolve().parent)


def _items(url: str, query: Query, io: StacApiIO) -> Iterator[Answer]:
    local = "://" not in url
    start = str(Path(url).resolve()) if local else url
    root = static.read(start, io)
    if not local and _is_api(root):
        yield from _ask(url, query, io)
    else:
        yield from static.walk(start, root, query, io, _fence(url))


def _is_api(root: Mapping[str, Any]) -> bool:
    return bool(root.get("conformsTo")) or any(link.get("rel") == "search" for link in root.get("links", ()))


def _ask(url: str, query: Query, io: StacApiIO) -> Iterator[Answer]:
    client = pystac_client.Client.open(url, stac_io=io)
    answer = client.search(
        method="POST",
        collections=list(query.collections),
        intersects=json.loads(shapely.to_geojson(_simple(query.footprint))),
        datetime=None if query.days is None else [day.isoformat() for day in query.days],
        limit=PAGE,
    )
    seen: set[tuple[Any, Any]] = set()
    for page in answer.pages_as_dicts():
        new = {(item.get("collection"), item.get("id")): item for item in page["features"]}
        if new and seen.issuperset(new):
            # a server that takes no notice of its own "next" would be asked for ever
            raise CatalogError(f"{shown(url)}: its list of items does not end: a page holds only what was listed before")
        seen |= set(new)
        for item in page["features"]:
            own = next((link.get("href") for link in item.get("links", ()) if link.get("rel") == "self"), url)
            yield item, own


def _simple(footprint: BaseGeometry) -> BaseGeometry:
    """A polygon that covers the footprint and that an API accepts."""
    for grown in (0.0, 0.01, 0.05, 0.2):
        shape = footprint.simplify(grown).buffer(grown) if grown else footprint
        if shapely.get_num_coordinates(shape) <= MAX_CORNERS:
            return shape
    return footprint.convex_hull if shapely.get_num_coordinates(footprint.convex_hull) <= MAX_CORNERS else footprint.envelope


def _touches(item: Mapping[str, Any], footprint: BaseGeometry) -> bool:
    try:
        outline = shapely.geometry.shape(item["geometry"])
        return bool(shapely.intersects(shapely.make_valid(outline), footprint))
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.GEOSException):
        # no geometry that can be tested: `describe` decides, and names the item if it cannot be used
        return True


def _cloudy(item: Mapping[str, Any], sensor: str, max_cloud_percent: float) -> bool:
    # not sent to the server: not every API has the query extension, and some answer nothing at all to it
    cover = (item.get("properties") or {}).get("eo:cloud_cover") if sensor == "sentinel2" else None
    return cover is not None and float(cover) > max_cloud_percent


def _newest_processing(items: list[Answer]) -> list[Answer]:
    """Where an archive holds a granule in several baselines, only the newest; two halves of one baseline are kept."""
    newest: dict[tuple[str, str], str] = {}
    for item, _ in items:
        if key := granule(item):
            newest[key] = max(newest.get(key, ""), _baseline(item))
    return [one for one in items if not (key := granule(one[0])) or _baseline(one[0]) == newest[key]]


def _baseline(item: Mapping[str, Any]) -> str:
    return str((item.get("properties") or {}).get("s2:processing_baseline") or "")

