"""Make a static STAC catalogue from a folder of GeoTIFFs: ``catalog.json`` in it, items under ``stac/``.

The content of an item comes from the file's name (see `filename_parsing`), its GeoTIFF tags and its lattice. Nothing is
guessed: a Sentinel-2 scene without processing baseline and without scale and offset is not listed, because its
reflectance would be unknown.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rasterio
import rio_stac
from rasterio.errors import CRSError, RasterioError

from lsbatch.catalog.filename_parsing import COLLECTIONS, Named, parse
from lsbatch.catalog.items import item_validation
from lsbatch.catalog.items.texts import reason
from lsbatch.errors import CatalogError, LsbatchError
from lsbatch.storage.files import make_folder, write_json

#: Id of a catalog.json that lsbatch wrote and may overwrite.
ROOT_ID = "lsbatch-folder"
VERSION = "1.0.0"
EXTENSIONS = ("raster/v1.1.0", "sat/v1.0.0", "sar/v1.0.0")

#: GeoTIFF tags of OPERA and other producers, in lower case.
_STATE_TAGS = ("orbit_pass_direction", "pass", "orbit_state")
_TRACK_TAGS = ("track_number", "relative_orbit_number", "relative_orbit")


@dataclass(frozen=True)
class File:
    """A recognised GeoTIFF."""

    path: Path
    named: Named


@dataclass(frozen=True)
class Made:
    """The written catalogue.

    Attributes
    ----------
    path : Path
        Of catalog.json.
    items : mapping of collection to number of items
    skipped : tuple of str
        Files and scenes that are not listed, each with the reason.
    """

    path: Path
    items: Mapping[str, int]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        counts = [f"  {name}: {count} scenes" for name, count in self.items.items()]
        return "\n".join([f"Wrote {self.path}", *counts, *(f"  skipped {reason}" for reason in self.skipped)])


def make_catalog(folder: Path) -> Made:
    """Write a catalogue of all GeoTIFFs in a folder and its subfolders. Run it again after files were added or removed.

    Raises
    ------
    CatalogError
        If no file is recognised, or the folder has a catalogue of another program.
    StaleStoreError
        If the folder cannot be written to.
    """
    if not folder.is_dir():
        raise CatalogError(f"{folder}: is not a folder; give a folder with GeoTIFFs")
    root = make_folder(folder.resolve())
    _refuse_foreign(root / "catalog.json")
    files, skipped = _recognised(root)
    items: dict[str, list[dict[str, Any]]] = {}
    seen: set[tuple[str, str]] = set()
    for members in _grouped(files):
        named, short = members[0].named, members[0].path.relative_to(root)
        if (named.sensor, named.scene) in seen:
            skipped.append(f"{short}: another folder has a scene of the same name")
            continue
        try:
            item = _item(root, members)
            item_validation.described(item, named.sensor)
        except (LsbatchError, RasterioError, CRSError) as error:
            skipped.append(reason(f"{short}: {error}"))
            continue
        seen.add((named.sensor, named.scene))
        items.setdefault(item["collection"], []).append(item)
    if not items:
        first = f"; the first: {skipped[0]}" if skipped else ""
        raise CatalogError(
            f"{folder}: has no GeoTIFF with a known name ({len(skipped)} skipped{first}); "
            "names must end in _B02, _B03, _B04, _B08 and _SCL or in _VV and _VH after a date YYYYMMDD, "
            "or contain 'dem'"
        )
    _write(root, items)
    return Made(root / "catalog.json", {name: len(found) for name, found in items.items()}, tuple(skipped))


def _refuse_foreign(path: Path) -> None:
    if path.exists() and f'"{ROOT_ID}"' not in path.read_text(encoding="utf-8", errors="replace"):
        raise CatalogError(f"{path}: exists and was not made by lsbatch; use it as it is, or move it away")


def _recognised(root: Path) -> tuple[list[File], list[str]]:
    files, skipped = [], []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in (".tif", ".tiff") and p.is_file()):
        short = path.relative_to(root)
        if any(part.startswith(".") for part in short.parts):
            # temporary files of a killed program
            continue
        try:
            named = parse(path.stem)
        except ValueError:
            skipped.append(f"{short}: its name has eight digits that are not a date")
            continue
        if named is None:
            skipped.append(f"{short}: its name contains no known sensor and band")
        else:
            files.append(File(path, named))
    return files, skipped


def _grouped(files: list[File]) -> list[list[File]]:
    """Group the files of the same scene in the same folder."""
    groups: dict[tuple[str, str, Path], list[File]] = {}
    for file in files:
        groups.setdefault((file.named.sensor, file.named.scene, file.path.parent), []).append(file)
    return list(groups.values())


def _item(root: Path, members: list[File]) -> dict[str, Any]:
    """Make one item. Footprint, projection and time come from the finest raster (rio-stac)."""
    named = members[0].named
    collection = COLLECTIONS[named.sensor]
    document = root / "stac" / collection / f"{named.scene}.json"
    assets = {file.named.band: _asset(file.path, document, named.sensor) for file in members}
    finest = min(members, key=lambda file: (assets[file.named.band]["gsd"], file.named.band))
    with rasterio.open(finest.path) as raster:
        if raster.crs is None:
            raise CatalogError("it has no CRS")
        named = _with_tags(named, {**raster.tags(), **raster.tags(1)})
        item = _outlined(raster, named, collection)
    up = os.path.relpath(root / "catalog.json", document.parent)
    return {
        **item,
        "collection": collection,
        "stac_extensions": sorted({*item["stac_extensions"], *(_extension(e) for e in EXTENSIONS)}),
        "properties": item["properties"] | _properties(named),
        "assets": assets,
        "links": [{"rel": "root", "href": up}, {"rel": "collection", "href": f"../{collection}.json"}],
    }


def _outlined(raster: Any, named: Named, collection: str) -> dict[str, Any]:
    """Return the item of a raster: its outline in longitude and latitude, projection and time."""
    try:
        item = rio_stac.create_stac_item(
            raster,
            input_datetime=named.time or datetime(1970, 1, 1, tzinfo=UTC),
            id=named.scene,
            collection=collection,
            with_proj=True,
        )
        return dict(item.to_dict(include_self_link=False))
    # GDAL's errors of a lattice or a CRS with no place on the globe, which rasterio passes on as private classes, and
    # a SystemError where it forgets one of them
    except Exception as error:
        raise CatalogError(f"it has no place on the globe: {' '.join(str(error).split())[:200]}") from None


def _extension(name: str) -> str:
    return f"https://stac-extensions.github.io/{name}/schema.json"


def _asset(path: Path, document: Path, sensor: str) -> dict[str, Any]:
    with rasterio.open(path) as raster:
        # JSON has neither NaN nor infinity; the raster extension writes them as text
        nodata = raster.nodata if raster.nodata is None or math.isfinite(raster.nodata) else str(raster.nodata)
        band = {"nodata": nodata, "data_type": raster.dtypes[0], "scale": raster.scales[0], "offset": raster.offsets[0]}
        if not all(map(math.isfinite, (band["scale"], band["offset"], *raster.transform))):
            raise CatalogError("its scale, offset or transform is not a finite number")
        if sensor != "sentinel2" and (band["scale"], band["offset"]) != (1.0, 0.0):
            raise CatalogError("its values are scaled; allowed are physical values (linear power, metres)")
        return {
            "href": os.path.relpath(path, document.parent),
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "gsd": abs(raster.transform.a),
            "proj:shape": list(raster.shape),
            "proj:transform": list(raster.transform)[:6],
            "raster:bands": [{key: value for key, value in band.items() if value is not None}],
        }


def _with_tags(named: Named, tags: Mapping[str, str]) -> Named:
    """Replace the orbit from the file name by the one in the file's tags."""
    low = {key.lower(): value for key, value in tags.items()}
    state = next((low[key].strip().lower() for key in _STATE_TAGS if key in low), None)
    track = next((low[key].strip() for key in _TRACK_TAGS if key in low), "")
    numbered = re.fullmatch(r"[0-9]{1,3}", track)
    return replace(
        named,
        orbit_state=state if state in ("ascending", "descending") else named.orbit_state,
        relative_orbit=int(track) if numbered else named.relative_orbit,
    )


