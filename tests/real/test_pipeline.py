"""Real scenes through the whole pipeline, checked against numpy on the raw rasters and against gdaldem's formula.

None of it shows Norway, and nothing slid: what is shown is that STACK is right and that the model answers where there
is something to see.
"""

import shutil
import subprocess
import warnings
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from scipy import ndimage
from shapely.geometry import box

from lsbatch import settings
from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.kernels import optical, sar
from lsbatch.storage import cube
from tests import surveys
from tests.real.convert import NODATA, convert_belgium

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CALIFORNIA = SHARED / "s1_opera_california"
BELGIUM = SHARED / "s1_s2_dem_belgium" / "worldcereal_preprocessed_inputs.nc"
SEA = "T137-292318-IW1"
#: Half a step of the stored decibels.
STEP_DB = STACK["preVV"].scale / 2 + 1e-4

needs = {
    path: pytest.mark.skipif(not path.exists(), reason=f"real data are not at {path}") for path in (CALIFORNIA, BELGIUM)
}


def _surveyed(folder: Path, example: str, **changes: object) -> Survey:
    """The settings beside this file, run to the report in `folder`, without Dask."""
    raw = yaml.safe_load((Path(__file__).parent / example).read_text(encoding="utf-8"))
    survey = surveys.ready(settings.parse(raw | {"cluster": {"kind": "serial"}} | changes, folder))
    assert execution.run(survey) == 0
    return survey


def _whole(survey: Survey, layer, *names: str) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    rows, cols = (slice(0, size) for size in survey.grid.shape)
    return cube.read_window(survey.workspace.store, survey.grid, layer, rows, cols, names)


# California: Sentinel-1 alone


@pytest.fixture(scope="module")
def california(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("california")
    scenes = folder / "scenes"
    scenes.mkdir()
    for file in CALIFORNIA.glob("*/*.tif"):
        shutil.copyfile(file, scenes / file.name)
    make_catalog(scenes)
    # only the tiles of the six places: those between them have no scenes, and take two thirds of the time
    places = [box(*rasterio.open(file).bounds).buffer(300) for file in CALIFORNIA.glob("2021-12-13/*_VV.tif")]
    gpd.GeoSeries(places, crs="EPSG:32611").to_file(folder / "places.gpkg")
    return _surveyed(folder, "california.yaml", region={"file": "places.gpkg"})


def _bursts() -> list[str]:
    return sorted({file.name.split("_")[3] for file in CALIFORNIA.glob("2021-12-13/*.tif")})


def _raw(burst: str, pol: str, first: date, last: date) -> tuple[np.ndarray, rasterio.Affine]:
    """All passes of a burst between two days, (passes, rows, cols), and their transform."""
    found = []
    for file in sorted(CALIFORNIA.glob(f"*/*{burst}*_{pol}.tif")):
        if first <= date.fromisoformat(file.parent.name) <= last:
            with rasterio.open(file) as opened:
                found.append(opened.read(1))
                place = opened.transform
    return np.stack(found), place


def _window(survey: Survey, place: rasterio.Affine) -> tuple[slice, slice]:
    col, row = ~survey.grid.geobox.transform @ (place.c, place.f)
    return slice(round(row), round(row) + 100), slice(round(col), round(col) + 100)


@needs[CALIFORNIA]
@pytest.mark.parametrize("burst", _bursts() if CALIFORNIA.exists() else ["T137"])
@pytest.mark.parametrize("pol", ["VV", "VH"])
def test_medians_are_those_of_numpy(california: Survey, burst: str, pol: str) -> None:
    windows = california.config.survey.windows
    for period, (first, last) in (("pre", windows.pre), ("post", windows.post)):
        power, place = _raw(burst, pol, first, last)
        assert len(power) == {"pre": 4, "post": 2}[period]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="All-NaN", category=RuntimeWarning)
            expected = np.nanmedian(np.where(power > 0, power, np.nan).astype(np.float64), axis=0)
        rows, cols = _window(california, place)
        found = cube.read_window(
            california.workspace.store, california.grid, STACK, rows, cols, (f"{period}{pol}", f"{period}_sar_looks")
        )
        np.testing.assert_array_equal(np.isnan(found[f"{period}{pol}"]), np.isnan(expected))
        difference = found[f"{period}{pol}"] - 10 * np.log10(expected)
        assert np.nanmax(abs(difference)) <= STEP_DB
        if pol == "VV":
            np.testing.assert_array_equal(found[f"{period}_sar_looks"], (power > 0).sum(axis=0))


