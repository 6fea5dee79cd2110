"""A country repeated at many places: the same pixels everywhere, stored once, and the same landslides."""

from itertools import product
from pathlib import Path

import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
import shapely

from lsbatch import synthetic
from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.storage import cube
from lsbatch.synthetic import repetition
from tests import surveys

SIDE_PX, TIMES = 256, (2, 3)
#: Pixels from a seam that another place may change: the reach of the bands that depend on their surroundings.
SEAM_PX = 100


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One country alone, and two rows of three of it."""
    out = []
    for times in ((1, 1), TIMES):
        folder = tmp_path_factory.mktemp("times")
        out.append(synthetic.simulate(folder, seed=7, rows=SIDE_PX, cols=SIDE_PX, repeat=times).parent)
    return out[0], out[1]


def _items(folder: Path) -> list[pystac.Item]:
    return list(pystac.Catalog.from_file(str(folder / "catalog" / "catalog.json")).get_items(recursive=True))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("times", [(1, 1), (1, 2), (3, 1), (5, 7)])
def test_a_raster_is_repeated(tmp_path: Path, dtype: str, times: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(0, 200, (32, 48)).astype(dtype)
    # a block without data is not stored
    values[:16, :16] = 0
    path = tmp_path / "one.tif"
    lattice = {"crs": "EPSG:25833", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 6_800_000)}
    with rasterio.open(path, "w", "GTiff", 48, 32, 1, dtype=dtype, nodata=0, **lattice) as file:
        file.write(values, 1)
    repetition.repeat_raster(path, times)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), np.tile(values, times))
        assert file.nodata == 0
        assert (file.crs, file.transform) == tuple(lattice.values())


def test_many_places_take_the_disk_of_one(folders: tuple[Path, Path]) -> None:
    one, many = (sum(p.stat().st_size for p in folder.rglob("*.tif")) for folder in folders)
    assert many < 1.1 * one


def test_items_describe_their_files(folders: tuple[Path, Path]) -> None:
    for item in _items(folders[1]):
        path = next(iter(item.assets.values())).get_absolute_href()
        with rasterio.open(path) as file:
            assert list(file.shape) == item.properties["proj:shape"]
        for asset in item.assets.values():
            with rasterio.open(asset.get_absolute_href()) as file:
                assert list(file.shape) == asset.extra_fields.get("proj:shape", item.properties["proj:shape"])


def test_granules_cover_all_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(repetition, "GRANULE_PX", 256)
    path = synthetic.simulate(tmp_path, seed=7, rows=256, cols=256, repeat=(2, 2))
    optical = [item for item in _items(path.parent) if item.collection_id == "sentinel-2-l2a"]
    days = {item.datetime for item in optical}
    assert len(optical) == 4 * len(days)
    for day in days:
        union = shapely.union_all([shapely.geometry.shape(i.geometry) for i in optical if i.datetime == day])
        (dem,) = [
            shapely.geometry.shape(i.geometry) for i in _items(path.parent) if i.collection_id == "cop-dem-glo-30"
        ]
        assert union.symmetric_difference(dem).area < 1e-3 * dem.area


def _stacked(folder: Path) -> Survey:
    survey = surveys.ready(surveys.configured(folder / "config.yaml", folder / "survey"))
    assert not execution.run(survey, until="stack")
    return survey


def test_every_place_has_the_same_pixels(folders: tuple[Path, Path]) -> None:
    one, many = (_stacked(folder) for folder in folders)
    assert len(many.positions) == TIMES[0] * TIMES[1] * len(one.positions)
    inner = (slice(SEAM_PX, -SEAM_PX),) * 2
    first = min(one.positions)
    alone = cube.read(one.workspace.store, one.grid, STACK, one.tile(first), 0, STACK.names)
    corner = min(many.positions)
    for row, col in product(*map(range, TIMES)):
        tile = many.tile((corner[0] + row, corner[1] + col))
        there = cube.read(many.workspace.store, many.grid, STACK, tile, 0, STACK.names)
        for name in STACK.names:
            np.testing.assert_array_equal(there[name][inner], alone[name][inner], err_msg=f"{name} {row} {col}")
    assert np.isfinite(alone["dNDVI"][inner]).mean() > 0.5


def test_every_place_has_the_landslides(folders: tuple[Path, Path]) -> None:
    one, many = (gpd.read_file(folder / "truth.gpkg") for folder in folders)
    assert len(many) == 6 * len(one) > 0
    assert many["landslide_id"].is_unique
    side = SIDE_PX * 10
    for row, col in product(*map(range, TIMES)):
        place = many[many["landslide_id"].str.endswith(f"-{row:03d}{col:03d}")]
        moved = one.geometry.translate(col * side, -row * side)
        assert shapely.equals_exact(place.geometry.values, moved.values, 1e-6).all()
        assert list(place["date"]) == list(one["date"])
