"""The overview map of the report: the region in at most 1400 pixels, with landslide outlines."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from scipy import ndimage

from lsbatch.catalog.survey import Position, Survey
from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid, tile_id
from lsbatch.imagery.prefetch import in_order
from lsbatch.report import images
from lsbatch.settings import Config
from lsbatch.storage import vectors
from lsbatch.storage.geometries import rasterize

#: Longer side of the map's pictures.
MAP_PX = 1400
#: Landslides smaller than this many map pixels are drawn as a dot.
DOT_PX = 12.0
#: Tolerance of simplified outlines, in map pixels; the map can be magnified about four times.
TOLERANCE_PX = 0.25

#: Thumbnails that are read in advance; in object storage each waits for its own requests.
TOGETHER = 8
COLOURS = ("postR", "postG", "postB")
#: Columns of a thumbnail with the shares of found, false and missed pixels.
HITS = ("found", "false", "missed")
NAMES = {"colour": "true colour, after", "radar": "radar VV, after", "relief": "relief"}


@dataclass(frozen=True)
class Frame:
    """The extent of the map in map pixels: each tile is `cell` x `cell` pixels, from the top left of the grid.

    Attributes
    ----------
    grid : Grid
    cell : int
    top, left, rows, cols : int
        The shown part, in map pixels.
    """

    grid: Grid
    cell: int
    top: int
    left: int
    rows: int
    cols: int

    @property
    def metres(self) -> float:
        """Return the side of a map pixel in metres."""
        return self.grid.resolution_m * self.grid.tile_px / self.cell

    @property
    def geobox(self) -> GeoBox:
        """Return the geobox of the map."""
        left, top = self.grid.bounds[0] + self.left * self.metres, self.grid.bounds[3] - self.top * self.metres
        box = BoundingBox(left, top - self.rows * self.metres, left + self.cols * self.metres, top, crs=self.grid.crs)
        return GeoBox.from_bbox(box, shape=(self.rows, self.cols), tight=True)

    def shown(self, shapes: np.ndarray) -> np.ndarray:
        """Return geometries in map pixels, x to the right and y downward."""
        x0, y0 = self.grid.bounds[0] + self.left * self.metres, self.grid.bounds[3] - self.top * self.metres
        return shapely.transform(shapes, lambda xy: (xy - (x0, y0)) / (self.metres, -self.metres))

    def corner(self, position: Position) -> tuple[int, int]:
        """Return x and y of a tile's top left corner."""
        return position[1] * self.cell - self.left, position[0] * self.cell - self.top


def frame(grid: Grid, region: shapely.Geometry) -> Frame:
    """Return the region with a small margin, within `MAP_PX` and not finer than the pixels."""
    west, south, east, north = shapely.bounds(region)
    margin = 0.02 * max(east - west, north - south)
    span = max(east - west, north - south) + 2 * margin
    tile_m = grid.resolution_m * grid.tile_px
    cell = max(1, min(grid.tile_px, int(MAP_PX * tile_m / span)))
    metres = tile_m / cell
    height, width = (side * cell for side in grid.tile_shape)
    left = max(0, int((west - margin - grid.bounds[0]) / metres))
    top = max(0, int((grid.bounds[3] - north - margin) / metres))
    right = min(width, int(np.ceil((east + margin - grid.bounds[0]) / metres)))
    bottom = min(height, int(np.ceil((grid.bounds[3] - south + margin) / metres)))
    return Frame(grid, cell, top, left, bottom - top, right - left)


@dataclass(frozen=True)
class Overview:
    """Coarse bands of the map, NaN if unknown, and shares of found, false and missed pixels."""

    bands: dict[str, np.ndarray]
    hits: np.ndarray | None
    inside: np.ndarray

    @property
    def unobserved(self) -> np.ndarray:
        """Return the pixels inside the region that were not observed."""
        return self.inside & ~(self.bands["surveyed"] >= 0.5)


def overview(
    survey: Survey, where: Frame, region: shapely.Geometry, masked: frozenset[Position], scored: frozenset[Position]
) -> Overview:
    """Put together the thumbnails of the completed tiles.

    Parameters
    ----------
    survey : Survey
    where : Frame
    region : shapely geometry
    masked, scored : set of (row, col)
        Tiles with a thumbnail, and the tiles among them that were compared with mapped landslides.
    """
    names = (*shown_bands(survey.config), "surveyed")
    shape = where.rows, where.cols
    bands = {name: np.full(shape, np.nan, np.float32) for name in names}
    hits = np.zeros((3, *shape), np.float32) if scored else None
    positions = sorted(masked)
    tables = in_order([partial(_thumbnail, survey, where.cell, position) for position in positions], TOGETHER)
    for position, thumbnail in zip(positions, tables, strict=True):
        target, part = _overlap(where, position)
        for name in names:
            bands[name][target] = thumbnail[name][part]
        if hits is not None and position in scored:
            for each, name in zip(hits, HITS, strict=True):
                each[target] = thumbnail[name][part]
    return Overview(bands, hits, rasterize(region, where.geobox))


def _thumbnail(survey: Survey, cell: int, position: Position) -> dict[str, np.ndarray]:
    """Return the bands of a tile in `cell` x `cell` pixels, as `lsbatch.report.thumbnails` wrote them."""
    path = survey.workspace.part("thumbnails", tile_id(*position))
    table = vectors.read_table(path)
    lacks = [name for name in (*shown_bands(survey.config), "surveyed") if name not in table]
    if lacks or len(table) != cell * cell:
        raise StaleStoreError(
            f"{path}: is not the thumbnail of {cell} x {cell} pixels that the report needs; "
            "compute its tile again with lsbatch retry"
        )
    return {name: table[name].to_numpy(np.float32).reshape(cell, cell) for name in table}


