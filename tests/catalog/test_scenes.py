"""What is decided about an item besides the offset."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from lsbatch.catalog.items import radar_radiometry
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.errors import CatalogError

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "stac"

needs_recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded items at {RECORDED}")


def recorded(name: str) -> list[dict[str, Any]]:
    found = json.loads((RECORDED / name).read_text(encoding="utf-8"))
    return found["features"] if found["type"] == "FeatureCollection" else [found]


def radar(**properties: Any) -> dict[str, Any]:
    told = {"datetime": "2020-07-01T17:02:11Z", **properties}
    assets = {key: {"href": f"https://example.org/{key}.tif"} for key in ("vv", "vh")}
    return {"type": "Feature", "id": "pass", "bbox": [8, 61, 9, 62], "properties": told, "assets": assets}


@needs_recorded
@pytest.mark.parametrize(
    ("name", "platform", "orbit", "state"),
    [
        ("S1A_20200103_17RMJ_ASC", "sentinel-1a", 121, "ascending"),
        ("S1B_20161121_12SYJ_ASC", "sentinel-1b", 49, "ascending"),
    ],
)
def test_recorded_rtc(name: str, platform: str, orbit: int, state: str) -> None:
    (item,) = recorded(f"sentinel1/{name}.json")
    scene = describe(item, "sentinel1")
    assert (scene.platform, scene.relative_orbit, scene.orbit_state) == (platform, orbit, state)
    assert scene.assets == {"VV": "gamma0_vv", "VH": "gamma0_vh", "incidence": "incidence"}
    assert scene.radiometry == radar_radiometry.GAMMA0_RTC
    assert (scene.offset_dn, scene.scale, scene.nodata) == (0, 1, 0)


@needs_recorded
@pytest.mark.parametrize(
    "name",
    ["earth-search__sentinel-1-grd.json", *(f"sentinel1/{p}.json" for p in (
        "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13",
        "S1A_EW_GRDM_1SDH_20221130T014342_20221130T014446_046117_058549",
        "S1A_IW_SL1__1_SH_20141031T095929_20141031T100002_003072_003842",
    ))],
)  # fmt: skip
def test_products_that_are_not_terrain_corrected_are_refused(name: str) -> None:
    for item in recorded(name):
        with pytest.raises(CatalogError, match="terrain-corrected"):
            describe(item, "sentinel1")


@needs_recorded
def test_recorded_dem() -> None:
    for item in recorded("earth-search__cop-dem-glo-30.json"):
        scene = describe(item, "dem")
        assert scene.assets == {"elevation": "data"}
        assert scene.nodata is None


@needs_recorded
def test_recorded_platforms_and_orbits_of_sentinel_2() -> None:
    for name, orbits in (("earth-search__sentinel-2-l2a", {95, 141}), ("planetarycomputer__sentinel-2-l2a", {116})):
        scenes = [describe(item, "sentinel2") for item in recorded(f"{name}.json")]
        assert {s.relative_orbit for s in scenes} == orbits
        assert {s.platform for s in scenes} <= {"sentinel-2a", "sentinel-2b"}


@needs_recorded
def test_a_scene_travels() -> None:
    scene = describe(recorded("earth-search__sentinel-2-c1-l2a.json")[0], "sentinel2")
    assert Scene(**json.loads(json.dumps(scene.to_dict()))) == scene
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert set(scene.item["assets"]) == set(scene.assets.values())
    assert len(json.dumps(scene.to_dict())) < 4000


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Sentinel-2A", "sentinel-2a"),
        ("SENTINEL-1B", "sentinel-1b"),
        ("S1C", "sentinel-1c"),
        ("sentinel-1a", "sentinel-1a"),
        ("TanDEM-X", "tandem-x"),
        (None, None),
    ],
)
def test_platforms_have_one_name(text: str | None, normal: str | None) -> None:
    assert describe(radar(platform=text), "sentinel1").platform == normal


def test_rtc_that_keeps_the_product_type_of_its_grd() -> None:
    item = radar(**{"sar:product_type": "GRD"})
    with pytest.raises(CatalogError, match="is GRD"):
        describe(item, "sentinel1")
    assert describe(item | {"collection": "sentinel-1-rtc"}, "sentinel1").assets == {"VV": "vv", "VH": "vh"}
    assert describe(item | {"id": "S1A_IW_GRDH_1SDV_20200701T170211_rtc"}, "sentinel1")


def test_one_polarisation_is_enough_if_it_is_vv() -> None:
    item = radar()
    del item["assets"]["vh"]
    assert describe(item, "sentinel1").assets == {"VV": "vv"}
    item["assets"] = {"hh": item["assets"]["vv"]}
    with pytest.raises(CatalogError, match="no asset for VV; it has hh"):
        describe(item, "sentinel1")


def test_opera_names_its_assets_by_the_whole_file() -> None:
    item = radar()
    stem = "OPERA_L2_RTC-S1_T137-292318-IW1_20211213T015853Z_20250830T031828Z_S1A_30_v1.0"
    item["assets"] = {f"{stem}_{key}": {"href": f"https://example.org/{key}"} for key in ("VV", "VH", "mask")}
    assert describe(item, "sentinel1").assets == {"VV": f"{stem}_VV", "VH": f"{stem}_VH", "mask": f"{stem}_mask"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "a\\b", "a\nb", "\x00", "", ".", "..", "x" * 256, None, 7])
def test_names_that_are_no_names(name: object) -> None:
    with pytest.raises(CatalogError):
        describe(radar() | {"id": name}, "sentinel1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"type": "Collection"}, "not a STAC item"),
        ({"bbox": None}, "neither geometry nor bbox"),
        ({"geometry": {"type": "Polygon", "coordinates": "x"}}, "geometry cannot be read"),
        ({"properties": {"datetime": "last summer"}}, "is not a time"),
        ({"properties": {}}, "is not a time"),
        ({"assets": {}}, "it has none"),
    ],
)
def test_items_that_are_no_items(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CatalogError, match=sentence):
        describe(radar() | change, "sentinel1")


def test_a_span_of_time_begins_at_its_start() -> None:
    properties = {"datetime": None, "start_datetime": "2020-07-01T19:02:11+02:00"}
    assert describe(radar(**properties), "sentinel1").time == "2020-07-01T17:02:11Z"


# Further bands of Sentinel-2

COLOURS = ("R", "G", "B", "NIR", "SCL")
FURTHER = ("SWIR1", "SWIR2", "RE1", "RE2", "RE3", "NIRn")
#: Asset keys of three archives, in the order of `COLOURS` and `FURTHER`.
KEYS = {
    "Earth Search": (
        "red green blue nir scl swir16 swir22 rededge1 rededge2 rededge3 nir08",
        "aot wvp nir09 coastal visual thumbnail",
    ),
    "Planetary Computer": ("B04 B03 B02 B08 SCL B11 B12 B05 B06 B07 B8A", "AOT WVP B09 B01 visual preview"),
    "Copernicus Data Space": (
        "B04_10m B03_10m B02_10m B08_10m SCL_20m B11_20m B12_20m B05_20m B06_20m B07_20m B8A_20m",
        "B04_20m B02_60m B11_60m B8A_60m TCI_10m AOT_10m",
    ),
}


def optical(keys: list[str]) -> dict[str, Any]:
    told = {"datetime": "2020-07-01T10:50:31Z", "s2:processing_baseline": "05.00"}
    assets = {key: {"href": f"https://example.org/{key}.tif"} for key in keys}
    return {"type": "Feature", "id": "look", "bbox": [8, 61, 9, 62], "properties": told, "assets": assets}


@pytest.mark.parametrize("archive", KEYS)
def test_further_bands_are_found_if_they_are_asked_for(archive: str) -> None:
    keys, others = (text.split() for text in KEYS[archive])
    item = optical([*others, *keys])
    named = dict(zip((*COLOURS, *FURTHER), keys, strict=True))
    # short-wave infrared for ccdc, under the name that older plans have
    swir = {"SWIR": named["SWIR1"]}
    assert describe(item, "sentinel2").assets == {name: named[name] for name in COLOURS} | swir
    assert describe(item, "sentinel2", FURTHER).assets == named | swir
    scene = describe(item, "sentinel2", ("RE2",))
    assert scene.assets == {name: named[name] for name in (*COLOURS, "RE2")} | swir
    assert set(scene.item["assets"]) == set(scene.assets.values())


def test_an_item_without_a_further_band_is_refused_by_name() -> None:
    item = optical(KEYS["Planetary Computer"][0].split())
    del item["assets"]["B12"]
    assert describe(item, "sentinel2")
    with pytest.raises(
        CatalogError, match=r"look: has no asset for SWIR2, which composite\.bands asks for; it has B04"
    ):
        describe(item, "sentinel2", ("SWIR1", "SWIR2"))


def test_a_further_band_of_another_offset_is_refused() -> None:
    item = optical(KEYS["Earth Search"][0].split())
    for key, asset in item["assets"].items():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": 0 if key == "swir22" else -0.1}]
    assert describe(item, "sentinel2", ("SWIR1",)).offset_dn == -1000
    with pytest.raises(CatalogError, match="different scales or offsets"):
        describe(item, "sentinel2", ("SWIR2",))


@needs_recorded
@pytest.mark.parametrize(
    ("name", "keys"),
    [("earth-search__sentinel-2-c1-l2a", "Earth Search"), ("planetarycomputer__sentinel-2-l2a", "Planetary Computer")],
)
def test_recorded_items_have_the_further_bands(name: str, keys: str) -> None:
    items = [item for item in recorded(f"{name}.json") if item.get("assets")]
    assert items
    for item in items:
        found = describe(item, "sentinel2", FURTHER).assets
        assert [found[band] for band in FURTHER] == KEYS[keys][0].split()[len(COLOURS) :]