def _properties(named: Named) -> dict[str, Any]:
    values = {
        "platform": named.platform,
        "sat:relative_orbit": named.relative_orbit,
        "sat:orbit_state": named.orbit_state,
        "s2:processing_baseline": named.baseline,
        "sar:product_type": "RTC" if named.sensor == "sentinel1" else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _write(root: Path, items: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the items first and the root last, so that a reader never finds a broken link."""
    for collection, found in items.items():
        for item in found:
            write_json(root / "stac" / collection / f"{item['id']}.json", item)
        write_json(root / "stac" / f"{collection}.json", _collection(collection, found))
    write_json(
        root / "catalog.json",
        {
            "type": "Catalog",
            "stac_version": VERSION,
            "id": ROOT_ID,
            "description": "GeoTIFFs of this folder, listed by lsbatch catalog",
            "links": [{"rel": "child", "href": f"./stac/{name}.json", "type": "application/json"} for name in items],
        },
    )


def _collection(name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    times = sorted(item["properties"]["datetime"] for item in items)
    boxes = [item["bbox"] for item in items]
    whole = [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "id": name,
        "description": f"{name} from GeoTIFFs of a folder",
        "license": "other",
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[times[0], times[-1]]]}},
        "links": [
            {"rel": "root", "href": "../catalog.json"},
            *({"rel": "item", "href": f"./{name}/{item['id']}.json", "type": "application/geo+json"} for item in items),
        ],
    }
