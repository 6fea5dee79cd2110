"""Vector files and parts with damage of every kind: one sentence."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from lsbatch.errors import ConfigError, StaleStoreError
from lsbatch.inventory import previous_inventory
from lsbatch.settings import TruthSettings, Windows
from lsbatch.storage import vectors
from lsbatch.storage.documents import tile_edges
from tests.small_archive import CRS

WINDOWS = Windows(pre=(date(2019, 7, 1), date(2019, 8, 31)), post=(date(2020, 7, 1), date(2020, 8, 31)))


def geojson(path: Path, coordinates: Any, **properties: Any) -> Path:
    """A polygon as GeoJSON in the CRS of the survey."""
    feature = {
        "type": "Feature",
        "properties": {"name": "a", **properties},
        "geometry": {"type": "Polygon", "coordinates": coordinates},
    }
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path.write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}).replace("Infinity", "1e999"),
        encoding="utf-8",
    )
    return path


RING = [[5e5, 6e6], [5e5 + 50, 6e6], [5e5 + 50, 6e6 + 50], [5e5, 6e6]]


@pytest.mark.parametrize(
    "coordinates",
    [[[[float("inf"), 6e6], *RING[1:]]], [[[5e5, float("inf")], *RING[1:]]]],
    ids=["infinite x", "infinite y"],
)
def test_coordinates_that_are_no_numbers(coordinates: Any, tmp_path: Path) -> None:
    path = geojson(tmp_path / "truth.geojson", coordinates)
    with pytest.raises(ConfigError, match=r"truth\.geojson: (cannot be read as a vector file|has a geometry)"):
        previous_inventory.read(path, CRS, "name")


@pytest.mark.parametrize("value", ["soon", "2020-13-45", "1e400", ""])
def test_a_date_that_is_none(value: str, tmp_path: Path) -> None:
    path = geojson(tmp_path / "truth.geojson", [RING], date=value)
    settings = TruthSettings(file=path, date_field="date")
    if value:
        with pytest.raises(ConfigError, match=r"truth\.date_field = 'date': has a value"):
            vectors.read_truth(settings, WINDOWS, CRS)
    else:
        # an unknown day is not between the images
        assert vectors.read_truth(settings, WINDOWS, CRS).empty


def test_of_many_columns_the_first_are_named(tmp_path: Path) -> None:
    square = [[[0, 0], [9, 0], [9, 9], [0, 0]]]
    path = geojson(tmp_path / "wide.geojson", square, **{f"{number:03d}{'x' * 500}": 1 for number in range(100)})
    truth = TruthSettings(file=path, date_field="day", points=path)
    reads: tuple[Callable[[], object], ...] = (
        lambda: vectors.read_truth(truth, WINDOWS, CRS),
        lambda: vectors.read_named(path, "day", ("areas", "areas_field"), CRS),
        lambda: vectors.read_points(truth, CRS),
        lambda: previous_inventory.read(path, CRS),
        lambda: previous_inventory.read(path, CRS, "day"),
    )
    for read in reads:
        with pytest.raises(ConfigError, match=r"the columns are name, 000xxx.* and 8[12] more") as caught:
            read()
        assert len(str(caught.value)) < 1500


def parquet(change: Callable[[pa.Table], pa.Table]) -> bytes:
    """GeoParquet of one polygon, changed."""
    out = io.BytesIO()
    gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(0, 0, 9, 9)], crs=CRS).to_parquet(out)
    table = change(pq.read_table(io.BytesIO(out.getvalue())))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def with_geo(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    """Return a change of the description of the geometry column."""

    def change(table: pa.Table) -> pa.Table:
        geo = json.loads(table.schema.metadata[b"geo"])
        geo["columns"]["geometry"] |= changes
        return table.replace_schema_metadata({b"geo": json.dumps(geo).encode()})

    return change


def with_shape(data: bytes) -> Callable[[pa.Table], pa.Table]:
    """Return a change of the geometry itself."""
    return lambda table: table.set_column(1, "geometry", pa.array([data], pa.binary()))


WKB = shapely.to_wkb(shapely.box(0, 0, 9, 9))
TABLES: dict[str, bytes] = {
    "no Parquet": b"PAR1" + bytes(40) + b"PAR1",
    "no geometry": parquet(lambda table: table.drop_columns(["geometry"])),
    "no description": parquet(lambda table: table.replace_schema_metadata({})),
    "a description that is a list": parquet(lambda table: table.replace_schema_metadata({b"geo": b"[1]"})),
    "a CRS that is a text": parquet(with_geo(crs="x")),
    "a CRS that is a list": parquet(with_geo(crs=[1])),
    "a CRS of others": parquet(with_geo(crs={"type": "ProjectedCRS", "name": 3})),
    "an encoding of others": parquet(with_geo(encoding=["x"])),
    "a geometry that is cut off": parquet(with_shape(WKB[:30])),
    "a geometry of 2**32 corners": parquet(with_shape(WKB[:9] + b"\xff\xff\xff\xff" + WKB[13:])),
    "a geometry of another kind": parquet(with_shape(b"\x01\xff\xff\xff\xff" + WKB[5:])),
    "a ring that is open": parquet(with_shape(WKB[:-16] + bytes(8) + WKB[:8])),
}


@pytest.mark.parametrize("data", TABLES.values(), ids=TABLES)
def test_geoparquet(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "earlier.parquet"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"earlier\.parquet: "):
        previous_inventory.read(path, CRS, "name")
    with pytest.raises(StaleStoreError, match="damaged, or was not made by lsbatch"):
        vectors.read_part(path)


def test_a_geometry_at_infinity(tmp_path: Path) -> None:
    path = tmp_path / "earlier.parquet"
    path.write_bytes(parquet(with_shape(WKB[:13] + np.float64(np.inf).tobytes() + WKB[21:])))
    with pytest.raises(ConfigError, match=r"no finite numbers|cannot be read"):
        previous_inventory.read(path, CRS, "name")


def zipped() -> bytes:
    """An archive where an array is expected; numpy opens both."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("x.npy", b"x")
    return out.getvalue()


def stored(values: np.ndarray) -> bytes:
    """An array file."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


GOOD = stored(np.zeros((4, 8), np.int32))
EDGES: dict[str, bytes] = {
    "an archive": zipped(),
    "half an archive": zipped()[:20],
    "a header that does not end": GOOD.replace(b"{'descr'", b"{#descr'"),
    "a header that is code": GOOD.replace(b"'<i4'", b"f(1)+"),
    "a header of other types": GOOD.replace(b"(4, 8)", b"'4, 8"),
    "cut off": GOOD[:-3],
    "one dimension": stored(np.zeros(4, np.int32)),
    "fractions": stored(np.zeros((4, 8))),
    "empty": b"",
}


@pytest.mark.parametrize("data", EDGES.values(), ids=EDGES)
def test_edges(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r000c000.npy"
    path.write_bytes(GOOD)
    assert tile_edges.read(path).shape == (4, 8)
    path.write_bytes(data)
    with pytest.raises(StaleStoreError, match="damaged, or was not made by lsbatch"):
        tile_edges.read(path)
