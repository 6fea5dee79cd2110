"""Geocode Sentinel-1 GRD products (.SAFE) to terrain-corrected gamma0 with sarsen.

sarsen is an optional dependency, because most archives deliver terrain-corrected scenes (RTC). The names of the written
files contain the orbit, so `folder_catalog.make_catalog` lists them like other RTC scenes.
"""

import re
import tempfile
import warnings
from collections.abc import Mapping
from math import ceil, floor
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import rasterio
import rasterio.shutil
import xarray as xr
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.transform import from_bounds as from_corners
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds, intersect

from lsbatch.errors import CatalogError
from lsbatch.storage.files import aside, make_folder

POLARISATIONS = ("VV", "VH")
#: Margin in degrees around the product's corners. The corners lie on the ellipsoid, while mountains are displaced
#: towards the sensor.
MARGIN_DEG = 0.05
#: Rows of the DEM copied at a time.
STRIP_ROWS = 1024
_GRD = re.compile(r"S1[A-D]_[A-Z0-9]{2}_GRD[A-Z]_.*\.SAFE")


def rtc(product: Path, dem: Path, geoid_m: float, folder: Path) -> list[Path]:
    """Write gamma0 of each polarisation of the product. Skip files that exist.

    Terrain flattening after Small (2011): backscatter is divided by the local illuminated area from the DEM.

    Parameters
    ----------
    product : Path
        An unpacked product, ``S1?_IW_GRDH_*.SAFE``.
    dem : Path
        Elevation in metres. The result has the lattice of this DEM, which should be the lattice of the survey.
    geoid_m : float
        Height in metres of the DEM's zero level above the WGS 84 ellipsoid; 0 for ellipsoidal heights. An error of 40 m
        shifts the image by about 50 m.
    folder : Path
        Output folder.

    Returns
    -------
    list of Path

    Raises
    ------
    CatalogError
        If sarsen is not installed, or the product or the DEM cannot be used.
    """
    try:
        import sarsen
    except ImportError:
        raise CatalogError("geocoding needs sarsen, which is not installed: pip install 'lsbatch[grd]'") from None
    if not (_GRD.fullmatch(product.name) and (product / "manifest.safe").is_file()):
        raise CatalogError(
            f"{product}: is not an unpacked Sentinel-1 GRD, a folder S1?_IW_GRDH_*.SAFE with a manifest.safe"
        )
    target = make_folder(folder)
    with tempfile.TemporaryDirectory(dir=target, prefix=".geocode-") as scratch, warnings.catch_warnings():
        # warnings of libraries about rasters without georeference and unaligned chunks; the user cannot change them
        warnings.simplefilter("ignore")
        try:
            attributes = xr.open_dataset(product, engine="sentinel-1").attrs
            paths = {p: target / f"{_name(product, attributes)}_{p}.tif" for p in _polarisations(product)}
            missing = {p: path for p, path in paths.items() if not path.exists()}
            if not missing:
                return list(paths.values())
            ground = _ellipsoidal(dem, geoid_m, _bounds(product, attributes), Path(scratch) / "dem.tif")
            for polarisation, path in missing.items():
                raw = Path(scratch) / f"{polarisation}.tif"
                sarsen.terrain_correction(
                    sarsen.Sentinel1SarProduct(str(product), f"{attributes['mode']}/{polarisation}"),
                    str(ground),
                    output_urlpath=str(raw),
                    correct_radiometry="gamma_bilinear",
                    interp_method="linear",
                )
                _upright(raw, path)
        except (RasterioError, OSError, ValueError, KeyError, ParseError) as error:
            raise CatalogError(f"{product.name}: cannot be geocoded: {' '.join(str(error).split())}") from None
    return list(paths.values())


def _polarisations(product: Path) -> list[str]:
    found = [p for p in POLARISATIONS if any((product / "annotation").glob(f"*-{p.lower()}-*.xml"))]
    if "VV" not in found:
        raise ValueError("it has no VV")
    return found


def _name(product: Path, attributes: Mapping[str, Any]) -> str:
    return f"{product.stem}_RTC_R{int(attributes['relative_orbit_number']):03d}_{attributes['pass'][:3]}"


def _bounds(product: Path, attributes: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Return left, bottom, right, top of the product in degrees."""
    points = xr.open_dataset(product, engine="sentinel-1", group=f"{attributes['mode']}/VV/gcp")
    lon, lat = points.longitude, points.latitude
    low, high = (float(lon.min()), float(lat.min())), (float(lon.max()), float(lat.max()))
    return low[0] - MARGIN_DEG, low[1] - MARGIN_DEG, high[0] + MARGIN_DEG, high[1] + MARGIN_DEG


def _ellipsoidal(dem: Path, geoid_m: float, bounds_deg: tuple[float, float, float, float], target: Path) -> Path:
    """Return the part of the DEM under the product, as heights above the ellipsoid."""
    with rasterio.open(dem) as source:
        if source.crs is None:
            raise ValueError(f"{dem} has no CRS")
        box = transform_bounds("EPSG:4326", source.crs, *bounds_deg, densify_pts=21)
        whole, wanted = Window(0, 0, source.width, source.height), from_bounds(*box, source.transform)
        if not intersect(whole, wanted):
            raise ValueError(f"the DEM {dem} does not cover the product")
        window = Window.from_slices(*(slice(floor(a), ceil(b)) for a, b in whole.intersection(wanted).toranges()))
        profile = {
            "driver": "GTiff", "count": 1, "dtype": "float32", "nodata": float("nan"), "tiled": True,
            "height": int(window.height), "width": int(window.width),
            # heights are ellipsoidal now, so the file's vertical CRS is dropped
            "crs": CRS(source.crs).to_2d().to_wkt(), "transform": source.window_transform(window),
        }  # fmt: skip
        with rasterio.open(target, "w", **profile) as out:
            for top in range(0, profile["height"], STRIP_ROWS):
                strip = Window(0, top, window.width, min(STRIP_ROWS, window.height - top))
                there = Window(window.col_off, window.row_off + top, strip.width, strip.height)
                heights = source.read(1, window=there, masked=True).astype("float32").filled(float("nan"))
                out.write(heights + geoid_m, 1, window=strip)
    return target


def _upright(raw: Path, path: Path) -> None:
    """Flip the raster to north up and write it as COG. sarsen writes rows from south to north."""
    with rasterio.open(raw) as opened:
        south, north = sorted((opened.bounds.bottom, opened.bounds.top))
        size = {"width": opened.width, "height": opened.height}
        lattice = from_corners(opened.bounds.left, south, opened.bounds.right, north, **size)
        where = {"crs": opened.crs, "transform": lattice, "nodata": float("nan")}
        with WarpedVRT(opened, **where, **size) as upright, aside(path) as temporary:
            rasterio.shutil.copy(
                upright, temporary, driver="COG", compress="DEFLATE", predictor="3", overview_resampling="average"
            )
