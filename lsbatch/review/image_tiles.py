"""Image tiles of Web Mercator, made on request from national maps and from the cube.

rio-tiler was considered: it needs five more packages (httpx2, morecantile, numexpr and others) and reads no cube of
ours; odc-geo, which lsbatch has, warps both.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject

from lsbatch.catalog.survey import Survey
from lsbatch.report import images
from lsbatch.review import map_images, mercator
from lsbatch.review.map_images import Image
from lsbatch.review.mercator import TILE_PX, Tile

#: Longest side in pixels of the national grid that is read from the cube for a tile. It has no overviews.
MOST_CUBE_PX = 2200
#: Tiles in memory.
KEPT = 512
#: Tiles are made up to the zoom whose pixels are at most this share of a pixel of the survey; the browser magnifies
#: them beyond it.
FINEST = 1.0
PNG, WEBP = "image/png", "image/webp"
#: The picture of a tile in which nothing is known.
NOTHING = images.png(np.zeros((TILE_PX, TILE_PX, 4), np.uint8))


class ImageTiles:
    """The image tiles of a survey; tiles that were made are kept in memory."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.images: Mapping[str, Image] = map_images.of_survey(survey)
        self.picture = lru_cache(maxsize=KEPT)(self.made)

    def described(self) -> list[dict[str, Any]]:
        """Return the images with their zooms."""
        finest = self._zoom(FINEST * self.survey.grid.resolution_m * TILE_PX)
        # the zoom from which a tile and a margin fit in what may be read
        coarsest = self._zoom(0.95 * MOST_CUBE_PX * self.survey.grid.resolution_m)
        return [
            one.described() | {"minzoom": min(coarsest, finest) if one.bands else 0, "maxzoom": finest}
            for one in self.images.values()
        ]

    def _zoom(self, side_m: float) -> int:
        """Return the first zoom whose tiles are at most this long on the ground, in the middle of the survey."""
        box = self.survey.grid.geobox.boundingbox
        to_lonlat = mercator.transformer(self.survey.grid.crs, "EPSG:4326")
        _, lat = to_lonlat.transform((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        whole = 2 * mercator.WORLD_M * math.cos(math.radians(lat))
        return int(np.clip(math.ceil(math.log2(whole / side_m)), 0, 20))

    def made(self, name: str, tile: Tile) -> tuple[bytes, str]:
        """Return a tile of an image and its media type; transparent where nothing is known.

        It is also transparent where the cube would have too many pixels. Pixels are painted before they are brought to
        the map: one band of colours is warped instead of several bands of values.
        """
        image, grid = self.images[name], self.survey.grid
        rows, cols = mercator.inside(mercator.window(tile, grid.geobox), grid.shape)
        longest = max(rows.stop - rows.start, cols.stop - cols.start)
        if rows.start == rows.stop or cols.start == cols.stop or (image.bands and longest > MOST_CUBE_PX):
            return NOTHING, PNG
        reduce = max(1, 2 ** round(math.log2(longest / TILE_PX)))
        painted = image.paint(map_images.read(self.survey, image, rows, cols, reduce))
        source = _source(grid.geobox, rows, cols, (painted.shape[0], painted.shape[1]))
        out = np.zeros(tile.geobox.shape, np.uint32)
        rio_reproject(_packed(painted), out, source, tile.geobox, "nearest", 0, 0)
        if not out.any():
            return NOTHING, PNG
        picture = out.view(np.uint8).reshape(*out.shape, 4)
        return (images.webp(picture), WEBP) if image.is_smooth else (images.png(picture), PNG)


def _source(grid: GeoBox, rows: slice, cols: slice, shape: tuple[int, int]) -> GeoBox:
    """Return the pixels of a window that may have been reduced to a shape."""
    scale = grid.transform.scale((cols.stop - cols.start) / shape[1], (rows.stop - rows.start) / shape[0])
    return GeoBox(shape, grid.transform * grid.transform.translation(cols.start, rows.start) * scale, grid.crs)


def _packed(painted: np.ndarray) -> np.ndarray:
    """Return red, green, blue and alpha as one number a pixel."""
    return np.ascontiguousarray(painted).view(np.uint32)[..., 0]
