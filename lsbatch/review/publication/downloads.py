"""Files to download: the inventory without reviewers, and the national maps, at their places in a survey."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import exports, identity, inventory_files, schema
from lsbatch.inventory.qgis import landslide_styles
from lsbatch.pipeline import map_contents
from lsbatch.review.publication import geojson_sequence
from lsbatch.storage import files
from lsbatch.storage.workspace import Workspace

#: What a reader gets, by file or by ending.
CONTENT = {
    "landslides.gpkg": "landslides with all fields and QGIS styles, GeoPackage",
    "landslides.parquet": "the same, GeoParquet 1.1",
    "landslides.geojsons": "the same in longitude and latitude, GeoJSON text sequence (RFC 8142)",
    "landslides.csv": "fields without outlines",
    "landslides.qml": "QGIS style of the landslides",
    "inspire.gpkg": "landslides as INSPIRE Natural Risk Zones",
    "sosi.csv": "fields named like those of SOSI",
    "scenes.csv": "satellite scenes of each tile",
    "areas.gpkg": "statistics of areas, with their outlines",
    "areas.csv": "statistics of areas",
    "survey.qgz": "QGIS project of all files, for a copy of this folder",
    "landslides.pmtiles": "landslides as vector tiles of this page, PMTiles",
    "observed.tif": "what observed each pixel, as bits (see the documentation of lsbatch), cloud-optimized GeoTIFF",
    ".pmtiles": "image tiles of this page, PMTiles",
    ".qml": "QGIS style of the map",
    "collection.json": "all of it as a STAC collection",
    "SHA256SUMS": "checksums: sha256sum -c SHA256SUMS",
}
#: Columns with names and words of reviewers.
PRIVATE = ("reviewer", "comment")
#: A column of the scenes with messages of errors, which may hold addresses.
MESSAGES = "reason"


def public(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return an inventory with the fields of its schema, without what reviewers are called and wrote."""
    known = [name for name in frame.columns.drop("geometry") if schema.field_named(str(name))]
    return frame[[*known, "geometry"]].assign(**{name: "" for name in PRIVATE if name in frame})


def write(folder: Path, survey: Survey, frame: gpd.GeoDataFrame) -> None:
    """Write the files of a public inventory, and copy the maps."""
    here, there, config = Workspace(folder), survey.workspace, survey.config
    here.inventory.mkdir()
    inventory_files.write(here.inventory, frame, config.inventory.language)
    exports.write_all(here.inventory, identity.found(frame))
    geojson_sequence.write(here.inventory / "landslides.geojsons", frame)
    fields = schema.fields(config.inventory.confounders)
    style = landslide_styles.qml("confidence", config.inventory.language, fields)
    (here.inventory / "landslides.qml").write_text(style, encoding="utf-8")
    if files.exists(there.inventory / "scenes.csv"):
        scenes = pd.read_csv(io.BytesIO(files.read_bytes(there.inventory / "scenes.csv")), dtype=str)
        scenes.drop(columns=MESSAGES).to_csv(here.inventory / "scenes.csv", index=False)
    for path in _copied(there):
        if files.exists(path):
            copy(path, folder / path.relative_to(there.root).as_posix())


def _copied(places: Workspace) -> Iterator[Path]:
    """Yield the files that are the same in the survey; there may be fewer."""
    yield from (places.inventory / f"areas.{ending}" for ending in ("gpkg", "csv"))
    yield from (places.maps / f"{name}.{ending}" for name in map_contents.MAPS for ending in ("tif", "qml"))
    yield places.project


def copy(source: Path, target: Path) -> None:
    """Copy a file of a survey, on disk or in object storage."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.opened(source) as file, target.open("wb") as out:
        shutil.copyfileobj(file, out, 8 << 20)


def listed(folder: Path) -> list[dict[str, str]]:
    """Return address, content and size of each file to download."""
    order = {name: place for place, name in enumerate(CONTENT)}
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    names.sort(key=lambda path: (order.get(path.name, len(order)), path.suffix != ".tif"))
    shown = [path for path in names if path.parts[0] in ("inventory", "maps", "tiles", "survey.qgz")]
    rows = [
        {
            "address": path.as_posix(),
            "content": _content(path),
            "megabytes": f"{(folder / path).stat().st_size / 1e6:.2f}",
        }
        for path in shown
    ]
    return rows + [
        {"address": name, "content": _content(Path(name)), "megabytes": ""}
        for name in ("stac/collection.json", "SHA256SUMS")
    ]


def _content(path: Path) -> str:
    if path.name not in CONTENT and path.suffix == ".tif":
        return f"{map_contents.MAPS[path.stem].content.legend.description}, cloud-optimized GeoTIFF"
    return CONTENT.get(path.name) or CONTENT[path.suffix]
