"""Thumbnails of tiles: means of the cube's pixels, from which the report draws its map."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from lsbatch.bands import STACK, mask
from lsbatch.catalog import plan
from lsbatch.engine import todo
from lsbatch.errors import StaleStoreError
from lsbatch.kernels import terrain
from lsbatch.report import overview_map, thumbnails
from lsbatch.storage import cube, vectors
from tests import fake_survey
from tests.fake_survey import TILE_PX, Fake

CELL = 64


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map so small that a tile has 64 x 64 of its pixels."""
    monkeypatch.setattr(overview_map, "MAP_PX", 125)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean of the valid values in boxes; NaN where less than half is valid."""
    step = TILE_PX // CELL
    boxes = values.astype(np.float64).reshape(CELL, step, CELL, step).swapaxes(1, 2).reshape(CELL, CELL, -1)
    valid = np.isfinite(boxes)
    total = np.where(valid, boxes, 0).sum(axis=-1)
    count = valid.sum(axis=-1)
    return np.where(2 * count >= step * step, total / np.maximum(count, 1), np.nan)


@pytest.mark.usefixtures("coarse")
def test_a_thumbnail_is_the_mean_of_the_cube(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path)
    assert survey.config.truth is not None
    compared = np.zeros(3)
    for position in survey.positions:
        tile, store = survey.tile(position), survey.workspace.store
        table = vectors.read_table(survey.workspace.part("thumbnails", tile.id))
        names = ("postR", "postG", "postB", "postVV", "elevation")
        assert tuple(table) == (*names, "surveyed", *overview_map.HITS)
        assert set(table.dtypes) == {np.dtype(np.float32)}
        wanted = cube.read(store, survey.grid, STACK, tile, 0, names)
        found = cube.read(store, survey.grid, mask("unet"), tile, 0, ("landslide",))["landslide"]
        truth = vectors.truth_mask(survey.config.truth, survey.config.survey.windows, tile.geobox)
        known = found != 255
        wanted |= {
            "surveyed": known,
            "found": (found == 1) & truth,
            "false": (found == 1) & ~truth,
            "missed": known & (found != 1) & truth,
        }
        for name, values in wanted.items():
            np.testing.assert_allclose(
                table[name].to_numpy().reshape(CELL, CELL), mean(values), rtol=1e-5, atol=1e-5, err_msg=name
            )
        compared += table[list(overview_map.HITS)].sum().to_numpy()
    assert (compared > 0).all()


@pytest.mark.usefixtures("coarse")
def test_the_map_is_put_together_from_them(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path)
    region = plan.load(survey.config.output).region
    where = overview_map.frame(survey.grid, region)
    assert where.cell == CELL
    every = frozenset(survey.positions)
    seen = overview_map.overview(survey, where, region, every - {(0, 1)}, frozenset({(1, 1)}))
    x, y = where.corner((1, 1))
    table = vectors.read_table(survey.workspace.part("thumbnails", fake_survey.tile(1, 1)))
    rows, cols = where.rows - y, where.cols - x
    shown = {name: table[name].to_numpy().reshape(CELL, CELL)[:rows, :cols] for name in table}
    for name, values in seen.bands.items():
        np.testing.assert_array_equal(values[y:, x:], shown[name][: values.shape[0] - y])
        # the tile that has none
        assert np.isnan(values[: y - 1, x + 1 :]).all()
    assert seen.hits is not None
    for values, name in zip(seen.hits, overview_map.HITS, strict=True):
        np.testing.assert_array_equal(values[y:, x:], shown[name])
        assert not values[:y].any()


def test_without_mapped_landslides_and_with_fewer_archives(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path, Fake(truth=False, archives=("sentinel1",), bands="s1vv"))
    table = vectors.read_table(survey.workspace.part("thumbnails", fake_survey.tile(0, 0)))
    assert tuple(table) == ("postVV", "surveyed")


def test_another_scale_makes_them_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = fake_survey.make(tmp_path)
    digests = set()
    for side in (1400, 125):
        monkeypatch.setattr(overview_map, "MAP_PX", side)
        digests.add(todo.base_digest(survey, thumbnails.STAGE))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pd.DataFrame({"postR": [1.0]}), "is not the thumbnail of 256 x 256 pixels"),
        (pd.DataFrame({"elevation": np.zeros(TILE_PX**2)}), "is not the thumbnail of 256 x 256 pixels"),
        (None, "is damaged, or was not made by lsbatch"),
    ],
)
def test_damaged_ones_are_refused(tmp_path: Path, table: pd.DataFrame | None, reason: str) -> None:
    survey = fake_survey.make(tmp_path)
    part = survey.workspace.part("thumbnails", fake_survey.tile(0, 0))
    if table is None:
        part.write_bytes(part.read_bytes()[:-100])
    else:
        vectors.write_table(part, table)
    region = plan.load(survey.config.output).region
    with pytest.raises(StaleStoreError, match=reason):
        overview_map.overview(
            survey, overview_map.frame(survey.grid, region), region, frozenset(survey.positions), frozenset()
        )


@pytest.mark.parametrize("metres", [20.0, 700.0])
def test_relief_is_the_hillshade_of_the_kernel(metres: float) -> None:
    elevation = ndimage.gaussian_filter(np.random.default_rng(4).normal(0, 3000, (60, 80)), 4).astype(np.float32)
    elevation[20:23, 30] = np.nan
    found = overview_map.relief(elevation, metres)
    raised = elevation * np.float32(np.clip(metres / 40, 1, 8))
    expected = terrain.hillshade(raised, metres, metres)
    known = np.isfinite(expected)
    assert np.ptp(expected[known]) > 60
    shown = 255 * (0.35 + 0.65 * np.where(known, expected, 180) / 255)
    # at the border, which the kernel leaves out, the outermost pixels are repeated
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(found[inner][..., 0], shown[inner], atol=1)
    assert (found == found[..., :1]).all()
