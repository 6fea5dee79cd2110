"""Vector files by the box of a tile."""

from pathlib import Path

import geopandas as gpd
import shapely

from lsbatch.storage import geometries

CRS = "EPSG:25833"
#: 20 km upon the central meridian of the zone, at 61.5 degrees north.
BOX = (490_000.0, 6_810_000.0, 510_000.0, 6_830_000.0)


def test_polygons_at_the_bent_edge_of_a_tile_are_read(tmp_path: Path) -> None:
    """The upper edge bulges north in longitude and latitude: its middle lies beyond both corners."""
    _, _, _, top = BOX
    small = shapely.box(499_990, top - 5, 500_010, top - 1)
    away = shapely.box(499_990, top + 500, 500_010, top + 510)
    file = tmp_path / "polygons.gpkg"
    gpd.GeoDataFrame(geometry=[small, away], crs=CRS).to_crs("EPSG:4326").to_file(file)
    (found,) = geometries.read_polygons(file, "inventory.confounders.small", CRS, BOX)
    assert found.distance(small.centroid) == 0
