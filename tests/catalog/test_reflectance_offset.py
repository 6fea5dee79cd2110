"""The Sentinel-2 offset, decided from items as archives send them and from items that lie."""

import json
from pathlib import Path
from typing import Any

import pytest

from lsbatch.catalog.items.scenes import describe
from lsbatch.errors import CatalogError

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "stac"

#: Recorded file, and (baseline, DN offset, field that decided) of every item in it that has assets.
EXPECTED = {
    "earth-search__sentinel-2-l2a": {
        ("05.11", 0.0, "earthsearch:boa_offset_applied"),
        ("05.09", 0.0, "earthsearch:boa_offset_applied"),
    },
    "earth-search__sentinel-2-c1-l2a": {("05.11", -1000.0, "raster:bands")},
    "earth-search__sentinel-s2-l2a-cogs": {("05.11", 0.0, "sentinel:boa_offset_applied")},
    "planetarycomputer__sentinel-2-l2a": {("02.12", 0.0, "processing baseline")},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_items(name: str) -> None:
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded items at {RECORDED}")
    items = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))["features"]
    whole = [item for item in items if item.get("assets")]
    found = set()
    for item in whole:
        scene = describe(item, "sentinel2")
        assert scene.scale == 1e-4
        assert scene.nodata == 0
        found.add(
            (
                scene.baseline,
                scene.offset_dn,
                next(e for _, _, e in EXPECTED[name] if scene.offset_reason.startswith(e)),
            )
        )
    assert found == EXPECTED[name]
    # a search with the fields extension gives items without assets: they are refused, not guessed
    for item in items:
        if not item.get("assets"):
            with pytest.raises(CatalogError, match="has no asset for"):
                describe(item, "sentinel2")


def made_up(
    *,
    baseline: str | None = "05.11",
    flag: object = None,
    written: tuple[float | None, float | None] | None = None,
    uri: str | None = None,
    day: str = "2023-07-01",
    odd: str | None = None,
    **properties: Any,
) -> dict[str, Any]:
    """An item that says what a test wants; `written` is (scale, offset) of raster:bands, `odd` a band that has none."""
    told = {"datetime": f"{day}T10:50:31Z", "platform": "sentinel-2a", **properties}
    told |= {"s2:processing_baseline": baseline} if baseline else {}
    told |= {"earthsearch:boa_offset_applied": flag} if flag is not None else {}
    told |= {"s2:product_uri": uri} if uri else {}
    stated = (
        {}
        if written is None
        else {key: value for key, value in zip(("scale", "offset"), written, strict=True) if value is not None}
    )
    bands = [{"nodata": 0, **stated}] if written is not None else None
    assets = {
        key: {
            "href": f"https://example.org/{key}.tif",
            **({"raster:bands": bands} if bands and key not in ("scl", odd) else {}),
        }
        for key in ("red", "green", "blue", "nir", "scl")
    }
    return {
        "type": "Feature",
        "id": "made-up",
        "bbox": [8, 61, 9, 62],
        "geometry": None,
        "properties": told,
        "assets": assets,
    }


TEMPLATE = (1e-4, -0.1)
NONE = (1e-4, 0.0)

