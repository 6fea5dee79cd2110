"""The synthetic country: reproducible to the byte, in real formats, and honest about its difficulty."""

import hashlib
import json
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
from scipy import special, stats

from lsbatch import synthetic as countries
from lsbatch.synthetic import confounders, country, cover, landslides, optical, radar, scenes

SEED, SIDE = 7, 512


@pytest.fixture(scope="module")
def made() -> country.Ground:
    """The same country as the session's `country`, in memory."""
    return country.make(SEED, SIDE, SIDE)


@pytest.fixture(scope="module")
def items(country: Path) -> list[pystac.Item]:
    root = pystac.Catalog.from_file(str(country.parent / "catalog" / "catalog.json"))
    return list(root.get_items(recursive=True))


def _of(items: list[pystac.Item], collection: str) -> list[pystac.Item]:
    return [item for item in items if item.collection_id == collection]


def _read(item: pystac.Item, key: str) -> np.ndarray:
    with rasterio.open(item.assets[key].get_absolute_href()) as file:
        return file.read(1)


# The same bytes


def _bytes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_same_seed_same_bytes_another_seed_another_country(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for folder, seed in ((first, 3), (again, 3), (other, 4)):
        folder.mkdir()
        countries.simulate(folder, seed=seed, rows=256, cols=256)
    one, two = _bytes(first), _bytes(again)
    assert one == two
    assert len(one) > 100
    different = _bytes(other)
    assert all(one[name] != different[name] for name in ("truth.gpkg", "cover.tif", "points.gpkg"))


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `lsbatch simulate demo` gives it: the catalogue's links lead to the files."""
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    config = countries.simulate(Path("here"), seed=5, rows=256, cols=256)
    assert config.samefile(tmp_path / "here" / "config.yaml")
    root = pystac.Catalog.from_file("here/catalog/catalog.json")
    paths = [
        Path(asset.get_absolute_href()) for item in root.get_items(recursive=True) for asset in item.assets.values()
    ]
    assert len(paths) > 100
    assert all(path.is_file() for path in paths)


def test_the_same_ground_from_the_same_seed(made: country.Ground) -> None:
    again = country.make(SEED, SIDE, SIDE)
    np.testing.assert_array_equal(again.slides.labels, made.slides.labels)
    np.testing.assert_array_equal(radar.gamma0(again, radar.ORBITS[0], date(2020, 7, 1))["VV"],
                                  radar.gamma0(made, radar.ORBITS[0], date(2020, 7, 1))["VV"])  # fmt: skip


# Real formats


def test_every_raster_is_a_cloud_optimised_geotiff(items: list[pystac.Item]) -> None:
    paths = [asset.get_absolute_href() for item in items for asset in item.assets.values()]
    assert len(paths) > 100
    for path in paths[::7]:
        with rasterio.open(path) as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.block_shapes == [(256, 256)] or max(file.shape) <= 256


def test_items_hold_what_stac_asks_for(items: list[pystac.Item]) -> None:
    for item in items:
        json.dumps(item.to_dict())
        assert item.geometry is not None
        assert item.properties["proj:code"] == f"EPSG:{item.properties['proj:epsg']}"
        path = next(iter(item.assets.values())).get_absolute_href()
        with rasterio.open(path) as file:
            assert list(file.shape) == item.properties["proj:shape"]
            assert file.crs.to_epsg() == item.properties["proj:epsg"]


def test_sentinel_2_comes_in_two_utm_zones(items: list[pystac.Item]) -> None:
    found = {
        item.properties["proj:epsg"] for name in ("sentinel-2-l2a", "sentinel-2-l2a-pc") for item in _of(items, name)
    }
    assert found == {32632, 32633}


def test_both_baselines_and_every_way_to_tell_the_offset(items: list[pystac.Item]) -> None:
    search, planetary = _of(items, "sentinel-2-l2a"), _of(items, "sentinel-2-l2a-pc")
    told = {(i.properties["s2:processing_baseline"], i.properties["earthsearch:boa_offset_applied"]) for i in search}
    assert told == {("02.14", False), ("05.00", True), ("05.00", False)}
    assert {i.properties["s2:processing_baseline"] for i in planetary} == {"02.14", "05.00"}
    assert all("earthsearch:boa_offset_applied" not in i.properties for i in planetary)


def test_the_offset_is_in_the_numbers_as_told(items: list[pystac.Item]) -> None:
    """Water and shade are dark: the smallest infrared DN lies far below 1000, unless 1000 was added."""
    search = _of(items, "sentinel-2-l2a")
    for item in search:
        added = (
            item.properties["s2:processing_baseline"] >= "04" and not item.properties["earthsearch:boa_offset_applied"]
        )
        dn = _read(item, "nir")
        assert (dn[dn > 0].min() > 1000) == added
    for item in _of(items, "sentinel-2-l2a-pc"):
        dn = _read(item, "B08")
        assert (dn[dn > 0].min() > 1000) == (item.properties["s2:processing_baseline"] >= "04")


def test_granules_are_missing_and_swaths_end(items: list[pystac.Item]) -> None:
    search, planetary = _of(items, "sentinel-2-l2a"), _of(items, "sentinel-2-l2a-pc")
    days = [{i.datetime.date() for i in found} for found in (search, planetary)]
    # a day that only one of the zones has
    assert days[0] ^ days[1]
    # a granule that is empty along a leaning line, on land that the other days see
    empty = [float((_read(item, "nir") == 0).mean()) for item in search]
    assert max(empty) - min(empty) > 0.1


# What was promised of the ground


def test_landslides_are_rare_and_what_fools_is_twice_as_much(made: country.Ground) -> None:
    land = made.cover != cover.WATER
    slides, fooling = made.slides.labels > 0, made.confounders.kind > 0
    assert 0.003 < slides.sum() / land.sum() < 0.01
    assert fooling.sum() >= 2 * slides.sum()
    assert not (slides & fooling).any()
    assert set(np.unique(made.confounders.kind)) == {0, *confounders.NAMES} - {confounders.FIRE, confounders.DAMAGE}


def test_all_covers_are_there(made: country.Ground) -> None:
    assert set(np.unique(made.cover)) == set(range(len(cover.NAMES)))


def test_sizes_follow_the_inverse_gamma() -> None:
    """The law itself, and its tail: many small, few large (Malamud et al. 2004)."""
    areas = landslides.areas_m2(4000, np.random.default_rng(0))
    law = stats.invgamma(landslides.RHO, scale=landslides.SCALE_KM2, loc=landslides.SHIFT_KM2)
    low, high = law.cdf(np.array([landslides.SMALLEST_M2, landslides.LARGEST_M2]) / 1e6)
    assert stats.kstest(areas, lambda a: (law.cdf(a / 1e6) - low) / (high - low)).pvalue > 0.01
    assert areas.min() >= landslides.SMALLEST_M2
    assert areas.max() <= landslides.LARGEST_M2


def test_landslides_begin_steep_and_run_down(made: country.Ground) -> None:
    drops = []
    for number in range(1, made.slides.count + 1):
        body = made.slides.labels == number
        z, along = made.relief.elevation_m[body], made.slides.stage[body]
        drops.append(z[along <= 0.2].mean() - z[along >= 0.8].mean() if (along >= 0.8).any() else np.nan)
    assert np.nanmean(np.array(drops) > 0) > 0.95
    source = made.relief.slope_deg[made.slides.stage <= 0.1]
    assert np.median(source) > 25


def test_backscatter_changes_either_way(made: country.Ground) -> None:
    rough = [made.slides.roughness_db[made.slides.labels == n].mean() for n in range(1, made.slides.count + 1)]
    assert min(rough) < -0.5 < 0.5 < max(rough)


def test_a_darker_scar_is_seen_from_one_side_only(made: country.Ground) -> None:
    dark = made.slides.roughness_db < -1
    changes = []
    for orbit in (radar.ORBITS[0], radar.ORBITS[2]):
        _, towards = radar.facing(made, orbit)
        changes.append(radar._change(made, towards)[0][dark])
    assert np.corrcoef(changes)[0, 1] < 0.5


def test_backscatter_changes_on_each_landslides_own_day(made: country.Ground) -> None:
    """Between two passes that differ in speckle and moisture alone, only what slid in between is different."""
    towards = radar.facing(made, radar.ORBITS[0])[1]
    days = sorted(set(made.slides.day))
    assert len(days) > 3
    for day in days:
        before, after = (radar._change(made, towards, when)[0] for when in (day - timedelta(days=1), day))
        slid = np.isin(made.slides.labels, [n for n, of in enumerate(made.slides.day, 1) if of == day])
        np.testing.assert_array_equal(before[~slid], after[~slid])
        assert (before[slid] == 0).all()
        assert (after[slid] != 0).mean() > 0.99


def test_orbits_pass_all_year_when_asked(made: country.Ground) -> None:
    for orbit in radar.ORBITS:
        days = scenes.repeats(made, orbit, 12)
        assert {(later - sooner).days for sooner, later in pairwise(days)} == {12}
        assert days[0] < scenes.season(country.YEAR - 1)[0] + timedelta(days=12)
        assert days[-1] > scenes.season(country.YEAR)[1] - timedelta(days=12)


def test_truth_is_the_ground(country: Path, made: country.Ground) -> None:
    truth = gpd.read_file(country.parent / "truth.gpkg")
    assert len(truth) == made.slides.count
    assert truth.area.sum() == pytest.approx(100 * (made.slides.labels > 0).sum())
    assert truth.crs.to_epsg() == 25833
    days = truth["date"].astype(str)
    assert days.between("2020-05-14", "2020-06-23").all()
    assert (days == "2020-06-03").mean() > 0.5


def test_points_of_eight_classes(country: Path) -> None:
    points = gpd.read_file(country.parent / "points.gpkg")
    counts = points["class"].value_counts()
    assert counts["landslide"] == 18
    assert set(counts.index) <= {*cover.NAMES, "landslide"}
    assert 100 <= len(points) <= 130


# What the satellites see of it


def test_speckle_has_the_promised_looks(made: country.Ground) -> None:
    """VV and VH of one pass see the same texture, each with speckle of its own: the ratio of two gammas of L looks.

    The variance of its logarithm is 2 trigamma(L).
    """
    power = radar.gamma0(made, radar.ORBITS[0], date(2019, 7, 1))
    good = (made.cover == cover.FOREST) & (power["VV"] > 0)
    ratio = np.log(power["VV"][good].astype(np.float64)) - np.log(power["VH"][good].astype(np.float64))
    assert good.sum() > 10_000
    assert ratio.var() == pytest.approx(2 * special.polygamma(1, 4.4), rel=0.03)


def test_layover_and_shadow_are_nodata(made: country.Ground) -> None:
    orbit = radar.ORBITS[3]
    slope_r, _ = radar.facing(made, orbit)
    power = radar.gamma0(made, orbit, date(2020, 7, 1))["VV"]
    hidden = slope_r >= orbit.incidence_deg
    assert hidden.any()
    assert (power[hidden] == radar.NODATA).all()
    assert (power[(slope_r < 20) & (slope_r > -40)] > 0).mean() > 0.99


def test_an_orbit_that_flew_only_after(items: list[pystac.Item]) -> None:
    years = {
        orbit: {i.datetime.year for i in _of(items, "sentinel-1-rtc") if i.properties["sat:relative_orbit"] == orbit}
        for orbit in (*(o.number for o in radar.ORBITS), radar.ONLY_AFTER.number)
    }
    assert years.pop(radar.ONLY_AFTER.number) == {country.YEAR}
    assert all(found == {country.YEAR - 1, country.YEAR} for found in years.values())


def test_further_bands_leave_the_others_unchanged(made: country.Ground) -> None:
    day, further = date(2020, 7, 1), ("SWIR2", "RE2")
    plain, wide = optical.look(made, day, 0, 0.3), optical.look(made, day, 0, 0.3, further=further)
    assert wide.bands == (*plain.bands, *further)
    for name in ("reflectance", "at_sensor"):
        np.testing.assert_array_equal(getattr(wide, name)[:4], getattr(plain, name))
    np.testing.assert_array_equal(wide.scl, plain.scl)
    # a further band does not depend on which others there are
    alone = optical.surface(made, day, 0.9, further=("RE2",))
    np.testing.assert_array_equal(alone[4], optical.surface(made, day, 0.9, further=further)[5])


def test_short_wave_infrared_of_landslides_rises(made: country.Ground) -> None:
    """Bare debris is dry: its NBR decreases, as on real landslides."""
    before, after = (optical.surface(made, date(year, 7, 1), 0.9, further=("SWIR2",)) for year in (2019, 2020))
    stripped = (made.slides.stripped > 0.9) & (made.cover == cover.FOREST)
    assert stripped.any()
    nbr = [(bands[3] - bands[4]) / (bands[3] + bands[4]) for bands in (before, after)]
    assert np.median((nbr[1] - nbr[0])[stripped]) < -0.3


def test_dark_north_slopes_are_over_corrected(made: country.Ground) -> None:
    """Level 2A leaves shade too bright, in the visible more than in the infrared."""
    seen = optical.look(made, date(2020, 7, 1), 0, 0.0)
    bare = optical.surface(made, date(2020, 7, 1), 1 - 0.18 * 24 / 50)
    lit = optical._lit(made, seen.sun_azimuth_deg, seen.sun_elevation_deg)
    dark, bright = lit < 0.1, lit > 0.6
    assert dark.any()
    red, nir = (np.median(seen.reflectance[band][dark] / bare[band][dark]) for band in (0, 3))
    assert red > 1.4
    assert 1.05 < nir < red
    assert np.median(seen.reflectance[0][bright] / bare[0][bright]) == pytest.approx(1, abs=0.05)


def test_clouds_lie_with_their_shadows(made: country.Ground) -> None:
    seen = optical.look(made, date(2020, 7, 1), 0, 0.3)
    assert seen.cloud_percent == pytest.approx(30, abs=3)
    for scl_class in (3, 8, 9):
        assert (seen.scl == scl_class).any()
    clear = optical.look(made, date(2020, 7, 1), 0, 0.0)
    shadow = seen.scl == 3
    assert np.median(seen.reflectance[3][shadow] / clear.reflectance[3][shadow]) < 0.6


def test_seasons_are_those_of_the_settings() -> None:
    for year in (country.YEAR - 1, country.YEAR):
        first, last = scenes.season(year)
        assert first < last
        assert (first.year, last.year) == (year, year)
