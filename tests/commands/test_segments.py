"""Tehrani's segments as a map: one number each, whatever the tiles, and a table that GDAL reads."""

import csv
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import rasterio

from lsbatch import settings
from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey
from lsbatch.cli import terminal
from lsbatch.commands import run, segments
from lsbatch.errors import ConfigError
from lsbatch.grid import Grid
from lsbatch.models import cards, tehrani
from lsbatch.storage import cube
from tests.models.test_tehrani import scene

SIDE = 512


@pytest.fixture(scope="module")
def bands() -> tuple[np.ndarray, np.ndarray]:
    return scene(SIDE, SIDE, 2)


@pytest.fixture(scope="module")
def weights(bands: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forest that has learned the scene."""
    values, scar = bands
    path = tmp_path_factory.mktemp("weights") / "t.safetensors"
    middle = tehrani.centres(tehrani.change(values), 0)
    found = tehrani.cut(values, middle, 10)
    slides = tehrani.shares(found.labels, scar) >= 0.5
    cards.save(path, tehrani.fit(found.features, slides, middle, 0), tehrani.card(10))
    return path


def written(values: np.ndarray, weights: Path, folder: Path, tile_px: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Segments of the made-up scene as a survey with such tiles; STACK is there, so nothing is surveyed."""
    grid = Grid.snapped("EPSG:25833", 10, tile_px, (0, 0, SIDE * 10, SIDE * 10))
    source = {"preset": "local", "url": "c/catalog.json", "collections": ["a"]}
    raw = {
        "survey": {"year": 2020}, "region": {"bounds": list(grid.bounds)}, "grid": {"tile_px": tile_px},
        "archives": {"sentinel2": source, "sentinel1": source, "dem": source},
        "model": {"family": "tehrani", "weights": str(weights)}, "output": "survey",
    }  # fmt: skip
    survey = Survey(settings.parse(raw, folder), grid, tuple((t.row, t.col) for t in grid.tiles()))
    survey.workspace.store.parent.mkdir()
    cube.create(survey.workspace.store, grid, STACK)
    for tile in grid.tiles():
        empty = {band.name: np.full((tile_px, tile_px), np.nan if band.scale else 0) for band in STACK.bands}
        mine = {name: band[tile.region] for name, band in zip(tehrani.BANDS, values, strict=True)}
        cube.write(survey.workspace.store, STACK, tile, empty | mine)
    monkeypatch.setattr(run, "survey", lambda *args, **kwargs: 0)
    monkeypatch.setattr(segments, "open_survey", lambda config: survey)
    return segments.write(survey.config, terminal.Screen())


@pytest.fixture(scope="module")
def small(bands: tuple[np.ndarray, np.ndarray], weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In four tiles."""
    with pytest.MonkeyPatch.context() as patch:
        return written(bands[0], weights, tmp_path_factory.mktemp("small"), SIDE // 2, patch)


def labels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        assert file.dtypes == ("uint32",)
        return file.read(1)


def table(path: Path) -> list[dict[str, str]]:
    with path.with_suffix(".csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_tiles_make_no_difference(
    small: Path,
    bands: tuple[np.ndarray, np.ndarray],
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = written(bands[0], weights, tmp_path, SIDE, monkeypatch)
    np.testing.assert_array_equal(labels(small), labels(whole))
    assert table(small) == table(whole)


def test_numbers_are_whole_and_in_the_order_of_first_pixels(small: Path) -> None:
    found = labels(small)
    count = int(found.max())
    assert count > 20
    rows = table(small)
    assert [int(row["VALUE"]) for row in rows] == list(range(1, count + 1))
    assert [int(row["pixels"]) for row in rows] == np.bincount(found.ravel())[1:].tolist()
    assert all(float(row["area_m2"]) == 100 * int(row["pixels"]) for row in rows)
    # some cross the edges of tiles, with one number on both sides
    above, left = found[SIDE // 2 - 1], found[:, SIDE // 2 - 1]
    assert (above * (above == found[SIDE // 2])).any()
    assert (left * (left == found[:, SIDE // 2])).any()


def test_scars_have_a_high_probability(small: Path, bands: tuple[np.ndarray, np.ndarray]) -> None:
    found, scar = labels(small), bands[1]
    chance = np.array([0.0, *(float(row["probability"]) for row in table(small))])
    share = np.bincount(found.ravel(), scar.ravel()) / np.maximum(np.bincount(found.ravel()), 1)
    assert chance[1:][share[1:] > 0.7].mean() > 0.6 > 0.3 > chance[1:][share[1:] < 0.2].mean()


@pytest.mark.skipif(which("gdalinfo") is None, reason="gdalinfo is not installed")
def test_gdal_reads_the_table(small: Path) -> None:
    told = subprocess.run(["gdalinfo", "-nomd", str(small)], check=True, capture_output=True, text=True).stdout
    found = ElementTree.fromstring(
        told[told.index("<GDALRasterAttributeTable") : told.index("</GDALRasterAttributeTable>") + 27]
    )
    names = [column.findtext("Name") for column in found.findall("FieldDefn")]
    assert names == list(segments.COLUMNS)
    for line, row in zip(found.findall("Row"), table(small), strict=True):
        assert [float(cell.text or "nan") for cell in line] == pytest.approx(
            [float(row[name]) for name in names], rel=1e-6
        )  # type: ignore[index]


def test_nothing_is_left_beside_the_results(small: Path) -> None:
    assert {path.name for path in small.parent.iterdir()} == {"segments.tif", "segments.tif.aux.xml", "segments.csv"}


def test_another_model_has_no_segments(tmp_path: Path) -> None:
    source = {"preset": "local", "url": "c/catalog.json", "collections": ["a"]}
    raw = {
        "survey": {"year": 2020},
        "region": {"bounds": [0, 0, 10, 10]},
        "archives": dict.fromkeys(("sentinel2", "sentinel1", "dem"), source),
    }
    with pytest.raises(ConfigError, match="only tehrani makes segments"):
        segments.write(settings.parse(raw, tmp_path), terminal.Screen())
