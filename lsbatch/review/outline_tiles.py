"""Vector tiles of the landslides: points at low zooms, outlines at high ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely

from lsbatch.review import mercator, vector_tile
from lsbatch.review.mercator import Tile

#: Names of the layers.
OUTLINES, POINTS = "landslides", "points"
#: Tiles have points up to this zoom, and outlines from it on: an outline of 100 m has two pixels on a screen there.
OUTLINE_ZOOM = 10
#: From this zoom on the browser magnifies tiles: a unit is 0.6 m at 60 degrees north.
MOST_ZOOM = 13
#: Columns of the inventory by the name of the attribute that the page draws them by.
ATTRIBUTES = {"confidence": "confidence", "state": "review_state"}


@dataclass(frozen=True)
class Outlines:
    """The landslides in Web Mercator; the id of each is its row.

    Attributes
    ----------
    tree : STRtree
        Of the outlines.
    places : array (n, 2)
        x and y of the point that stands for each.
    texts : mapping of attribute to array (n,) of str
    """

    tree: shapely.STRtree
    places: np.ndarray
    texts: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, frame: gpd.GeoDataFrame) -> "Outlines":
        """Make them from landslides."""
        to_mercator = mercator.transformer(str(frame.crs), mercator.CRS)
        shapes = shapely.transform(frame.geometry.values, to_mercator.transform, interleaved=False)
        boxes = shapely.bounds(shapes).reshape(-1, 2, 2)
        texts = {key: frame[name].to_numpy(object) for key, name in ATTRIBUTES.items() if name in frame}
        return cls(shapely.STRtree(shapes), boxes.mean(axis=1), texts)

    def tile(self, tile: Tile) -> bytes:
        """Return a vector tile; empty if it has no landslide."""
        return (self._points(tile) if tile.z <= OUTLINE_ZOOM else b"") + (
            self._outlines(tile) if tile.z >= OUTLINE_ZOOM else b""
        )

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles that may have a landslide, each once."""
        boxes = shapely.bounds(self.tree.geometries).reshape(-1, 2, 2)
        for zoom in range(MOST_ZOOM + 1):
            side = 2 * mercator.WORLD_M / 2**zoom
            margin = side * vector_tile.MARGIN / vector_tile.EXTENT if zoom >= OUTLINE_ZOOM else 0
            corners = (boxes + np.array([[-margin], [margin]])) * (1, -1) + mercator.WORLD_M
            spans = np.clip(np.sort(corners // side, axis=1), 0, 2**zoom - 1).astype(int)
            found = {
                (x, y)
                for (left, top), (right, bottom) in np.unique(spans, axis=0).tolist()
                for x in range(left, right + 1)
                for y in range(top, bottom + 1)
            }
            yield from (Tile(zoom, x, y) for x, y in sorted(found))

    def _points(self, tile: Tile) -> bytes:
        left, bottom, right, top = tile.bounds
        x, y = self.places.T
        # a point on the edge of two tiles is in one of them
        rows = np.flatnonzero((x >= left) & (x < right) & (y > bottom) & (y <= top))
        return vector_tile.points(POINTS, rows.tolist(), self.places[rows], self._texts_of(rows), tile.bounds)

    def _outlines(self, tile: Tile) -> bytes:
        margin = (tile.bounds[2] - tile.bounds[0]) * vector_tile.MARGIN / vector_tile.EXTENT
        rows = np.sort(self.tree.query(shapely.box(*tile.bounds).buffer(margin, join_style="mitre")))
        shapes = self.tree.geometries[rows]
        return vector_tile.polygons(OUTLINES, rows.tolist(), shapes, self._texts_of(rows), tile.bounds)

    def _texts_of(self, rows: np.ndarray) -> dict[str, list[str]]:
        return {key: column[rows].tolist() for key, column in self.texts.items()}
