"""Real rasters through catalogue, plan and reading: the numbers are those of the files."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox

from lsbatch.catalog import search
from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.imagery import scene_reading
from lsbatch.settings import SourceSettings
from tests.real.convert import NODATA, convert_belgium

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CALIFORNIA = SHARED / "s1_opera_california"
BELGIUM = SHARED / "s1_s2_dem_belgium" / "worldcereal_preprocessed_inputs.nc"
WORLD = shapely.box(-180, -90, 180, 90)

needs = {
    path: pytest.mark.skipif(not path.exists(), reason=f"real data are not at {path}") for path in (CALIFORNIA, BELGIUM)
}


def scenes(folder: Path, collection: str, sensor: str, days: tuple[date, date] | None) -> search.Found:
    local = SourceSettings(preset="local", url=str(folder), collections=(collection,))
    return search.search(local, sensor, WORLD, days)


@pytest.fixture(scope="module")
def california(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bursts of one winter, with their catalogue."""
    folder = tmp_path_factory.mktemp("california")
    for day in CALIFORNIA.glob("2021-*"):
        for file in day.glob("*.tif"):
            shutil.copyfile(file, folder / file.name)
    make_catalog(folder)
    return folder


@needs[CALIFORNIA]
def test_opera_bursts_are_items_with_orbit_and_platform(california: Path) -> None:
    made = make_catalog(california)
    assert made.items == {"sentinel-1-rtc": 36}
    assert not made.skipped
    found = scenes(california, "sentinel-1-rtc", "sentinel1", (date(2021, 12, 1), date(2021, 12, 31)))
    assert not found.left_out
    assert {s.relative_orbit for s in found.scenes} == {137}
    assert {s.platform for s in found.scenes} == {"sentinel-1a", "sentinel-1b"}
    assert all(set(s.assets) == {"VV", "VH"} for s in found.scenes)
    # told by the burst's number in the name; 02 UTC is the evening in California, when Sentinel-1 flies north
    assert {s.orbit_state for s in found.scenes} == {"ascending"}
    assert {s.time[11:13] for s in found.scenes} <= {"01", "02"}


@needs[CALIFORNIA]
def test_opera_pixels_are_read_as_stored(california: Path) -> None:
    found = scenes(california, "sentinel-1-rtc", "sentinel1", (date(2021, 12, 13), date(2021, 12, 13)))
    assert len(found.scenes) == 6
    for scene in found.scenes:
        for band in ("VV", "VH"):
            with rasterio.open(scene.item["assets"][scene.assets[band]]["href"]) as file:
                expected, box = file.read(1), GeoBox(file.shape, file.transform, file.crs)
            # noise subtraction leaves power of 0 and less, which is no measurement
            expected[~(expected > 0)] = np.nan
            np.testing.assert_array_equal(scene_reading.read(scene, (band,), box)[band], expected)


@pytest.fixture(scope="module")
def belgium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place as GeoTIFF scenes, with their catalogue."""
    folder = convert_belgium(BELGIUM, tmp_path_factory.mktemp("belgium") / "scenes")
    make_catalog(folder)
    return folder


@needs[BELGIUM]
def test_belgium_is_whole(belgium: Path) -> None:
    made = make_catalog(belgium)
    # ten months of twelve have Sentinel-2
    assert made.items == {"sentinel-1-rtc": 12, "sentinel-2-l2a": 10, "dem": 1}
    assert not made.skipped
    found = scenes(belgium, "sentinel-2-l2a", "sentinel2", (date(2020, 11, 1), date(2021, 10, 31)))
    assert {(s.offset_dn, s.scale) for s in found.scenes} == {(0.0, 1e-4)}
    assert not found.left_out


@needs[BELGIUM]
def test_belgian_pixels_are_those_of_the_netcdf(belgium: Path) -> None:
    june = (date(2021, 6, 1), date(2021, 6, 1))
    with xr.open_dataset(BELGIUM) as data:
        month = data.sel(t="2021-06-01")
        dn = {
            name: month[f"S2-L2A-{band}"].values
            for name, band in (("B", "B02"), ("G", "B03"), ("R", "B04"), ("NIR", "B08"))
        }
        db = {pol: 20 * np.log10(month[f"S1-SIGMA0-{pol}"].values.astype(float)) - 83 for pol in ("VV", "VH")}
        height = month["elevation"].values
    (optical,) = scenes(belgium, "sentinel-2-l2a", "sentinel2", june).scenes
    with rasterio.open(optical.item["assets"]["B04"]["href"]) as file:
        box = GeoBox(file.shape, file.transform, file.crs)
    assert box.transform.c == 664000
    assert box.transform.f == 5612120
    found = scene_reading.read(optical, ("R", "G", "B", "NIR", "SCL"), box)
    for name, expected in dn.items():
        np.testing.assert_array_equal(found[name], np.where(expected == NODATA, 0, expected))
    assert (found["SCL"] == 4).all()
    (radar,) = scenes(belgium, "sentinel-1-rtc", "sentinel1", june).scenes
    power = scene_reading.read(radar, ("VV", "VH"), box)
    for pol, expected in db.items():
        np.testing.assert_allclose(10 * np.log10(power[pol].astype(float)), expected, atol=1e-5)
    (dem,) = scenes(belgium, "dem", "dem", None).scenes
    np.testing.assert_array_equal(scene_reading.read(dem, ("elevation",), box)["elevation"], height)
