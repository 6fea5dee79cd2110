"""The plan: tiles, scenes a tile, the orbits that are compared, and what is said when there is nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from lsbatch import settings
from lsbatch.catalog import plan, planning
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.catalog.orbit_matching import newest, same_orbits
from lsbatch.errors import CatalogError, ConfigError, NoDataError, StaleStoreError
from lsbatch.kernels.local_change import surroundings
from lsbatch.pipeline import optical, radar, terrain
from lsbatch.settings import CompositeSettings, Config
from tests.small_archive import CRS, LEFT, TOP

SCENES = dict[str, tuple[Scene, ...]]


def configured(archive: Path, output: Path, **changes: Any) -> Config:
    """A survey of the archive's 3 x 3 km in tiles of 1.28 km: three rows and three columns at most."""
    local = {"preset": "local", "url": str(archive / "catalog.json")}
    raw: dict[str, Any] = {
        "survey": {"year": 2020, "season": ["06-01", "08-31"]},
        "region": {"bounds": [LEFT, TOP - 2500, LEFT + 2500, TOP]},
        "grid": {"crs": CRS, "tile_px": 128},
        "archives": {
            "sentinel2": {**local, "collections": ["sentinel-2-l2a"]},
            "sentinel1": {**local, "collections": ["sentinel-1-rtc"]},
            "dem": {**local, "collections": ["dem"]},
        },
        "bands": "s1_s2_dem",
        "output": str(output),
    }
    for section, values in changes.items():
        raw[section] = {**raw[section], **values} if isinstance(values, dict) and section in raw else values
    return settings.parse(raw, output)


def test_round_trip(archive: Path, tmp_path: Path) -> None:
    config = configured(archive, tmp_path)
    made = planning.make(config)
    assert not plan.fits(config)
    plan.save(made, tmp_path)
    assert plan.fits(config)
    loaded = plan.load(tmp_path)
    assert (loaded.grid, loaded.tiles, loaded.settings) == (made.grid, made.tiles, made.settings)
    assert loaded.region.equals(made.region)
    for tile, one in made.by_tile.items():
        assert plan.tile_scenes(tmp_path, tile) == one.scenes
    assert list(loaded.tiles) == sorted(loaded.tiles)
    assert made.lines()
    assert loaded.lines() == made.lines()


def test_the_same_archive_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    config = configured(archive, tmp_path)
    plan.save(planning.make(config), tmp_path)
    first = {p: p.read_bytes() for p in (tmp_path / "plan").rglob("*.json")}
    plan.save(planning.make(config), tmp_path)
    assert {p: p.read_bytes() for p in (tmp_path / "plan").rglob("*.json")} == first


