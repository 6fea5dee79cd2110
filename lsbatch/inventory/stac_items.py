"""STAC items of a survey: its tiles, their sources and bands, and the delivered files."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pystac
import shapely
from odc.geo.geobox import GeoBox

import lsbatch
from lsbatch.bands import Layer
from lsbatch.storage import objects
from lsbatch.storage.files import on_disk, scratch, write_bytes

#: Points on each side of a tile's outline, because a straight line of the grid is curved in longitude and latitude.
CORNERS = 8
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
}


def delivery(
    name: str,
    files: Mapping[str, Path],
    geobox: GeoBox,
    days: tuple[date, date],
    provenance: Mapping[str, Any],
    bands: Mapping[str, Mapping[str, Any]],
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
    bands : mapping of file name to mapping
        Meaning of the numbers of each map.
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
            fields |= {"bands": [dict(bands[path.name])], **_lattice(geobox)}
        item.add_asset(
            path.name.replace(".", "-"),
            pystac.Asset(address, path.name, media_type=media, roles=[role], extra_fields=fields),
        )
    return item


def write(folder: Path, name: str, description: str, items: Iterable[pystac.Item]) -> int:
    """Write a catalogue of the items to a temporary folder, then replace the old one; return the number of items.

    Folders in object storage cannot be renamed: there the root, which lists the items, is written last.
    """
    catalog = pystac.Catalog(name, description)
    catalog.add_items(items)
    with scratch(beside=folder) as place:
        new, old = place / "new", place / "old"
        catalog.normalize_hrefs(str(new))
        catalog.save(pystac.CatalogType.SELF_CONTAINED)
        if objects.is_remote(folder):
            for path in sorted(new.rglob("*.json"), key=lambda path: path.name == "catalog.json"):
                write_bytes(folder / path.relative_to(new).as_posix(), path.read_bytes())
        else:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    return sum(1 for _ in catalog.get_items())
