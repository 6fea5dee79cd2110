"""A synthetic country on one grid: relief, land cover, landslides and confounders from one seed."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.synthetic import confounders, cover, landslides, relief

CRS = "EPSG:25833"
#: Top left corner: a multiple of 512 pixels, on the border of UTM zones 32 and 33 (12 degrees east, 61.5 north).
LEFT_M, TOP_M = 337_920.0, 6_830_080.0
YEAR = 2020
STORM = date(YEAR, 6, 3)
SEASON = ("06-20", "09-10")


@dataclass(frozen=True)
class Ground:
    """The ground before and after; all arrays (rows, cols)."""

    seed: int
    geobox: GeoBox
    relief: relief.Relief
    cover: np.ndarray
    fields: np.ndarray
    slides: landslides.Landslides
    confounders: confounders.Confounders
    texture: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.cover.shape


def rng(seed: int, *purpose: int) -> np.random.Generator:
    """Return a random generator for one purpose, independent of the generators of other purposes."""
    return np.random.default_rng([seed, *purpose])


def make(seed: int, rows: int, cols: int) -> Ground:
    """Return the country of a seed."""
    terrain = relief.make((rows, cols), rng(seed, 1))
    land, fields = cover.make(terrain, rng(seed, 2))
    slides = landslides.make(terrain, land, STORM, rng(seed, 3))
    changes = confounders.make(terrain, land, fields, slides, rng(seed, 4))
    texture = relief.fractal((rows, cols), rng(seed, 5), 2.2, 40)
    return Ground(seed, _geobox(rows, cols), terrain, land, fields, slides, changes, texture)


def _geobox(rows: int, cols: int) -> GeoBox:
    return GeoBox.from_bbox((LEFT_M, TOP_M - 10 * rows, LEFT_M + 10 * cols, TOP_M), CRS, shape=(rows, cols), tight=True)
