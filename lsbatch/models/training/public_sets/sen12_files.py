"""The NetCDF files of Sen12Landslides: looks, truth and terrain of one patch and sensor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.errors import NoDataError
from lsbatch.kernels import optical, sar
from lsbatch.models.training.public_sets import hdf5_files
from lsbatch.models.training.public_sets.chip_folder import PATCH_PX, SIDE_M, UnusablePatchError
from lsbatch.models.training.public_sets.composing import POLARISATIONS, Images, Pass
from lsbatch.models.training.spatial_split import UNKNOWN

HARMONISED, RAW = "harmonized", "raw"
#: The directions of the sensors of Sentinel-1.
DIRECTIONS = {"s1asc": "asc", "s1dsc": "desc"}
SENTINEL2 = "s2"
#: Variable of each Sentinel-2 band of STACK.
VARIABLES = {
    "R": "B04", "G": "B03", "B": "B02", "NIR": "B08", "SWIR1": "B11", "SWIR2": "B12", "RE1": "B05", "RE2": "B06",
    "RE3": "B07", "NIRn": "B8A",
}  # fmt: skip
#: First day of processing baseline 04.00, from which raw digital numbers are 1000 too high.
FIRST_DAY_WITH_OFFSET = (date(2022, 1, 25) - date(1970, 1, 1)).days
OFFSET_DN, SCALE = -1000.0, 1e-4
#: Largest digital number of harmonised files.
LARGEST_DN = 10_000
#: Values below are fill values (-9999), of backscatter and of elevation.
FILL_BELOW = -9000.0
#: Most looks of a file; the published ones have 15.
MOST_LOOKS = 1000
#: The largest class of the scene classification.
LAST_CLASS = 11


@dataclass(frozen=True)
class Looks:
    """The looks of one sensor at a patch that lie before the first event or after the last one.

    Attributes
    ----------
    values : mapping of variable to array (looks, rows, cols)
        As stored; NaN where the file says nodata.
    days : int array (looks,)
        Days since 1970-01-01.
    is_after : bool array (looks,)
    truth : uint8 array (rows, cols)
        1 landslide, 0 none, 255 unknown.
    elevation_m : float32 array (rows, cols)
    corner : (x, y) of the middle of the first pixel
    """

    values: Mapping[str, np.ndarray]
    days: np.ndarray
    is_after: np.ndarray
    truth: np.ndarray
    elevation_m: np.ndarray
    corner: tuple[float, float]


def read(path: Path, variables: tuple[str, ...]) -> Looks:
    """Read one file.

    Raises
    ------
    UnusablePatchError
        If the patch is not annotated, or its event has no look before or after.
    NoDataError
        If the file is damaged or has another form.
    """
    wanted = (*variables, "MASK", "DEM")
    with hdf5_files.opened(path) as file, hdf5_files.reading(path):
        data = _decoded(file, wanted, path)
        before, after = _around_event(hdf5_files.attributes(file), data.sizes["time"])
        days = data["time"].to_numpy().astype("datetime64[D]").astype(np.int64)
        x, y = (data[name].to_numpy().astype(np.float64) for name in ("x", "y"))
        # first row in the north, first column in the west
        rows, cols = np.argsort(-y), np.argsort(x)
        stored = {name: data[name].transpose(..., "y", "x").to_numpy()[..., rows, :][..., cols] for name in wanted}
    if not (_are_steps(np.sort(x)) and _are_steps(np.sort(y))):
        raise NoDataError(f"{path}: its pixels are not squares of {SIDE_M:g} m")
    if (np.diff(days) < 0).any():
        raise NoDataError(f"{path}: its looks are not in order of time")
    mask, elevation = (_layer(stored[name]) for name in ("MASK", "DEM"))
    elevation = elevation.astype(np.float32)
    outside = np.r_[0 : before + 1, after : len(days)]
    values = {name: stored[name][outside] for name in variables}
    truth = np.where(mask == 1, np.uint8(1), np.where(mask == 0, np.uint8(0), np.uint8(UNKNOWN)))
    elevation[elevation < FILL_BELOW] = np.nan
    return Looks(values, days[outside], outside >= after, truth, elevation, (float(x.min()), float(y.max())))


def images(looks: Looks, colours: tuple[str, ...], product: str, path: Path) -> Images:
    """Return the reflectance of Sentinel-2 looks.

    Raises
    ------
    NoDataError
        If the digital numbers are not those of the product.
    """
    shifted = (looks.days >= FIRST_DAY_WITH_OFFSET) & (product == RAW)
    reflectance = {}
    for colour in colours:
        dn = looks.values[VARIABLES[colour]]
        if product == HARMONISED and (dn > LARGEST_DN).any():
            raise NoDataError(
                f"{path}: {VARIABLES[colour]} has digital numbers above {LARGEST_DN}, so it is not harmonised; "
                "use --format sen12landslides-raw"
            )
        # not positive, and NaN: nodata
        whole = np.where(dn > 0, dn, 0).astype(np.uint16)
        reflectance[colour] = np.stack(
            [optical.reflectance(one, OFFSET_DN * late, SCALE) for one, late in zip(whole, shifted, strict=True)]
        )
    scl = looks.values["SCL"]
    known = (scl >= 0) & (scl <= LAST_CLASS)
    return Images(reflectance, np.where(known, scl, 0).astype(np.uint8), looks.days, looks.is_after)


def passes(looks: Looks, sensor: str, product: str, path: Path) -> list[Pass]:
    """Return the passes of Sentinel-1 looks, in linear power.

    Raises
    ------
    NoDataError
        If the values are not those of the product.
    """
    power = {pol: _power(looks.values[pol], pol, product, path) for pol in POLARISATIONS}
    return [
        Pass(DIRECTIONS[sensor], int(day), bool(is_after), {pol: values[i] for pol, values in power.items()})
        for i, (day, is_after) in enumerate(zip(looks.days, looks.is_after, strict=True))
    ]


def _power(stored: np.ndarray, pol: str, product: str, path: Path) -> np.ndarray:
    values = stored.astype(np.float32)
    values[values < FILL_BELOW] = np.nan
    if not np.isfinite(values).any():
        return values
    middle = np.nanmedian(values)
    if product == RAW:
        if middle < 0:
            raise NoDataError(
                f"{path}: the median of {pol} is {middle:.2f}, which no linear power is; "
                "use --format sen12landslides-harmonized"
            )
        return np.where(values > 0, values, np.float32(np.nan))
    if middle > 0:
        raise NoDataError(
            f"{path}: the median of {pol} is {middle:.2f}, which is no dB; use --format sen12landslides-raw"
        )
    return sar.from_db(values)


def _decoded(file: Any, wanted: tuple[str, ...], path: Path) -> Any:
    """Return the variables as xarray decodes them. Read by h5py, since xarray takes 30 ms longer to open each one."""
    import xarray as xr

    stored = {name: hdf5_files.dataset(file, name, path) for name in (*wanted, "x", "y", "time")}
    dims = {name: hdf5_files.dimensions(one) for name, one in stored.items()}
    _check_shape({name: dict(zip(dims[name], one.shape, strict=True)) for name, one in stored.items()}, wanted, path)
    data = xr.decode_cf(
        xr.Dataset({name: (dims[name], one[()], hdf5_files.attributes(one)) for name, one in stored.items()})
    )
    if data["time"].dtype.kind != "M":
        raise NoDataError(f"{path}: its times are no dates")
    return data


def _check_shape(shapes: Mapping[str, Mapping[str, int]], wanted: tuple[str, ...], path: Path) -> None:
    """Check the dimensions of all variables, before anything is read."""
    sizes = {name: shapes[name].get(name, 0) for name in ("time", "y", "x")}
    if (sizes["y"], sizes["x"]) != (PATCH_PX, PATCH_PX) or not 2 <= sizes["time"] <= MOST_LOOKS:
        text = " x ".join(f"{count} {name}" for name, count in sizes.items())
        raise NoDataError(f"{path}: has {text}; expected are 15 looks of {PATCH_PX} x {PATCH_PX} pixels")
    for name in wanted:
        dims = set(shapes[name])
        if dims != {"time", "y", "x"} and not (dims == {"y", "x"} and name in ("MASK", "DEM")):
            raise NoDataError(f"{path}: {name} has the dimensions {', '.join(shapes[name])}; expected: time, x, y")
    for name, shape in shapes.items():
        if any(sizes[dim] != size for dim, size in shape.items()):
            raise NoDataError(f"{path}: {name} has another size than its dimensions")


def _around_event(attributes: Mapping[str, Any], looks: int) -> tuple[int, int]:
    """Return the indices of the last look before all events of a patch and of the first after all of them."""
    if str(attributes.get("annotated")).lower() not in ("true", "1"):
        raise UnusablePatchError("not annotated")
    text = str(attributes.get("pre_post_dates"))[:10_000]
    before, after = (
        [int(n) for n in re.findall(rf"['\"]{key}['\"]\s*:\s*(\d{{1,6}})", text)] for key in ("pre", "post")
    )
    if not before or len(before) != len(after):
        raise UnusablePatchError("without the looks before and after the event")
    first, last = min(before), max(after)
    if not first < last < looks:
        raise UnusablePatchError("the looks before and after the event are not in the file")
    return first, last


def _are_steps(middles: np.ndarray) -> bool:
    return bool(np.allclose(np.diff(middles), SIDE_M, atol=0.1))


def _layer(values: np.ndarray) -> np.ndarray:
    """Return a layer that is the same at all times."""
    return values.max(axis=0) if values.ndim > 2 else values
