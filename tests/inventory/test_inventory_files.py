"""The inventory as files: types, decimals, titles in five languages; older files are still read."""

import datetime
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import get_args

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from lsbatch.inventory import aliases, areas, inventory_files, previous_inventory, schema, year_matching
from lsbatch.inventory.qgis import words
from lsbatch.settings import InventorySettings
from lsbatch.storage.workspace import Workspace


def frame(count: int = 2) -> gpd.GeoDataFrame:
    """Records with values that need rounding, days as texts, and a column of confounders."""
    names = ("farmland",)
    values = {"str": "x", "int64": 3, "float64": -0.00004, "date": "2020-07-01"}
    columns = {field.name: [values[field.dtype]] * count for field in schema.fields(names)}
    columns["landslide_id"] = [f"s-{i}" for i in range(count)]
    columns |= {"area_m2": [1234.5678] * count, "dvv_mean_db": [np.nan] * count}
    columns["date_latest"] = ["2021-12-31", ""][:count]
    made = gpd.GeoDataFrame(columns, geometry=[shapely.box(0, 0, 10, 10)] * count, crs="EPSG:25833")
    return made.astype(schema.dtypes(names))


@pytest.mark.parametrize("count", [0, 2])
def test_types_and_decimals_of_all_files(tmp_path: Path, count: int) -> None:
    given = frame(count)
    inventory_files.write(tmp_path, given)
    stored = pyogrio.read_info(tmp_path / "landslides.gpkg", layer="landslides")
    ogr = dict(zip(stored["fields"], stored["ogr_types"], strict=True))
    arrow = pq.read_schema(tmp_path / "landslides.parquet")
    assert (ogr["date_earliest"], ogr["version"], ogr["area_m2"]) == ("OFTDate", "OFTInteger64", "OFTReal")
    assert arrow.field("date_earliest").type == arrow.field("date_latest").type == pa.date32()
    assert arrow.field("version").type == pa.int64()
    if count:
        found = pq.read_table(tmp_path / "landslides.parquet").to_pydict()
        assert found["date_latest"] == [datetime.date(2021, 12, 31), None]
        assert found["area_m2"] == [1235.0, 1235.0]
        text = (tmp_path / "landslides.csv").read_text(encoding="utf-8")
        assert "2021-12-31" in text
        assert "-0.0," not in text


def test_no_value_has_more_decimals_than_it_means(tmp_path: Path) -> None:
    inventory_files.write(tmp_path, frame())
    found = pd.read_csv(tmp_path / "landslides.csv", dtype=str)
    for field in schema.fields(("farmland",)):
        if field.digits is not None:
            for text in found[field.name].dropna():
                assert len(text.partition(".")[2].rstrip("0")) <= field.digits, field.name


def test_columns_carry_title_unit_and_meaning(tmp_path: Path) -> None:
    inventory_files.write(tmp_path, frame(), "de")
    metadata = pq.read_schema(tmp_path / "landslides.parquet").field("slope_mean_deg").metadata
    assert {key.decode(): value.decode() for key, value in metadata.items()} == {
        "title": "Mittlere Neigung (°)",
        "unit": "°",
        "description": "Horn's method",
    }
    with closing(sqlite3.connect(tmp_path / "landslides.gpkg")) as database:
        rows = {
            row[0]: row[1:] for row in database.execute("SELECT column_name, name, description FROM gpkg_data_columns")
        }
        extensions = database.execute("SELECT table_name FROM gpkg_extensions WHERE extension_name = 'gpkg_schema'")
        assert {row[0] for row in extensions} == {"gpkg_data_columns", "gpkg_data_column_constraints"}
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert list(rows) == [field.name for field in schema.fields(("farmland",))]
    assert rows["on_farmland_share"][0] == "Anteil auf farmland"
    assert rows["area_m2"] == ("Fläche (m²)", "geodesic, on the ellipsoid of WGS 84 [m²]")
    # GDAL reads a changed file as before
    assert len(pyogrio.read_dataframe(tmp_path / "landslides.gpkg", layer="landslides")) == 2
    assert inventory_files.read.__doc__


def test_same_inventory_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        inventory_files.write(tmp_path / name, frame())
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_meaning_is_plain_text() -> None:
    for column in inventory_files.described(schema.FIELDS, "en"):
        assert not re.search(r"`|\]\(", column.meaning), column


@pytest.mark.parametrize("kind", ["text", "date", "time", "arrow"])
def test_days_of_every_version_are_read(tmp_path: Path, kind: str) -> None:
    """Texts as older versions wrote them, dates as GeoParquet and GeoPackage have them."""
    given = frame()
    changed = {
        "text": lambda days: days,
        "date": lambda days: days.map(lambda day: datetime.date.fromisoformat(day) if day else None).astype(object),
        "time": pd.to_datetime,
        "arrow": inventory_files.days,
    }[kind]
    stored = given.assign(date_earliest=changed(given["date_earliest"]), date_latest=changed(given["date_latest"]))
    places = Workspace(tmp_path)
    places.inventory.mkdir()
    stored.to_parquet(places.inventory / "landslides.parquet")
    found = inventory_files.read(places)
    assert found["date_earliest"].dtype == found["date_latest"].dtype == "str"
    assert found["date_latest"].tolist() == ["2021-12-31", ""]


def test_written_files_are_read_as_they_were(tmp_path: Path) -> None:
    """By the reader of other years too, and completed to the columns of an inventory."""
    places = Workspace(tmp_path)
    written = inventory_files.write(places.inventory, frame())
    pd.testing.assert_frame_equal(pd.DataFrame(inventory_files.read(places)), pd.DataFrame(written), check_like=True)
    for name in ("landslides.gpkg", "landslides.parquet"):
        found = previous_inventory.read(places.inventory / name, "EPSG:25833").frame
        found = year_matching.complete(found, schema.dtypes())
        assert found["date_latest"].tolist() == ["2021-12-31", ""], name
        assert found["version"].tolist() == [3, 3]
        # what was read can be written again
        inventory_files.write(tmp_path / "again", found)


def test_every_field_has_a_title_in_every_language() -> None:
    assert get_args(InventorySettings.model_fields["language"].annotation) == aliases.LANGUAGES
    fields = (*schema.FIELDS, *areas.FIELDS)
    assert {field.name for field in fields} == set(aliases.FIELDS)
    for language in aliases.LANGUAGES:
        for group in (schema.FIELDS, areas.FIELDS):
            # the titles of a table must differ: the GeoPackage and QGIS take them for names
            titles = [aliases.title(field, language) for field in group]
            assert len(set(titles)) == len(titles), language
            assert all(title == title.strip() and title.isprintable() for title in titles)


def test_words_of_the_project_have_every_language() -> None:
    for name in words._WORDS:
        texts = [words.word(name, language) for language in aliases.LANGUAGES]
        assert len(texts) == len(aliases.LANGUAGES)
        assert len({text.count("{}") for text in texts}) == 1, name
