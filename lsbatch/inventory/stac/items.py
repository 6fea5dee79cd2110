"""STAC items of a survey: its tiles, their sources and bands, and the delivered files."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pystac
import shapely
from odc.geo.geobox import GeoBox

import lsbatch
from lsbatch.bands import Layer
from lsbatch.storage import objects
from lsbatch.storage.files import on_disk, scratch, write_text

#: Points on each side of a tile's outline, because a straight line of the grid is curved in longitude and latitude.
CORNERS = 8
#: The main file of a catalogue.
CATALOG = "catalog.json"
#: Items that are written to object storage at once.
WRITERS = 32
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"


def tile(
    name: str,
    geobox: GeoBox,
    days: tuple[date, date],
    made: str,
    provenance: Mapping[str, Any],
    store: str,
    layer: Layer,
) -> pystac.Item:
    """Return the STAC item of a tile of a layer.

    Parameters
    ----------
    name : str
        Id of the item.
    geobox : GeoBox
        Of the tile.
    days : (first, last)
        Of all images.
    made : str
        Time of creation, ISO 8601.
    provenance : mapping
        Further properties: orbits, offsets, scenes.
    store : str
        Address of the layer in the cube, relative to the item.
    layer : Layer
    """
    item = _placed(name, geobox, days, {"created": made, **_lattice(geobox), **provenance})
    bands = [{"name": b.name, "description": b.description, "unit": b.units, "data_type": b.dtype} for b in layer.bands]
    item.add_asset(
        layer.name,
        pystac.Asset(store, f"{layer.name} of the "
                            "cube", media_type="application/vnd.zarr; "
                                               "version=3", roles=["data"], extra_fields={"bands": bands}),
    )  # fmt: skip
    return item


def _lattice(geobox: GeoBox) -> dict[str, Any]:
    return {"proj:shape": list(geobox.shape), "proj:transform": [float(v) for v in geobox.transform[:6]]}


def _placed(name: str, geobox: GeoBox, days: tuple[date, date], properties: Mapping[str, Any]) -> pystac.Item:
    outline = geobox.extent.to_crs("EPSG:4326", resolution=geobox.extent.boundingbox.span_x / CORNERS)
    first, last = (datetime.combine(day, at, UTC) for day, at in zip(days, (time.min, time.max), strict=True))
    return pystac.Item(
        name,
        outline.json,
        list(shapely.box(*outline.boundingbox.bbox).bounds),
        None,
        {"proj:code": str(geobox.crs), "processing:software": {"lsbatch": lsbatch.__version__}, **properties},
        start_datetime=first,
        end_datetime=last.replace(microsecond=0),
        stac_extensions=[PROJECTION, PROCESSING],
    )


#: Ending of a delivered file to its media type and role.
DELIVERED = {
    ".gpkg": ("application/geopackage+sqlite3", "data"),
    ".parquet": ("application/vnd.apache.parquet", "data"),
    ".csv": ("text/csv", "data"),
    ".tif": ("image/tiff; application=geotiff; profile=cloud-optimized", "data"),
    ".qml": ("application/xml", "style"),
    ".qgz": ("application/zip", "style"),
    ".geojsons": ("application/geo+json-seq", "data"),
    ".pmtiles": ("application/vnd.pmtiles", "visual"),
}


def delivery(
    name: str,
    files: Mapping[str, Path],
    geobox: GeoBox,
    days: tuple[date, date],
    provenance: Mapping[str, Any],
    bands: Mapping[str, list[dict[str, Any]]],
) -> pystac.Item:
    """Return one item of the inventory files, with sizes and SHA-256 checksums.

    Parameters
    ----------
    name : str
        Id of the item.
    files : mapping of address to path
        Address of each file relative to the item.
    geobox : GeoBox
        Of the maps.
    days : (first, last)
        Of all images.
    provenance : mapping
        Further properties.
    bands : mapping of file name to list of mapping
        Meaning of the numbers of each map, by band.
    """
    item = _placed(name, geobox, days, provenance)
    item.stac_extensions.append(FILE)
    for address, path in files.items():
        here = on_disk(path)
        with here.open("rb") as handle:
            checksum = hashlib.file_digest(handle, "sha256").hexdigest()
        media, role = DELIVERED[path.suffix]
        # multihash: 0x12 is SHA-256, 0x20 its length in bytes
        fields: dict[str, Any] = {"file:size": here.stat().st_size, "file:checksum": f"1220{checksum}"}
        if path.name in bands:
            fields |= {"bands": bands[path.name], **_lattice(geobox)}
        item.add_asset(
            path.name.replace(".", "-"),
            pystac.Asset(address, path.name, media_type=media, roles=[role], extra_fields=fields),
        )
    return item


def text(item: pystac.Item) -> str:
    """Return the JSON of an item in a catalogue that `write` makes."""
    item.clear_links()
    for rel in ("root", "parent"):
        item.add_link(pystac.Link(rel, f"../{CATALOG}", pystac.MediaType.JSON))
    return json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2)


def write(folder: Path, name: str, description: str, items: Mapping[str, str]) -> int:
    """Write a catalogue of items to a temporary folder, then replace the old one; return the number of items.

    Folders in object storage cannot be renamed: there the root, which lists the items, is written last.

    Parameters
    ----------
    folder : Path
    name, description : str
        Of the catalogue.
    items : mapping of id to text
        From `text`.
    """
    catalog = pystac.Catalog(name, description)
    catalog.clear_links()
    catalog.add_link(pystac.Link("root", f"./{CATALOG}", pystac.MediaType.JSON))
    files = {f"{one}/{one}.json": content for one, content in items.items()}
    for address in files:
        catalog.add_link(pystac.Link("item", f"./{address}", pystac.MediaType.GEOJSON))
    root = json.dumps(catalog.to_dict(include_self_link=False, transform_hrefs=False), indent=2)
    if objects.is_remote(folder):
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda address: write_text(folder / address, files[address]), files))
        write_text(folder / CATALOG, root)
    else:
        _replace(folder, files | {CATALOG: root})
    return len(items)


def _replace(folder: Path, files: Mapping[str, str]) -> None:
    with scratch(beside=folder) as place:
        new, old = place / "new", place / "old"
        for address, content in files.items():
            (new / address).parent.mkdir(parents=True, exist_ok=True)
            (new / address).write_text(content, encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
