"""What is delivered beside the records: maps, figures by area, style, exports, confounders.

Opened by other programs.
"""

import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pystac
import pytest
import rasterio
import shapely
from scipy import ndimage

from lsbatch.bands import STACK, applicability, mask
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.errors import ConfigError
from lsbatch.grid import Grid
from lsbatch.inventory import areas, exports, schema
from lsbatch.inventory.qgis import landslide_styles
from lsbatch.pipeline import map_contents
from lsbatch.storage import files, rasters, receipts
from tests import programs, surveys


def _inventory(survey: Survey) -> gpd.GeoDataFrame:
    return gpd.read_parquet(survey.workspace.inventory / "landslides.parquet")


def test_maps_are_the_cube(done_survey: Survey) -> None:
    folder = done_survey.workspace.maps
    landslide = surveys.whole(done_survey, mask(done_survey.config.model.family))["landslide"]
    for name in map_contents.wanted(done_survey.config):
        with rasterio.open(folder / f"{name}.tif") as raster:
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert str(raster.crs) == done_survey.config.grid.crs
            assert raster.bounds == done_survey.grid.bounds
            values = raster.read(1)
        match name:
            case "mask":
                np.testing.assert_array_equal(values, landslide)
            case "observed":
                np.testing.assert_array_equal(values, surveys.whole(done_survey, STACK)["observed"])
            case "date":
                np.testing.assert_array_equal(
                    values != map_contents.NO_DAY,
                    (landslide == 1) & (surveys.whole(done_survey, STACK)["post_date"] != map_contents.NO_DAY),
                )
            case "applicability":
                outside = surveys.whole(done_survey, applicability(done_survey.config.model.family))["outside"]
                np.testing.assert_array_equal(values, outside)
            case "probability":
                assert ((values == map_contents.NO_PERCENT) == (landslide == 255)).mean() > 0.99
                assert values[values != map_contents.NO_PERCENT].max() <= 100


def test_a_large_map_has_overviews_that_mean_something(tmp_path: Path) -> None:
    grid = Grid("EPSG:25833", 10.0, 1024, (0.0, 6_400_000.0, 10_240.0, 6_410_240.0))
    values = np.full((1024, 1024), 20, np.uint8)
    values[:, ::2] = 60
    values[:512] = map_contents.NO_PERCENT
    legend = map_contents.MAPS["probability"].content.legend
    rasters.write(
        tmp_path / "p.tif",
        grid,
        grid.tiles(),
        lambda tile: values,
        np.uint8,
        map_contents.NO_PERCENT,
        legend=legend,
        overviews="average",
    )
    with rasterio.open(tmp_path / "p.tif") as raster:
        assert raster.overviews(1) == [2]
        assert (raster.scales, raster.units, raster.descriptions) == ((0.01,), ("1",), (legend.description,))
        np.testing.assert_array_equal(raster.read(1), values)
        small = raster.read(1, out_shape=(512, 512))
    assert set(np.unique(small[:256])) == {map_contents.NO_PERCENT}
    assert set(np.unique(small[257:])) == {40}


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="gdal-bin is not installed")
def test_gdal_opens_it(done_survey: Survey) -> None:
    folder = done_survey.workspace.inventory
    count = len(_inventory(done_survey))
    for name, layer in (("landslides.gpkg", "landslides"), ("inspire.gpkg", "ObservedEvent")):
        told = subprocess.run(
            ["ogrinfo", "-ro", "-so", str(folder / name), layer], capture_output=True, text=True, check=True
        )
        assert told.stderr == ""
        assert f"Feature Count: {count}" in told.stdout
        assert "Geometry: Multi Polygon" in told.stdout


def test_the_style_names_every_grade(done_survey: Survey) -> None:
    text = (done_survey.workspace.inventory / "landslides.qml").read_text(encoding="utf-8")
    renderer = ElementTree.fromstring(text).find("renderer-v2")
    assert renderer is not None
    assert renderer.get("attr") == "confidence"
    # an empty value stands for all others
    assert [one.get("value") for one in renderer.iter("category")] == [*schema.GRADES, ""]
    assert [one.get("symbol") for one in renderer.iter("category")] == [
        one.get("name") for one in renderer.iter("symbol")
    ]
    stored = pyogrio.read_dataframe(done_survey.workspace.inventory / "landslides.gpkg", layer="layer_styles")
    assert stored["styleQML"].iloc[0] == landslide_styles.qml("confidence", "en", schema.FIELDS) == text
    assert stored["styleName"].tolist() == ["confidence", "status", "review"]
    assert stored["useAsDefault"].tolist() == [True, False, False]


