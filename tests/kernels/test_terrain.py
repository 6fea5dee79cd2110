"""Terrain against gdaldem and against a slow, obvious ray."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.transform import Affine
from scipy import ndimage

from lsbatch.kernels import terrain


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1, masked=True).astype(np.float64).filled(np.nan)


def hills(shape: tuple[int, int] = (60, 80), seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return (ndimage.gaussian_filter(noise, 4) * 2000 + 500).astype(np.float32)


@pytest.mark.skipif(
    shutil.which("gdaldem") is None, reason="no gdaldem on this machine; make system-packages installs it"
)
@pytest.mark.parametrize(
    ("kind", "ours", "allowed"),
    [
        ("slope", terrain.slope, 1e-4),
        ("aspect", terrain.aspect, 1e-3),
        # gdaldem rounds to whole numbers
        ("hillshade", terrain.hillshade, 0.502),
    ],
)
def test_as_gdaldem(kind: str, ours, allowed: float, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    dem = hills()
    dem[20:22, 30] = np.nan
    # gdaldem's aspect takes pixels for squares
    dx_m = 10 if kind == "aspect" else 20
    profile = dict(driver="GTiff", dtype="float32", count=1, height=60, width=80, nodata=np.nan)
    where = dict(crs="EPSG:25833", transform=Affine(dx_m, 0, 500_000, 0, -10, 6_800_000))
    with rasterio.open(tmp_path / "dem.tif", "w", **profile, **where) as file:
        file.write(dem, 1)
    subprocess.run(["gdaldem", kind, "-q", "-alg", "Horn", tmp_path / "dem.tif", tmp_path / "out.tif"], check=True)
    expected, found = read(tmp_path / "out.tif"), ours(dem, dx_m, 10)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(abs(found - expected)) < allowed


@pytest.mark.parametrize(("kind", "allowed"), [("slope_horn", 2e-5), ("aspect_horn", 1e-3), ("hillshade", 0.502)])
def test_as_gdaldem_on_a_real_mountain(shared_data: Path, kind: str, allowed: float) -> None:
    folder = shared_data / "dem_exploradores"
    dem = read(folder / "aster_30m.tif").astype(np.float32)
    with rasterio.open(folder / "aster_30m.tif") as file:
        dx_m, dy_m = file.res
    expected = read(folder / f"gdaldem_{kind}.tif")
    found = getattr(terrain, kind.removesuffix("_horn"))(dem, dx_m, dy_m)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(abs(found - expected)) < allowed


def test_a_plane_that_falls_to_the_east_by_45_degrees() -> None:
    plane = np.tile(-20.0 * np.arange(5), (5, 1))
    np.testing.assert_allclose(terrain.slope(plane, 20, 10)[1:-1, 1:-1], 45, rtol=1e-6)
    np.testing.assert_allclose(terrain.aspect(plane, 20, 10)[1:-1, 1:-1], 90, rtol=1e-6)


def test_flat_ground_has_no_aspect() -> None:
    assert np.isnan(terrain.aspect(np.zeros((5, 5)), 10, 10)).all()
    assert (terrain.slope(np.zeros((5, 5)), 10, 10)[1:-1, 1:-1] == 0).all()


@given(arrays(np.float32, (6, 7), elements=st.floats(-500, 9000, width=32)), st.sampled_from([10.0, 25.0]))
def test_a_turned_mountain_turns_its_aspect(single: np.ndarray, side_m: float) -> None:
    # in single precision the sums of elevations round differently when turned
    dem = single.astype(np.float64)
    steep = terrain.slope(dem, side_m, side_m)
    np.testing.assert_allclose(terrain.slope(np.rot90(dem), side_m, side_m), np.rot90(steep), rtol=1e-4, atol=1e-4)
    # a quarter turn counter-clockwise takes 90 degrees from the azimuth
    turned, aspect = terrain.aspect(np.rot90(dem), side_m, side_m), np.rot90(terrain.aspect(dem, side_m, side_m))
    difference = (turned - (aspect - 90) + 180) % 360 - 180
    safe = np.rot90(steep) > 0.5
    assert (abs(difference[safe]) < 0.1).all()


def test_three_in_one_pass_are_the_three() -> None:
    dem = hills()
    found = terrain.slope_aspect_hillshade(dem, 10, 10)
    for one, alone in zip(found, (terrain.slope, terrain.aspect, terrain.hillshade), strict=True):
        np.testing.assert_array_equal(one, alone(dem, 10, 10))


def test_tile_by_tile_is_the_whole() -> None:
    dem = hills()
    whole = terrain.slope(dem, 10, 10)
    np.testing.assert_array_equal(terrain.slope(dem[9:40, 14:50], 10, 10)[1:-1, 1:-1], whole[10:39, 15:49])


def _shadow_slowly(dem: np.ndarray, side_m: float, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Walk towards the sun one pixel after another."""
    azimuth, rise = np.radians(azimuth_deg), np.tan(np.radians(elevation_deg))
    down, right = -np.cos(azimuth), np.sin(azimuth)
    step = 1 / max(abs(down), abs(right))
    out = np.zeros(dem.shape, bool)
    for row, col in np.ndindex(dem.shape):
        for k in range(1, sum(dem.shape)):
            r, c = round(row + k * step * down, 6), round(col + k * step * right, 6)
            r0, c0 = int(np.floor(r)), int(np.floor(c))
            r1, c1 = int(np.ceil(r)), int(np.ceil(c))
            if min(r0, c0) < 0 or r1 >= dem.shape[0] or c1 >= dem.shape[1]:
                break
            # one of the two is whole
            share = (r - r0) + (c - c0)
            ground = dem[r0, c0] * (1 - share) + dem[r1, c1] * share
            if ground > dem[row, col] + k * step * side_m * rise:
                out[row, col] = True
                break
    return out


@pytest.mark.parametrize("azimuth_deg", [0, 17, 45, 90, 123.4, 180, 222, 270, 315])
def test_shadow_as_a_slow_walk(azimuth_deg: float) -> None:
    dem = hills((30, 40), seed=3)
    expected = _shadow_slowly(dem, 10, azimuth_deg, 20)
    assert 0.05 < expected.mean() < 0.95
    # the walk adds in another order: a pixel that the ray just grazes may differ
    assert np.count_nonzero(terrain.shadow(dem, 10, 10, azimuth_deg, 20) != expected) <= 2


def test_a_wall_throws_a_shadow_of_its_height() -> None:
    dem = np.zeros((1, 40), np.float32)
    dem[0, 30] = 105
    shade = terrain.shadow(dem, 10, 10, 90, 45)
    assert np.flatnonzero(shade[0]).tolist() == list(range(20, 30))


@pytest.mark.parametrize(("elevation_deg", "expected"), [(0, True), (-5, True), (90, False)])
def test_sun_at_the_horizon_and_in_the_zenith(elevation_deg: float, expected: bool) -> None:
    assert (terrain.shadow(hills(), 10, 10, 180, elevation_deg) == expected).all()
