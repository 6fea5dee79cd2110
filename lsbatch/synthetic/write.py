"""Write synthetic scenes as COGs and STAC items, in the forms of real archives."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy import ndimage

from lsbatch.synthetic.country import Ground

#: Asset keys of our bands in different Sentinel-2 catalogues.
EARTH_SEARCH = {
    "R": "red", "G": "green", "B": "blue", "NIR": "nir", "SCL": "scl", "SWIR1": "swir16", "SWIR2": "swir22",
    "RE1": "rededge1", "RE2": "rededge2", "RE3": "rededge3", "NIRn": "nir08",
}  # fmt: skip
PLANETARY = {
    "R": "B04", "G": "B03", "B": "B02", "NIR": "B08", "SCL": "SCL", "SWIR1": "B11", "SWIR2": "B12",
    "RE1": "B05", "RE2": "B06", "RE3": "B07", "NIRn": "B8A",
}  # fmt: skip


def cog(path: Path, values: np.ndarray, box: GeoBox, nodata: float | None) -> None:
    """Write one band as a COG with overviews, blocks of 256 px, deflate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "COG", "height": box.shape[0], "width": box.shape[1], "count": 1, "dtype": values.dtype.name}
    with rasterio.open(
        path, "w", **profile, crs=str(box.crs), transform=box.transform, nodata=nodata, compress="deflate",
        level=1, blocksize=256, overview_resampling="nearest",
    ) as file:  # fmt: skip
        file.write(values, 1)


@lru_cache(maxsize=16)
def _places(source: GeoBox, target: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Return the target's pixel centres as fractional rows and columns of the source."""
    n, m = target.shape
    x, y = target.transform @ (np.arange(m)[None, :] + 0.5, np.arange(n)[:, None] + 0.5)  # type: ignore[operator]
    x, y = np.broadcast_arrays(x, y)  # type: ignore[assignment]
    if target.crs != source.crs:
        x, y = Transformer.from_crs(str(target.crs), str(source.crs), always_xy=True).transform(x, y)
    cols, rows = ~source.transform @ (x, y)
    return rows - 0.5, cols - 0.5


def warped(
    values: np.ndarray, source: GeoBox, target: GeoBox, fill: float, shift_px: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Resample national pixels to the grid of a granule, by nearest neighbour; `fill` outside the country.

    `shift_px` is the geolocation error in rows and columns of the source.
    """
    places = zip(_places(source, target), shift_px, strict=True)
    rows, cols = (np.floor(place + shift + 0.5).astype(np.int64) for place, shift in places)
    inside = (rows >= 0) & (rows < source.shape[0]) & (cols >= 0) & (cols < source.shape[1])
    out = np.full(target.shape, fill, values.dtype)
    out[inside] = values[rows[inside], cols[inside]]
    return out


def smoothed(values: np.ndarray, source: GeoBox, target: GeoBox) -> np.ndarray:
    """Resample a continuous field to a coarser grid, bilinear; values at the edge are repeated outside."""
    return ndimage.map_coordinates(values, _places(source, target), order=1, mode="nearest").astype(np.float32)


def granule(ground: Ground, crs: str, cols: tuple[float, float]) -> GeoBox:
    """Return the grid of a granule in another CRS, on multiples of 20 m as in real granules, or of a larger pixel."""
    box = ground.geobox
    n = box.shape[1]
    part = box[:, int(n * cols[0]) : int(n * cols[1])]
    b = part.extent.to_crs(crs).boundingbox
    step = max(20.0, ground.pixel_m)
    left, top = np.floor(b.left / step) * step, np.ceil(b.top / step) * step
    right, bottom = np.ceil(b.right / step) * step, np.floor(b.bottom / step) * step
    return GeoBox.from_bbox((left, bottom, right, top), crs, resolution=ground.pixel_m)


def item(name: str, when: datetime, box: GeoBox, properties: Mapping[str, Any]) -> pystac.Item:
    """Return an item with the footprint and projection of its grid."""
    outline = box.extent.to_crs("EPSG:4326").geom
    footprint = shapely.set_precision(shapely.Polygon(outline.exterior.simplify(1e-4)), 1e-7)
    epsg = box.crs.epsg  # type: ignore[union-attr]
    projection = {
        "proj:epsg": epsg,
        "proj:code": f"EPSG:{epsg}",
        "proj:shape": list(box.shape),
        "proj:transform": [float(v) for v in box.transform[:6]],
    }
    return pystac.Item(
        name,
        shapely.geometry.mapping(footprint),
        list(footprint.bounds),
        when.astimezone(UTC),
        {**properties, **projection},
    )


def asset(path: Path, title: str, **extra: Any) -> pystac.Asset:
    """Add a COG to an item; extra fields are in the asset, as in the archives."""
    return pystac.Asset(str(path), title=title, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=extra)


def catalogue(folder: Path, collections: Mapping[str, tuple[str, list[pystac.Item]]]) -> Path:
    """Write a self-contained static catalogue with relative links."""
    root = pystac.Catalog("synthetic-country", "A synthetic country: nothing here was seen by a satellite")
    for name, (description, items) in collections.items():
        times = sorted(i.datetime for i in items if i.datetime)
        boxes = np.array([i.bbox for i in items])
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        extent = pystac.Extent(
            pystac.SpatialExtent([[*low.tolist(), *high.tolist()]]), pystac.TemporalExtent([[times[0], times[-1]]])
        )
        collection = pystac.Collection(name, description, extent, license="CC0-1.0")
        collection.add_items(sorted(items, key=lambda i: i.id))
        root.add_child(collection)
    root.normalize_hrefs(str(folder))
    root.make_all_asset_hrefs_relative()
    root.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"
