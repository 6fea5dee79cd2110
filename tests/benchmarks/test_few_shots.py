"""The benchmark of few mapped landslides: which are drawn, and what its table says."""

import geopandas as gpd
import numpy as np
import pytest
import shapely

from benchmarks import few_shots


@pytest.fixture
def slides() -> gpd.GeoDataFrame:
    """Ninety squares of 50 m at random in 6 by 6 km."""
    places = np.random.default_rng(0).uniform(0, 6000, (90, 2))
    shapes = [shapely.box(x, y, x + 50, y + 50) for x, y in places]
    return gpd.GeoDataFrame(geometry=shapes, crs="EPSG:25833")


@pytest.mark.parametrize("count", [1, 5, 20])
def test_all_landslides_in_the_mapped_ground_are_mapped(slides: gpd.GeoDataFrame, count: int) -> None:
    rows, area = few_shots.chosen(slides, count, seed=3)
    assert len(rows) >= count
    assert list(rows) == [i for i, shape in enumerate(slides.geometry) if shape.intersects(area)]
    # one drawn landslide adds itself and its near neighbours
    assert len(rows) <= count + 10
    assert area.area <= len(rows) * (50 + 2 * few_shots.SEEN_M) ** 2


def test_draws_differ_by_seed_only(slides: gpd.GeoDataFrame) -> None:
    first, again, other = (few_shots.chosen(slides, 5, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert list(first) != list(other)


def test_fewer_landslides_than_wanted_are_all_taken(slides: gpd.GeoDataFrame) -> None:
    rows, _ = few_shots.chosen(slides, 1000, seed=0)
    assert len(rows) == len(slides)


def test_table_has_means_and_each_repeat() -> None:
    results = [{"as it is": [0, 0.1 * k], **{f"{way}, 5": [5 + k, 0.2 * k] for way in few_shots.WAYS}} for k in (1, 2)]
    lines = few_shots.table("countries", results, [5]).splitlines()
    assert lines[2] == "as it is | 0 | 0.150 | 0.100 0.200"
    assert lines[4] == "fine-tuned | 6 | 0.300 | 0.200 0.400"
    assert len(lines) == 2 + 1 + len(few_shots.WAYS)
    results[0]["fine-tuned, 5"] = [6, None]
    assert "fine-tuned | 6 | 0.400 | none 0.400" in few_shots.table("countries", results, [5])
