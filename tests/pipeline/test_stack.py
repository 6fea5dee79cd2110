"""From scenes to composites: clouds, terrain shadow, sigma0 through the slope correction, masks, directions, DEMs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from lsbatch import settings
from lsbatch.catalog import national_dem
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.errors import CatalogError
from lsbatch.grid import Grid
from lsbatch.imagery import scene_reading
from lsbatch.kernels import terrain
from lsbatch.pipeline import optical, radar
from lsbatch.pipeline import terrain as terrain_stage
from lsbatch.pipeline.terrain import Ground
from lsbatch.settings import Config

CRS, SIDE = "EPSG:32633", 10.0
LEFT, TOP = 500_480.0, 6_800_640.0
#: The scenes are wider than the tile, so that halos find something.
TILE_PX, EDGE_PX = 128, 320
ALL_PX = TILE_PX + 2 * EDGE_PX
TILE = GeoBox((TILE_PX, TILE_PX), rasterio.Affine(SIDE, 0, LEFT, 0, -SIDE, TOP), CRS)
INNER = np.s_[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX]


def written(path: Path, values: np.ndarray, nodata: float | None = None) -> str:
    """A GeoTIFF over the tile and `EDGE_PX` around it."""
    where = from_origin(LEFT - SIDE * EDGE_PX, TOP + SIDE * EDGE_PX, SIDE, SIDE)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=ALL_PX,
        width=ALL_PX,
        count=1,
        dtype=values.dtype,
        crs=CRS,
        transform=where,
        nodata=nodata,
    ) as file:
        file.write(values, 1)
    return str(path)


def scene(sensor: str, name: str, files: dict[str, str], **properties: Any) -> Scene:
    item = {
        "type": "Feature", "id": name, "bbox": [14.9, 61.2, 15.2, 61.4],
        "properties": {"datetime": "2020-07-01T10:50:31Z", "proj:code": CRS, **properties},
        "assets": {key: {"href": href} for key, href in files.items()},
    }  # fmt: skip
    return describe(item, sensor)


def config(**composite: Any) -> Config:
    raw = {
        "survey": {"year": 2020}, "region": {"bounds": [0, 0, 1, 1]}, "bands": "s1vv", "composite": composite,
        "grid": {"crs": CRS, "resolution_m": SIDE, "tile_px": TILE_PX},
        "archives": {"sentinel1": {"preset": "planetary-computer"}},
    }  # fmt: skip
    return settings.parse(raw, Path("/nowhere"))


def terrain_of(elevation: np.ndarray) -> Ground:
    """Ground of the tile from elevations over the whole raster."""
    cut = EDGE_PX - terrain_stage.halo_px(SIDE)
    inner = np.ascontiguousarray(elevation[cut:-cut, cut:-cut])
    return Ground(TILE, terrain_stage.halo_px(SIDE), inner, SIDE, np.zeros(TILE.shape, np.bool_), (), ())


FLAT = np.full((ALL_PX, ALL_PX), 100, np.float32)
ROWS, COLS = np.indices((ALL_PX, ALL_PX))
HILL = (100 + 900 * np.exp(-((ROWS - ALL_PX / 2) ** 2 + (COLS - ALL_PX / 2) ** 2) / 45**2)).astype(np.float32)


# Sentinel-2


def look(folder: Path, name: str, cloud: np.ndarray | None = None, nir: int = 3000, **properties: Any) -> Scene:
    """A clear scene of vegetation, baseline 02.14; with a cloud probability if given."""
    folder = folder / name
    folder.mkdir()
    plain = {"red": 400, "green": 600, "blue": 300, "nir": nir}
    files = {
        key: written(folder / f"{key}.tif", np.full((ALL_PX, ALL_PX), dn, np.uint16), 0) for key, dn in plain.items()
    }
    files["scl"] = written(folder / "scl.tif", np.full((ALL_PX, ALL_PX), 4, np.uint8), 0)
    if cloud is not None:
        files["cloud"] = written(folder / "cloud.tif", cloud.astype(np.uint8))
    sun = {"view:sun_azimuth": 180.0, "view:sun_elevation": 30.0}
    return scene("sentinel2", name, files, **{"s2:processing_baseline": "02.14", **sun, **properties})


def test_cloud_and_its_shadow_from_the_probability(tmp_path: Path) -> None:
    """Cloud outside the tile, to the south: its shadow falls northwards into it, where the ground is dark."""
    cloud = np.zeros((ALL_PX, ALL_PX))
    south = EDGE_PX + TILE_PX
    cloud[south + 10 : south + 40, EDGE_PX : EDGE_PX + 60] = 90
    dark = optical.greenest([look(tmp_path, "dark", cloud, nir=1200)], terrain_of(FLAT), config())
    # 1 km is 100 px: from 40 px below the tile's edge the shadow ends 60 px above it; then 5 px of buffer
    assert (dark.looks[TILE_PX - 55 :, 10:50] == 0).all()
    assert (dark.looks[:, 80:] == 1).all()
    assert (dark.looks[: TILE_PX - 100] == 1).all()
    bright = optical.greenest([look(tmp_path, "bright", cloud)], terrain_of(FLAT), config())
    assert (bright.looks[: TILE_PX - 20] == 1).all()


def test_without_the_sun_the_probability_is_not_used(tmp_path: Path) -> None:
    cloud = np.full((ALL_PX, ALL_PX), 90)
    found = optical.greenest([look(tmp_path, "a", cloud, **{"view:sun_azimuth": None})], terrain_of(FLAT), config())
    assert (found.looks == 1).all()


def test_a_look_in_terrain_shadow_takes_no_part_and_is_counted(tmp_path: Path) -> None:
    """A ridge of 300 m in the south; at 30 degrees its shadow is 520 m long, at 60 degrees 173 m."""
    wall = FLAT.copy()
    bottom = EDGE_PX + TILE_PX
    wall[bottom : bottom + 4] += 300
    low, high = (look(tmp_path, name, **{"view:sun_elevation": e}) for name, e in (("low", 30.0), ("high", 60.0)))
    found = optical.greenest([low], terrain_of(wall), config())
    assert (found.shaded[-50:] == 1).all()
    assert (found.looks[-50:] == 0).all()
    assert np.isnan(found.bands[:, -50:]).all()
    assert (found.looks[:-54] == 1).all()
    assert not found.shaded[:-54].any()
    assert (optical.greenest([high], terrain_of(wall), config()).looks[:-20] == 1).all()


def test_dn_0_in_one_band_is_no_look(tmp_path: Path) -> None:
    one = look(tmp_path, "hole")
    green = np.full((ALL_PX, ALL_PX), 600, np.uint16)
    green[EDGE_PX + 5, EDGE_PX + 6] = 0
    written(tmp_path / "hole" / "green.tif", green, 0)
    found = optical.greenest([one], terrain_of(FLAT), config())
    assert np.argwhere(found.looks == 0).tolist() == [[5, 6]]


# Sentinel-1


def incidence(direction: str) -> np.ndarray:
    """Ellipsoid's incidence angle: it grows away from the sensor, eastwards in an ascending pass, which looks right."""
    across = (COLS - ALL_PX / 2) * (1 if direction == "ascending" else -1)
    return (38 + 6.4e-4 * SIDE / 10 * across).astype(np.float32)


