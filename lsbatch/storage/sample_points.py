"""Sample points as GeoPackage: the layer `sample` for the reviewer and the layer `design`."""

import hashlib
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError

from lsbatch.errors import ConfigError
from lsbatch.storage.files import aside, on_disk

POINTS, DESIGN = "sample", "design"

#: Columns of a point that a reviewer must not change, and those to fill in.
FIXED = ("id", "stratum", "map_class", "x", "y", "tile", "inclusion", "weight")
FILLED = ("reference", "reviewer", "comment")


def write(path: Path, points: gpd.GeoDataFrame, design: pd.DataFrame) -> None:
    """Write both layers atomically."""
    with aside(path) as temporary:
        pyogrio.write_dataframe(points, temporary, layer=POINTS, driver="GPKG")
        pyogrio.write_dataframe(design, temporary, layer=DESIGN, driver="GPKG", append=True)


def read(path: Path, crs: str) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Read both layers, also after another program has saved the file in another CRS.

    Raises
    ------
    ConfigError
        If it cannot be read, or lacks a layer, a column or its CRS.
    """
    try:
        here = on_disk(path)
        layers = [str(name) for name in pyogrio.list_layers(here)[:, 0]]
        for name in (POINTS, DESIGN):
            if name not in layers:
                raise ConfigError(
                    f"{path}: is not a probability sample, because it lacks the layer {name!r}; give the file that "
                    "lsbatch sample wrote, with its two layers"
                )
        points, design = (pyogrio.read_dataframe(here, layer=name) for name in (POINTS, DESIGN))
    except (DataSourceError, DataLayerError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as a sample: {error}") from None
    missing = [name for name in (*FIXED, *FILLED, "seal") if name not in points]
    if missing:
        raise ConfigError(
            f"{path}: its layer {POINTS!r} lacks the column {missing[0]!r}; give the file that lsbatch sample wrote"
        )
    if not isinstance(points, gpd.GeoDataFrame) or points.crs is None:
        raise ConfigError(
            f"{path}: its layer {POINTS!r} has no points with a CRS; give the file that lsbatch sample wrote"
        )
    return points.to_crs(crs), pd.DataFrame(design)


def seal(values: Iterable[Any]) -> str:
    """Return 8 hex digits of values in order; they detect mistakes, not forgery."""
    # whole numbers are written as int, because other programs change their type
    texts = [repr(float(one)) if isinstance(one, Real) else str(one) for one in values]
    return hashlib.blake2b("\x1f".join(texts).encode(), digest_size=4).hexdigest()