def test_exports_say_the_same(done_survey: Survey) -> None:
    frame = _inventory(done_survey)
    events = gpd.read_file(done_survey.workspace.inventory / "inspire.gpkg")
    assert sorted(events["inspireId_localId"]) == sorted(frame["landslide_id"])
    assert set(pyogrio.read_info(done_survey.workspace.inventory / "inspire.gpkg")["ogr_types"][-2:]) == {"OFTDate"}
    assert set(events["typeOfHazard_hazardCategory"]) == {exports.LANDSLIDE}
    assert events["magnitudeOrIntensity_quantitativeValue"].sum() == pytest.approx(frame["area_m2"].sum())
    assert len(exports.with_schema(frame.head(0), exports.SOSI)) == 0


def test_the_catalogue_lists_all_of_it(done_survey: Survey) -> None:
    catalog = pystac.Catalog.from_file(done_survey.workspace.catalog / "catalog.json")
    item = next(item for item in catalog.get_items() if item.id.endswith("-inventory"))
    # the schemas of the core lie in pystac; those of extensions are on the network
    item.stac_extensions = []
    item.validate()
    names = {Path(asset.get_absolute_href()).name for asset in item.assets.values()}
    places = done_survey.workspace
    delivered = [*places.inventory.iterdir(), *places.maps.iterdir(), places.project]
    assert names == {path.name for path in delivered}
    for asset in item.assets.values():
        path = Path(asset.get_absolute_href())
        summed = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True).stdout.split()[0]
        assert asset.extra_fields["file:checksum"] == f"1220{summed}"
        assert asset.extra_fields["file:size"] == path.stat().st_size


def _changed(survey: Survey, folder: Path, **inventory: object) -> Survey:
    copy = surveys.copy_survey(survey, folder)
    settings = copy.config.inventory.model_copy(update=inventory)
    return Survey(copy.config.model_copy(update={"inventory": settings}), copy.grid, copy.positions)


def test_confounders_are_shares_of_each_record(done_survey: Survey, tmp_path: Path) -> None:
    before = _inventory(done_survey).set_index("landslide_id")
    # a field whose edge cuts landslides, with a hole in it
    left, bottom, right, top = done_survey.grid.bounds
    middle = shapely.box((left + right) / 2 - 300, bottom, (left + right) / 2, top)
    field = shapely.box(left, bottom, (left + right) / 2 + 55, top) - middle
    gpd.GeoDataFrame(geometry=[field], crs=done_survey.config.grid.crs).to_crs("EPSG:4326").to_file(
        tmp_path / "fields.gpkg"
    )
    survey = _changed(done_survey, tmp_path / "s", confounders={"farmland": tmp_path / "fields.gpkg"})
    assert execution.run(survey, until="inventory") == 0
    after = _inventory(survey).set_index("landslide_id")
    assert [*after.columns] == [*[*schema.dtypes(("farmland",))][1:], "geometry"]
    assert sorted(after.index) == sorted(before.index)
    shares = after["on_farmland_share"]
    assert (shares == 0).any()
    assert (shares == 1).any()
    for name, share in shares.items():
        shape = after.geometry[name]
        assert share == pytest.approx(shape.intersection(field).area / shape.area, abs=0.15)


def test_figures_by_area_add_up(done_survey: Survey, tmp_path: Path) -> None:
    left, bottom, right, top = done_survey.grid.bounds
    x, y = (left + right) / 2 + 33, (bottom + top) / 2 - 71
    counties = [shapely.box(left, bottom, x, top), shapely.box(x, bottom, right, y)]
    file = tmp_path / "counties.gpkg"
    gpd.GeoDataFrame({"name": ["West", "Sør-Øst"]}, geometry=counties, crs=done_survey.config.grid.crs).to_file(file)
    survey = _changed(done_survey, tmp_path / "s", areas=file)
    assert execution.run(survey, until="figures") == 0
    table = gpd.read_file(survey.workspace.inventory / "areas.csv").set_index("area")
    assert [*table.index] == ["West", "Sør-Øst", areas.ELSEWHERE]
    frame = _inventory(survey)
    assert table["landslides"].astype(int).sum() == len(frame)
    assert table["landslide_area_m2"].astype(float).sum() == pytest.approx(frame["area_m2"].sum())
    done = receipts.read_stage(survey.workspace.receipts, "clean").values()
    surveyed = sum(receipt.tally["surveyed_pixels"] for receipt in done)
    assert table["surveyed_km2"].astype(float).sum() == pytest.approx(surveyed * 1e-4)
    assert len(gpd.read_file(survey.workspace.inventory / "areas.gpkg")) == 2
    with closing(sqlite3.connect(survey.workspace.inventory / "areas.gpkg")) as database:
        titles = dict(database.execute("SELECT column_name, name FROM gpkg_data_columns"))
    assert titles["surveyed_km2"] == "Surveyed area (km²)"
    assert list(titles) == [field.name for field in areas.FIELDS]


