"""The inventory as files: dates, rounded numbers, and a title, a unit and a meaning of each column.

In memory a day is a text such as 2026-07-01. Older versions also wrote it so; both kinds of files are read here.
"""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lsbatch.inventory import aliases, schema
from lsbatch.inventory.qgis import landslide_styles
from lsbatch.inventory.schema import Field
from lsbatch.storage import vectors
from lsbatch.storage.workspace import Workspace

#: Fields that hold a day.
DAYS = tuple(field.name for field in schema.FIELDS if field.dtype == "date")
#: Time of the last change in a GeoPackage: constant, so that the same inventory gives the same bytes.
CHANGED = "2026-01-01T00:00:00.000Z"
#: Tables of the GeoPackage extension "Schema". `name` is unique in a table of features.
_SCHEMA = """
CREATE TABLE gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT,
    description TEXT, mime_type TEXT, constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
    CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE gpkg_data_column_constraints (constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT,
    min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
CREATE TABLE IF NOT EXISTS gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL,
    definition TEXT NOT NULL, scope TEXT NOT NULL, UNIQUE (table_name, column_name, extension_name));
"""
_SPECIFICATION = "http://www.geopackage.org/spec121/#extension_schema"


@dataclass(frozen=True)
class Column:
    """What a file tells about a column.

    Attributes
    ----------
    name : str
    title : str
        Name for a reader, with the unit, in the language of the survey.
    unit : str
        Empty if there is none.
    meaning : str
        In English, without the marks of Markdown.
    """

    name: str
    title: str
    unit: str
    meaning: str


def write(folder: Path, frame: gpd.GeoDataFrame, language: str = "en") -> gpd.GeoDataFrame:
    """Write the inventory as GeoPackage, GeoParquet and CSV, each atomically; return it with rounded numbers.

    Parameters
    ----------
    folder : Path
    frame : GeoDataFrame
        Days are texts.
    language : str
        One of `lsbatch.inventory.aliases.LANGUAGES`, for the titles of the columns.
    """
    fields = [field for name in frame.columns if (field := schema.field_named(name))]
    frame = rounded(frame, fields)
    stored, columns = _stored(frame), described(fields, language)
    vectors.write_geopackage(
        folder / "landslides.gpkg",
        stored,
        "landslides",
        {"layer_styles": landslide_styles.layer_styles("landslides", language, fields)},
        partial(describe_geopackage, layer="landslides", columns=columns),
    )
    vectors.write_parquet(folder / "landslides.parquet", stored, partial(_describe_parquet, columns=columns))
    vectors.write_csv(folder / "landslides.csv", frame.drop(columns="geometry"))
    return frame


def read(places: Workspace) -> gpd.GeoDataFrame:
    """Read the inventory of a survey, also of an older version; days are texts, empty where unknown.

    Raises
    ------
    StaleStoreError
        If the file is damaged or was not made by lsbatch.
    """
    return with_texts(vectors.read_part(places.inventory / "landslides.parquet"))


def with_texts(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return a table of any file with days as texts, empty where unknown; texts stay as they are."""
    found = [name for name in DAYS if name in frame and frame[name].dtype != "str"]
    return frame.assign(**{name: pd.array(_texts(frame[name]), dtype="str") for name in found})


def _texts(values: pd.Series) -> np.ndarray:
    # each day once: a survey has some hundred
    codes, known = pd.factorize(values)
    texts = [day if isinstance(day, str) else pd.Timestamp(day).date().isoformat() for day in known]
    # the code of an unknown day is -1, the last one
    return np.array([*texts, ""], object)[codes]


def days(texts: pd.Series) -> pd.Series:
    """Return texts of days as dates; null where the text is empty."""
    found = _texts(texts)
    known = pa.array(found, pa.string(), mask=found == "")
    return pd.Series(known.cast(pa.date32()), index=texts.index, dtype=pd.ArrowDtype(pa.date32()))


def rounded(frame: gpd.GeoDataFrame, fields: Iterable[Field]) -> gpd.GeoDataFrame:
    """Return a table with the decimals of these fields."""
    kept = {field.name: field.digits for field in fields if field.digits is not None}
    # without the negative zeros that rounding gives
    return frame.assign(**{name: frame[name].round(digits) + 0.0 for name, digits in kept.items()})


def _stored(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return frame.assign(**{name: days(frame[name]) for name in DAYS if name in frame})


def described(fields: Iterable[Field], language: str) -> list[Column]:
    """Return what files tell about these columns."""
    return [
        Column(
            field.name,
            aliases.title(field, language),
            aliases.unit(field),
            re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", field.meaning).replace("`", ""),
        )
        for field in fields
    ]


def describe_geopackage(file: Path, layer: str, columns: Iterable[Column]) -> None:
    """Add titles and meanings of columns to a GeoPackage on disk, by its extension "Schema"."""
    # since GDAL 3.7 QGIS shows `name` as alias and `description` as comment; for older ones the styles have aliases
    rows = [(layer, one.name, one.title, one.title, _sentence(one)) for one in columns]
    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(_SCHEMA)
        database.executemany(
            "INSERT INTO gpkg_data_columns (table_name, column_name, name, title, description) VALUES (?, ?, ?, ?, ?)",
            rows,
        )
        database.executemany(
            "INSERT INTO gpkg_extensions VALUES (?, NULL, 'gpkg_schema', ?, 'read-write')",
            [(table, _SPECIFICATION) for table in ("gpkg_data_columns", "gpkg_data_column_constraints")],
        )
    undated(file)


def undated(file: Path) -> None:
    """Set the time of the last change in a GeoPackage on disk to a constant."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE gpkg_contents SET last_change = ?", (CHANGED,))


def _sentence(column: Column) -> str:
    return f"{column.meaning} [{column.unit}]" if column.unit else column.meaning


def _describe_parquet(file: Path, columns: Iterable[Column]) -> None:
    """Add title, unit and description of each column to the metadata of a Parquet file on disk."""
    table = pq.read_table(file)
    fields = {field.name: field for field in table.schema}
    for one in columns:
        told = {"title": one.title, "unit": one.unit, "description": one.meaning}
        fields[one.name] = fields[one.name].with_metadata({key: text for key, text in told.items() if text})
    pq.write_table(table.cast(pa.schema(list(fields.values()), table.schema.metadata)), file)
