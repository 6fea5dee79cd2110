"""The national grid: one projected pixel lattice, cut into tiles.

Rows are counted southward and columns eastward from the top left corner, always in that order. The corner is
snapped to multiples of a tile's side in the coordinates of the CRS, so two surveys with other bounds share their
pixels, their tiles and the window lattice of the network.
"""

import math
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox


def tile_id(row: int, col: int) -> str:
    """Return the name of a tile in receipts, parts and messages, e.g. ``r012c034``."""
    return f"r{row:03d}c{col:03d}"


@dataclass(frozen=True)
class Tile:
    """One cell of the grid.

    Attributes
    ----------
    row, col : int
        Position in the grid, from the top left.
    geobox : GeoBox
        Pixel lattice of the tile, without halo.
    """

    row: int
    col: int
    geobox: GeoBox

    @property
    def id(self) -> str:
        """See `tile_id`."""
        return tile_id(self.row, self.col)

    @property
    def region(self) -> tuple[slice, slice]:
        """Return rows and columns of the tile in the national array."""
        rows, cols = self.geobox.shape
        return (
            slice(self.row * rows, (self.row + 1) * rows),
            slice(self.col * cols, (self.col + 1) * cols),
        )

    def padded(self, halo_px: int) -> GeoBox:
        """Return the geobox of the tile with `halo_px` more pixels on each side."""
        return self.geobox.pad(halo_px) if halo_px else self.geobox


@dataclass(frozen=True)
class Grid:
    """A projected grid that covers the bounds of a survey with whole tiles.

    Attributes
    ----------
    crs : str
        Projected CRS in metres, e.g. ``EPSG:25833``.
    resolution_m : float
        Side of a pixel.
    tile_px : int
        Side of a tile in pixels; also the side of a Zarr shard.
    bounds : tuple of float
        left, bottom, right, top in `crs`; snapped outward to whole tiles by `snapped`.
    """

    crs: str
    resolution_m: float
    tile_px: int
    bounds: tuple[float, float, float, float]

    @classmethod
    def snapped(cls, crs: str, resolution_m: float, tile_px: int, bounds: tuple[float, float, float, float]) -> "Grid":
        """Grow `bounds` to multiples of the tile side, so that grids of different surveys coincide."""
        side = resolution_m * tile_px
        left, bottom, right, top = bounds
        # 1e-6 of a tile: bounds that are multiples already must not gain a row through float division
        return cls(
            crs,
            resolution_m,
            tile_px,
            (
                math.floor(left / side + 1e-6) * side,
                math.floor(bottom / side + 1e-6) * side,
                math.ceil(right / side - 1e-6) * side,
                math.ceil(top / side - 1e-6) * side,
            ),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns of the national array, in pixels."""
        left, bottom, right, top = self.bounds
        return round((top - bottom) / self.resolution_m), round((right - left) / self.resolution_m)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Return rows and columns of the grid, in tiles."""
        rows, cols = self.shape
        return rows // self.tile_px, cols // self.tile_px

    @property
    def geobox(self) -> GeoBox:
        """Return the geobox of the whole grid."""
        return GeoBox.from_bbox(BoundingBox(*self.bounds, crs=self.crs), shape=self.shape, tight=True)

    def tile(self, row: int, col: int) -> Tile:
        """Return the tile at a position; raise IndexError outside the grid."""
        rows, cols = self.tile_shape
        if not (0 <= row < rows and 0 <= col < cols):
            raise IndexError(f"tile {row=}, {col=} outside a grid of {rows} x {cols} tiles")
        n = self.tile_px
        return Tile(row, col, self.geobox[row * n : (row + 1) * n, col * n : (col + 1) * n])

    def tiles(self) -> tuple[Tile, ...]:
        """Return all tiles in row-major order."""
        rows, cols = self.tile_shape
        return tuple(self.tile(row, col) for row in range(rows) for col in range(cols))

    def neighbours(self, row: int, col: int) -> tuple[tuple[int, int], ...]:
        """Return the positions of the up to eight tiles around one, in row-major order."""
        rows, cols = self.tile_shape
        return tuple(
            (r, c)
            for r in range(max(0, row - 1), min(rows, row + 2))
            for c in range(max(0, col - 1), min(cols, col + 2))
            if (r, c) != (row, col)
        )
