"""Map the pixels of the national lattice to the pixels of a source raster, exactly and equally for all tiles.

Coordinates are computed by PROJ at nodes of the national lattice and interpolated between them. The distance of the
nodes is chosen for each block of the national lattice, so it does not depend on the tile: `STEP_PX`, or a half, a
quarter ... of that where the interpolation error exceeds `LARGEST_ERROR_PX`, down to every pixel (near poles, or where
a source meets the antimeridian). Between neighbouring UTM zones the error of 64 px is below 1e-4 px.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from rasterio.errors import RasterioError

from lsbatch.kernels import resampling
from lsbatch.kernels.resampling import Nodes

#: Side of a block of the national lattice.
BLOCK_PX = 256
#: Distance of the nodes; a power of two, and so is its ratio to the block. The largest error of bilinear results, on
#: noise of 180 DN in the next zone, is 0.522 DN (0.5 is rounding). With 32 px it is 0.505, but four bands of a scene
#: need 16 ms more of 395 ms of the thread's time (medians; 2048 px, 2 shared cores of an EPYC).
STEP_PX = 64
#: Largest error of an interpolated coordinate, in pixels of the source.
LARGEST_ERROR_PX = 1e-3


@dataclass(frozen=True)
class Piece:
    """A rectangle of a target, the source coordinates of its pixels, and their extent (see `resampling.bounds`)."""

    rows: slice
    cols: slice
    nodes: Nodes
    extent: tuple[float, float, float, float]


@lru_cache(maxsize=64)
def pieces(geobox: GeoBox, crs: str, transform: Affine, width_px: int) -> tuple[Piece, ...]:
    """Return rectangles that cover a target, with the source coordinates of their pixels.

    Usually it is one rectangle. Where some blocks need more nodes, it is one rectangle a block; blocks that have no
    place in the source's projection are left out.

    Parameters
    ----------
    geobox : GeoBox
        The target, north up, on the national lattice: its corner is a multiple of the pixel's side.
    crs : str
        CRS of the source, as WKT.
    transform : Affine
        From pixels of the source to its CRS; may be rotated, flipped or south up.
    width_px : int
        Columns of the source, for the side of the antimeridian on which it lies.
    """
    row, col = position(geobox)
    rows, cols = geobox.shape
    blocks = (
        range(row // BLOCK_PX, (row + rows - 1) // BLOCK_PX + 1),
        range(col // BLOCK_PX, (col + cols - 1) // BLOCK_PX + 1),
    )
    mapping = _Mapping(geobox.resolution.x, str(geobox.crs), crs, transform, width_px)
    source = mapping.coordinates(blocks[0].start, blocks[1].start, len(blocks[0]), len(blocks[1]), STEP_PX // 2)
    errors = _errors(source, len(blocks[0]), len(blocks[1]))
    first_row, first_col = row - blocks[0].start * BLOCK_PX, col - blocks[1].start * BLOCK_PX
    if (errors <= LARGEST_ERROR_PX).all():
        nodes = Nodes(source[0][::2, ::2].copy(), source[1][::2, ::2].copy(), STEP_PX, first_row, first_col)
        return (_piece(slice(0, rows), slice(0, cols), nodes),)
    found = []
    for i, block_row in enumerate(blocks[0]):
        for j, block_col in enumerate(blocks[1]):
            own = mapping.block(block_row, block_col)
            if own is None:
                continue
            top, left = i * BLOCK_PX - first_row, j * BLOCK_PX - first_col
            target_rows = slice(max(0, top), min(rows, top + BLOCK_PX))
            target_cols = slice(max(0, left), min(cols, left + BLOCK_PX))
            own = own._replace(row=target_rows.start - top, col=target_cols.start - left)
            found.append(_piece(target_rows, target_cols, own))
    return tuple(found)


def _piece(rows: slice, cols: slice, nodes: Nodes) -> Piece:
    return Piece(rows, cols, nodes, resampling.bounds(nodes, (rows.stop - rows.start, cols.stop - cols.start)))


def position(geobox: GeoBox) -> tuple[int, int]:
    """Return the row and column of the first pixel of a geobox on the national lattice."""
    side = geobox.resolution.x
    return round(-geobox.transform.f / side), round(geobox.transform.c / side)


def offset(geobox: GeoBox, crs: str, transform: Affine) -> tuple[int, int] | None:
    """Return row and column in the source of the first target pixel if both have the same lattice, else None."""
    step = ~transform * geobox.transform
    same = abs(step.a - 1) < 1e-9 and abs(step.e - 1) < 1e-9 and abs(step.b) < 1e-9 and abs(step.d) < 1e-9
    if not (same and math.isfinite(step.f) and math.isfinite(step.c)):
        return None
    row, col = round(step.f), round(step.c)
    if max(abs(step.f - row), abs(step.c - col)) > LARGEST_ERROR_PX:
        return None
    return (row, col) if _parsed(crs) == _parsed(str(geobox.crs)) else None


@dataclass(frozen=True)
class _Mapping:
    """From national pixels to source pixels."""

    side_m: float
    target_crs: str
    crs: str
    transform: Affine
    width_px: int

    def coordinates(self, block_row: int, block_col: int, down: int, across: int, step: int) -> tuple[np.ndarray, ...]:
        """Return source rows and columns at every `step` px of some blocks, with the nodes at their far edges."""
        x, y = _projected(self.side_m, self.target_crs, self.crs, block_row, block_col, down, across, step)
        if _parsed(self.crs).is_geographic:
            # of the meridians that are equal by 360 degrees, the one nearest to the middle of the source
            middle = self.transform.c + self.transform.a * self.width_px / 2
            x = (x - middle + 180) % 360 - 180 + middle
        to_pixels = ~self.transform
        return to_pixels.d * x + to_pixels.e * y + to_pixels.f, to_pixels.a * x + to_pixels.b * y + to_pixels.c

    def block(self, block_row: int, block_col: int) -> Nodes | None:
        """Return the nodes of a block, as many as it needs; None if no pixel has a place in the source's CRS."""
        step = STEP_PX
        while True:
            rows, cols = self.coordinates(block_row, block_col, 1, 1, max(1, step // 2))
            if not (np.isfinite(rows) & np.isfinite(cols)).any():
                return None
            if step == 1:
                return Nodes(rows, cols, 1, 0, 0)
            if _errors((rows, cols), 1, 1)[0, 0] <= LARGEST_ERROR_PX:
                return Nodes(rows[::2, ::2].copy(), cols[::2, ::2].copy(), step, 0, 0)
            step //= 2


@lru_cache(maxsize=32)
def _projected(
    side_m: float, target_crs: str, crs: str, block_row: int, block_col: int, down: int, across: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y in the source's CRS of the centres of every `step`-th national pixel of some blocks."""
    rows = block_row * BLOCK_PX + np.arange(0, down * BLOCK_PX + 1, step)
    cols = block_col * BLOCK_PX + np.arange(0, across * BLOCK_PX + 1, step)
    x, y = np.meshgrid((cols + 0.5) * side_m, -(rows + 0.5) * side_m)
    if _parsed(crs) != _parsed(target_crs):
        # errcheck is off, so a pixel outside the domain of a projection is inf
        with _usable():
            x, y = Transformer.from_crs(target_crs, crs, always_xy=True).transform(x, y, errcheck=False)
    for plane in (x, y):
        plane.flags.writeable = False
    return x, y


@lru_cache(maxsize=64)
def _parsed(crs: str) -> CRS:
    with _usable():
        return CRS.from_user_input(crs)


@contextmanager
def _usable() -> Iterator[None]:
    """Convert an error of PROJ, which a damaged CRS of a source causes, to one of a raster."""
    try:
        yield
    except ProjError as error:
        raise RasterioError(f"its projection cannot be used: {' '.join(str(error).split())}") from None


def _errors(source: tuple[np.ndarray, ...], down: int, across: int) -> np.ndarray:
    """Return the largest interpolation error of each block, (down, across): of every second node from the others."""
    worst = np.zeros((down, across))
    for plane in source:
        nodes = plane[::2, ::2]
        between = np.empty_like(plane)
        between[::2, ::2] = nodes
        with np.errstate(invalid="ignore"):
            between[1::2, ::2] = (nodes[:-1] + nodes[1:]) / 2
            between[:, 1::2] = (between[:, :-1:2] + between[:, 2::2]) / 2
            error = np.abs(between - plane)
        error[~np.isfinite(error)] = np.inf
        step = (plane.shape[0] - 1) // down
        # a block with both of its edges
        for i in range(down):
            for j in range(across):
                block = error[i * step : (i + 1) * step + 1, j * step : (j + 1) * step + 1]
                worst[i, j] = max(worst[i, j], block.max())
    return worst
