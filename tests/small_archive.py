"""A little archive that every test here can read: two Sentinel-2 scenes, four Sentinel-1 passes, a DEM."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

SIDE_PX = 300
LEFT, TOP = 500_000.0, 6_800_000.0
CRS = "EPSG:32633"


def write_tif(path: Path, values: np.ndarray, *, resolution_m: float = 10.0, **more: object) -> Path:
    """A tiled GeoTIFF whose top left corner is that of the archive; nodata 0 unless said otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"nodata": 0, "compress": "deflate", "tiled": True, "blockxsize": 128, "blockysize": 128} | more
    scale, offset = settings.pop("scale", None), settings.pop("offset", None)
    rows, cols = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=cols, count=1, dtype=values.dtype, crs=CRS,
        transform=from_origin(LEFT, TOP, resolution_m, resolution_m), **settings,
    ) as file:  # fmt: skip
        file.write(values, 1)
        if scale is not None:
            file.scales, file.offsets = (scale,), (offset,)
    return path


def colours(seed: int) -> np.ndarray:
    """Digital numbers that look like nothing, 1000 to 6000."""
    return np.random.default_rng(seed).integers(1000, 6000, (SIDE_PX, SIDE_PX), dtype=np.uint16)


def fill(folder: Path) -> Path:
    """Write the archive's rasters into a folder."""
    for name, seed in (("S2A_20190701_N0211", 1), ("S2B_20200703_N0500", 2)):
        for i, band in enumerate(("B02", "B03", "B04", "B08")):
            write_tif(folder / name / f"{name}_{band}.tif", colours(10 * seed + i))
        write_tif(
            folder / name / f"{name}_SCL.tif", np.full((SIDE_PX // 2, SIDE_PX // 2), 4, np.uint8), resolution_m=20.0
        )
    for day, platform, track in (
        ("20190702", "A", 44),
        ("20190708", "B", 44),
        ("20200701", "A", 44),
        ("20200705", "A", 117),
    ):
        name = f"S1{platform}_{day}T170211_T{track:03d}_asc"
        for pol in ("VV", "VH"):
            power = np.random.default_rng(track).gamma(4.4, 0.02, (SIDE_PX, SIDE_PX)).astype(np.float32)
            write_tif(folder / f"{name}_{pol}.tif", power, nodata=np.nan)
    write_tif(
        folder / "dem_10m.tif", np.linspace(0, 900, SIDE_PX**2, dtype=np.float32).reshape(SIDE_PX, -1), nodata=None
    )
    return folder
