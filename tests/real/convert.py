"""The Belgian place (../shared/data) from one NetCDF to GeoTIFF scenes with names that `lsbatch catalog` recognises.

Monthly composites stand for scenes, dated the first of the month. What was checked before it was decided:

- Sentinel-2 is uint16, 65535 where a month has nothing (December and January, whole). Its dark vegetation lies near
  DN 400 in blue, so the offset of baseline 04 is not in it: reflectance = DN / 10000, written as GeoTIFF scale and
  offset. It has no scene classification; SCL becomes 4 (vegetation, clear) where all four colours are there.
- Sentinel-1 is coded as dB = 20 log10(DN) - 83: -20 to +6 dB in VV, -28 to +1 dB in VH, as it should be. It is
  sigma0, not gamma0 (the names in the file say so); no orbit is known. No value is missing.
- the DEM, whole metres, is the same in every month.
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import from_origin

NODATA = 65535
OPTICAL = ("B02", "B03", "B04", "B08")


def convert_belgium(nc: Path, folder: Path) -> Path:
    """Write the scenes; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # decoded: the file holds int16 that are marked as unsigned
    with xr.open_dataset(nc) as data:
        step = float(data.x[1] - data.x[0])
        place = {
            "crs": data.crs.attrs["crs_wkt"],
            "transform": from_origin(float(data.x[0]) - step / 2, float(data.y[0]) + step / 2, step, step),
        }
        for month, time in enumerate(data.t.values):
            day = np.datetime_as_string(time, "D").replace("-", "")
            _optical(folder, f"S2_belgium_{day}", {b: data[f"S2-L2A-{b}"].values[month] for b in OPTICAL}, place)
            for pol in ("VV", "VH"):
                power = power_of(data[f"S1-SIGMA0-{pol}"].values[month])
                _write(folder / f"S1_belgium_{day}_{pol}.tif", power, np.nan, place)
        _write(folder / "dem_belgium.tif", data["elevation"].values[0].astype(np.float32), None, place)
    return folder


def power_of(dn: np.ndarray) -> np.ndarray:
    """Linear power of coded backscatter, float32: 10 ** ((20 log10(DN) - 83) / 10), NaN for nodata."""
    power = dn.astype(np.float64) ** 2 / 10**8.3
    return np.where(dn == NODATA, np.nan, power).astype(np.float32)


def _optical(folder: Path, name: str, bands: dict[str, np.ndarray], place: dict[str, object]) -> None:
    clear = np.all([dn != NODATA for dn in bands.values()], axis=0)
    if not clear.any():
        return
    for band, dn in bands.items():
        _write(folder / f"{name}_{band}.tif", np.where(clear, dn, 0).astype(np.uint16), 0, place, scale=1e-4)
    _write(folder / f"{name}_SCL.tif", np.where(clear, 4, 0).astype(np.uint8), 0, place)


def _write(
    path: Path, values: np.ndarray, nodata: float | None, place: dict[str, object], scale: float | None = None
) -> None:
    rows, cols = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=cols,
        count=1,
        dtype=values.dtype,
        nodata=nodata,
        compress="deflate",
        **place,
    ) as file:
        file.write(values, 1)
        if scale is not None:
            file.scales, file.offsets = (scale,), (0.0,)


if __name__ == "__main__":
    convert_belgium(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"Wrote {sys.argv[2]}")