@needs[CALIFORNIA]
def test_nothing_is_invented_between_the_bursts(california: Survey) -> None:
    seen = np.isfinite(_whole(california, STACK, "preVV")["preVV"])
    expected = np.zeros(seen.shape, bool)
    for burst in _bursts():
        power, place = _raw(burst, "VV", *california.config.survey.windows.pre)
        expected[_window(california, place)] = (power > 0).any(axis=0)
    np.testing.assert_array_equal(seen, expected)


@needs[CALIFORNIA]
def test_the_sea_has_the_looks_of_an_rtc_product(california: Survey) -> None:
    """Open water is homogeneous but for swell; an IW product has 4.4 to 5 looks."""
    windows = california.config.survey.windows
    power, place = _raw(SEA, "VV", *windows.pre)
    # swell and currents: what is left after a wide mean
    flat = [p / ndimage.uniform_filter(p, 15) for p in power]
    single = np.median([sar.enl(p[10:-10, 10:-10]) for p in flat])
    rows, cols = _window(california, place)
    median = cube.read_window(california.workspace.store, california.grid, STACK, rows, cols, ("preVV",))["preVV"]
    power_of_median = sar.from_db(median)
    composite = sar.enl((power_of_median / ndimage.uniform_filter(power_of_median, 15))[10:-10, 10:-10])
    print(f"sea ENL: {single:.1f} a pass, {composite:.1f} in the median of {len(power)}")
    assert 3.5 < single < 7
    # the median of four independent passes has more looks than one, fewer than their mean
    assert 1.5 * single < composite < 4.5 * single


@needs[CALIFORNIA]
def test_the_prediction_is_where_both_periods_were_seen(california: Survey) -> None:
    bands = _whole(california, STACK, "preVV", "postVV")
    answer = _whole(california, probability("unet"), "probability")["probability"]
    np.testing.assert_array_equal(np.isfinite(answer), np.isfinite(bands["preVV"]) & np.isfinite(bands["postVV"]))
    assert np.nanmin(answer) >= 0
    assert np.nanmax(answer) <= 1
    labels = _whole(california, mask("unet"), "landslide")["landslide"]
    inventory = gpd.read_parquet(california.workspace.inventory / "landslides.parquet")
    surveyed = np.isfinite(answer)
    # no storm, no earthquake in these weeks, so all of it is false; how much is said, not judged: docs/real-data.md
    print(
        f"California: {(labels[surveyed] == 1).mean():.1%} of {surveyed.sum()} pixels called landslide, "
        f"{len(inventory)} records"
    )
    assert set(np.unique(labels[surveyed])) <= {0, 1}
    assert (labels[~surveyed] == 255).all()
    assert inventory.crs.to_epsg() == 32611
    assert (california.workspace.report / "report.html").stat().st_size > 10_000


# Belgium: all 13 bands


