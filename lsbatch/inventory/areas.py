"""Statistics by county or other polygons: surveyed area, landslide count and landslide area."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import identity, inventory_files
from lsbatch.inventory.schema import Field
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.types import Block, Reduction, Stage
from lsbatch.settings import Config
from lsbatch.storage import receipts, vectors
from lsbatch.storage.geometries import rasterize

#: Columns of ``areas.csv``, in order.
FIELDS = (
    Field("area", "area", "str", "name of the polygon"),
    Field("surveyed_km2", "area", "float64", "observed ground in the polygon", "km2"),
    Field("landslides", "area", "int64", "landslides of which the polygon contains most"),
    Field("landslide_area_m2", "area", "float64", "sum of their areas", "m2"),
    Field("largest_m2", "area", "float64", "area of the largest of them; 0 if there is none", "m2"),
    Field("landslide_share", "area", "float64", "share of landslide pixels of the observed ground", "1"),
    Field("landslides_per_1000_km2", "area", "float64", "landslides over the observed ground", "1/1000 km2"),
)
#: Figures of an area.
FIGURES = tuple(field.name for field in FIELDS[1:])
#: Name of the row for ground outside all polygons.
ELSEWHERE = "(in none)"
_SETTINGS = ("inventory.areas", "inventory.areas_field")


def count(block: Block, config: Config) -> Block:
    """Count the surveyed and the landslide pixels of each area in a tile."""
    found = block.bands["landslide"]
    box = block.tile.geobox
    named = {name: rasterize(shape, box) for name, shape in _near(config, tuple(box.boundingbox.bbox)).items()}
    nowhere = ~np.logical_or.reduce([np.zeros(found.shape, bool), *named.values()])
    tally = {
        name: [int(np.count_nonzero(found[inside] != UNOBSERVED)), int(np.count_nonzero(found[inside] == 1))]
        for name, inside in {**named, ELSEWHERE: nowhere}.items() if inside.any()
    }  # fmt: skip
    return Block(block.tile, 0, {}, {"areas": tally})


def _near(config: Config, bounds: tuple[float, ...]) -> dict[str, shapely.Geometry]:
    assert config.inventory.areas is not None
    return vectors.read_named(config.inventory.areas, config.inventory.areas_field, _SETTINGS, config.grid.crs, bounds)


def _settings(config: Config) -> Mapping[str, Any]:
    file = config.inventory.areas
    assert file is not None
    # read once before the tiles, so that a wrong file gives one error and not one for each tile
    vectors.read_named(file, config.inventory.areas_field, _SETTINGS, config.grid.crs)
    return {"areas": receipts.checksum(file), "field": config.inventory.areas_field}


def write(survey: Survey, config: Config) -> dict[str, Any]:
    """Write ``inventory/areas.gpkg`` and ``areas.csv``."""
    shapes = outlines(config)
    done = receipts.read_stage(survey.workspace.receipts, "areas").values()
    landslides = identity.found(inventory_files.read(survey.workspace))
    frame = figures(
        shapes,
        [receipt.tally["areas"] for receipt in done if receipt],
        landslides,
        (survey.grid.resolution_m / 1000) ** 2,
    )
    folder = survey.workspace.inventory
    columns = inventory_files.described(FIELDS, config.inventory.language)
    vectors.write_geopackage(
        folder / "areas.gpkg",
        frame[frame["area"] != ELSEWHERE],
        "areas",
        finish=partial(inventory_files.describe_geopackage, layer="areas", columns=columns),
    )
    vectors.write_csv(folder / "areas.csv", frame.drop(columns="geometry"))
    return {"areas": len(shapes)}


def figures(
    shapes: Mapping[str, shapely.Geometry],
    counts: list[Mapping[str, list[int]]],
    landslides: gpd.GeoDataFrame,
    px_km2: float,
) -> gpd.GeoDataFrame:
    """Return one row an area, and one row for surveyed ground outside all areas.

    Parameters
    ----------
    shapes : mapping of name to polygon
        In the landslides' CRS; they may have holes and may overlap.
    counts : list of mapping of name to (surveyed, landslide) pixels
        One mapping a tile; counts are added.
    landslides : GeoDataFrame
        The inventory. Each landslide belongs to the area that contains most of it.
    px_km2 : float
        Of a pixel.
    """
    home = homes(shapes, landslides)
    rows = []
    for name in (*shapes, ELSEWHERE):
        surveyed, landslide = np.sum([one.get(name, (0, 0)) for one in counts], axis=0) if counts else (0, 0)
        mine = landslides[home == name]
        if name == ELSEWHERE and not surveyed and mine.empty:
            continue
        km2 = float(surveyed) * px_km2
        rows.append({
            "area": name,
            "surveyed_km2": km2,
            "landslides": len(mine),
            "landslide_area_m2": float(mine["area_m2"].sum()),
            "largest_m2": float(mine["area_m2"].max()) if len(mine) else 0.0,
            # counted in pixels, so landslides below the inventory's minimum area are included
            "landslide_share": float(landslide) / float(surveyed) if surveyed else np.nan,
            "landslides_per_1000_km2": 1000 * len(mine) / km2 if km2 else np.nan,
            "geometry": shapes.get(name),
        })  # fmt: skip
    columns = ["area", *FIGURES, "geometry"]
    frame = gpd.GeoDataFrame(rows, columns=columns, geometry="geometry", crs=landslides.crs)
    return inventory_files.rounded(frame, FIELDS)


def outlines(config: Config) -> dict[str, shapely.Geometry]:
    """Return the polygons of `inventory.areas` in the grid's CRS by name; none without the setting."""
    file = config.inventory.areas
    if file is None:
        return {}
    return vectors.read_named(file, config.inventory.areas_field, _SETTINGS, config.grid.crs)


def homes(shapes: Mapping[str, shapely.Geometry], landslides: gpd.GeoDataFrame) -> pd.Series:
    """Return the area that contains most of each landslide; the first if equal, `ELSEWHERE` if in none."""
    home = pd.Series(ELSEWHERE, index=landslides.index, dtype="str")
    most = np.zeros(len(landslides))
    outlines = np.asarray(landslides.geometry.values)
    for name, shape in shapes.items():
        shapely.prepare(shape)
        near = np.flatnonzero(shapely.intersects(shape, outlines))
        held = shapely.area(shapely.intersection(outlines[near], shape))
        better = near[held > most[near]]
        most[near] = np.maximum(most[near], held)
        home.iloc[better] = name
    return home


STAGE = Stage(
    name="areas",
    version=1,
    apply=count,
    settings=_settings,
    reads=lambda config: {"mask": ("landslide",)},
    after=("clean",),
    wanted=lambda config: config.inventory.areas is not None,
)
REDUCTION = Reduction(
    name="figures",
    version=2,
    apply=write,
    settings=lambda config: {"field": config.inventory.areas_field, "language": config.inventory.language},
    after=("areas", "inventory"),
    wanted=lambda config: config.inventory.areas is not None,
)
