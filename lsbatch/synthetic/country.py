"""A synthetic country on one grid: relief, land cover, landslides and confounders from one seed."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.synthetic import confounders, cover, landslides, relief
from lsbatch.synthetic import variety as varieties
from lsbatch.synthetic.conditions import PLAIN, Conditions

CRS = "EPSG:25833"
#: Top left corner: a multiple of 512 pixels, on the border of UTM zones 32 and 33 (12 degrees east, 61.5 north).
LEFT_M, TOP_M = 337_920.0, 6_830_080.0
YEAR = 2020
STORM = date(YEAR, 6, 3)
SEASON = ("06-20", "09-10")


@dataclass(frozen=True)
class Ground:
    """The ground before and after; all arrays (rows, cols).

    `one_grid` tells whether all scenes are on the grid of the country, so that it can be repeated: a granule of another
    zone that is moved has other pixels.
    """

    seed: int
    geobox: GeoBox
    relief: relief.Relief
    cover: np.ndarray
    fields: np.ndarray
    slides: landslides.Landslides
    confounders: confounders.Confounders
    texture: np.ndarray
    conditions: Conditions = PLAIN
    variety: varieties.Variety | None = None
    one_grid: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.cover.shape

    @property
    def pixel_m(self) -> float:
        """Return the side of a pixel."""
        return self.conditions.land.pixel_m

    @property
    def varied(self) -> varieties.Variety:
        """Return the variety of a varied country; the plain country has none (ValueError)."""
        if self.variety is None:
            raise ValueError(f"the country of seed {self.seed} is plain and has no variety")
        return self.variety


def rng(seed: int, *purpose: int) -> np.random.Generator:
    """Return a random generator for one purpose, independent of the generators of other purposes."""
    return np.random.default_rng([seed, *purpose])


def make(seed: int, rows: int, cols: int, conditions: Conditions = PLAIN) -> Ground:
    """Return the country of a seed."""
    shape = (rows, cols)
    terrain = relief.make(shape, rng(seed, 1), conditions.land)
    land, fields = cover.make(terrain, rng(seed, 2), conditions.land)
    slides = landslides.make(terrain, land, STORM, rng(seed, 3), conditions)
    changes = confounders.make(terrain, land, fields, slides, rng(seed, 4), conditions)
    texture = relief.fractal(shape, rng(seed, 5), 2.2, 40)
    more = varieties.make(terrain, land, fields, conditions, rng(seed, 6)) if conditions.varied else None
    box = _geobox(rows, cols, conditions.land.pixel_m)
    return Ground(seed, box, terrain, land, fields, slides, changes, texture, conditions, more)


def _geobox(rows: int, cols: int, pixel_m: float) -> GeoBox:
    # the corner of a tile of 512 pixels
    tile_m = 512 * pixel_m
    left, top = LEFT_M // tile_m * tile_m, -(-TOP_M // tile_m) * tile_m
    box = (left, top - pixel_m * rows, left + pixel_m * cols, top)
    return GeoBox.from_bbox(box, CRS, shape=(rows, cols), tight=True)
