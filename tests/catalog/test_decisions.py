"""What is decided about Sentinel-1 radiometry and the sun; items that lie, or say nothing."""

from typing import Any

import pytest
from pyproj import Proj
from shapely.geometry import box

from lsbatch.catalog.items import radar_radiometry, sun_position
from lsbatch.catalog.items.scenes import describe
from lsbatch.errors import CatalogError
from lsbatch.imagery import prefetch


def item(*keys: str, name: str = "pass", collection: str = "s1", **properties: Any) -> dict[str, Any]:
    told = {"datetime": "2020-07-01T17:02:11Z", **properties}
    assets = {key: {"href": f"https://example.org/{key}.tif"} for key in keys}
    return {
        "type": "Feature",
        "id": name,
        "collection": collection,
        "bbox": [8, 61, 9, 62],
        "properties": told,
        "assets": assets,
    }


RTC, SIGMA0 = radar_radiometry.GAMMA0_RTC, radar_radiometry.SIGMA0
MAPPED = {"proj:code": "EPSG:32633"}

DECIDED = {
    "plain names and nothing else are gamma0": (item("vv", "vh"), RTC),
    "named by its assets": (item("gamma0_vv", "gamma0_vh"), RTC),
    "a GRD's product type kept by an RTC collection": (
        item("vv", "vh", collection="sentinel-1-rtc", **{"sar:product_type": "GRD"}),
        RTC,
    ),
    "an RTC product with an incidence angle is not corrected again": (item("gamma0_vv", "incidence", **MAPPED), RTC),
    "a GRD on the map with its angle": (item("vv", "vh", "incidence", **MAPPED, **{"sar:product_type": "GRD"}), SIGMA0),
    "SNAP's names": (item("Sigma0_VV", "incidenceAngleFromEllipsoid", **{"proj:epsg": 32633}), SIGMA0),
    "newer fields: a terrain-corrected product": (
        item("vv", "vh", collection="sentinel-1-rtc", **{"product:type": "RTC", "processing:level": "L2"}),
        RTC,
    ),
    "newer fields: a GRD on the map with its angle": (
        item("vv", "vh", "incidence", **MAPPED, **{"product:type": "IW_GRDH_1S", "processing:level": "L2"}),
        SIGMA0,
    ),
    "sigma0 by its assets, no product type": (item("sigma0_vv", "sigma0_vh", "angle", **MAPPED), SIGMA0),
}


@pytest.mark.parametrize("case", DECIDED)
def test_decided(case: str) -> None:
    one, expected = DECIDED[case]
    assert describe(one, "sentinel1").radiometry == expected


REFUSED = {
    "a GRD in slant geometry": (
        item("vv", "vh", **{"sar:product_type": "GRD"}),
        "incidence angle and without a projection",
    ),
    "a GRD without its angle": (
        item("vv", **MAPPED, **{"sar:product_type": "GRD"}),
        "without an asset with the incidence angle",
    ),
    "sigma0 that does not say where": (item("sigma0_vv", "angle"), "without a projection"),
    "newer fields: a raw GRD, also in a collection of RTC": (
        item("vv", collection="sentinel-1-rtc", **{"product:type": "IW_GRDH_1S", "processing:level": "L1"}),
        "is IW_GRDH_1S, level 1, .* not terrain-corrected; .*lsbatch geocode",
    ),
    "newer fields: single look complex": (
        item("vv", **{"product:type": "IW_SLC__1S", "processing:level": "L1"}),
        "not terrain-corrected",
    ),
    "newer fields: a GRD of unknown level without its angle": (
        item("vv", **MAPPED, **{"product:type": "IW_GRDH_1S"}),
        "is GRD without an asset with the incidence angle",
    ),
    "single look complex, whatever else it has": (
        item("vv", "incidence", **MAPPED, **{"sar:product_type": "SLC"}),
        "is SLC",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    one, sentence = REFUSED[case]
    with pytest.raises(CatalogError, match=sentence):
        describe(one, "sentinel1")


SUNS = {
    "view extension": ({"view:sun_azimuth": 168.0, "view:sun_elevation": 50.0}, (168.0, 50.0)),
    "Planetary Computer": ({"s2:mean_solar_azimuth": 168.0, "s2:mean_solar_zenith": 40.0}, (168.0, 50.0)),
    "the extension before the other": (
        {"view:sun_azimuth": 168.0, "view:sun_elevation": 50.0, "s2:mean_solar_zenith": 1.0},
        (168.0, 50.0),
    ),
    "nothing": ({}, (None, None)),
    "text, or no number": ({"view:sun_azimuth": "168", "view:sun_elevation": float("nan")}, (None, None)),
    "azimuth alone": ({"view:sun_azimuth": 12}, (12.0, None)),
}


@pytest.mark.parametrize("case", SUNS)
def test_the_sun_of_an_item(case: str) -> None:
    properties, expected = SUNS[case]
    assert sun_position.of_item(properties) == expected


@pytest.mark.parametrize(("longitude", "latitude"), [(5.0, 61.5), (15.0, 61.5), (25.0, 70.0), (12.0, -33.0)])
def test_azimuths_on_the_grid_by_projs_own_convergence(longitude: float, latitude: float) -> None:
    """PROJ's convergence is that of the grid's north seen from true north."""
    convergence = Proj("EPSG:25833").get_factors(longitude, latitude).meridian_convergence
    found = sun_position.on_grid(
        170.0, box(longitude - 0.1, latitude - 0.1, longitude + 0.1, latitude + 0.1), "EPSG:25833"
    )
    assert found == pytest.approx(170 - convergence, abs=0.01)


def test_reading_ahead_keeps_the_order_and_does_not_run_away() -> None:
    begun: list[int] = []

    def call(i: int) -> int:
        begun.append(i)
        return i * i

    answers = prefetch.in_order([lambda i=i: call(i) for i in range(20)], ahead=3)
    assert begun == []
    assert next(answers) == 0
    assert max(begun) <= 4
    assert list(answers) == [i * i for i in range(1, 20)]


def test_reading_ahead_raises_where_the_answer_would_come() -> None:
    def fail() -> int:
        raise CatalogError("the second")

    answers = prefetch.in_order([lambda: 1, fail, lambda: 3])
    assert next(answers) == 1
    with pytest.raises(CatalogError, match="the second"):
        next(answers)


def test_reading_ahead_of_nothing() -> None:
    assert list(prefetch.in_order([])) == []


def test_extras_are_read_where_they_are() -> None:
    scene = describe(
        item("red", "green", "blue", "nir", "scl", "cloud", **{"s2:processing_baseline": "02.14"}), "sentinel2"
    )
    assert scene.assets["cloud"] == "cloud"
    without = describe(item("red", "green", "blue", "nir", "scl", **{"s2:processing_baseline": "02.14"}), "sentinel2")
    assert "cloud" not in without.assets
