"""Ground that a survey observed, and ground that the survey of the year before observed too, by area."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import shapely

from lsbatch.bands import mask
from lsbatch.catalog.survey import Position, Survey
from lsbatch.grid import tile_id
from lsbatch.imagery.prefetch import in_order
from lsbatch.inventory.areas import ELSEWHERE
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.storage import cube, receipts
from lsbatch.storage.geometries import rasterize
from lsbatch.storage.receipts import Receipt

#: Name of the row for the whole survey.
WHOLE = "(whole survey)"
#: Tiles whose masks are read in advance; in object storage each waits for its own requests.
TOGETHER = 8


@dataclass(frozen=True)
class ComparedGround:
    """Observed pixels of a survey.

    Attributes
    ----------
    observed, common : mapping of area to pixels
        Observed by this survey; by this and the one before. `common` is None if there is none, or on another grid.
    tiles : mapping of (row, col) to share
        Observed share of the region's pixels in each tile; 0 where the tile is not done.
    """

    observed: Mapping[str, int]
    common: Mapping[str, int] | None
    tiles: Mapping[Position, float] = field(default_factory=dict)


def measure(survey: Survey, last: Survey | None, areas: Mapping[str, shapely.Geometry]) -> ComparedGround:
    """Count the observed pixels of a survey by area, one tile at a time.

    Parameters
    ----------
    survey, last : Survey
        This year's and last year's; None for the first.
    areas : mapping of name to polygon
        In the grid's CRS. Pixels whose centre lies in two polygons count in both.
    """
    if last is not None and last.grid != survey.grid:
        last = None
    masked = receipts.read_stage(survey.workspace.receipts, "clean")
    before = {} if last is None else receipts.read_stage(last.workspace.receipts, "clean")
    calls = [
        partial(_tile, survey, last if before.get(tile_id(*position)) else None, position, areas)
        for position in survey.positions
        if masked.get(tile_id(*position))
    ]
    observed: dict[str, int] = {}
    common: dict[str, int] = {}
    for counts in in_order(calls, TOGETHER):
        for name, (here, both) in counts.items():
            observed[name] = observed.get(name, 0) + here
            common[name] = common.get(name, 0) + both
    return ComparedGround(observed, None if last is None else common, _shares(survey, masked))


def _tile(
    survey: Survey, last: Survey | None, position: Position, areas: Mapping[str, shapely.Geometry]
) -> dict[str, tuple[int, int]]:
    """Return the pixels of a tile that this survey, and that both surveys observed, by area.

    `last` is None if it has not done the tile.
    """
    observed = _observed(survey, position)
    both = observed & _observed(last, position) if last is not None else np.zeros_like(observed)
    box = survey.tile(position).geobox
    outline = shapely.box(*box.boundingbox.bbox)
    inside = {name: rasterize(shape, box) for name, shape in areas.items() if shape.intersects(outline)}
    inside[WHOLE] = np.ones(observed.shape, bool)
    if areas:
        inside[ELSEWHERE] = ~np.logical_or.reduce([np.zeros_like(observed), *(inside[n] for n in inside if n != WHOLE)])
    return {name: (int((observed & of).sum()), int((both & of).sum())) for name, of in inside.items()}


def _observed(survey: Survey, position: Position) -> np.ndarray:
    """Return the observed pixels of a tile."""
    layer = mask(survey.config.model.family)
    tile = survey.tile(position)
    found = cube.read(survey.workspace.store, survey.grid, layer, tile, 0, ("landslide",))["landslide"]
    return np.asarray(found != UNOBSERVED)


def _shares(survey: Survey, masked: Mapping[str, Receipt]) -> dict[Position, float]:
    stacked = receipts.read_stage(survey.workspace.receipts, "stack")
    shares = {}
    for position in survey.positions:
        before, after = stacked.get(tile_id(*position)), masked.get(tile_id(*position))
        inside = before.tally["region_pixels"] if before else 0
        shares[position] = min(1.0, after.tally["surveyed_pixels"] / inside) if after and inside else 0.0
    return shares
