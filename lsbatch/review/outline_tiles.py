"""Vector tiles of the outlines of landslides."""

from dataclasses import dataclass

import geopandas as gpd
import shapely

from lsbatch.review import mercator, vector_tile
from lsbatch.review.mercator import Tile

LAYER = "landslides"
#: Below this zoom the page draws points: an outline of 100 m has two pixels on a screen.
LEAST_ZOOM = 10
#: From this zoom on the browser magnifies tiles.
MOST_ZOOM = 15


@dataclass(frozen=True)
class Outlines:
    """The outlines in Web Mercator with a spatial index; the id of each is its row."""

    tree: shapely.STRtree

    @classmethod
    def of(cls, frame: gpd.GeoDataFrame) -> "Outlines":
        """Make them from landslides."""
        to_mercator = mercator.transformer(str(frame.crs), mercator.CRS)
        return cls(shapely.STRtree(shapely.transform(frame.geometry.values, to_mercator.transform, interleaved=False)))

    def tile(self, tile: Tile) -> bytes:
        """Return a vector tile; empty if it has no outline or its zoom is too low."""
        if tile.z < LEAST_ZOOM:
            return b""
        margin = (tile.bounds[2] - tile.bounds[0]) * vector_tile.MARGIN / vector_tile.EXTENT
        rows = sorted(self.tree.query(shapely.box(*tile.bounds).buffer(margin, join_style="mitre")).tolist())
        return vector_tile.encode(LAYER, rows, self.tree.geometries[rows], tile.bounds)
