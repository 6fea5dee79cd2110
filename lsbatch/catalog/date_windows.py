"""Search the archives for the scenes of each date window of a survey."""

from datetime import date

import numpy as np
import pyproj
import shapely

from lsbatch.bands import sensors
from lsbatch.catalog import national_dem
from lsbatch.catalog.orbit_matching import Scenes
from lsbatch.catalog.search import Found
from lsbatch.catalog.search import search as search_catalog
from lsbatch.errors import NoDataError
from lsbatch.settings import Config
from lsbatch.storage import longitudes

KEYS = ("pre_s2", "post_s2", "pre_s1", "post_s1", "dem")
SENSORS = {"pre_s2": "sentinel2", "post_s2": "sentinel2", "pre_s1": "sentinel1", "post_s1": "sentinel1", "dem": "dem"}


#: Answers of archives by sensor and days.
Answers = dict[tuple[str, tuple[date, date] | None], Found]


def search(config: Config, region: shapely.Geometry, known: Answers | None = None) -> tuple[Scenes, list[str]]:
    """Return the scenes over the region by key, and what was left out with the reason.

    Parameters
    ----------
    config : Config
    region : shapely geometry
        In the grid's CRS.
    known : mapping, optional
        Answers to earlier searches for the same region and archives, which are not asked again; new ones are added.

    Raises
    ------
    NoDataError
        If a sensor that the setting `bands` needs has no scene in a window.
    CatalogError
    """
    footprint = outline(region, config)
    windows = config.survey.windows
    days = {"pre_s2": windows.pre, "post_s2": windows.post, "pre_s1": windows.pre, "post_s1": windows.post, "dem": None}
    scenes: Scenes = dict.fromkeys(KEYS, ())
    left_out: list[str] = []
    for key, sensor in SENSORS.items():
        source = getattr(config.archives, sensor)
        if sensor == "dem" and config.archives.dem_file is not None:
            own = national_dem.scene(config.archives.dem_file)
            if own.footprint.intersects(footprint):
                scenes[key] = (own,)
            elif source is None and sensor in sensors(config.inputs):
                raise NoDataError(f"archives.dem_file: {config.archives.dem_file} does not cover the region")
        if source is None:
            continue
        found = _answer(config, sensor, footprint, days[key], {} if known is None else known)
        if not (scenes[key] or found.scenes) and sensor in sensors(config.inputs):
            raise NoDataError(_nothing(sensor, found, days[key], footprint))
        scenes[key] += found.scenes
        left_out += found.left_out
    return scenes, left_out


def _answer(
    config: Config, sensor: str, footprint: shapely.Geometry, days: tuple[date, date] | None, known: Answers
) -> Found:
    if (sensor, days) not in known:
        known[sensor, days] = search_catalog(
            getattr(config.archives, sensor),
            sensor,
            footprint,
            days,
            max_cloud_percent=config.archives.max_cloud_percent,
            attempts=config.archives.attempts,
            further=config.composite.bands if sensor == "sentinel2" else (),
        )
    return known[sensor, days]


def _nothing(sensor: str, found: Found, days: tuple[date, date] | None, footprint: shapely.Geometry) -> str:
    when = "" if days is None else f" from {days[0]} to {days[1]}"
    left, bottom, right, top = longitudes.extent(footprint)
    over = f"the region (longitude {left:.2f} to {right:.2f}, latitude {bottom:.2f} to {top:.2f})"
    if found.left_out:
        return (
            f"archives.{sensor}: {found.where} has no usable scene over {over}{when}; "
            f"{len(found.left_out)} were rejected, the first: {found.left_out[0]}"
        )
    return (
        f"archives.{sensor}: {found.where} has no scene over {over}{when}; check the region, the year, the season "
        "and the collections"
    )


def outline(region: shapely.Geometry, config: Config) -> shapely.Geometry:
    """Return a region of the grid's CRS in EPSG:4326. Corners are added so that its edges keep their position."""
    return to_lonlat(shapely.segmentize(region, 10_000), config.grid.crs)


def to_lonlat(shapes: shapely.Geometry | np.ndarray, crs: str) -> shapely.Geometry | np.ndarray:
    """Transform a geometry, or an array of them, to EPSG:4326, split at 180 degrees; only corners are transformed."""
    transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    moved = shapely.transform(shapes, transformer.transform, interleaved=False)
    return longitudes.split_all(moved) if isinstance(moved, np.ndarray) else longitudes.split(moved)