def factor_slowly(
    theta_deg: np.ndarray, look_deg: float, slope: np.ndarray, aspect: np.ndarray, model: str
) -> np.ndarray:
    """cos(theta) c of Vollrath et al. 2020: what turns gamma0 of flat ground into sigma0 of the slope.

    NaN where hidden.
    """
    theta, steep, phi = np.radians(theta_deg), np.tan(np.radians(slope)), np.radians(look_deg + 180 - aspect)
    alpha_r, alpha_az = np.arctan(steep * np.cos(phi)), np.arctan(steep * np.sin(phi))
    upright = np.pi / 2 - theta
    if model == "volume":
        c = np.tan(upright + alpha_r) / np.tan(upright)
    else:
        c = np.cos(upright) / (np.cos(alpha_az) * np.cos(upright + alpha_r))
    return np.where((alpha_r < theta) & (alpha_r > -upright), np.cos(theta) * c, np.nan)


def sigma0(folder: Path, direction: str, model: str, gamma: float = 0.1, orbit: int = 44) -> Scene:
    """A geocoded GRD of a hill of even roughness: bright where it faces the radar."""
    look_deg = 90.0 if direction == "ascending" else 270.0
    dem = HILL.astype(np.float64)
    slope, aspect = terrain.slope(dem, SIDE, SIDE), terrain.aspect(dem, SIDE, SIDE)
    aspect = np.where(np.isnan(aspect), 0, aspect)
    theta = incidence(direction)
    power = gamma * factor_slowly(theta, look_deg, slope, aspect, model)
    folder = folder / f"{direction}-{model}"
    folder.mkdir()
    vv = np.where(np.isnan(power), 1.0, power).astype(np.float32)
    files = {
        "sigma0_vv": written(folder / "vv.tif", vv, np.nan),
        "sigma0_vh": written(folder / "vh.tif", vv / 4, np.nan),
        "incidence_angle": written(folder / "angle.tif", theta, np.nan),
    }
    told = {
        "sar:product_type": "GRD",
        "sat:orbit_state": direction,
        "sat:relative_orbit": orbit,
        "platform": "sentinel-1a",
    }
    return scene("sentinel1", direction, files, **told)