def test_an_area_with_a_hole_leaves_the_hole_out() -> None:
    county = shapely.box(0, 0, 100, 100) - shapely.box(40, 40, 60, 60)
    inside, in_hole = shapely.box(10, 10, 20, 20), shapely.box(45, 45, 55, 55)
    frame = gpd.GeoDataFrame({"area_m2": [100.0, 100.0]}, geometry=[inside, in_hole], crs="EPSG:25833")
    found = areas.figures({"A": county}, [{"A": [96, 1], areas.ELSEWHERE: [4, 1]}], frame, 1e-4).set_index("area")
    assert [*found["landslides"]] == [1, 1]
    assert [*found["surveyed_km2"]] == pytest.approx([96e-4, 4e-4])


def test_areas_without_their_names_are_one_sentence(done_survey: Survey, tmp_path: Path) -> None:
    file = tmp_path / "counties.gpkg"
    gpd.GeoDataFrame({"name": ["A", "A"]}, geometry=[shapely.box(0, 0, 1, 1)] * 2, crs="EPSG:25833").to_file(file)
    survey = _changed(done_survey, tmp_path / "s", areas=file)
    with pytest.raises(ConfigError, match=r"inventory\.areas: .*counties\.gpkg has 'A' twice"):
        execution.run(survey, until="areas")
    survey = _changed(done_survey, tmp_path / "t", areas=file, areas_field="county")
    with pytest.raises(ConfigError, match=r"inventory\.areas_field = 'county': is not a column of"):
        execution.run(survey, until="areas")


def test_simplified_on_request(done_survey: Survey, tmp_path: Path) -> None:
    survey = _changed(done_survey, tmp_path / "s", simplify_m=10.0)
    assert execution.run(survey, until="inventory") == 0
    before, after = (_inventory(one).set_index("landslide_id").sort_index() for one in (done_survey, survey))
    assert (after["area_m2"] == before["area_m2"]).all()
    assert (after.geometry.area - before.geometry.area).abs().max() / before.geometry.area.min() < 1e-2
    np.testing.assert_allclose(after.geometry.area, before.geometry.area, rtol=1e-4)
    assert after.geometry.is_valid.all()
    assert set(after["outline"]) <= {"pixels", "simplified"}
    assert "simplified" in set(after["outline"])


#: Writes the inventory over and over, and says when it begins.
_EXPORTS = """
import sys
from pathlib import Path
import geopandas as gpd
from lsbatch.inventory import inventory_files
folder, more = Path(sys.argv[1]), gpd.read_parquet(sys.argv[2])
inventory_files.write(folder, more)
print("begun", flush=True)
while True:
    inventory_files.write(folder, more)
"""


def test_killed_while_exporting_leaves_each_file_whole(done_survey: Survey, tmp_path: Path) -> None:
    """Twenty copies of the records, so that much of the time is spent in the middle of a file; four kills at least."""
    frame = _inventory(done_survey)
    many = pd.concat([frame.assign(landslide_id=frame["landslide_id"] + f"-{i}") for i in range(20)], ignore_index=True)
    given, folder = tmp_path / "many.parquet", tmp_path / "inventory"
    many.to_parquet(given)
    left: list[Path] = []
    for number in range(12):
        if number >= 4 and left:
            break
        writer = programs.start_code(_EXPORTS, str(folder), str(given))
        assert writer.line() == "begun\n"
        time.sleep(0.05 + 0.16 * number)
        writer.kill()
        assert writer.poll() == -signal.SIGKILL
        for found in (
            pyogrio.read_dataframe(folder / "landslides.gpkg", layer="landslides"),
            gpd.read_parquet(folder / "landslides.parquet"),
            pd.read_csv(folder / "landslides.csv"),
        ):
            assert found["landslide_id"].tolist() == many["landslide_id"].tolist()
        left += [path for path in folder.iterdir() if path.name.startswith(".")]
    # else every kill came between two files, and the test has shown nothing
    assert left


