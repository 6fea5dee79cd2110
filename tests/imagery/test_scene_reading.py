"""Reading pixels: the same whatever the lattice is cut into, and faults that are named."""

import math
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from rasterio.warp import reproject
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter

from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.errors import SceneError
from lsbatch.imagery import retry, scene_reading
from tests import servers
from tests.small_archive import CRS, LEFT, SIDE_PX, TOP, write_tif

COLOURS = ("R", "G", "B", "NIR")
HOME = GeoBox.from_bbox(BoundingBox(LEFT, TOP - 2560, LEFT + 2560, TOP, crs=CRS), shape=(256, 256), tight=True)


def scene(folder: str, name: str = "S2A_20190701_N0211") -> Scene:
    """The Sentinel-2 scene of the archive, in a folder or under an address."""
    bands = {"red": "B04", "green": "B03", "blue": "B02", "nir": "B08", "scl": "SCL"}
    item = {
        "type": "Feature", "id": name, "bbox": [14.9, 61, 15.2, 61.6], "collection": "sentinel-2-l2a",
        "properties": {"datetime": "2019-07-01T10:50:31Z", "s2:processing_baseline": "02.11"},
        "assets": {key: {"href": f"{folder}/{name}/{name}_{band}.tif"} for key, band in bands.items()},
    }  # fmt: skip
    return describe(item, "sentinel2")


def single(path: Path, sensor: str, **more: Any) -> Scene:
    """A scene of one raster."""
    key = {"sentinel1": "vv", "dem": "data"}[sensor]
    item = {
        "type": "Feature",
        "id": path.stem,
        "bbox": [-180, -90, 180, 90],
        "properties": {"datetime": "2019-07-01T10:50:31Z"},
        "assets": {key: {"href": str(path), **more}},
    }
    return describe(item, sensor)


def stored(archive: Path, band: str) -> np.ndarray:
    with rasterio.open(archive / "S2A_20190701_N0211" / f"S2A_20190701_N0211_{band}.tif") as file:
        return file.read(1)


def test_pixels_of_the_same_lattice_come_as_stored(archive: Path) -> None:
    found = scene_reading.read(scene(str(archive)), (*COLOURS, "SCL"), HOME)
    for band, name in zip(COLOURS, ("B04", "B03", "B02", "B08"), strict=True):
        assert found[band].dtype == np.uint16
        np.testing.assert_array_equal(found[band], stored(archive, name)[:256, :256])
    assert found["SCL"].dtype == np.uint8
    assert (found["SCL"] == 4).all()


def test_scl_of_20_m_is_repeated_not_mixed(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 12, (150, 150)).astype(np.uint8)
    for band in ("B02", "B03", "B04", "B08"):
        write_tif(tmp_path / "s" / f"s_{band}.tif", np.ones((300, 300), np.uint16))
    write_tif(tmp_path / "s" / "s_SCL.tif", classes, resolution_m=20.0)
    found = scene_reading.read(scene(str(tmp_path), "s"), ("SCL",), HOME)["SCL"]
    np.testing.assert_array_equal(found, np.kron(classes, np.ones((2, 2), np.uint8))[:256, :256])


def beyond(box: GeoBox, crs: str, side: int) -> GeoBox:
    """A lattice of another CRS, on multiples of 1280 m, over the middle of a box."""
    x, y = pyproj.Transformer.from_crs(str(box.crs), crs, always_xy=True).transform(*box.extent.centroid.points[0])
    left, top = (math.floor(v / 1280) * 1280 + s for v, s in ((x, -1280), (y, 1280)))
    return GeoBox.from_bbox(
        BoundingBox(left, top - side * 10, left + side * 10, top, crs=crs), shape=(side, side), tight=True
    )