@pytest.mark.parametrize("model", ["volume", "surface"])
@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_a_hill_of_even_roughness_is_flat_after_the_slope_correction(
    tmp_path: Path, direction: str, model: str
) -> None:
    """In both directions, from files: the look azimuth is taken from the incidence angle's own surface."""
    one = sigma0(tmp_path, direction, model)
    found = radar.median([one], terrain_of(HILL), config(slope_model=model))
    vv = found.power["VV"]
    seen = np.isfinite(vv)
    assert 0.5 < seen.mean() < 1
    np.testing.assert_allclose(vv[seen], 0.1, rtol=5e-3)
    np.testing.assert_allclose(found.power["VH"][seen], 0.025, rtol=5e-3)
    with rasterio.open(one.item["assets"]["sigma0_vv"]["href"]) as file:
        raw = file.read(1)[INNER]
    # there was something to correct
    assert np.nanmax(raw[seen]) > 2 * np.nanmin(raw[seen])
    np.testing.assert_array_equal(found.apart[direction], vv)
    other = "descending" if direction == "ascending" else "ascending"
    assert np.isnan(found.apart[other]).all()
    np.testing.assert_array_equal(found.looks[direction], seen)


def test_the_geometry_of_an_orbit_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first scene lacks the angle of some columns; only these have the angle of the second."""
    scenes = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        scenes.append(replace(sigma0(tmp_path / name, "ascending", "volume"), id=name))
    angle = Path(scenes[0].item["assets"]["incidence_angle"]["href"])
    theta = incidence("ascending")
    theta[:, : ALL_PX // 2] = np.nan
    written(angle, theta, np.nan)
    read, calls = scene_reading.read, []

    def recorded(scene: Scene, bands: tuple[str, ...], *rest: Any, **named: Any) -> dict[str, np.ndarray]:
        calls.append((scene.id, bands))
        return read(scene, bands, *rest, **named)

    monkeypatch.setattr(scene_reading, "read", recorded)
    found = radar.median(scenes, terrain_of(HILL), config())
    assert [name for name, bands in calls if bands == ("incidence",)] == ["a", "b"]
    vv = found.power["VV"]
    # no column is lost where the angles meet
    alone = radar.median(scenes[1:2], terrain_of(HILL), config()).power["VV"]
    assert np.isfinite(alone).mean() > 0.5
    np.testing.assert_array_equal(vv, alone)


def test_orbits_mirror(tmp_path: Path) -> None:
    """The hill is symmetric, so what one direction does not see is the mirror of what the other does not see."""
    seen = [
        np.isfinite(radar.median([sigma0(tmp_path, d, "volume")], terrain_of(HILL), config()).power["VV"])
        for d in ("ascending", "descending")
    ]
    # its top lies on a pixel of an even raster: the mirror is off by one column
    np.testing.assert_array_equal(seen[0][:, 1:], seen[1][:, 1:][:, ::-1])


def rtc(folder: Path, name: str, power: np.ndarray, *, mask: np.ndarray | None = None, **told: Any) -> Scene:
    folder = folder / name
    folder.mkdir()
    files = {
        key: written(folder / f"{key}.tif", power.astype(np.float32), np.nan) for key in ("gamma0_vv", "gamma0_vh")
    }
    if mask is not None:
        files["mask"] = written(folder / "mask.tif", mask.astype(np.uint8), 255)
    return scene("sentinel1", name, files, **{"sat:orbit_state": "ascending", "sat:relative_orbit": 44, **told})


def speckled(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4.4, 0.1 / 4.4, (ALL_PX, ALL_PX)).astype(np.float32)


def test_rtc_keeps_its_mask_of_layover_and_shadow(tmp_path: Path) -> None:
    mask = np.zeros((ALL_PX, ALL_PX))
    mask[EDGE_PX + 3, EDGE_PX + 4 : EDGE_PX + 7] = (1, 2, 3)
    found = radar.median([rtc(tmp_path, "a", speckled(0), mask=mask)], terrain_of(FLAT), config())
    assert np.argwhere(np.isnan(found.power["VV"])).tolist() == [[3, 4], [3, 5], [3, 6]]
    # and is not corrected a second time
    np.testing.assert_array_equal(found.power["VV"][10:], speckled(0)[INNER][10:])


def test_directions_apart_and_together(tmp_path: Path) -> None:
    days = [("asc", "ascending", 44, "01"), ("asc2", "ascending", 44, "13"), ("desc", "descending", 66, "02")]
    scenes = [
        rtc(
            tmp_path,
            name,
            speckled(i),
            **{"sat:orbit_state": state, "sat:relative_orbit": orbit, "datetime": f"2020-07-{day}T05:00:00Z"},
        )
        for i, (name, state, orbit, day) in enumerate(days)
    ]
    found = radar.median(scenes, terrain_of(FLAT), config())
    stack = np.stack([speckled(i)[INNER] for i in range(3)])
    np.testing.assert_allclose(found.power["VV"], np.median(stack, axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.apart["ascending"], stack[:2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.apart["descending"], stack[2], rtol=1e-6)
    assert [int(found.looks[d].max()) for d in radar.DIRECTIONS] == [2, 1]
    assert (found.all_looks == 3).all()


FILTERS = ("boxcar", "lee", "kuan", "gamma_map", "frost", "refined_lee", "lee_sigma", "multitemporal")


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_smooths_and_knows_nothing_of_strips(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [rtc(tmp_path, f"d{i}", speckled(i), datetime=f"2020-07-0{i + 1}T05:00:00Z") for i in range(3)]
    whole = radar.median(scenes, terrain_of(FLAT), config(speckle=name)).power["VV"]
    plain = radar.median(scenes, terrain_of(FLAT), config()).power["VV"]
    # over three dates alone there is not much to average
    assert whole.var() < (0.9 if name == "multitemporal" else 0.5) * plain.var()
    assert whole.mean() == pytest.approx(plain.mean(), rel=0.15)
    monkeypatch.setattr(radar, "STRIP_BYTES", 2**17)
    assert radar.strip_rows(TILE_PX, 3, TILE_PX, 3) < TILE_PX / 2
    np.testing.assert_array_equal(radar.median(scenes, terrain_of(FLAT), config(speckle=name)).power["VV"], whole)


# Elevation


def test_the_national_dem_comes_first_and_the_archive_fills_its_holes(tmp_path: Path) -> None:
    own = FLAT.copy()
    own[EDGE_PX : EDGE_PX + 9, EDGE_PX : EDGE_PX + 9] = -9999
    path = Path(written(tmp_path / "national.tif", own, -9999.0))
    archive = scene("dem", "archive", {"data": written(tmp_path / "archive.tif", FLAT + 50)})
    grid = Grid.snapped(CRS, SIDE, TILE_PX, TILE.boundingbox.bbox)
    tile = grid.tile(0, 0)
    assert tile.geobox == TILE
    found = terrain_stage.read(tile, (national_dem.scene(path), archive), config())
    assert found.used == ("national.tif", "archive")
    halo = found.halo_px
    inner = found.elevation_m[halo:-halo, halo:-halo]
    assert set(inner[:8, :8].ravel()) == {150}
    assert set(inner[12:, 12:].ravel()) == {100}


@pytest.mark.parametrize(("width_px", "stays"), [(1, False), (9, False), (10, True)])
def test_a_hairline_void_between_dem_tiles_is_interpolated_and_counted(
    width_px: int, stays: bool, tmp_path: Path
) -> None:
    grid = Grid.snapped(CRS, SIDE, TILE_PX, TILE.boundingbox.bbox)
    heights = np.tile(np.arange(ALL_PX, dtype=np.float32), (ALL_PX, 1))
    void = heights.copy()
    void[:, EDGE_PX + 60 : EDGE_PX + 60 + width_px] = np.nan
    found = terrain_stage.read(
        grid.tile(0, 0), (scene("dem", "d", {"data": written(tmp_path / "d.tif", void)}),), config()
    )
    halo = found.halo_px
    inner = found.elevation_m[halo:-halo, halo:-halo]
    if stays:
        assert np.isnan(inner).sum() == width_px * TILE_PX
        assert not found.is_filled.any()
        return
    np.testing.assert_allclose(inner, heights[INNER], atol=1e-3)
    assert found.is_filled.sum() == width_px * TILE_PX


def test_a_vrt_may_come_from_the_settings_but_not_from_a_catalogue(tmp_path: Path) -> None:
    source = written(tmp_path / "dem.tif", FLAT)
    vrt = tmp_path / "dem.vrt"
    with rasterio.open(source) as file:
        size, crs = file.width, file.crs.to_wkt()
        where = ", ".join(str(v) for v in file.transform.to_gdal())
    vrt.write_text(
        f'<VRTDataset rasterXSize="{size}" '
        f'rasterYSize="{size}"><SRS>{crs.replace(chr(34), "&quot;")}</SRS><GeoTransform>{where}</GeoTransform>'
        '<VRTRasterBand dataType="Float32" '
        f'band="1"><SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    grid = Grid.snapped(CRS, SIDE, TILE_PX, TILE.boundingbox.bbox)
    found = terrain_stage.read(grid.tile(0, 0), (national_dem.scene(vrt),), config())
    assert (found.elevation_m == 100).all()
    stranger = terrain_stage.read(grid.tile(0, 0), (scene("dem", "stranger", {"data": str(vrt)}),), config())
    assert stranger.used == ()
    assert "stranger: asset data" in stranger.dropped[0].reason


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"nothing", "cannot be read as GeoTIFF or VRT"), (None, "cannot be read")]
)
def test_a_national_dem_that_is_none(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "dem.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CatalogError, match=sentence):
        national_dem.scene(path)
