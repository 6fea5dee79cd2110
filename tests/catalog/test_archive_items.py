"""Each archive's newest form of item: one row of decisions, and forms that are refused."""

import json
from typing import Any

import odc.stac
import pystac
import pytest

from lsbatch.catalog.items import opera_names, processings, radar_radiometry
from lsbatch.catalog.items.scenes import describe
from lsbatch.catalog.search import PRESETS
from lsbatch.errors import CatalogError
from lsbatch.settings import SourceSettings
from tests.catalog import archive_items as archives

RTC, SIGMA0 = radar_radiometry.GAMMA0_RTC, radar_radiometry.SIGMA0

SENTINEL_2 = {"R": "B04_10m", "G": "B03_10m", "B": "B02_10m", "NIR": "B08_10m", "SCL": "SCL_20m", "SWIR": "B11_20m"}

#: Archive -> item, sensor, and what is decided about it.
DECIDED: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "CDSE, Sentinel-2 L2A": (
        archives.cdse_sentinel2(), "sentinel2",
        {
            "assets": SENTINEL_2, "offset_dn": -1000.0, "scale": 1e-4, "nodata": 0.0, "baseline": "05.11",
            "platform": "sentinel-2a", "relative_orbit": 8, "orbit_state": "descending", "sun_azimuth_deg": 168.5,
            "sun_elevation_deg": 50.25, "time": "2024-07-01T10:40:31Z",
        },
    ),
    "CDSE, Sentinel-2 L2A with the level written out": (
        archives.cdse_sentinel2(**{"processing:level": "Level-2A", "platform": "S2A"}), "sentinel2",
        {"assets": SENTINEL_2, "offset_dn": -1000.0, "platform": "sentinel-2a"},
    ),
    "Earth Search, Collection 1 in STAC 1.1": (
        archives.earth_search_collection_1(), "sentinel2",
        {
            "offset_dn": -1000.0, "scale": 1e-4, "nodata": 0.0, "baseline": "05.11", "relative_orbit": 8,
            "platform": "sentinel-2b", "sun_elevation_deg": 50.25,
            "assets": {
                "R": "red", "G": "green", "B": "blue", "NIR": "nir", "SCL": "scl", "SWIR": "swir16", "cloud": "cloud",
            },
        },
    ),
    "CMR, OPERA RTC-S1": (
        archives.opera(), "sentinel1",
        {
            "assets": {"VV": "0_VV", "VH": "0_VH", "mask": "0_mask"}, "radiometry": RTC, "nodata": None,
            "platform": "sentinel-1a", "relative_orbit": 63, "orbit_state": "ascending", "offset_dn": 0.0,
        },
    ),
    "Planetary Computer, Sentinel-1 RTC": (
        archives.planetary_computer_rtc(), "sentinel1",
        {
            "assets": {"VV": "vv", "VH": "vh"}, "radiometry": RTC, "nodata": -32768.0, "platform": "sentinel-1a",
            "relative_orbit": 139, "orbit_state": "descending",
        },
    ),
    "CDSE, Copernicus DEM": (
        archives.cdse_dem(), "dem", {"assets": {"elevation": "data"}, "nodata": None, "scale": 1.0},
    ),
    "Planetary Computer, Copernicus DEM": (
        archives.planetary_computer_dem(), "dem", {"assets": {"elevation": "data"}, "platform": "tandem-x"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DECIDED)
def test_decided(case: str) -> None:
    item, sensor, expected = DECIDED[case]
    scene = describe(item, sensor)
    told = {name: getattr(scene, name) for name in expected}
    # extras that a later band adds are not the matter of this table
    told["assets"] = {band: key for band, key in scene.assets.items() if band in expected.get("assets", {})}
    assert told == {"assets": {}} | expected


@pytest.mark.parametrize("case", DECIDED)
def test_every_chosen_asset_is_a_raster_for_the_reader(case: str) -> None:
    item, sensor, _ = DECIDED[case]
    scene = describe(item, sensor)
    slim = json.loads(json.dumps(scene.item))
    rasters = odc.stac.parse_item(pystac.Item.from_dict(slim, preserve_dict=False, migrate=False)).bands
    assert {(key, 1) for key in scene.assets.values()} <= set(rasters)


def radar(assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": "pass",
        "bbox": [8, 61, 9, 62],
        "properties": {"datetime": "2024-07-01T17:02:11Z", **properties},
        "assets": assets,
    }


def test_the_projection_may_be_that_of_the_asset() -> None:
    placed = {"href": "https://example.org/x.tif", "proj:code": "EPSG:32633"}
    angle = {"href": "https://example.org/angle.tif"}
    assert describe(radar({"sigma0_vv": placed, "angle": angle}), "sentinel1").radiometry == SIGMA0
    # neither null nor the projection of a thumbnail says where the image lies
    lost = {"sigma0_vv": placed | {"proj:code": None}, "thumbnail": placed, "angle": angle}
    with pytest.raises(CatalogError, match=r"without a projection.*lsbatch geocode"):
        describe(radar(lost), "sentinel1")


RAW = {
    "CDSE, GRD": (archives.cdse_grd(), "is IW_GRDH_1S, level 1"),
    "the level as a word": (
        radar({"vv": {"href": "x"}}, **{"product:type": "IW_SLC__1S", "processing:level": "Level-1"}),
        "is IW_SLC__1S, level 1",
    ),
    "only the older field": (radar({"vv": {"href": "x"}}, **{"sar:product_type": "GRD"}), "is GRD without"),
    "single look complex, the older field": (radar({"vv": {"href": "x"}}, **{"sar:product_type": "SLC"}), "is SLC"),
}


@pytest.mark.parametrize("case", RAW)
def test_a_raw_product_is_refused_and_the_remedy_named(case: str) -> None:
    item, sentence = RAW[case]
    with pytest.raises(CatalogError, match=f"{sentence}.*lsbatch geocode"):
        describe(item, "sentinel1")


def test_an_offset_that_an_old_baseline_cannot_have_is_refused() -> None:
    """CDSE writes the offset of the new baselines for the old ones too."""
    with pytest.raises(CatalogError, match=r"raster:bands says offset -0.1, but baseline 02.14 has none"):
        describe(archives.cdse_sentinel2("02.14"), "sentinel2")


def test_of_two_baselines_of_cdse_the_newer_is_kept() -> None:
    old, new = archives.cdse_sentinel2("03.01"), archives.cdse_sentinel2("05.10")
    assert processings.newest([(new, ""), (old, "")]) == [(new, "")]


def test_level_1c_by_its_product_type() -> None:
    item = archives.cdse_sentinel2(**{"product:type": "S2MSI1C", "processing:level": "L1"})
    del item["assets"]["SCL_20m"], item["assets"]["SCL_60m"]
    assert "SCL" not in describe(item, "sentinel2").assets


#: Burst, and the direction of flight: bursts of products whose time and place are known.
BURSTS = {
    (63, 133_417): "ascending",  # Iowa, 18 h local time
    (137, 292_318): "ascending",  # California, 18 h
    (47, 100_732): "ascending",  # Chile, 18 h, before the equator
    (139, 297_356): "descending",  # Sahara, 6 h
    (140, 299_545): "descending",  # Cape Verde, 6 h
    (139, 133_417): None,  # not on this orbit
}


@pytest.mark.parametrize("burst", BURSTS)
def test_the_direction_of_flight_by_the_burst(burst: tuple[int, int]) -> None:
    told = opera_names.properties(archives.opera(*burst, platform="S1C")["id"])
    assert told.get("sat:orbit_state") == BURSTS[burst]
    assert (told["platform"], told["sat:relative_orbit"]) == ("S1C", burst[0])


def test_fields_of_the_item_have_priority_over_its_name() -> None:
    item = archives.opera()
    item["properties"] |= {"sat:orbit_state": "descending", "sat:relative_orbit": 7}
    scene = describe(item, "sentinel1")
    assert (scene.orbit_state, scene.relative_orbit) == ("descending", 7)


def test_the_settings_name_exactly_the_presets() -> None:
    allowed = SourceSettings.model_fields["preset"].annotation.__args__  # type: ignore[union-attr]
    assert set(allowed) == {*PRESETS, "local", "stac"}
