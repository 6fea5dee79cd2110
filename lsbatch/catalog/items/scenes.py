"""Describe a catalogue item as a scene: bands, time, orbit and the meaning of its numbers.

`describe` is pure. Its decision on the Sentinel-2 offset, and the field used, is in
`catalog/items/reflectance_offset.py`.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely import get_coordinates, to_geojson
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from lsbatch.catalog.items import asset_names, opera_names, radar_radiometry, sun_position
from lsbatch.catalog.items.reflectance_offset import Offset, baseline_of, decide, product_names
from lsbatch.catalog.items.texts import is_text, quoted
from lsbatch.errors import CatalogError
from lsbatch.storage import longitudes

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

# an id is used in file names, logs and terminals
_ID = re.compile(r"[^/\\]{1,255}")
_PLATFORM = re.compile(r"(?:SENTINEL-?|S)([12])[-_ ]?([A-D])", re.IGNORECASE)
_ORBIT = re.compile(r"_R(\d{3})_")
#: Errors of shapely's reader of GeoJSON for values of wrong types, besides its own.
NO_SHAPE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class Scene:
    """An item reduced to the fields that are read and all decisions about it; plain values, saved in the plan.

    Attributes
    ----------
    id, sensor, collection : str
        `sensor` is ``sentinel2``, ``sentinel1`` or ``dem``.
    time : str
        Of acquisition, ISO 8601, UTC.
    platform : str or None
        Normalised, e.g. ``sentinel-2a``.
    relative_orbit : int or None
    orbit_state : str or None
        ``ascending`` or ``descending``.
    baseline : str or None
        Sentinel-2 processing baseline, e.g. ``05.11``.
    offset_dn, scale : float
        Physical value = (DN + offset_dn) * scale.
    offset_reason : str
        The field that decided `offset_dn`, as a sentence for the provenance.
    nodata : float or None
        Nodata value of the files; None if the files define it.
    radiometry : str or None
        Of Sentinel-1: see `radar_radiometry.decide`.
    sun_azimuth_deg, sun_elevation_deg : float or None
        Of Sentinel-2, mean over the granule; azimuth clockwise from true north, elevation above the horizon.
    assets : mapping of our band name to asset key
    item : mapping
        STAC item with only the fields that reading needs.
    """

    id: str
    sensor: str
    collection: str
    time: str
    platform: str | None
    relative_orbit: int | None
    orbit_state: str | None
    baseline: str | None
    offset_dn: float
    scale: float
    offset_reason: str
    nodata: float | None
    radiometry: str | None
    sun_azimuth_deg: float | None
    sun_elevation_deg: float | None
    assets: Mapping[str, str] = field(hash=False)
    item: Mapping[str, Any] = field(hash=False, repr=False)

    @property
    def day(self) -> str:
        """Return the UTC day of acquisition, ``YYYY-MM-DD``."""
        return self.time[:10]

    @property
    def footprint(self) -> BaseGeometry:
        """Return the outline in EPSG:4326."""
        return shape(self.item["geometry"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        # not asdict: it copies the item deeply, and a nation has 50,000 pairs of tile and scene
        return {one.name: getattr(self, one.name) for one in fields(self)}


def describe(item: Mapping[str, Any], sensor: str, further: tuple[str, ...] = ()) -> Scene:
    """Describe an item: make all decisions about it.

    Parameters
    ----------
    item : mapping
        A STAC item, unchanged.
    sensor : str
        Expected sensor: ``sentinel2``, ``sentinel1`` or ``dem``.
    further : tuple of str
        Further bands that a Sentinel-2 item must have (see `lsbatch.bands.FURTHER`).

    Raises
    ------
    CatalogError
        If it is not an item of this sensor, or its fields contradict each other. The message names the fields.
    """
    name = _name(item)
    properties = opera_names.properties(name) | dict(item.get("properties") or {})
    item = {**item, "properties": properties}
    # before the assets: a raw product has other assets, and this message is clearer
    power = radar_radiometry.decide(item) if sensor == "sentinel1" else None
    assets = asset_names.choose(item, sensor, name, further)
    sun_azimuth, sun_elevation = sun_position.of_item(properties) if sensor == "sentinel2" else (None, None)
    baseline = baseline_of(item) if sensor == "sentinel2" else None
    offset = decide(item, assets, baseline) if sensor == "sentinel2" else Offset(0.0, 1.0, "values are physical")
    return Scene(
        id=name,
        sensor=sensor,
        collection=str(item.get("collection") or ""),
        time=_time(properties, name, sensor),
        platform=_platform(properties.get("platform")),
        relative_orbit=_relative_orbit(item),
        orbit_state=_orbit_state(properties),
        baseline=baseline,
        offset_dn=offset.dn,
        scale=offset.scale,
        offset_reason=offset.reason,
        nodata=_nodata(item, sensor, assets),
        radiometry=power,
        sun_azimuth_deg=sun_azimuth,
        sun_elevation_deg=sun_elevation,
        assets=assets,
        item=_slim(item, assets, name),
    )


def _name(item: Mapping[str, Any]) -> str:
    name = item.get("id")
    if item.get("type") != "Feature" or not isinstance(name, str):
        raise CatalogError("an entry of the catalogue is not a STAC item: it has no type Feature and id")
    if not _ID.fullmatch(name) or not name.isprintable() or name in (".", ".."):
        raise CatalogError(f"item {quoted(name)}: its id has a path separator or a control character")
    return name


def _time(properties: Mapping[str, Any], name: str, sensor: str) -> str:
    text = properties.get("datetime") or properties.get("start_datetime")
    if text is None and sensor == "dem":
        return "1970-01-01T00:00:00Z"
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise CatalogError(f"{name}: datetime = {quoted(text)} is not a time") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _platform(text: Any) -> str | None:
    if not text:
        return None
    found = _PLATFORM.fullmatch(str(text))
    return f"sentinel-{found[1]}{found[2].lower()}" if found else str(text).lower()


def _relative_orbit(item: Mapping[str, Any]) -> int | None:
    given = (item.get("properties") or {}).get("sat:relative_orbit")
    if given is not None:
        return int(given)
    for text in product_names(item):
        found = _ORBIT.search(text)
        if found:
            return int(found[1])
    return None


def _orbit_state(properties: Mapping[str, Any]) -> str | None:
    state = str(properties.get("sat:orbit_state", "")).lower()
    return state if state in ("ascending", "descending") else None


def _nodata(item: Mapping[str, Any], sensor: str, assets: Mapping[str, str]) -> float | None:
    if sensor == "sentinel2":
        # by ESA's definition of the product, in every baseline
        return 0.0
    asset = item["assets"][next(iter(assets.values()))]
    given = ((asset.get("raster:bands") or asset.get("bands") or [{}])[0] or {}).get("nodata", asset.get("nodata"))
    # the raster extension writes NaN and infinity as text; in a file they need no declaration
    return None if given is None or not math.isfinite(float(given)) else float(given)


def _slim(item: Mapping[str, Any], assets: Mapping[str, str], name: str) -> dict[str, Any]:
    properties = item.get("properties") or {}
    kept = _of_lattice(properties)
    code = properties.get("proj:code") or (f"EPSG:{properties['proj:epsg']}" if properties.get("proj:epsg") else None)
    if code:
        kept["proj:code"] = _text("proj:code", code)
        if not _is_crs(kept["proj:code"]):
            raise ValueError(f"proj:code or proj:epsg {code!r} is no CRS")
    outline = _geometry(item, name)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [PROJECTION] if code else [],
        "id": name,
        "collection": item.get("collection"),
        "geometry": json.loads(to_geojson(outline)),
        "bbox": list(longitudes.extent(outline)),
        "properties": {"datetime": _time(properties, name, "dem"), **kept},
        "links": [],
        "assets": {key: _slim_asset(item["assets"][key]) for key in assets.values()},
    }


def _slim_asset(asset: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: _text(key, asset[key]) for key in ("type", "proj:code") if asset.get(key) is not None}
    size = {} if asset.get("file:size") is None else {"file:size": int(asset["file:size"])}
    return {"href": asset.get("href"), **texts, **_of_lattice(asset), **size, "roles": ["data"]}


def _text(key: str, value: Any) -> str:
    """Return a text that goes into the plan. Raises ValueError if it is none."""
    if not is_text(value):
        raise ValueError(f"{key} is no short text")
    return str(value)


@lru_cache(maxsize=1000)
def _is_crs(code: str) -> bool:
    try:
        CRS.from_user_input(code)
    except CRSError:
        return False
    return True


def _of_lattice(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return shape and transform of a raster, which go into the plan. Raises ValueError if they are no numbers."""
    kept = {key: fields[key] for key in ("proj:shape", "proj:transform") if fields.get(key)}
    for key, values in kept.items():
        if not (isinstance(values, list | tuple) and len(values) <= 9 and all(map(_is_number, values))):
            raise ValueError(f"{key} is no list of numbers")
    shape, transform = kept.get("proj:shape", (1, 1)), kept.get("proj:transform", (0,) * 6)
    if len(shape) != 2 or any(side != int(side) or not 0 < side < 2**31 for side in shape):
        raise ValueError("proj:shape is not two whole numbers above 0")
    if len(transform) not in (6, 9) or list(transform[6:]) not in ([], [0, 0, 1]):
        raise ValueError("proj:transform is not affine: 6 numbers, or 9 of which the last are 0, 0, 1")
    return kept


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _geometry(item: Mapping[str, Any], name: str) -> BaseGeometry:
    raw, bounds = item.get("geometry"), item.get("bbox")
    try:
        # NaN is refused below
        with np.errstate(invalid="ignore"):
            given = shape(raw) if raw else box(*bounds) if bounds else None
            outline = None if given is None else longitudes.split(given)
    except NO_SHAPE as error:
        raise CatalogError(f"{name}: its geometry cannot be read: {quoted(error, 120)}") from None
    if outline is None or outline.is_empty:
        raise CatalogError(f"{name}: has neither geometry nor bbox, so its location is unknown")
    if not np.isfinite(get_coordinates(outline)).all():
        raise CatalogError(f"{name}: its geometry has a coordinate that is not a finite number")
    return outline
