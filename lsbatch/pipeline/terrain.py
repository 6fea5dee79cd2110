"""Terrain of a tile and its surroundings: elevation, slope, aspect, cast shadow."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.grid import Tile
from lsbatch.imagery import scene_reading
from lsbatch.kernels import hairline_voids, terrain
from lsbatch.pipeline.types import Dropped
from lsbatch.settings import Config

#: Maximum distance in metres of a terrain shadow: 1500 m of relief at 30 degrees of sun elevation. Every tile reads as
#: much DEM around it.
SHADOW_REACH_M = 2560.0
#: Widest void of the DEM that is interpolated: three pixels of Copernicus GLO-30, whose tiles lack a column or a row
#: between them in some archives (microsoft/PlanetaryComputer issue 319). Wider voids stay nodata.
HAIRLINE_M = 90.0
#: Shadow is computed on pixels of about this side, like in Sentinel-2's own terrain correction. For 40 images of a 10 m
#: tile this takes 1.2 s of 24 s (benchmarks/stack_tile.py). At 10 m it is four times the pixels.
SHADOW_SIDE_M = 20.0


@dataclass(frozen=True)
class Ground:
    """Terrain of a tile with a halo.

    Attributes
    ----------
    geobox : GeoBox
        Of the tile itself.
    halo_px : int
        Pixels around it in the arrays.
    elevation_m : array (rows + 2 halo, cols + 2 halo), float32
        NaN where the DEM has no value.
    side_m : float
        Of a pixel.
    is_filled : bool array (rows, cols)
        Pixels of the tile in hairline voids of the DEM, which are interpolated.
    used : tuple of str
    dropped : tuple of Dropped
        DEM scenes used, and DEM scenes that could not be read, with the reason.
    """

    geobox: GeoBox
    halo_px: int
    elevation_m: np.ndarray
    side_m: float
    is_filled: np.ndarray
    used: tuple[str, ...]
    dropped: tuple[Dropped, ...]

    def slope_aspect(self, halo_px: int) -> tuple[np.ndarray, np.ndarray]:
        """Return slope and aspect in degrees with this halo, at most `halo_px` - 1."""
        around = self.halo_px - halo_px - 1
        inner = slice(around, -around or None)
        dem = self.elevation_m[inner, inner]
        slope, aspect = terrain.slope(dem, self.side_m, self.side_m), terrain.aspect(dem, self.side_m, self.side_m)
        return slope[1:-1, 1:-1].copy(), aspect[1:-1, 1:-1].copy()

    def shade(self, sun_azimuth_deg: float | None, sun_elevation_deg: float | None) -> np.ndarray:
        """Return pixels of the tile in shadow, bool (rows, cols); none if the sun position is unknown."""
        if sun_azimuth_deg is None or sun_elevation_deg is None or not np.isfinite(self.elevation_m).any():
            return np.zeros(self.geobox.shape, np.bool_)
        factor = _coarser(self.side_m)
        side, halo = self.side_m * factor, self.halo_px // factor
        dark = terrain.shadow(self._coarse_m, side, side, sun_azimuth_deg, sun_elevation_deg, SHADOW_REACH_M)
        rows, cols = dark.shape
        return dark[halo : rows - halo, halo : cols - halo].repeat(factor, axis=0).repeat(factor, axis=1)

    @cached_property
    def _coarse_m(self) -> np.ndarray:
        """Mean elevation of the pixels of the shadow grid; the same for every look."""
        factor = _coarser(self.side_m)
        # added one after another: numpy's mean over axes uses an order that depends on the tile's size
        parts = [self.elevation_m[i::factor, j::factor] for i in range(factor) for j in range(factor)]
        return sum(parts[1:], start=parts[0]) / np.float32(factor**2)


def _coarser(side_m: float) -> int:
    """Return the grid pixels along a side of a shadow pixel: 1, 2, 4 or 8, which divide the side of every tile."""
    return next((n for n in (8, 4, 2) if side_m * n <= SHADOW_SIDE_M), 1)


def halo_px(side_m: float) -> int:
    """Return the pixels of terrain around a tile: the reach of a shadow, plus one for the slope at its end."""
    # at least the widest halo of a radar strip (see radar.halo_px), which is more where pixels are large
    return max((int(SHADOW_REACH_M / side_m) // 8 + 2) * 8, 96)


def read(tile: Tile, scenes: tuple[Scene, ...], config: Config) -> Ground:
    """Merge the DEM scenes in order: each pixel has the elevation of the first scene with a valid value."""
    side = config.grid.resolution_m
    halo, widest = halo_px(side), math.ceil(HAIRLINE_M / side)
    # wider by the widest gap, so that a gap is known as one in all tiles
    box = tile.padded(halo + widest)
    dem = np.full(box.shape, np.nan, np.float32)
    used: list[str] = []
    dropped: list[Dropped] = []
    for scene in scenes:
        hole = np.isnan(dem)
        if not hole.any():
            break
        try:
            raw = scene_reading.read(scene, ("elevation",), box, attempts=config.archives.attempts)
        except SceneError as error:
            dropped.append(Dropped.of(error))
            continue
        used.append(scene.id)
        np.copyto(dem, raw["elevation"], where=hole)
    filled, is_filled = hairline_voids.fill(dem, widest)
    inner = slice(widest, -widest)
    core = slice(halo + widest, -(halo + widest))
    return Ground(
        tile.geobox, halo, filled[inner, inner].copy(), side, is_filled[core, core], tuple(used), tuple(dropped)
    )