@pytest.mark.parametrize(
    "changes",
    [
        {"survey": {"season": ["06-02", "08-31"]}},
        {"survey": {"newest_passes": 2}},
        {"composite": {"same_orbits": False}},
        {"archives": {"max_cloud_percent": 10}},
        {"region": {"bounds": [LEFT, TOP - 1000, LEFT + 1000, TOP]}},
    ],
)
def test_a_plan_fits_only_its_settings(archive: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    plan.save(planning.make(configured(archive, tmp_path)), tmp_path)
    assert not plan.fits(configured(archive, tmp_path, **changes))
    assert plan.fits(configured(archive, tmp_path, clean={"threshold": 0.3}))


def test_tiles_of_a_plan_that_is_no_more_are_removed(archive: Path, tmp_path: Path) -> None:
    plan.save(planning.make(configured(archive, tmp_path)), tmp_path)
    small = configured(archive, tmp_path, region={"bounds": [LEFT, TOP - 100, LEFT + 100, TOP]})
    plan.save(planning.make(small), tmp_path)
    left = {p.stem for p in (tmp_path / "plan" / "tiles").glob("*.json")}
    assert left == {"r000c000"}


def test_a_tile_has_the_scenes_that_touch_it_and_the_offset_of_each(archive: Path, tmp_path: Path) -> None:
    made = planning.make(configured(archive, tmp_path))
    # 1.28 km tiles lie on multiples of 1.28 km: the region of 2.5 km begins inside one
    assert len(made.tiles) == 9
    scenes = made.by_tile["r001c001"].scenes
    assert [(s.id, s.offset_dn) for s in scenes["pre_s2"]] == [("S2A_20190701_N0211", 0)]
    assert [(s.id, s.offset_dn) for s in scenes["post_s2"]] == [("S2B_20200703_N0500", -1000)]
    # the platform B of 2019 has no pass on this orbit in 2020, the orbit 117 of 2020 none in 2019
    assert [s.id for s in scenes["pre_s1"]] == ["S1A_20190702T170211_T044_asc"]
    assert [s.id for s in scenes["post_s1"]] == ["S1A_20200701T170211_T044_asc"]
    assert made.by_tile["r001c001"].matched_by == "same relative orbit and platform"
    assert [s.id for s in scenes["dem"]] == ["dem_10m"]
    everything = (
        planning.make(configured(archive, tmp_path, composite={"same_orbits": False})).by_tile["r001c001"].scenes
    )
    assert (len(everything["pre_s1"]), len(everything["post_s1"])) == (2, 2)


def test_a_region_from_a_file_has_only_the_tiles_it_has_area_in(archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "region.gpkg"
    triangle = shapely.Polygon([(LEFT + 10, TOP - 10), (LEFT + 2490, TOP - 10), (LEFT + 10, TOP - 2490)])
    gpd.GeoDataFrame(geometry=[triangle], crs=CRS).to_crs("EPSG:4326").to_file(file)
    made = planning.make(configured(archive, tmp_path, region={"bounds": None, "file": str(file)}))
    assert 1 < len(made.tiles) < 9
    assert abs(made.region.area / triangle.area - 1) < 1e-5


def vector(path: Path, frame: gpd.GeoDataFrame) -> str:
    frame.to_file(path)
    return str(path)


def test_regions_that_are_no_regions(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "text.gpkg").write_text("nothing", encoding="utf-8")
    point = vector(tmp_path / "point.gpkg", gpd.GeoDataFrame(geometry=[shapely.Point(15, 61)], crs=4326))
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        no_crs = vector(tmp_path / "no_crs.gpkg", gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]))
    for file, sentence in (
        (tmp_path / "text.gpkg", "cannot be read as a vector file"),
        (point, "no polygon"),
        (no_crs, "has no CRS"),
        (tmp_path / "gone.gpkg", "cannot be read as a vector file"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            planning.make(configured(archive, tmp_path, region={"bounds": None, "file": str(file)}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"survey": {"year": 2018}}, "has no scene over the region .* from 2017-06-01 to 2017-08-31"),
        ({"region": {"bounds": [LEFT + 90_000, TOP - 2500, LEFT + 92_500, TOP]}}, "has no scene over the region"),
        ({"archives": {"max_cloud_percent": 80, "dem": None}, "bands": "s1vv"}, None),
    ],
)
def test_nothing_found_is_one_sentence(
    archive: Path, tmp_path: Path, changes: dict[str, Any], sentence: str | None
) -> None:
    if sentence is None:
        made = planning.make(configured(archive, tmp_path, **changes))
        assert "dem" in made.by_tile["r001c001"].gaps
        return
    with pytest.raises(NoDataError, match=sentence) as caught:
        planning.make(configured(archive, tmp_path, **changes))
    assert str(archive / "catalog.json") in str(caught.value)
    assert "sentinel" in str(caught.value)


def test_what_the_bands_do_not_need_may_be_missing(archive: Path, tmp_path: Path) -> None:
    config = configured(archive, tmp_path, survey={"year": 2020, "season": ["07-01", "07-02"]}, bands="s1vv")
    made = planning.make(config)
    assert made.by_tile["r001c001"].gaps == ("post_s2",)
    with pytest.raises(CatalogError, match="no collection elsewhere"):
        planning.make(
            configured(
                archive,
                tmp_path,
                archives={"dem": {"preset": "local", "url": str(archive), "collections": ["elsewhere"]}},
            )
        )


def test_no_plan_and_a_damaged_plan_are_told(tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match="has no plan"):
        plan.load(tmp_path)
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "plan.json").write_text('{"grid": 1', encoding="utf-8")
    with pytest.raises(StaleStoreError, match="damaged"):
        plan.load(tmp_path)


