"""Values that no sensor can measure are excluded before interpolation, whether they are declared nodata or not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.imagery import scene_reading, valid_values

#: Asset keys of further bands, and their names.
FURTHER = {"swir16": "SWIR1", "nir08": "NIRn"}
CRS, LEFT, TOP = "EPSG:32633", 500_000.0, 6_800_000.0
BOX = GeoBox((60, 60), rasterio.Affine(10, 0, LEFT + 100, 0, -10, TOP - 100), CRS)


def scene(folder: Path, sensor: str, values: np.ndarray, shift: float, **properties: Any) -> Scene:
    """A scene of 80 x 80 pixels, the same in all bands, `shift` metres off the lattice of `BOX`."""
    keys = {"sentinel2": ("red", "green", "blue", "nir", "scl", *FURTHER), "sentinel1": ("vv", "vh"), "dem": ("data",)}[
        sensor
    ]
    assets = {}
    for key in keys:
        path = folder / f"{key}.tif"
        profile = {"driver": "GTiff", "height": 80, "width": 80, "count": 1, "dtype": values.dtype, "crs": CRS}
        with rasterio.open(path, "w", **profile, transform=from_origin(LEFT + shift, TOP - shift, 10, 10)) as file:
            file.write(values, 1)
        assets[key] = {"href": str(path)}
    item = {
        "type": "Feature", "id": "one", "bbox": [14.9, 61, 15.2, 61.6],
        "properties": {"datetime": "2020-07-01T10:50:31Z", "s2:processing_baseline": "05.00", **properties},
        "assets": assets,
    }  # fmt: skip
    return describe(item, sensor, tuple(FURTHER.values()) if sensor == "sentinel2" else ())


def half(good: float, bad: float, dtype: str) -> np.ndarray:
    values = np.full((80, 80), good, dtype)
    values[:, :40] = bad
    return values


#: Sensor, band, a measurement, what is none, and the type of the file. No file declares nodata.
CASES = {
    "power of 0": ("sentinel1", "VV", 0.08, 0.0, "float32"),
    "negative power": ("sentinel1", "VV", 0.08, -0.002, "float32"),
    "NaN power": ("sentinel1", "VV", 0.08, np.nan, "float32"),
    "infinite power": ("sentinel1", "VV", 0.08, np.inf, "float32"),
    "DN 0": ("sentinel2", "R", 1400, 0, "uint16"),
    "negative reflectance": ("sentinel2", "R", 1400, 960, "uint16"),
    "green below 0": ("sentinel2", "G", 1400, 990, "uint16"),
    "near infrared of 0": ("sentinel2", "NIR", 1400, 1000, "uint16"),
    "short-wave infrared of 0": ("sentinel2", "SWIR1", 1400, 1000, "uint16"),
    "short-wave infrared of 3": ("sentinel2", "SWIR1", 1400, 31000, "uint16"),
    "narrow near infrared below 0": ("sentinel2", "NIRn", 1400, 960, "uint16"),
    "blue far below 0": ("sentinel2", "B", 1400, 400, "uint16"),
    "saturated DN": ("sentinel2", "R", 1400, 65535, "uint16"),
    "reflectance of 3": ("sentinel2", "R", 1400, 31000, "uint16"),
    "a void of a DEM": ("dem", "elevation", 300, -9999, "float32"),
    "a void of a DEM of integers": ("dem", "elevation", 300, -32768, "int16"),
    "a DEM at the bottom of nothing": ("dem", "elevation", 300, 3.4e38, "float32"),
}


@pytest.mark.parametrize("shift", [0.0, 5.0, 3.3])
@pytest.mark.parametrize("case", CASES)
def test_what_is_no_measurement_is_excluded_before_interpolation(case: str, shift: float, tmp_path: Path) -> None:
    sensor, band, good, bad, dtype = CASES[case]
    found = scene_reading.read(scene(tmp_path, sensor, half(good, bad, dtype), shift), (band,), BOX)[band]
    seen = found != 0 if found.dtype.kind == "u" else np.isfinite(found)
    np.testing.assert_allclose(found[seen], good, rtol=1e-6)
    # the edge lies at column 30 of the box, moved by less than a pixel
    assert seen[:, 31:].all()
    assert not seen[:, :30].any()


@pytest.mark.parametrize(
    ("sensor", "band", "good", "dtype"),
    [("sentinel2", "R", 1001, "uint16"), ("sentinel2", "B", 960, "uint16"),
     ("sentinel2", "R", 21000, "uint16"), ("dem", "elevation", -430, "int16"),
     ("dem", "elevation", 8849, "float32"), ("sentinel1", "VV", 1e-6, "float32"), ("sentinel1", "VV", 500, "float32")],
)  # fmt: skip
def test_measurements_at_the_limits_are_kept(sensor: str, band: str, good: float, dtype: str, tmp_path: Path) -> None:
    found = scene_reading.read(scene(tmp_path, sensor, np.full((80, 80), good, dtype), 5.0), (band,), BOX)[band]
    np.testing.assert_allclose(found, good, rtol=1e-6)


def test_limits_follow_the_offset(tmp_path: Path) -> None:
    values = np.full((80, 80), 500, np.uint16)
    older = scene(tmp_path, "sentinel2", values, 0.0, **{"s2:processing_baseline": "02.14"})
    newer = scene(tmp_path, "sentinel2", values, 0.0)
    assert (scene_reading.read(older, ("R",), BOX)["R"] == 500).all()
    assert (scene_reading.read(newer, ("R",), BOX)["R"] == 0).all()
    assert valid_values.rule_of(older, "R").limits[0] == 1
    assert valid_values.rule_of(newer, "R").limits[0] > 1000
    # a class is a number, not a measurement
    assert valid_values.rule_of(newer, "SCL").nearest


def test_ground_control_points_are_refused_with_a_sentence(tmp_path: Path) -> None:
    from rasterio.control import GroundControlPoint

    one = scene(tmp_path, "sentinel1", np.full((80, 80), 0.1, np.float32), 0.0)
    points = [GroundControlPoint(r, c, 15 + c / 1e4, 61 - r / 1e4) for r in (0, 80) for c in (0, 80)]
    profile = {"driver": "GTiff", "height": 80, "width": 80, "count": 1, "dtype": "float32"}
    with rasterio.open(tmp_path / "vv.tif", "w", **profile, gcps=points, crs="EPSG:4326") as file:
        file.write(np.full((80, 80), 0.1, np.float32), 1)
    with pytest.raises(scene_reading.SceneError, match="ground control points instead of a lattice; geocode it first"):
        scene_reading.read(one, ("VV",), BOX)