CUTS = [np.s_[:256, :256], np.s_[256:, 128:384], np.s_[100:101, :], np.s_[37:300, 211:212], np.s_[5:507, 3:509]]


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster with detail at every scale, large enough for bent rows to show."""
    noise = np.random.default_rng(3).normal(size=(1024, 1024))
    values = (gaussian_filter(noise, 2) * 8000 + 3000).clip(1, 10000).astype(np.float32)
    return write_tif(tmp_path_factory.mktemp("rough") / "rough.tif", values, nodata=0)


@pytest.mark.parametrize("crs", [CRS, "EPSG:32632", "EPSG:3035"])
@pytest.mark.parametrize("moved_px", [(0, 0), (384, 256)], ids=["inside", "over the edge"])
def test_pixels_do_not_depend_on_how_the_lattice_is_cut(rough: Path, crs: str, moved_px: tuple[int, int]) -> None:
    with rasterio.open(rough) as file:
        source = GeoBox(file.shape, file.transform, file.crs)
    whole_box = beyond(source, crs, 512).translate_pix(*moved_px)
    one = single(rough, "sentinel1")
    whole = scene_reading.read(one, ("VV",), whole_box)["VV"]
    assert np.isfinite(whole).mean() > (0.1 if any(moved_px) else 0.5)
    for cut in CUTS:
        np.testing.assert_array_equal(scene_reading.read(one, ("VV",), whole_box[cut])["VV"], whole[cut])
    np.testing.assert_array_equal(scene_reading.read(one, ("VV",), whole_box.pad(7))["VV"][7:-7, 7:-7], whole)


def test_the_warp_is_bilinear_at_the_exact_place(rough: Path) -> None:
    with rasterio.open(rough) as file:
        values, transform = file.read(1).astype(np.float64), file.transform
    box = beyond(GeoBox((1024, 1024), transform, CRS), "EPSG:32632", 256)
    cols, rows = np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5)
    x, y = pyproj.Transformer.from_crs("EPSG:32632", CRS, always_xy=True).transform(*(box.transform * (cols, rows)))
    col, row = (v - 0.5 for v in ~transform * (x, y))
    c0, r0 = np.floor(col).astype(int), np.floor(row).astype(int)
    fc, fr = col - c0, row - r0
    expected = (
        values[r0, c0] * (1 - fr) * (1 - fc) + values[r0, c0 + 1] * (1 - fr) * fc
        + values[r0 + 1, c0] * fr * (1 - fc) + values[r0 + 1, c0 + 1] * fr * fc
    )  # fmt: skip
    found = scene_reading.read(single(rough, "sentinel1"), ("VV",), box)["VV"]
    ours = np.abs(found - expected)
    # what GDAL does when it is left alone: it blurs, and its rows bend
    theirs = np.zeros((256, 256), np.float32)
    with rasterio.open(rough) as file:
        reproject(rasterio.band(file, 1), theirs, dst_transform=box.transform, dst_crs="EPSG:32632", resampling=1)
    assert np.median(ours) < 0.1
    assert ours.max() < 5
    assert np.abs(theirs - expected).max() > 10 * ours.max()


def test_outside_is_nodata(archive: Path) -> None:
    far = HOME.translate_pix(5000, 0)
    assert not scene_reading.read(scene(str(archive)), ("R", "SCL"), far)["R"].any()
    half = scene_reading.read(scene(str(archive)), ("R",), HOME.translate_pix(-128, -128))["R"]
    assert not half[:128].any()
    assert not half[:, :128].any()
    np.testing.assert_array_equal(half[128:, 128:], stored(archive, "B04")[:128, :128])
    assert np.isnan(scene_reading.read(single(archive / "dem_10m.tif", "dem"), ("elevation",), far)["elevation"]).all()


@pytest.mark.parametrize(
    ("in_file", "in_item", "hole"),
    [
        (np.nan, {}, np.nan),
        (-32768, {}, -32768),
        (None, {"raster:bands": [{"nodata": -9999}]}, -9999),
        (0, {}, 0),
        (None, {}, 0),
        (None, {"raster:bands": [{"nodata": "nan"}]}, np.nan),
    ],
)
@pytest.mark.parametrize("crs", [CRS, "EPSG:32632"])
def test_nodata_of_power_becomes_nan(
    tmp_path: Path, in_file: float | None, in_item: dict[str, Any], hole: float, crs: str
) -> None:
    power = np.full((SIDE_PX, SIDE_PX), 0.1, np.float32)
    power[100:150, 100:150] = hole
    path = write_tif(tmp_path / "power.tif", power, nodata=in_file)
    with rasterio.open(path) as file:
        box = HOME if crs == CRS else beyond(GeoBox(file.shape, file.transform, file.crs), crs, 256)
    found = scene_reading.read(single(path, "sentinel1", **in_item), ("VV",), box)["VV"]
    assert found.dtype == np.float32
    valid = found[np.isfinite(found)]
    assert 0.3 < valid.size / found.size < 1
    # no value is mixed with the nodata beside it
    np.testing.assert_allclose(valid, 0.1, rtol=1e-6)
    if crs == CRS:
        np.testing.assert_array_equal(np.isnan(found), ~(power[:256, :256] == np.float32(0.1)))


def test_a_polarisation_that_is_not_there_is_nodata(archive: Path) -> None:
    one = single(archive / "S1A_20190702T170211_T044_asc_VV.tif", "sentinel1")
    found = scene_reading.read(one, ("VV", "VH"), HOME)
    assert np.isfinite(found["VV"]).all()
    assert np.isnan(found["VH"]).all()


def test_overviews_are_read_only_when_the_picture_gets_smaller(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "fine.tif", np.ones((1024, 1024), np.float32), nodata=None)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
        side = 512 if file.overviews(1) else 0
    assert side
    with rasterio.open(path, "r+", overview_level=None) as file:
        # the base now differs from its overviews, so that one can see which was read
        file.write(np.full((1024, 1024), 7, np.float32), 1, window=Window(0, 0, 1024, 1024))
    one = single(path, "sentinel1")
    found = {
        metres: scene_reading.read(
            one, ("VV",), GeoBox.from_bbox(BoundingBox(LEFT, TOP - 5120, LEFT + 5120, TOP, crs=CRS), resolution=metres)
        )["VV"]
        for metres in (5.0, 10.0, 20.0, 40.0)
    }
    assert {metres: float(np.median(values)) for metres, values in found.items()} == {5.0: 7, 10.0: 7, 20.0: 1, 40.0: 1}


def truncated(path: Path) -> str:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "cannot be read"


def absent(path: Path) -> str:
    path.unlink()
    return "No such file|does not exist"


def garbage(path: Path) -> str:
    path.write_bytes(b"<html>" * 1000)
    return "not recognized as"


def virtual(path: Path) -> str:
    # a VRT under another name could lead anywhere
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>', encoding="utf-8")
    return "not recognized as"


@pytest.mark.parametrize("harm", [truncated, absent, garbage, virtual])
@pytest.mark.parametrize("crs", [CRS, "EPSG:32632"])
def test_rasters_that_cannot_be_read_are_named(
    archive: Path, tmp_path: Path, harm: Callable[[Path], str], crs: str
) -> None:
    shutil.copytree(archive / "S2A_20190701_N0211", tmp_path / "S2A_20190701_N0211")
    sentence = harm(tmp_path / "S2A_20190701_N0211" / "S2A_20190701_N0211_B08.tif")
    box = HOME if crs == CRS else beyond(HOME, crs, 256)
    assert scene_reading.read(scene(str(tmp_path)), ("R", "SCL"), box)["R"].any()
    with pytest.raises(SceneError, match=sentence) as caught:
        scene_reading.read(scene(str(tmp_path)), COLOURS, box)
    text = str(caught.value)
    assert text.startswith("S2A_20190701_N0211: asset nir (")
    assert "\n" not in text


def test_an_asset_that_is_no_raster_is_named(archive: Path) -> None:
    one = scene(str(archive))
    asset = one.item["assets"]["red"] | {"type": "application/json", "roles": ["metadata"]}
    wrong = replace(one, item=one.item | {"assets": one.item["assets"] | {"red": asset}})
    with pytest.raises(SceneError, match="asset red is no raster by its type and its roles"):
        scene_reading.read(wrong, ("R",), HOME)


@pytest.fixture
def band(served: servers.Served) -> str:
    """Path of the red band on the server."""
    return "/S2A_20190701_N0211/S2A_20190701_N0211_B04.tif"


def test_over_http_the_pixels_are_the_same(archive: Path, served: servers.Served) -> None:
    near, far = (scene_reading.read(scene(where), (*COLOURS, "SCL"), HOME) for where in (str(archive), served.url))
    for name in near:
        np.testing.assert_array_equal(near[name], far[name])


def test_faults_that_pass_are_waited_for(archive: Path, served: servers.Served, band: str) -> None:
    served.faults[band] = [503, 500]
    found = scene_reading.read(scene(served.url), ("R",), HOME, attempts=3)["R"]
    np.testing.assert_array_equal(found, stored(archive, "B04")[:256, :256])
    assert served.asked[band] > 3
    assert not served.faults[band]


def test_faults_that_stay_are_told_after_the_last_try(served: servers.Served, band: str) -> None:
    served.faults[band] = [503] * 50
    with pytest.raises(SceneError, match="asset red"):
        scene_reading.read(scene(served.url), ("R",), HOME, attempts=3)
    # and one by which GDAL forgets that it failed
    assert served.asked[band] == 4


def test_a_raster_that_is_gone_is_asked_for_once(served: servers.Served) -> None:
    with pytest.raises(SceneError, match="asset red"):
        scene_reading.read(scene(served.url, "S2A_20190702_N0211"), ("R",), HOME, attempts=5)
    assert sum(served.asked.values()) <= 2


def test_messages_hold_no_signature(served: servers.Served) -> None:
    one = scene(served.url, "nothing")
    assets = {key: asset | {"href": asset["href"] + "?sig=SECRET"} for key, asset in one.item["assets"].items()}
    with pytest.raises(SceneError) as caught:
        scene_reading.read(replace(one, item={**one.item, "assets": assets}), ("R",), HOME, attempts=1)
    assert "SECRET" not in str(caught.value)


def test_only_the_planetary_computer_is_signed_and_only_when_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import planetary_computer
    asked: list[str] = []

    def sign(url: str) -> str:
        asked.append(url)
        return f"{url}?sig=1"

    monkeypatch.setattr(planetary_computer, "sign_url", sign)
    azure = "https://sentinel2l2a01.blob.core.windows.net/a/B04.tif"
    assert retry.signed("https://example.org/a.tif") == "https://example.org/a.tif"
    assert retry.signed("/data/a.tif") == "/data/a.tif"
    assert not asked
    assert retry.signed(azure) == f"{azure}?sig=1"
    assert asked == [azure]


def test_keys_in_the_environment_cost_no_session_for_each_block(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rasterio would make one of boto3, where that is installed, in each of its calls."""
    boto3 = pytest.importorskip("boto3", reason="boto3 comes with the test server of S3")
    made: list[object] = []
    original = boto3.Session
    monkeypatch.setattr(boto3, "Session", lambda *args, **more: made.append(args) or original(*args, **more))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    # between zones: warped, not pasted
    elsewhere = GeoBox.from_bbox(HOME.extent.to_crs("EPSG:32634").boundingbox, resolution=10.0)
    found = scene_reading.read(scene(str(archive)), ("R",), elsewhere)
    assert found["R"].any()
    assert made == []
