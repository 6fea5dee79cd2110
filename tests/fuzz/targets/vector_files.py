"""Vector files: mapped landslides, areas, earlier inventories; and the parts that tiles leave."""

import io
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from lsbatch.inventory import previous_inventory
from lsbatch.settings import TruthSettings, Windows
from lsbatch.storage import geometries, vectors
from lsbatch.storage.documents import tile_edges
from tests.fuzz.mutation import VALUES, damaged_bytes, damaged_json
from tests.fuzz.targets.target import Target
from tests.small_archive import CRS, LEFT, TOP

BOX = (LEFT, TOP - 2560, LEFT + 2560, TOP)
GRID = GeoBox.from_bbox(BOX, CRS, shape=(256, 256))
WINDOWS = Windows(pre=(date(2019, 7, 1), date(2019, 8, 31)), post=(date(2020, 7, 1), date(2020, 8, 31)))


def geopackage(folder: Path) -> Target:
    """A GeoPackage of polygons, by its bytes."""
    _frame().to_file(folder / "seed.gpkg", layer="landslides")
    seeds = ((folder / "seed.gpkg").read_bytes(),)
    return Target(damaged_bytes(seeds), seeds, lambda data: use(folder, "damaged.gpkg", data))


def geojson(folder: Path) -> Target:
    """Polygons as GeoJSON: coordinates, kinds of geometries, properties."""
    document = json.loads(_frame().astype({"date": str}).to_json())
    document["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    seeds = (json.dumps(document).encode(),)
    return Target(damaged_json(seeds), seeds, lambda data: use(folder, "damaged.geojson", data))


def geoparquet(folder: Path) -> Target:
    """GeoParquet: metadata, columns, geometries, bytes."""
    vectors.write_parquet(folder / "seed.parquet", _frame())
    seeds = ((folder / "seed.parquet").read_bytes(),)
    return Target(damaged_table(seeds), seeds, lambda data: use(folder, "damaged.parquet", data))


def parts(folder: Path) -> Target:
    """What a tile leaves for the inventory: features, tables, labels along the edges."""
    vectors.write_parquet(folder / "seed.parquet", _frame())
    tile_edges.write(folder / "seed.npy", np.arange(4 * 64, dtype=np.int32).reshape(4, 64))
    seeds = ((folder / "seed.parquet").read_bytes(), (folder / "seed.npy").read_bytes())

    def feed(data: bytes) -> None:
        path = folder / "damaged.parquet"
        path.write_bytes(data)
        if data.startswith(b"\x93NUMPY"):
            tile_edges.read(path)
            return
        for read in READERS:
            read(path)

    return Target(st.one_of(damaged_table(seeds[:1]), damaged_bytes(seeds)), seeds, feed)


READERS: tuple[Callable[[Path], object], ...] = (
    vectors.read_part,
    vectors.read_table,
    lambda path: vectors.read_columns(path, ["name", "date"]),
    lambda path: vectors.from_arrow([vectors.read_arrow(path)]),
)


def use(folder: Path, name: str, data: bytes) -> None:
    """Read a file in every way in which a setting can name it; refusals of one way do not end the others."""
    path = folder / name
    path.write_bytes(data)
    frame = previous_inventory.read(path, CRS, "name").frame
    previous_inventory.measured(frame)
    if name.endswith(".parquet"):
        # GDAL's wheel has no driver for it
        return
    for shape in geometries.read_polygons(path, "region.file", CRS):
        geometries.rasterize(shape, GRID)
    vectors.truth_mask(TruthSettings(file=path, date_field="date"), WINDOWS, GRID)
    for bounds in (None, BOX):
        for shape in vectors.read_named(path, "name", ("areas", "areas_field"), CRS, bounds).values():
            geometries.rasterize(shape, GRID)


def _frame() -> gpd.GeoDataFrame:
    hole = shapely.box(LEFT + 900, TOP - 900, LEFT + 1200, TOP - 600) - shapely.box(
        LEFT + 950, TOP - 850, LEFT + 1000, TOP - 800
    )
    shapes = [shapely.box(LEFT + 100, TOP - 300, LEFT + 300, TOP - 100), hole, shapely.MultiPolygon([hole.buffer(300)])]
    days = [date(2019, 9, 1), date(2020, 1, 2), date(2020, 5, 6)]
    return gpd.GeoDataFrame(
        {"name": ["a", "b", "c"], "date": days, "area_m2": [1.0, 2.0, 3.0]}, geometry=shapes, crs=CRS
    )


def damaged_table(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a GeoParquet file with other columns, geometries or metadata, or with other bytes."""
    tables = [pq.read_table(io.BytesIO(one)) for one in seeds]

    @st.composite
    def table(draw: st.DrawFn) -> bytes:
        found = draw(st.sampled_from(tables))
        for _ in range(draw(st.integers(1, 3))):
            change = draw(st.sampled_from((_other_column, _lost_column, _other_shape, _other_metadata)))
            found = change(draw, found)
        out = io.BytesIO()
        pq.write_table(found, out)
        return out.getvalue()

    return st.one_of(table(), table(), damaged_bytes(seeds))


def _lost_column(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    return table.drop_columns([draw(st.sampled_from(table.column_names))]) if table.num_columns else table


def _other_column(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    if not table.num_columns:
        return table
    index = draw(st.integers(0, table.num_columns - 1))
    kinds: tuple[Any, ...] = (
        pa.array([None] * len(table)),
        pa.array([draw(st.floats())] * len(table)),
        pa.array([draw(st.integers(-(2**63), 2**63 - 1))] * len(table)),
        pa.array([[1, 2]] * len(table)),
        pa.array([b"\xff"] * len(table)),
        pa.array([{"a": 1}] * len(table)),
        pa.array([draw(st.datetimes())] * len(table)),
        pa.array([draw(st.sampled_from([one for one in VALUES if _is_plain(one)]))] * len(table)),
    )
    return table.set_column(index, table.column_names[index], draw(st.sampled_from(kinds)))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and value.isascii()


def _other_shape(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    if "geometry" not in table.column_names or not pa.types.is_binary(table["geometry"].type):
        return table
    shapes = table["geometry"].to_pylist()
    damaged = [one and draw(damaged_bytes([one])) for one in shapes]
    return table.set_column(table.column_names.index("geometry"), "geometry", pa.array(damaged, pa.binary()))


def _other_metadata(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    metadata = dict(table.schema.metadata or {})
    key = draw(st.sampled_from((b"geo", b"pandas")))
    if key in metadata:
        metadata[key] = draw(damaged_json([metadata[key]])) if _parses(metadata[key]) else b"{}"
    return table.replace_schema_metadata(metadata)


def _parses(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
