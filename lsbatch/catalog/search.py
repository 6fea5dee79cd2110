"""Search a STAC API or a static catalogue for the scenes of a sensor, a footprint and a date range.

This module reads no pixels and signs no addresses, because signatures would expire before the plan is used.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac_client
import shapely
from shapely.geometry.base import BaseGeometry

from lsbatch.catalog import static_catalog
from lsbatch.catalog.http import MALFORMED, Io, asking, in_one_sentence, links, read
from lsbatch.catalog.items import item_validation, processings
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.items.texts import reason
from lsbatch.catalog.static_catalog import Answer, Query
from lsbatch.errors import CatalogError, ConfigError
from lsbatch.settings import SourceSettings
from lsbatch.storage import longitudes
from lsbatch.storage.addresses import Fence, shown
from lsbatch.storage.archive_login import LOGINS

#: Items of one page. Earth Search runs on a function that returns up to 6 MB.
PAGE = 100
#: Limit of items of one search. Norway's season has some 20,000. Without a limit, a faulty catalogue could fill the
#: memory.
MOST_ITEMS = 500_000
#: Corners of the polygon sent to an API. Tiles are tested against the full polygon.
MAX_CORNERS = 400


@dataclass(frozen=True)
class Preset:
    """A known archive.

    Attributes
    ----------
    url : str
        Root of its STAC API.
    collections : mapping of sensor to ids
    login : str or None
        Name in `archive_login.LOGINS` of the account that its files need.
    """

    url: str
    collections: Mapping[str, tuple[str, ...]]
    login: str | None = None


PRESETS = {
    # items of Collection 1 describe their files; those of sentinel-2-l2a have wrong flags (see reflectance_offset.py)
    "earth-search": Preset(
        "https://earth-search.aws.element84.com/v1",
        {"sentinel2": ("sentinel-2-c1-l2a",), "dem": ("cop-dem-glo-30",)},
    ),
    "planetary-computer": Preset(
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        {"sentinel2": ("sentinel-2-l2a",), "sentinel1": ("sentinel-1-rtc",), "dem": ("cop-dem-glo-30",)},
    ),
    # its Sentinel-1 is raw (GRD, SLC)
    "cdse": Preset(
        "https://stac.dataspace.copernicus.eu/v1",
        {"sentinel2": ("sentinel-2-l2a",), "dem": ("cop-dem-glo-30-dged-cog",)},
        login="cdse",
    ),
    "opera-rtc": Preset(
        "https://cmr.earthdata.nasa.gov/stac/ASF",
        {"sentinel1": ("OPERA_L2_RTC-S1_V1_1",)},
        login="earthdata",
    ),
}


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes
    ----------
    scenes : tuple of Scene
        By time, then id.
    left_out : tuple of str
        Items that cannot be used, each with the reason.
    where : str
        Catalogue and collections of the search, for messages.
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
    further: tuple[str, ...] = (),
) -> Found:
    """Return the scenes of a sensor that touch a footprint.

    Parameters
    ----------
    source : SourceSettings
    sensor : str
        ``sentinel2``, ``sentinel1`` or ``dem``.
    footprint : shapely geometry
        In EPSG:4326.
    days : (first, last) or None
        Both included, in UTC; None for data without a relevant date.
    max_cloud_percent : float
        Sentinel-2 items with more clouds are skipped. Items without this field are kept.
    attempts : int
        Attempts for a request with a transient failure (no connection, 429, 5xx).
    further : tuple of str
        Further bands that a Sentinel-2 item must have (see `lsbatch.bands.FURTHER`); an item without them is left out.

    Raises
    ------
    CatalogError
        If the catalogue cannot be reached, is not STAC, lacks the collections, or names an address that it may not
        name.
    ConfigError
        If the archive needs an account and the environment has no keys.
    """
    url, collections = _where(source, sensor)
    _require_login(source, sensor)
    where = f"{shown(url)} ({', '.join(collections)})"
    query = Query(collections, footprint, days)
    scenes: dict[str, Scene] = {}
    left_out: list[str] = []
    fence = _fence(url)
    with in_one_sentence(url):
        with asking(attempts) as io:
            items = _sound(_items(url, query, io), left_out)
        items = [one for one in items if _touches(one[0], footprint) and not _cloudy(one[0], sensor, max_cloud_percent)]
        for item, document in processings.newest(items):
            try:
                scene = item_validation.described(item, sensor, further)
            except CatalogError as error:
                left_out.append(reason(str(error)))
                continue
            # outside the try: a catalogue with a forbidden address is not used at all
            scenes[scene.id] = replace(scene, item=fence.item(scene.item, document))
    return Found(tuple(sorted(scenes.values(), key=lambda s: (s.time, s.id))), tuple(sorted(left_out)), where)


def _sound(answers: Iterable[Answer], left_out: list[str]) -> list[Answer]:
    """Return the items with a valid structure; add the faults of the others to `left_out`."""
    kept = []
    for count, (item, document) in enumerate(answers):
        if count >= MOST_ITEMS:
            raise CatalogError(
                f"the catalogue lists more than {MOST_ITEMS:,} items for one search; survey a smaller region or a "
                "shorter season"
            )
        fault = item_validation.fault(item)
        if fault is None:
            kept.append((item, document))
        else:
            left_out.append(reason(fault))
    return kept


def _where(source: SourceSettings, sensor: str) -> tuple[str, tuple[str, ...]]:
    preset = PRESETS.get(source.preset)
    url = source.url or (preset.url if preset else "")
    collections = source.collections or (preset.collections.get(sensor, ()) if preset else ())
    if not collections:
        able = [name for name, one in PRESETS.items() if sensor in one.collections]
        raise CatalogError(
            f"archives.{sensor}: {source.preset} has no readable collection of this sensor; set collections, "
            f"or use {' or '.join(able)}"
        )
    if "://" not in url:
        path = Path(url)
        url = str(path / "catalog.json" if path.is_dir() else path)
    return url, collections


def _require_login(source: SourceSettings, sensor: str) -> None:
    """Refuse an archive whose files cannot be read without keys, before hours of work."""
    preset = PRESETS.get(source.preset)
    login = LOGINS[preset.login] if preset and preset.login else None
    if login and login.options() is None:
        raise ConfigError(f"archives.{sensor}: preset {source.preset} needs {login.needs} (docs/archives.md)")


def _fence(url: str) -> Fence:
    return Fence(None if "://" in url else Path(url).resolve().parent)


def _items(url: str, query: Query, io: Io) -> Iterator[Answer]:
    local = "://" not in url
    start = str(Path(url).resolve()) if local else url
    root = read(start, io)
    if not local and _is_api(root):
        yield from _ask(url, query, io)
    else:
        yield from static_catalog.walk(start, root, query, io, _fence(url))


def _is_api(root: Mapping[str, Any]) -> bool:
    return bool(root.get("conformsTo")) or bool(links(root, "search"))


def _ask(url: str, query: Query, io: Io) -> Iterator[Answer]:
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
        found = page["features"]
        new = {(str(item.get("collection")), str(item.get("id"))) for item in found if isinstance(item, Mapping)}
        if new and seen.issuperset(new):
            # a server that ignores its own "next" link would be queried forever
            raise CatalogError(f"{shown(url)}: its list of items does not end: a page repeats only earlier items")
        seen |= new
        for item in found:
            own = links(item, "self") if isinstance(item, Mapping) else []
            # an address on the network, or an item without its own address
            yield item, own[0] if own and isinstance(own[0], str) and "://" in own[0] else url


def _simple(footprint: BaseGeometry) -> BaseGeometry:
    """Return a simple polygon that covers the footprint and that an API accepts."""
    for grown in (0.0, 0.01, 0.05, 0.2):
        shape = footprint.simplify(grown).buffer(grown) if grown else footprint
        if shapely.get_num_coordinates(shape) <= MAX_CORNERS:
            return shape
    return (
        footprint.convex_hull
        if shapely.get_num_coordinates(footprint.convex_hull) <= MAX_CORNERS
        else footprint.envelope
    )


def _touches(item: Mapping[str, Any], footprint: BaseGeometry) -> bool:
    try:
        # NaN is left to `describe`
        with np.errstate(invalid="ignore"):
            outline = longitudes.split(shapely.geometry.shape(item["geometry"]))
            return bool(shapely.intersects(shapely.make_valid(outline), footprint))
    except MALFORMED:
        # no geometry to test: `describe` decides, and names the item if it cannot be used
        return True


def _cloudy(item: Mapping[str, Any], sensor: str, max_cloud_percent: float) -> bool:
    # not sent to the server: not every API has the query extension, and some then return no items
    cover = (item.get("properties") or {}).get("eo:cloud_cover") if sensor == "sentinel2" else None
    return isinstance(cover, int | float) and cover > max_cloud_percent
