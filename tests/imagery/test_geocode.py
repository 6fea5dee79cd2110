"""Sentinel-1 GRD through sarsen: a real product's orbit and calibration, with a picture that is made up.

The product is in sarsen's own source package (Apache-2.0), blanked; pip fetches it. What is checked comes from ESA's
annotation: where a pixel lies, and what its number means in gamma0.
"""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform
from scipy import ndimage

from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.errors import CatalogError
from lsbatch.imagery.geocode import rtc

pytest.importorskip("sarsen", reason="the extra lsbatch[grd] is not installed")

SOURCE = "sarsen==0.9.6"
PRODUCT = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"
CRS = "EPSG:32633"
SIDE_PX, STEP_M = 300, 10.0
GEOID_M = 48.0
DARK, BRIGHT = 300, 6000


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sarsen")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--dest",
        str(folder),
        SOURCE,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(
            f"the source package of sarsen, which holds a product, cannot be fetched: {done.stderr.strip()[-200:]}"
        )
    with tarfile.open(one(folder, "*.tar.gz")) as packed:
        packed.extractall(folder, filter="data")
    return one(folder, f"*/tests/data/{PRODUCT}")


@pytest.fixture(scope="module")
def point(blank: Path) -> dict[str, float]:
    """The tie point in the middle of the product: line, pixel, longitude, latitude, height above the ellipsoid."""
    points = ElementTree.parse(one(blank, "annotation/*vv*.xml")).getroot().iter("geolocationGridPoint")
    told = [
        {key: float(p.findtext(key) or "nan") for key in ("line", "pixel", "longitude", "latitude", "height")}
        for p in points
    ]
    lines, pixels = (max(p[key] for p in told) / 2 for key in ("line", "pixel"))
    return min(told, key=lambda p: abs(p["line"] - lines) + abs(p["pixel"] - pixels))


@pytest.fixture(scope="module")
def product(blank: Path, point: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product with an even picture, and a bright square at the tie point."""
    folder = tmp_path_factory.mktemp("products") / PRODUCT
    shutil.copytree(blank, folder)
    image = one(folder, "measurement/*vv*.tiff")
    with rasterio.open(image) as opened:
        shape, gcps = opened.shape, opened.gcps
    values = np.full(shape, DARK, np.uint16)
    row, col = round(point["line"]), round(point["pixel"])
    values[row - 2 : row + 3, col - 2 : col + 3] = BRIGHT
    image.unlink()
    profile = {
        "driver": "GTiff",
        "height": shape[0],
        "width": shape[1],
        "count": 1,
        "dtype": "uint16",
        "compress": "deflate",
    }
    with rasterio.open(image, "w", **profile, gcps=gcps[0], crs=gcps[1]) as out:
        out.write(values, 1)
    return folder


def ground(path: Path, point: dict[str, float]) -> Path:
    """A plain through the tie point, in heights above the geoid."""
    (x,), (y,) = transform("EPSG:4326", CRS, [point["longitude"]], [point["latitude"]])
    left, top = (round(v / STEP_M) * STEP_M for v in (x - SIDE_PX / 2 * STEP_M, y + SIDE_PX / 2 * STEP_M))
    profile = {"driver": "GTiff", "height": SIDE_PX, "width": SIDE_PX, "count": 1, "dtype": "float32", "crs": CRS}
    with rasterio.open(path, "w", **profile, transform=from_origin(left, top, STEP_M, STEP_M)) as out:
        out.write(np.full((SIDE_PX, SIDE_PX), point["height"] - GEOID_M, np.float32), 1)
    return path


def offset_m(path: Path, point: dict[str, float]) -> tuple[float, float]:
    """How far east and north of the tie point the bright square was put."""
    with rasterio.open(path) as opened:
        power = opened.read(1)
        row, col = ndimage.center_of_mass(np.nan_to_num(power) > 0.5 * np.nanmax(power))
        x, y = opened.transform @ (col + 0.5, row + 0.5)
    (px,), (py,) = transform("EPSG:4326", CRS, [point["longitude"]], [point["latitude"]])
    return x - px, y - py


def gamma0_of(product: Path, point: dict[str, float]) -> float:
    """(DN / A_gamma)^2 by ESA's calibration vector next to the tie point."""
    vectors = (
        ElementTree.parse(one(product, "annotation/calibration/calibration*vv*.xml"))
        .getroot()
        .iter("calibrationVector")
    )
    nearest = min(vectors, key=lambda v: abs(float(v.findtext("line") or "nan") - point["line"]))
    pixels, gains = (np.array((nearest.findtext(key) or "").split(), float) for key in ("pixel", "gamma"))
    return float((DARK / np.interp(point["pixel"], pixels, gains)) ** 2)


# sarsen computes on threads inside threads: seconds alone, minutes beside another test
@pytest.mark.slow
def test_pixels_lie_and_mean_what_the_annotation_says(product: Path, point: dict[str, float], tmp_path: Path) -> None:
    (made,) = rtc(product, ground(tmp_path / "dem.tif", point), GEOID_M, tmp_path / "out")
    east, north = offset_m(made, point)
    assert np.hypot(east, north) < 12
    with rasterio.open(made) as opened:
        assert opened.crs.to_epsg() == 32633
        assert opened.transform.e < 0
        power = opened.read(1)
    # a plain: gamma0 on the ellipsoid is the terrain-corrected one, which sarsen meets within 0.2 dB (4 % here)
    assert np.nanmedian(power[20:100, 20:-20]) == pytest.approx(gamma0_of(product, point), rel=0.06)

    before = made.stat().st_mtime_ns
    assert rtc(product, tmp_path / "dem.tif", GEOID_M, tmp_path / "out") == [made]
    assert made.stat().st_mtime_ns == before, "what is there is not made again"

    listed = make_catalog(tmp_path / "out")
    assert dict(listed.items) == {"sentinel-1-rtc": 1}
    assert not listed.skipped
    item = one(tmp_path / "out" / "stac" / "sentinel-1-rtc", "*.json").read_text(encoding="utf-8")
    for told in (
        '"sat:relative_orbit": 22',
        '"sat:orbit_state": "descending"',
        '"platform": "sentinel-1b"',
        '"2021-12-23T05:11:22Z"',
    ):
        assert told in item


# sarsen computes on threads inside threads: seconds alone, minutes beside another test
@pytest.mark.slow
def test_a_forgotten_geoid_moves_the_picture(product: Path, point: dict[str, float], tmp_path: Path) -> None:
    """48 m too low, seen under 38 degrees by a radar that looks west: about 60 m along the line of sight."""
    (made,) = rtc(product, ground(tmp_path / "dem.tif", point), 0.0, tmp_path)
    assert 40 < abs(offset_m(made, point)[0]) < 80


def test_what_is_no_product(tmp_path: Path) -> None:
    (tmp_path / "S1A_IW_SLC__1SDV_x.SAFE").mkdir()
    with pytest.raises(CatalogError, match="is not an unpacked Sentinel-1 GRD"):
        rtc(tmp_path / "S1A_IW_SLC__1SDV_x.SAFE", tmp_path / "dem.tif", 0, tmp_path / "out")


def test_a_dem_elsewhere(product: Path, point: dict[str, float], tmp_path: Path) -> None:
    far = ground(tmp_path / "dem.tif", point | {"longitude": point["longitude"] + 5})
    with pytest.raises(CatalogError, match=r"cannot be geocoded: the DEM .* does not cover the product"):
        rtc(product, far, 0, tmp_path / "out")
    with pytest.raises(CatalogError, match="No such file"):
        rtc(product, tmp_path / "missing.tif", 0, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()), "nothing is left lying about"
