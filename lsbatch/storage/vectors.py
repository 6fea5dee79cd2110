"""Read and write features: mapped landslides, polygon parts of tiles, inventory files."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from odc.geo.geobox import GeoBox
from pyarrow import csv
from pyproj.exceptions import ProjError

from lsbatch.errors import ConfigError, StaleStoreError
from lsbatch.settings import TruthSettings, Windows
from lsbatch.storage.files import aside, opened, read_bytes
from lsbatch.storage.geometries import LONGEST_CAUSE, listed, rasterize, read_vector

T = TypeVar("T")
#: A change of a file on disk that is not delivered yet.
Finish = Callable[[Path], None]
#: Characters of the name of a plot, which is used in receipts, tables and reports.
LONGEST_NAME = 80
#: Errors of pyarrow, geopandas, GEOS and PROJ for a damaged GeoParquet file, also one whose metadata have wrong types.
UNREADABLE = (
    *(ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError, OSError),
    *(pa.ArrowException, shapely.errors.ShapelyError, ProjError),
)


def read_truth(
    settings: TruthSettings, windows: Windows, crs: str, bounds: tuple[float, ...] | None = None
) -> gpd.GeoDataFrame:
    """Read mapped landslides that occurred between the images, in the grid's CRS.

    Parameters
    ----------
    settings : TruthSettings
    windows : Windows
        With `date_field`, a landslide counts if its date is later than the last possible image before began and not
        later than the last day after. A landslide before or after both images is not in their difference.
    crs : str
        CRS of the result.
    bounds : tuple of float, optional
        left, bottom, right, top in `crs`: only polygons that touch it.
    """
    truth = read_vector(settings.file, crs, bounds)
    if settings.date_field is None:
        return truth
    if settings.date_field not in truth:
        raise ConfigError(
            f"truth.date_field = {settings.date_field!r}: is not a column of {settings.file}; the columns are "
            f"{listed(truth.columns)}"
        )
    try:
        # a day that is not known compares as false
        days = pd.to_datetime(truth[settings.date_field]).dt.tz_localize(None).dt.normalize()
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(
            f"truth.date_field = {settings.date_field!r}: has a value in {settings.file} that is not a date: "
            f"{str(error).partition(chr(10))[0][:200]}"
        ) from None
    return truth[(days > pd.Timestamp(windows.pre[0])) & (days <= pd.Timestamp(windows.post[1]))].reset_index(drop=True)


def truth_mask(settings: TruthSettings, windows: Windows, geobox: GeoBox) -> np.ndarray:
    """Return the pixels whose centre lies in a mapped landslide, bool (rows, cols)."""
    return _inside(read_truth(settings, windows, str(geobox.crs), tuple(geobox.boundingbox.bbox)), geobox)


def mapped_mask(settings: TruthSettings, geobox: GeoBox) -> np.ndarray:
    """Return the pixels whose centre lies in the mapped area, bool (rows, cols); all without `truth.mapped_area`."""
    if settings.mapped_area is None:
        return np.ones(geobox.shape, bool)
    return _inside(read_vector(settings.mapped_area, str(geobox.crs), tuple(geobox.boundingbox.bbox)), geobox)


def _inside(frame: gpd.GeoDataFrame, geobox: GeoBox) -> np.ndarray:
    """Return the pixels whose centre lies in a polygon, bool (rows, cols)."""
    if frame.empty:
        return np.zeros(geobox.shape, bool)
    return rasterize(shapely.union_all(shapely.make_valid(frame.geometry.values)), geobox)


def read_plots(settings: TruthSettings, crs: str) -> dict[str, shapely.Geometry]:
    """Return the polygons that are scored separately, in `crs`, by name; none without `truth.plots`.

    Raises
    ------
    ConfigError
        If the file lacks the column of names, has a name twice, or has a geometry that is not a polygon.
    """
    return (
        {}
        if settings.plots is None
        else read_named(settings.plots, settings.plot_field, ("truth.plots", "truth.plot_field"), crs)
    )


def read_named(
    file: Path, column: str, settings: tuple[str, str], crs: str, bounds: tuple[float, ...] | None = None
) -> dict[str, shapely.Geometry]:
    """Return the valid polygons of a vector file in `crs`, by the names in a column.

    Parameters
    ----------
    file : path
    column : str
    settings : (str, str)
        Names of the two settings, file and column, for the errors.
    crs : str
    bounds : tuple of float, optional
        left, bottom, right, top in `crs`. Only polygons whose bounding box touches it are read; there may be none.

    Raises
    ------
    ConfigError
        If the file lacks the column, has a name twice, or has a geometry that is not a polygon.
    """
    frame = read_vector(file, crs, bounds)
    setting = settings[0]
    if column not in frame:
        raise ConfigError(
            f"{settings[1]} = {column!r}: is not a column of {file}; the columns are {listed(frame.columns)}"
        )
    names = frame[column].astype(str)
    if not all(name.isprintable() and 0 < len(name) <= LONGEST_NAME for name in names):
        raise ConfigError(
            f"{setting}: {file} has a name that is empty, longer than {LONGEST_NAME} characters, or has a control "
            "character"
        )
    if names.duplicated().any():
        raise ConfigError(
            f"{setting}: {file} has {names[names.duplicated()].iloc[0]!r} twice; each polygon needs its own name"
        )
    if (frame.empty and bounds is None) or not frame.geom_type.isin(("Polygon", "MultiPolygon")).all():
        raise ConfigError(f"{setting}: {file} must hold polygons only")
    return dict(zip(names, shapely.make_valid(frame.geometry.values), strict=True))


def read_points(settings: TruthSettings, crs: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the training points of the decision tree: x and y in `crs`, and the class as text, each (points,).

    Raises
    ------
    ConfigError
        If the file lacks the column of the classes.
    """
    assert settings.points is not None
    frame = read_vector(settings.points, crs)
    if settings.class_field not in frame:
        raise ConfigError(
            f"truth.class_field = {settings.class_field!r}: is not a column of {settings.points}; the columns are "
            f"{listed(frame.columns)}"
        )
    places = shapely.centroid(frame.geometry.values)
    return shapely.get_x(places), shapely.get_y(places), frame[settings.class_field].astype(str).to_numpy()