def a_pass(day: str, orbit: int | None, platform: str, state: str | None = "ascending") -> Scene:
    item = {
        "type": "Feature",
        "id": f"{day}-{orbit}-{platform}",
        "bbox": [8, 61, 9, 62],
        "properties": {
            "datetime": f"{day}T17:02:11Z",
            "platform": f"sentinel-1{platform}",
            "sat:orbit_state": state,
            "sat:relative_orbit": orbit,
        },
        "assets": {"vv": {"href": "https://example.org/vv.tif"}},
    }
    return describe(item, "sentinel1")


def group(pre: list[Scene], post: list[Scene]) -> SCENES:
    return {"pre_s2": (), "post_s2": (), "pre_s1": tuple(pre), "post_s1": tuple(post), "dem": ()}


def kept(scenes: SCENES) -> tuple[list[str], list[str]]:
    return [s.id for s in scenes["pre_s1"]], [s.id for s in scenes["post_s1"]]


def test_same_orbits_and_platforms() -> None:
    pre = [a_pass("2019-07-01", 44, "a"), a_pass("2019-07-02", 44, "b"), a_pass("2019-07-03", 66, "a")]
    post = [a_pass("2020-07-01", 44, "a"), a_pass("2020-07-02", 117, "a"), a_pass("2020-07-03", 66, "a", "descending")]
    found, rule = same_orbits(group(pre, post))
    assert rule == "same relative orbit and platform"
    assert kept(found) == (["2019-07-01-44-a"], ["2020-07-01-44-a"])


def test_another_platform_on_the_same_orbit_where_there_is_nothing_better() -> None:
    pre, post = [a_pass("2021-07-01", 44, "b"), a_pass("2021-07-02", 66, "b")], [a_pass("2022-07-01", 44, "a")]
    found, rule = same_orbits(group(pre, post))
    assert rule == "same relative orbit"
    assert kept(found) == (["2021-07-01-44-b"], ["2022-07-01-44-a"])


def test_no_common_orbit_compares_nothing() -> None:
    found, rule = same_orbits(group([a_pass("2021-07-01", 44, "a")], [a_pass("2022-07-01", 66, "a")]))
    assert rule == "no relative orbit is in both windows"
    assert kept(found) == ([], [])


def test_unknown_orbits_are_said_to_be_unknown() -> None:
    pre, post = [a_pass("2021-07-01", None, "a", None)], [a_pass("2022-07-01", None, "a", None)]
    found, rule = same_orbits(group(pre, post))
    assert rule == "same relative orbit and platform, some unknown"
    assert kept(found) == ([pre[0].id], [post[0].id])


def test_newest_passes_are_those_nearest_to_the_event() -> None:
    pre = [a_pass(f"2019-07-0{d}", orbit, "a") for d in (1, 2, 3) for orbit in (44, 66)]
    frames = [a_pass("2019-07-03", 44, "a"), replace(a_pass("2019-07-03", 44, "a"), id="next-frame")]
    post = [a_pass(f"2019-08-0{d}", 44, "a") for d in (1, 2, 3)]
    before, after = kept(newest(group(pre + frames[1:], post), 1))
    # both frames of a pass stay
    assert before == ["2019-07-03-44-a", "2019-07-03-66-a", "next-frame"]
    assert after == ["2019-08-01-44-a"]


def test_a_tile_file_says_why(archive: Path, tmp_path: Path) -> None:
    plan.save(planning.make(configured(archive, tmp_path)), tmp_path)
    told = json.loads(plan.tile_file(tmp_path, "r001c001").read_text(encoding="utf-8"))
    assert told["matched_by"] == "same relative orbit and platform"
    assert told["gaps"] == []
    assert told["megabytes"] > 0
    assert all(scene["offset_reason"] for scene in told["scenes"]["post_s2"])


@pytest.mark.parametrize("side_m", [5, 10, 15, 20, 25, 30, 60, 100, 200, 1000])
def test_scenes_are_planned_as_far_as_any_halo_reads(side_m: float) -> None:
    widest = radar.halo_px(CompositeSettings(speckle="boxcar", speckle_size_px=31), True, side_m)
    around = surroundings.halo_px(side_m) * side_m
    planned = {sensor: plan.margin_m(sensor, side_m) - around for sensor in plan.HALO_M}
    assert planned["sentinel2"] >= max(optical.CLOUD_REACH_M + side_m, 50 * side_m)
    assert planned["sentinel1"] >= widest * side_m
    assert planned["dem"] >= terrain.halo_px(side_m) * side_m
    assert terrain.halo_px(side_m) > widest + 1