@pytest.fixture(scope="module")
def belgium(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("belgium")
    make_catalog(convert_belgium(BELGIUM, folder / "scenes"))
    return _surveyed(folder, "belgium.yaml")


@pytest.fixture(scope="module")
def months() -> dict[str, xr.Dataset]:
    """The months of each window, from the NetCDF itself."""
    with xr.open_dataset(BELGIUM) as data:
        return {
            "pre": data.sel(t=["2021-04-01", "2021-05-01"]).load(),
            "post": data.sel(t=["2021-06-01", "2021-07-01"]).load(),
        }


def _belgian(belgium: Survey, *names: str) -> dict[str, np.ndarray]:
    # the top left corner of the region on the national lattice
    left, _, _, top = belgium.config.region.bounds
    col, row = ~belgium.grid.geobox.transform @ (left, top)
    rows, cols = slice(round(row), round(row) + 100), slice(round(col), round(col) + 100)
    return cube.read_window(belgium.workspace.store, belgium.grid, STACK, rows, cols, names)


@needs[BELGIUM]
def test_all_thirteen_bands_are_observed(belgium: Survey) -> None:
    names = settings.example().model_copy(update={"bands": "s1_s2_dem"}).inputs
    assert len(names) == 13
    found = _belgian(belgium, *names)
    # the slope has no value along the border of the DEM
    assert all(np.isfinite(found[name][1:-1, 1:-1]).all() for name in names)


@needs[BELGIUM]
@pytest.mark.parametrize("period", ["pre", "post"])
def test_the_greenest_month_is_taken(belgium: Survey, months: dict[str, xr.Dataset], period: str) -> None:
    data = months[period]
    dn = {
        name: data[f"S2-L2A-{band}"].values.astype(np.float64)
        for name, band in (("B", "B02"), ("G", "B03"), ("R", "B04"), ("NIR", "B08"))
    }
    # a few pixels have DN 0 in a band, which is nodata: such a look does not count
    assert all((values != NODATA).all() for values in dn.values())
    seen = np.logical_and.reduce([values > 0 for values in dn.values()])
    ndvi = np.where(seen, (dn["NIR"] - dn["R"]) / np.maximum(dn["NIR"] + dn["R"], 1), -2)
    ties = abs(ndvi[0] - ndvi[1]) < 1e-6
    greenest = np.argmax(ndvi, axis=0)
    found = _belgian(belgium, *(f"{period}{name}" for name in dn), f"{period}_date", f"{period}_clear_looks")
    for name, values in dn.items():
        expected = np.take_along_axis(np.where(values > 0, values * 1e-4, np.nan), greenest[None], axis=0)[0]
        np.testing.assert_array_equal(np.isnan(found[f"{period}{name}"])[~ties], np.isnan(expected)[~ties])
        assert np.nanmax(abs(found[f"{period}{name}"] - expected)[~ties]) <= STACK[f"{period}{name}"].scale / 2 + 1e-7
    days = data.t.values.astype("datetime64[D]").astype(int)
    np.testing.assert_array_equal(found[f"{period}_date"][~ties], days[greenest][~ties])
    np.testing.assert_array_equal(found[f"{period}_clear_looks"], seen.sum(axis=0))


@needs[BELGIUM]
def test_dndvi_is_the_difference_of_the_greenest(belgium: Survey, months: dict[str, xr.Dataset]) -> None:
    best = {}
    for period, data in months.items():
        nir, red = (data[f"S2-L2A-{band}"].values.astype(np.float32) for band in ("B08", "B04"))
        ndvi = [optical.ndvi(n, r) for n, r in zip(nir, red, strict=True)]
        best[period] = np.where((nir > 0) & (red > 0), ndvi, -2).max(axis=0)
    found = _belgian(belgium, "dNDVI")["dNDVI"]
    assert abs(found - (best["post"] - best["pre"])).max() <= STACK["dNDVI"].scale / 2 + 1e-6


@needs[BELGIUM]
@pytest.mark.parametrize("pol", ["VV", "VH"])
def test_backscatter_is_the_median_of_the_months(belgium: Survey, months: dict[str, xr.Dataset], pol: str) -> None:
    db = {}
    for period, data in months.items():
        power = data[f"S1-SIGMA0-{pol}"].values.astype(np.float64) ** 2 / 10**8.3
        db[period] = 10 * np.log10(np.median(power, axis=0))
        assert abs(_belgian(belgium, f"{period}{pol}")[f"{period}{pol}"] - db[period]).max() <= STEP_DB
    change = _belgian(belgium, f"diff{pol}")[f"diff{pol}"]
    assert abs(change - (db["post"] - db["pre"])).max() <= STACK[f"diff{pol}"].scale / 2 + 1e-4


@needs[BELGIUM]
def test_slope_by_horns_formula_in_the_national_grid(
    belgium: Survey, months: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    """Against gdaldem where it is installed, otherwise against the formula written out."""
    dem = months["pre"]["elevation"].values[0].astype(np.float64)
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    east, south = ndimage.convolve(dem, kernel) / 80, ndimage.convolve(dem, kernel.T) / 80
    expected = np.degrees(np.arctan(np.hypot(east, south)))
    found = _belgian(belgium, "slope", "elevation")
    assert abs(found["slope"] - expected)[1:-1, 1:-1].max() <= STACK["slope"].scale / 2 + 1e-4
    assert abs(found["elevation"] - dem).max() <= STACK["elevation"].scale / 2 + 1e-3
    if shutil.which("gdaldem"):
        _as_gdaldem(dem, found["slope"], tmp_path)


def _as_gdaldem(dem: np.ndarray, slope: np.ndarray, folder: Path) -> None:
    place = dict(transform=rasterio.transform.from_origin(664000, 5612120, 10, 10), crs="EPSG:32631")
    with rasterio.open(
        folder / "dem.tif", "w", driver="GTiff", height=100, width=100, count=1, dtype="float32", **place
    ) as file:
        file.write(dem.astype(np.float32), 1)
    subprocess.run(["gdaldem", "slope", "-q", folder / "dem.tif", folder / "slope.tif"], check=True)
    with rasterio.open(folder / "slope.tif") as file:
        expected = file.read(1)
    assert abs(slope - expected)[1:-1, 1:-1].max() <= STACK["slope"].scale / 2 + 1e-4
