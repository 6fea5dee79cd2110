"""Tiles of Web Mercator, and the pixels of the national grid below them."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from pyproj import Transformer

from lsbatch.errors import LsbatchError

CRS = "EPSG:3857"
#: Half the side of the world in metres of Web Mercator.
WORLD_M = math.pi * 6378137.0
#: Pixels along a side of an image tile.
TILE_PX = 512
#: Largest zoom of an address of a tile.
MOST_ZOOM = 24


@dataclass(frozen=True)
class Tile:
    """One tile: its zoom, column from the west and row from the north.

    Raises
    ------
    LsbatchError
        If there is no such tile.
    """

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not (0 <= self.z <= MOST_ZOOM and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise LsbatchError(f"tile {self.z}/{self.x}/{self.y}: zoom is 0 to {MOST_ZOOM}, x and y below 2^zoom")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return left, bottom, right, top in metres of Web Mercator."""
        side = 2 * WORLD_M / 2**self.z
        left, top = self.x * side - WORLD_M, WORLD_M - self.y * side
        return left, top - side, left + side, top

    @property
    def geobox(self) -> GeoBox:
        """Return the pixels of its image."""
        return GeoBox.from_bbox(BoundingBox(*self.bounds, crs=CRS), shape=(TILE_PX, TILE_PX), tight=True)


@lru_cache(maxsize=8)
def transformer(source: str, target: str) -> Transformer:
    """Return the transformation between two CRS, x first; kept, because making one takes milliseconds."""
    return Transformer.from_crs(source, target, always_xy=True)


def window(tile: Tile, grid: GeoBox) -> tuple[slice, slice]:
    """Return rows and columns of a grid that contain a tile, with two pixels more on each side.

    They may lie outside the grid. A tile that cannot be transformed to the CRS of the grid gives an empty window.
    """
    bounds = transformer(CRS, str(grid.crs)).transform_bounds(*tile.bounds, densify_pts=21)
    if not np.isfinite(bounds).all():
        return slice(0, 0), slice(0, 0)
    (left, bottom), (right, top) = (~grid.transform @ corner for corner in (bounds[:2], bounds[2:]))
    rows, cols = (slice(math.floor(first) - 2, math.ceil(last) + 2) for first, last in ((top, bottom), (left, right)))
    return rows, cols


def inside(spans: tuple[slice, slice], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the part of a window inside an array; it may be empty."""
    rows, cols = (
        slice(max(0, span.start), max(0, span.start, min(size, span.stop)))
        for span, size in zip(spans, shape, strict=True)
    )
    return rows, cols
