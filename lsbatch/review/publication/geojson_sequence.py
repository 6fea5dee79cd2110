"""Landslides as a GeoJSON text sequence (RFC 8142) in longitude and latitude (RFC 7946)."""

import json
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from lsbatch.inventory.previous_inventory import ID
from lsbatch.review import listing
from lsbatch.storage.longitudes import split_all

#: Decimals of a degree: one centimetre.
DECIMALS = 7
#: Begins each text of a sequence, so that a reader finds the next one after a damaged one.
SEPARATOR = "\x1e"


def write(path: Path, frame: gpd.GeoDataFrame) -> None:
    """Write one feature a landslide, with its id as the id of the feature; unknown values are null."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text in _features(frame):
            file.write(f"{SEPARATOR}{text}\n")


def _features(frame: gpd.GeoDataFrame) -> Iterator[str]:
    names = [str(name) for name in frame.columns.drop("geometry")]
    columns = [[listing.plain(value) for value in frame[name].tolist()] for name in names]
    for name, shape, values in zip(frame[ID], _shapes(frame), zip(*columns, strict=True), strict=True):
        properties = {key: None if value == "" else value for key, value in zip(names, values, strict=True)}
        told = json.dumps(properties, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        yield f'{{"type":"Feature","id":{json.dumps(name)},"geometry":{shape},"properties":{told}}}'


def _shapes(frame: gpd.GeoDataFrame) -> np.ndarray:
    """Return the outlines as GeoJSON: split at 180 degrees, outer rings counterclockwise."""
    lonlat = split_all(np.asarray(frame.geometry.to_crs("EPSG:4326").values, object))
    rounded = shapely.transform(lonlat, lambda xy: np.round(xy, DECIMALS))
    return np.asarray(shapely.to_geojson(shapely.orient_polygons(rounded)))