#: Dies with half a national map beside the last one.
_DIES = """
import os, signal, sys
from pathlib import Path
from lsbatch.storage import files
with files.scratch(beside=Path(sys.argv[1])) as folder:
    (folder / "flat.tif").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_half_a_map_of_a_killed_run_is_removed_by_the_next(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    places = survey.workspace
    whole = sorted(path.name for path in places.maps.iterdir())
    for beside in (places.maps / "mask.tif", places.catalog):
        assert programs.start_code(_DIES, str(beside)).ended().returncode == -signal.SIGKILL
    assert len(list(places.root.rglob(".lsbatch-*"))) == 2
    # another command's, such as evaluate's map, is not the run's to remove
    with files.scratch(beside=places.root / "confusion.tif") as busy:
        for name in ("rasters", "catalog"):
            receipts.remove(places.receipts, name, "all")
        assert execution.run(survey) == 0
        assert sorted(path.name for path in places.maps.iterdir()) == whole
        assert list(places.root.rglob(".lsbatch-*")) == [busy]


def test_models_agree_where_another_inventory_holds_half(done_survey: Survey, tmp_path: Path) -> None:
    frame = _inventory(done_survey)
    assert len(frame) >= 4
    same, part, gone = frame.iloc[[0]].copy(), frame.iloc[[1]].copy(), frame.iloc[[2]].copy()
    left, bottom, right, top = part.total_bounds
    part.geometry = part.intersection(shapely.box(left, bottom, left + 0.2 * (right - left), top))
    gone["observation"] = "nothing found"
    pd.concat([same, part, gone]).to_file(tmp_path / "cart.gpkg")
    frame.iloc[[0, 3]].geometry.to_frame().to_crs("EPSG:4326").to_file(tmp_path / "mapped.shp")
    survey = _changed(
        done_survey, tmp_path / "s", others={"mapper": tmp_path / "mapped.shp", "cart": tmp_path / "cart.gpkg"}
    )
    assert execution.run(survey, until="inventory") == 0
    agree = _inventory(survey).set_index("landslide_id")["models_agree"]
    names = frame["landslide_id"]
    assert agree[names[0]] == "cart;mapper"
    assert agree[names[3]] == "mapper"
    assert set(agree.drop([names[0], names[3]])) == {""}


def test_split_is_that_of_the_pixels_of_the_whole(done_survey: Survey) -> None:
    """Also of landslides over several tiles, against every threshold tried."""
    landslide = surveys.whole(done_survey, mask(done_survey.config.model.family))["landslide"]
    stored = surveys.whole(done_survey, STACK)
    # as the cube gives them, float32
    stack = {
        band.name: (stored[band.name] * band.scale + band.offset).astype(np.float32)
        for band in STACK.bands
        if band.name in ("elevation", "slope")
    }
    labels, _ = ndimage.label(landslide == 1, np.ones((3, 3)))
    frame = _inventory(done_survey)
    for _, record in frame.iterrows():
        col, row = ~done_survey.grid.geobox.transform @ (record["source_x"], record["source_y"])
        here = labels == labels[int(row), int(col)]
        step, slope = np.floor(stack["elevation"][here] / 5), np.rint(stack["slope"][here] * 10).astype(np.float64) / 10
        expected = _split(step, slope)
        if expected is None:
            assert np.isnan(record["split_elevation_m"])
            assert np.isnan(record["source_share"])
        else:
            found = [
                record[name]
                for name in ("split_elevation_m", "source_share", "source_slope_deg", "transport_slope_deg")
            ]
            # half of the last decimal
            for value, wanted, half in zip(found, expected, (0.5, 5e-4, 0.05, 0.05), strict=True):
                assert value == pytest.approx(wanted, abs=half + 1e-9)
    known = frame["split_elevation_m"].notna()
    assert known.any()
    assert (
        frame["split_elevation_m"][known].between(frame["elevation_min_m"][known], frame["elevation_max_m"][known])
    ).all()


def _split(step: np.ndarray, slope: np.ndarray) -> tuple[float, ...] | None:
    best = None
    for first in np.unique(step)[1:]:
        above, below = slope[step >= first], slope[step < first]
        if min(len(above), len(below)) < 0.15 * len(slope) or above.mean() <= below.mean():
            continue
        left = ((above - above.mean()) ** 2).sum() + ((below - below.mean()) ** 2).sum()
        if best is None or left < best[0] - 1e-6:
            best = (left, first, above, below)
    if best is None:
        return None
    left, first, above, below = best
    gain = ((slope - slope.mean()) ** 2).sum() - left
    if above.mean() - below.mean() < 5 or gain / (left / (len(slope) / 9 - 2)) <= 12.16:
        return None
    return first * 5, len(above) / len(slope), above.mean(), below.mean()


def test_scenes_of_the_records_are_those_of_their_tiles(done_survey: Survey) -> None:
    table = pd.read_csv(done_survey.workspace.inventory / "scenes.csv")
    tiles = {tile for text in _inventory(done_survey)["tiles"] for tile in text.split(";")}
    assert set(table["tile"]) == tiles
    done = receipts.read_stage(done_survey.workspace.receipts, "stack")
    for tile, rows in table.groupby("tile"):
        assert sorted(rows["scene"][rows["used"] == "yes"]) == sorted(done[tile].scenes)
    optical = table[table["sensor"] == "sentinel2"]
    assert optical["baseline"].notna().all()
    assert set(optical["offset_dn"]) == {0.0, -1000.0}
    radar = table[table["sensor"] == "sentinel1"]
    assert set(radar["orbit_state"]) == {"ascending", "descending"}
    assert radar["relative_orbit"].between(1, 175).all()