def shown_bands(config: Config) -> tuple[str, ...]:
    """Return the bands of STACK that the map shows."""
    archives = config.archives
    return (
        *(COLOURS if archives.sentinel2 else ()),
        *(("postVV",) if archives.sentinel1 else ()),
        *(("elevation",) if archives.dem else ()),
    )


def _overlap(where: Frame, position: Position) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a tile lies in the map, and which part of the tile that is."""
    x, y = where.corner(position)
    target, part = [], []
    for start, size in ((y, where.rows), (x, where.cols)):
        first, last = max(0, start), min(size, start + where.cell)
        target.append(slice(first, max(first, last)))
        part.append(slice(first - start, max(first, last) - start))
    return (target[0], target[1]), (part[0], part[1])


def bases(seen: Overview, where: Frame) -> list[dict[str, str]]:
    """Return the background images that have content, best first."""
    bands = seen.bands
    found: dict[str, np.ndarray] = {}
    if "postR" in bands and np.isfinite(bands["postR"]).any():
        colours = [bands[name] for name in COLOURS]
        found["colour"] = images.true_colour(colours, images.stretch(*colours, gamma=1.5))
    if "postVV" in bands and np.isfinite(bands["postVV"]).any():
        found["radar"] = images.grey(bands["postVV"], images.stretch(bands["postVV"]))
    if "elevation" in bands and np.isfinite(bands["elevation"]).any():
        found["relief"] = relief(bands["elevation"], where.metres)
    if not found:
        found["relief"] = np.full((where.rows, where.cols, 3), 235, np.uint8)
    return [
        {"key": key, "name": NAMES[key], "uri": images.jpeg_uri(_finished(picture, seen))}
        for key, picture in found.items()
    ]


def relief(elevation: np.ndarray, metres: float) -> np.ndarray:
    """Return light grey hillshade from the north-west, exaggerated where coarse pixels flatten mountains."""
    raised = elevation.astype(np.float32) * np.float32(np.clip(metres / 40, 1, 8))
    # Horn's slopes, towards east and south. Not by `kernels.terrain`: numba takes 90 MB of the driver for this image
    east, south = (ndimage.sobel(raised, axis, mode="nearest") / np.float32(8 * metres) for axis in (1, 0))
    # at 45 degrees above the horizon; level ground is 180 of 255, as where a neighbour is not known
    shade = (0.5 * (east + south) + np.sqrt(0.5)) / np.sqrt(1 + east**2 + south**2)
    light = np.where(np.isfinite(shade), (1 + 254 * np.maximum(shade, 0)) / 255, 180 / 255)
    return images.grey(0.35 + 0.65 * light, images.Stretch(0.0, 1.0))


def hits_picture(seen: Overview, where: Frame) -> str:
    """Return found, false and missed pixels over a pale relief; a coarse pixel takes its most frequent colour."""
    assert seen.hits is not None
    if "elevation" in seen.bands:
        base = relief(seen.bands["elevation"], where.metres)
        base = (0.45 * base + 0.55 * 255).round().astype(np.uint8)
    else:
        base = np.full((where.rows, where.cols, 3), 240, np.uint8)
    base = _finished(base, seen)
    most = np.argmax(seen.hits, axis=0)
    for i, colour in enumerate((images.FOUND, images.FALSE, images.MISSED)):
        base = images.painted(base, (most == i) & (seen.hits[i] > 0), colour)
    return images.png_uri(base)


def _finished(picture: np.ndarray, seen: Overview) -> np.ndarray:
    return images.hatched(images.painted(picture, ~seen.inside, "#ffffff"), seen.unobserved)


def outlines(frame_: Frame, landslides: gpd.GeoDataFrame) -> list[str]:
    """Return an SVG path for each landslide: its simplified outline, or a dot if it is small."""
    shapes = frame_.shown(np.asarray(landslides.geometry.values))
    small = shapely.area(shapes) < DOT_PX
    places = shapely.get_coordinates(shapely.point_on_surface(shapes))
    thin = shapely.simplify(shapes, TOLERANCE_PX)
    return [
        f"M{x:.1f} {y:.1f}h0" if dot else path(shape) for (x, y), dot, shape in zip(places, small, thin, strict=True)
    ]


def path(shape: shapely.Geometry, digits: int = 1) -> str:
    """Return the SVG path of all rings of a polygon, for the even-odd rule."""
    rings = shapely.get_rings(shapely.get_parts(shape))
    return "".join(_ring(shapely.get_coordinates(ring)[:-1], digits) for ring in rings)


def _ring(points: np.ndarray, digits: int) -> str:
    texts = [f"{round(x, digits):g} {round(y, digits):g}" for x, y in points.tolist()]
    return f"M{'L'.join(texts)}Z"


def scale_bar(where: Frame) -> dict[str, Any]:
    """Return a round length of about a fifth of the map's width: its text and its map pixels."""
    target = where.cols * where.metres / 5
    power = 10.0 ** np.floor(np.log10(target))
    length = max(step * power for step in (1, 2, 5) if step * power <= target)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return {"text": text, "px": round(length / where.metres, 1)}
