"""A folder of GeoTIFFs as a catalogue."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

from lsbatch.catalog.filename_parsing import Named, parse
from lsbatch.catalog.folder_catalog import make_catalog
from lsbatch.errors import CatalogError
from tests.small_archive import fill, write_tif

OPERA = "OPERA_L2_RTC-S1_T137-292318-IW1_20211213T015853Z_20250830T031828Z_S1A_30_v1.0"


@pytest.mark.parametrize(
    ("stem", "named"),
    [
        (
            f"{OPERA}_VV",
            Named("sentinel1", OPERA, "VV", datetime(2021, 12, 13, 1, 58, 53, tzinfo=UTC), "sentinel-1a", 137),
        ),
        (
            "S2A_MSIL2A_20190701T105031_N0208_R051_T32VLP_20190701T120000_B04_10m",
            Named(
                "sentinel2",
                "S2A_MSIL2A_20190701T105031_N0208_R051_T32VLP_20190701T120000",
                "B04",
                datetime(2019, 7, 1, 10, 50, 31, tzinfo=UTC),
                "sentinel-2a",
                51,
                None,
                "02.08",
            ),
        ),
        ("place_20201101_SCL", Named("sentinel2", "place_20201101", "SCL", datetime(2020, 11, 1, tzinfo=UTC))),
        (
            "S1B_20200705T054150_T139_desc_vh",
            Named(
                "sentinel1",
                "S1B_20200705T054150_T139_desc",
                "VH",
                datetime(2020, 7, 5, 5, 41, 50, tzinfo=UTC),
                "sentinel-1b",
                139,
                "descending",
            ),
        ),
        ("norway_DEM_10m", Named("dem", "norway_DEM_10m", "elevation")),
        ("place_20201101_B01", None),
        ("notes", None),
        ("VV", None),
    ],
)
def test_names(stem: str, named: Named | None) -> None:
    assert parse(stem) == named


def test_the_catalogue_is_stac_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    fill(tmp_path)
    write_tif(tmp_path / "notes.tif", np.ones((8, 8), np.uint8))
    write_tif(tmp_path / "place_20201101_B01.tif", np.ones((8, 8), np.uint8))
    write_tif(tmp_path / "place_20201399_B04.tif", np.ones((8, 8), np.uint8))
    write_tif(tmp_path / "lonely_20201101_N0500_B04.tif", np.ones((8, 8), np.uint16))
    write_tif(tmp_path / "db_20201101_VV.tif", np.ones((8, 8), np.int16), scale=0.01, offset=0.0)
    write_tif(tmp_path / "twin" / "dem_10m.tif", np.ones((8, 8), np.float32))
    (tmp_path / "broken_dem.tif").write_bytes(b"II*\x00")
    made = make_catalog(tmp_path)
    assert made.items == {"sentinel-1-rtc": 4, "sentinel-2-l2a": 2, "dem": 1}
    told = {reason.split(":")[0]: reason for reason in made.skipped}
    assert set(told) == {
        "notes.tif",
        "place_20201101_B01.tif",
        "place_20201399_B04.tif",
        "lonely_20201101_N0500_B04.tif",
        "db_20201101_VV.tif",
        "twin/dem_10m.tif",
        "broken_dem.tif",
    }
    assert "not a date" in told["place_20201399_B04.tif"]
    assert "no asset for B, G, NIR, SCL" in told["lonely_20201101_N0500_B04.tif"]
    assert "scaled" in told["db_20201101_VV.tif"]
    assert "another folder" in told["twin/dem_10m.tif"]
    root = pystac.Catalog.from_file(str(made.path))
    found = {item.id: item for item in root.get_items(recursive=True)}
    assert len(found) == 7
    for item in found.values():
        for asset in item.assets.values():
            assert not Path(asset.href).is_absolute()
            assert Path(str(asset.get_absolute_href())).exists()
    assert str(made).startswith(f"Wrote {tmp_path / 'catalog.json'}")


def test_a_second_time_writes_the_same(tmp_path: Path) -> None:
    fill(tmp_path)
    first = {p: p.read_bytes() for p in [make_catalog(tmp_path).path, *tmp_path.rglob("*.json")]}
    make_catalog(tmp_path)
    assert {p: p.read_bytes() for p in first} == first


def optical(folder: Path, name: str, **tags: float) -> Path:
    for band in ("B02", "B03", "B04", "B08"):
        write_tif(folder / f"{name}_{band}.tif", np.ones((8, 8), np.uint16), **tags)
    write_tif(folder / f"{name}_SCL.tif", np.ones((8, 8), np.uint8))
    return folder


def test_scale_and_offset_of_the_files_are_told(tmp_path: Path) -> None:
    made = make_catalog(optical(tmp_path, "place_20201101", scale=1e-4, offset=-0.1))
    item = json.loads((tmp_path / "stac" / "sentinel-2-l2a" / "place_20201101.json").read_text(encoding="utf-8"))
    assert item["assets"]["B04"]["raster:bands"] == [
        {"nodata": 0.0, "data_type": "uint16", "scale": 1e-4, "offset": -0.1}
    ]
    assert not made.skipped


def test_an_unknown_baseline_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="has no processing baseline"):
        make_catalog(optical(tmp_path, "place_20201101"))


def test_tags_of_the_file_win_over_its_name(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "S1A_20200701_T044_asc_VV.tif", np.ones((8, 8), np.float32))
    with rasterio.open(path, "r+") as file:
        file.update_tags(ORBIT_PASS_DIRECTION="DESCENDING", TRACK_NUMBER="66")
    make_catalog(tmp_path)
    item = json.loads((tmp_path / "stac" / "sentinel-1-rtc" / "S1A_20200701_T044_asc.json").read_text(encoding="utf-8"))
    assert item["properties"]["sat:orbit_state"] == "descending"
    assert item["properties"]["sat:relative_orbit"] == 66


@pytest.mark.parametrize("track", ["²", "9" * 5000, "-44", "4.4"], ids=["superscript", "long", "below 0", "fraction"])
def test_tags_that_are_no_orbit_are_not_used(tmp_path: Path, track: str) -> None:
    for band in ("VV", "VH"):
        path = write_tif(tmp_path / f"S1A_20190702T170211_T044_asc_{band}.tif", np.ones((8, 8), np.float32))
        with rasterio.open(path, "r+") as raster:
            raster.update_tags(TRACK_NUMBER=track)
    make_catalog(tmp_path)
    (item,) = (json.loads(path.read_text()) for path in tmp_path.glob("stac/sentinel-1-rtc/*.json"))
    assert item["properties"]["sat:relative_orbit"] == 44


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crs": 'LOCAL_CS["drawing",UNIT["metre",1]]'}, "it has no place on the globe"),
        ({"transform": rasterio.Affine(10, 0, math.inf, 0, -10, 0)}, "its scale, offset or transform is not a finite"),
        ({"scales": (math.inf,)}, "its scale, offset or transform is not a finite number"),
    ],
    ids=["drawing", "infinite", "scale"],
)
def test_rasters_without_a_place_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    write_tif(tmp_path / "good" / "dem_10m.tif", np.ones((8, 8), np.float32))
    write_tif(tmp_path / "bad_dem.tif", np.ones((8, 8), np.float32))
    with rasterio.open(tmp_path / "bad_dem.tif", "r+") as raster:
        for name, value in options.items():
            setattr(raster, name, value)
    (reason,) = make_catalog(tmp_path).skipped
    assert reason.startswith("bad_dem.tif: ")
    assert said in reason


@pytest.mark.parametrize("nodata", ["nan", "inf", "-inf"])
def test_nodata_that_json_lacks_is_text(tmp_path: Path, nodata: str) -> None:
    write_tif(tmp_path / "dem_10m.tif", np.ones((8, 8), np.float32), nodata=float(nodata))
    assert not make_catalog(tmp_path).skipped
    (item,) = (json.loads(path.read_text()) for path in tmp_path.glob("stac/dem/*.json"))
    assert next(iter(item["assets"].values()))["raster:bands"][0]["nodata"] == nodata


def test_what_is_no_folder_of_rasters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is not a folder"):
        make_catalog(tmp_path / "nowhere")
    with pytest.raises(CatalogError, match="no GeoTIFF with a known name"):
        make_catalog(tmp_path)
    fill(tmp_path)
    (tmp_path / "catalog.json").write_text('{"id": "somebody-else"}', encoding="utf-8")
    with pytest.raises(CatalogError, match="not made by lsbatch"):
        make_catalog(tmp_path)
    assert "somebody-else" in (tmp_path / "catalog.json").read_text(encoding="utf-8")
