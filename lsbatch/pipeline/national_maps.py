"""National maps from the cube: probability, mask, date and observability as COGs with overviews."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.survey import Survey
from lsbatch.grid import Tile, tile_id
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.types import Reduction
from lsbatch.settings import Config
from lsbatch.storage import cube, files, rasters, receipts
from lsbatch.storage.rasters import Legend

NO_PERCENT = 255
NO_DAY = -32768
#: Maps by name, with their meaning; docs/inventory.md describes each.
LEGENDS: Mapping[str, Legend] = {
    "probability": Legend("probability of a landslide", "1", 0.01),
    "mask": Legend("1 landslide, 0 none, 255 not observed"),
    "date": Legend("day of the clear look after, where there is a landslide", "days since 1970-01-01"),
    "observed": Legend(STACK["observed"].description),
}


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Write ``maps/*.tif`` tile by tile."""
    done = receipts.read_stage(survey.workspace.receipts, "clean")
    tiles = [survey.tile(position) for position in survey.positions if done.get(tile_id(*position))]
    family = config.model.family

    def read(tile: Tile, layer: Any, band: str) -> np.ndarray:
        return cube.read(survey.workspace.store, survey.grid, layer, tile, 0, (band,))[band]

    def percent(tile: Tile) -> np.ndarray:
        values = read(tile, probability(family), "probability")
        return np.where(np.isnan(values), NO_PERCENT, np.rint(values * 100)).astype(np.uint8)

    def found(tile: Tile) -> np.ndarray:
        return read(tile, mask(family), "landslide")

    def day(tile: Tile) -> np.ndarray:
        return np.where(found(tile) == 1, read(tile, STACK, "post_date"), NO_DAY).astype(np.int16)

    def seen(tile: Tile) -> np.ndarray:
        return read(tile, STACK, "observed")

    folder = survey.workspace.maps
    asked: tuple[tuple[str, Any, type[np.integer], int | None, str], ...] = (
        ("probability", percent, np.uint8, NO_PERCENT, "average"),
        ("mask", found, np.uint8, UNOBSERVED, "nearest"),
        ("date", day, np.int16, NO_DAY, "nearest"),
        ("observed", seen, np.uint8, None, "mode"),
    )
    for name, values, dtype, nodata, overviews in asked:
        file = folder / f"{name}.tif"
        files.sweep(file)
        rasters.write(file, survey.grid, tiles, values, dtype, nodata, legend=LEGENDS[name], overviews=overviews)
    return {"maps": len(asked), "tiles": len(tiles)}


REDUCTION = Reduction(
    name="rasters",
    version=1,
    apply=apply,
    settings=lambda config: {"model": config.model.family},
    after=("stack", "predict", "clean"),
)
