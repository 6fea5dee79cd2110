"""The national DEM of the settings as a scene, used before the DEM of the archive."""

from datetime import UTC, datetime
from pathlib import Path

import rasterio
import shapely
from pyproj import Transformer
from rasterio.errors import RasterioError

from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.errors import CatalogError
from lsbatch.storage import objects
from lsbatch.storage.files import state
from lsbatch.storage.s3 import endpoint

#: Collection of the scene. Only a file named in the settings may be a VRT, never one from a catalogue.
COLLECTION = "dem_file"


def scene(path: Path) -> Scene:
    """Return the file as a scene with the time of the file, so that a newer file updates the tiles.

    Raises
    ------
    CatalogError
        If it cannot be read as GeoTIFF or VRT, or has no CRS.
    """
    try:
        size, modified = state(path)
    except OSError as error:
        raise CatalogError(f"archives.dem_file: {path} cannot be read: {error.strerror or error}") from None
    try:
        with (
            rasterio.Env(**endpoint.gdal_options()),
            rasterio.open(str(path), driver="VRT" if path.suffix.lower() == ".vrt" else "GTiff") as file,
        ):
            if file.crs is None:
                raise CatalogError(f"archives.dem_file: {path} has no CRS, so its location is unknown")
            if file.count != 1:
                raise CatalogError(
                    f"archives.dem_file: {path} has {file.count} bands; allowed is one band of elevation in metres"
                )
            crs, bounds = file.crs.to_string(), file.bounds
    except RasterioError as error:
        raise CatalogError(f"archives.dem_file: {path} cannot be read as GeoTIFF or VRT: {error}") from None
    outline = shapely.segmentize(shapely.box(*bounds), max(bounds.right - bounds.left, bounds.top - bounds.bottom) / 64)
    to_lonlat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    item = {
        "type": "Feature",
        "id": path.name,
        "collection": COLLECTION,
        "geometry": shapely.geometry.mapping(shapely.transform(outline, to_lonlat.transform, interleaved=False)),
        "properties": {"datetime": datetime.fromtimestamp(modified / 1e9, UTC).isoformat()},
        "assets": {"elevation": {"href": str(path if objects.is_remote(path) else path.resolve()), "file:size": size}},
    }
    return describe(item, "dem")