DECIDED = {
    "the flag says applied, raster:bands has an offset": (dict(flag=True, written=TEMPLATE), 0.0),
    "applied, raster:bands has none": (dict(flag=True, written=NONE), 0.0),
    "applied, nothing else": (dict(flag=True, baseline=None), 0.0),
    "applied, though baseline 02 had nothing to apply": (dict(flag=True, baseline="02.14", written=TEMPLATE), 0.0),
    "applied, as text": (dict(flag="true", written=TEMPLATE), 0.0),
    "not applied, with offset": (dict(flag=False, written=TEMPLATE), -1000.0),
    "not applied, without raster:bands": (dict(flag=False), -1000.0),
    "not applied, offset, no baseline": (dict(flag=False, baseline=None, written=TEMPLATE), -1000.0),
    "not applied, as there is none": (dict(flag=False, baseline="02.14", written=NONE), 0.0),
    "not applied, baseline 03 alone": (dict(flag=False, baseline="03.01"), 0.0),
    "not applied, no baseline, raster:bands none": (dict(flag=False, baseline=None, written=NONE), 0.0),
    "no flag, offset": (dict(written=TEMPLATE), -1000.0),
    "no flag, offset, no baseline": (dict(baseline=None, written=TEMPLATE), -1000.0),
    "no flag, the files hold none": (dict(written=NONE), 0.0),
    "GDAL's default says nothing": (dict(written=(1.0, 0.0)), -1000.0),
    "GDAL's default, old baseline": (dict(written=(1.0, 0.0), baseline="02.14"), 0.0),
    "a scale without an offset says nothing": (dict(written=(1e-4, None)), -1000.0),
    "an offset in DN": (dict(written=(1.0, -1000.0)), -1000.0),
    "an offset without a scale": (dict(written=(None, -0.1)), -1000.0),
    "baseline alone, new": (dict(), -1000.0),
    "baseline alone, first with offset": (dict(baseline="04.00"), -1000.0),
    "baseline alone, last without": (dict(baseline="03.01"), 0.0),
    "baseline 05 on a scene of 2018": (dict(baseline="05.00", day="2018-07-01"), -1000.0),
    "baseline 02 on a scene of 2023": (dict(baseline="02.14", day="2023-07-01"), 0.0),
    "no baseline, but the product's name has it": (
        dict(baseline=None, uri="S2A_MSIL2A_20180701T105031_N0500_R051_T32VLP_20230801T000000.SAFE"),
        -1000.0,
    ),
    "a name of old": (
        dict(baseline=None, uri="S2A_MSIL2A_20180701T105031_N0208_R051_T32VLP_20180801T000000.SAFE"),
        0.0,
    ),
    "version 1.1 of STAC calls it processing:version": (
        dict(baseline=None, **{"processing:version": "05.10"}),
        -1000.0,
    ),
    "short baselines": (dict(baseline="5.9"), -1000.0),
}

REFUSED = {
    "no witness": (dict(baseline=None), "unknown"),
    "not applied, but to what": (dict(baseline=None, flag=False), "unknown"),
    "a private run of Sen2Cor": (dict(baseline="99.99"), "unknown"),
    "not applied, baseline has one, raster:bands says none": (dict(flag=False, written=NONE), "one of them is wrong"),
    "an offset that its baseline never had": (dict(baseline="02.14", written=TEMPLATE), "has none; not read"),
    "the same, not applied": (dict(baseline="02.14", flag=False, written=TEMPLATE), "has none; not read"),
    "field and name disagree": (
        dict(baseline="05.11", uri="S2A_MSIL2A_20180701T105031_N0208_R051_T32VLP_20180801T000000.SAFE"),
        "02.08 by product name",
    ),
    "colours disagree": (dict(written=TEMPLATE, odd="blue"), "different scales or offsets"),
    "a positive offset": (dict(written=(1e-4, 0.1)), "not a Sentinel-2 calibration"),
    "an offset in reflectance with scale 1": (dict(written=(1.0, -0.1)), "not a Sentinel-2 calibration"),
    "a flag that is no flag": (dict(flag="maybe"), "neither true nor false"),
}


@pytest.mark.parametrize("case", DECIDED)
def test_decided(case: str) -> None:
    arguments, offset_dn = DECIDED[case]
    scene = describe(made_up(**arguments), "sentinel2")
    assert scene.offset_dn == offset_dn
    assert scene.scale == 1e-4
    assert scene.offset_reason


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    arguments, sentence = REFUSED[case]
    with pytest.raises(CatalogError, match=sentence) as caught:
        describe(made_up(**arguments), "sentinel2")
    assert str(caught.value).startswith("made-up")


@pytest.mark.parametrize("arguments", [dict(), dict(flag=True, written=TEMPLATE), dict(baseline="02.14")])
def test_the_day_of_sensing_decides_nothing(arguments: dict[str, Any]) -> None:
    scenes = [
        describe(made_up(day=day, **arguments), "sentinel2")
        for day in ("2016-07-01", "2022-01-24", "2022-01-26", "2026-07-01")
    ]
    assert len({(s.offset_dn, s.offset_reason) for s in scenes}) == 1


def test_version_2_of_the_raster_extension() -> None:
    item = made_up()
    for key in ("red", "green", "blue", "nir"):
        item["assets"][key] |= {"raster:scale": 1e-4, "raster:offset": 0.0}
    assert describe(item, "sentinel2").offset_dn == 0
