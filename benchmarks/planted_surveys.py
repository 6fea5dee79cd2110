"""Surveys of real scenes with planted landslides, to train on: Sentinel-1 of California, without the test bursts."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio.features
import shapely

from benchmarks import reality
from benchmarks import reality_scenes as scenes
from benchmarks.reality_measures import Method
from benchmarks.reality_scenes import Case
from lsbatch import settings
from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.synthetic.planting import Planted

#: Copies of each comparison, with other landslides in each.
DRAWS = 3
#: Another seed than that of the planted landslides that are scored.
SEED = 1
#: Share of the land on which landslides are planted: less than where they are scored, for more ground without any.
SHARE = 0.02


def surveyed(data: Path, folder: Path, changes: dict[str, Any]) -> list[settings.Config]:
    """Return the settings of a survey for each comparison and draw; scenes and outlines are made if not there.

    Parameters
    ----------
    data : Path
        Folder of the real scenes.
    folder : Path
        Where the surveys go.
    changes : dict
        Settings that replace those of `reality.raw_settings`: bands and training.

    Raises
    ------
    SystemExit
        If the real scenes are not there. Weights without them would carry the same name.
    """
    if absent := reality.missing(data, ("california",)):
        raise SystemExit(f"real scenes are not at {absent[0]}; give their folder with --data")
    configs = []
    for case in scenes.cases(data, folder, ("california",)):
        some = replace(case, patches=tuple(patch for patch in case.patches if patch.name in scenes.LEARNED))
        configs += [survey(some, draw, folder / f"planted-{case.survey.id}-{draw}", changes) for draw in range(DRAWS)]
    return configs


def survey(case: Case, draw: int, folder: Path, changes: dict[str, Any]) -> settings.Config:
    """Return the settings of a survey of a case with a draw of planted landslides; it is made if it is not there."""
    truth = folder / "truth.gpkg"
    if not truth.exists():
        # of an interrupted call
        shutil.rmtree(folder, ignore_errors=True)
        drawn = {patch.name: scenes.plant(case, patch, draw, SEED, SHARE) for patch in case.patches}
        scenes.copy(case, folder / "scenes", drawn)
        make_catalog(folder / "scenes")
        reality.write_region(case, folder / "region.gpkg")
        part = folder / "truth.part.gpkg"
        outlines(case, drawn).to_file(part)
        part.replace(truth)
    raw = reality.raw_settings(case, Method("unet", str(changes["bands"]), None)) | changes
    raw["survey"]["id"] += f"-planted-{draw}"
    return settings.parse(raw | {"truth": {"file": "truth.gpkg"}}, folder)


def outlines(case: Case, drawn: dict[str, Planted]) -> gpd.GeoDataFrame:
    """Return the outlines of the planted landslides along pixel edges."""
    found = [
        shapely.geometry.shape(outline)
        for patch in case.patches
        for outline, _ in rasterio.features.shapes(
            drawn[patch.name].labels, drawn[patch.name].labels > 0, transform=patch.geobox.transform
        )
    ]
    return gpd.GeoDataFrame(geometry=found, crs=case.patches[0].geobox.crs.to_wkt())