def write_parquet(path: Path, frame: gpd.GeoDataFrame, finish: Finish = lambda file: None) -> None:
    """Write GeoParquet 1.1 with a bounding box column, atomically; `finish` may change the file before."""
    with aside(path) as temporary:
        frame.to_parquet(temporary, schema_version="1.1.0", write_covering_bbox=True, index=False)
        finish(temporary)


def write_table(path: Path, table: pd.DataFrame | pa.Table) -> None:
    """Write a table of a tile, without geometries or with encoded ones, as Parquet, atomically."""
    with aside(path) as temporary:
        if isinstance(table, pa.Table):
            # of a tile; dictionaries and statistics take longer than they save: 1.6 -> 1.1 ms, read 1.1 -> 0.9 ms
            pq.write_table(table, temporary, use_dictionary=False, write_statistics=False)
        else:
            table.to_parquet(temporary, index=False)


def write_geopackage(
    path: Path,
    frame: gpd.GeoDataFrame,
    layer: str,
    tables: Mapping[str, pd.DataFrame] | None = None,
    finish: Finish = lambda file: None,
) -> None:
    """Write a GeoPackage with one layer, and tables without geometry by name, atomically.

    `finish` may change the file, which is on disk, before it takes its name.
    """
    with aside(path) as temporary:
        # GDAL 3.8 and newer write version 1.4, which older GDAL and QGIS support only partially; without Arrow pyogrio
        # writes dates as texts
        pyogrio.write_dataframe(
            frame, temporary, layer=layer, driver="GPKG", promote_to_multi=True, geometry_type="MultiPolygon",
            VERSION="1.2", use_arrow=True,
        )  # fmt: skip
        for name, table in (tables or {}).items():
            pyogrio.write_dataframe(table, temporary, layer=name, driver="GPKG", append=True)
        finish(temporary)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write attributes as CSV, atomically; texts in quotes, unknown values empty."""
    with aside(path) as temporary:
        # 0.3 s for 56,000 records; pandas takes 3.2 s
        csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), temporary)


def read_part(path: Path) -> gpd.GeoDataFrame:
    """Read the features of one tile.

    Raises
    ------
    StaleStoreError
        If the file is damaged or was not made by lsbatch.
    """
    return _read(path, gpd.read_parquet)


def read_table(path: Path) -> pd.DataFrame:
    """Read the table of a tile without geometries; raises as `read_part`."""
    return _read(path, pd.read_parquet)


def read_columns(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read some columns of the table of a tile, and not the bytes of the others; raises as `read_table`."""
    with opened(path) as file:
        try:
            return pd.read_parquet(file, columns=columns)
        except (ValueError, TypeError, KeyError, OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno:
                # of the disk or of object storage; those of the decoder have no number
                raise
            raise damaged(path, error) from None


def read_arrow(path: Path, data: bytes | None = None) -> pa.Table:
    """Read the features of one tile without decoding them (see `from_arrow`); raises as `read_table`.

    `data` are the bytes of the file, if they have been read.
    """
    # pq.read_table, which is for folders of files too, takes twice the time for a small file
    return _read(path, lambda file: pq.ParquetFile(file).read(use_threads=False), data)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables of `read_arrow` to one with consecutive columns; raises StaleStoreError if they do not fit."""
    try:
        # permissive: sums of a tile without any valid pixel are integers
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowException as error:
        raise _misfits(error) from None


def from_arrow(tables: Sequence[pa.Table]) -> dict[str, Any]:
    """Join tables of `read_arrow` and decode them; return the columns, with shapely geometries in `geometry`.

    Without the CRS, which takes geopandas 40 ms a tile to parse, and without pandas' cost of a column. Texts are a
    string array of pandas, which takes a fifth of the memory of Python's strings; all others are numpy arrays. Raises
    as `joined`, also if there are no geometries.
    """
    table = joined(tables)
    try:
        columns = {name: _decoded(table[name]) for name in table.column_names}
        return columns | {"geometry": shapely.from_wkb(columns["geometry"])}
    except (KeyError, TypeError, ValueError, pa.ArrowException, shapely.errors.ShapelyError) as error:
        raise _misfits(error) from None


def _misfits(error: Exception) -> StaleStoreError:
    return StaleStoreError(
        f"parts of the tiles: are damaged, or were not made by lsbatch: {str(error)[:LONGEST_CAUSE]}; run lsbatch "
        "verify to find the tile, then lsbatch retry TILE"
    )


def _decoded(values: pa.ChunkedArray) -> Any:
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    return pd.array(values, dtype="str") if is_text else values.to_numpy()


def _read(path: Path, reader: Callable[[io.BytesIO], T], data: bytes | None = None) -> T:
    data = read_bytes(path) if data is None else data
    try:
        return reader(io.BytesIO(data))
    except UNREADABLE as error:
        raise damaged(path, error) from None


def damaged(path: Path, reason: object) -> StaleStoreError:
    """Return the error for a part that cannot be used."""
    cause = str(reason)[:LONGEST_CAUSE]
    return StaleStoreError(
        f"{path}: is damaged, or was not made by lsbatch: {cause}; compute its tile again with lsbatch retry"
    )
