"""Several processings of one acquisition."""

from typing import Any

import pytest

from lsbatch.catalog.items import processings

GRD = "S1A_IW_GRDH_1SDV_20200711T054150_20200711T054215_033402_03DED2"
OPERA = "OPERA_L2_RTC-S1_T137-292318-IW1_20211213T014010Z"


def item(name: str, collection: str = "sentinel-1-rtc", **properties: Any) -> tuple[dict[str, Any], str]:
    return {"id": name, "collection": collection, "properties": properties}, "catalog.json"


#: Items, and the numbers of those that are kept.
CASES = {
    "two processings of a pass, the later is kept": (
        [item(f"{GRD}_ABCD_rtc", created="2021-05-01"), item(f"{GRD}_1234_rtc", created="2023-01-01")],
        [1],
    ),
    "the order does not matter": (
        [item(f"{GRD}_1234_rtc", created="2023-01-01"), item(f"{GRD}_ABCD_rtc", created="2021-05-01")],
        [0],
    ),
    "without times the last name": ([item(f"{GRD}_1234_rtc"), item(f"{GRD}_ABCD_rtc")], [1]),
    "another second is another pass": ([item(f"{GRD}_1234"), item(GRD.replace("054150", "054151") + "_1234")], [0, 1]),
    "another platform is another pass": ([item(f"{GRD}_1234"), item(GRD.replace("S1A", "S1B") + "_1234")], [0, 1]),
    "another collection is another product": ([item(f"{GRD}_1"), item(f"{GRD}_1", "sentinel-1-grd")], [0, 1]),
    "OPERA: the later time of processing": (
        [item(f"{OPERA}_20231101T000000Z_S1A_30_v1.0"), item(f"{OPERA}_20230101T000000Z_S1A_30_v1.0")],
        [0],
    ),
    "OPERA: bursts of one pass": (
        [item(f"{OPERA}_20231101T000000Z_S1A_30_v1.0"), item(f"{OPERA}_20231101T000000Z_S1A".replace("IW1", "IW2"))],
        [0, 1],
    ),
    "unknown names are kept": ([item("pass"), item("pass")], [0, 1]),
    "Sentinel-2: the newest baseline": (
        [
            item("S2A_MSIL2A_20200701T105031_N0214_R051_T32VNP_20200701T000000", **{"s2:processing_baseline": "02.14"}),
            item("S2A_MSIL2A_20200701T105031_N0500_R051_T32VNP_20230701T000000", **{"s2:processing_baseline": "05.00"}),
        ],
        [1],
    ),
    "Sentinel-2: two datastrips of one baseline": (
        [
            item("S2A_MSIL2A_20200701T105031_N0500_R051_T32VNP_20200715T130912", **{"s2:processing_baseline": "05.00"}),
            item("S2A_MSIL2A_20200701T105031_N0500_R051_T32VNP_20200715T100652", **{"s2:processing_baseline": "05.00"}),
        ],
        [0, 1],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_newest_processing_is_kept(case: str) -> None:
    items, kept = CASES[case]
    assert processings.newest(items) == [items[i] for i in kept]
