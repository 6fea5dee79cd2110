"""Polygon parts and records against slow, obvious answers on random fields."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.features
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.grid import Grid
from lsbatch.kernels import connected_regions
from lsbatch.pipeline import outline
from lsbatch.storage import geometries, vectors

EIGHT = np.ones((3, 3), int)
GRID = Grid("EPSG:25833", 10.0, 128, (0.0, 6400000.0, 2560.0, 6402560.0))


def test_polygonize_gives_back_the_pixels() -> None:
    rng = np.random.default_rng(1)
    labels, count = scipy.ndimage.label(rng.random((128, 128)) < 0.35, EIGHT)
    geobox = GRID.tile(0, 1).geobox
    polygons = geometries.polygonize(labels.astype(np.int32), count, geobox)
    assert len(polygons) == count
    assert all(p.is_valid for p in polygons)
    back = rasterio.features.rasterize(
        [(p, i + 1) for i, p in enumerate(polygons)], out_shape=labels.shape, transform=geobox.transform, dtype="int32"
    )
    np.testing.assert_array_equal(back, labels)
    assert sum(p.area for p in polygons) == pytest.approx(100.0 * np.count_nonzero(labels))


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.05, 0.7))
def test_sums_are_those_of_each_label(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    labels, count = scipy.ndimage.label(rng.random((40, 50)) < density, EIGHT)
    if count == 0:
        return
    values = rng.normal(size=labels.shape).astype(np.float32)
    values[rng.random(labels.shape) < 0.1] = np.nan
    core: dict[str, Any] = dict.fromkeys(("dNDVI", "diffVV", "diffVH", "slope", "probability"), values)
    core |= dict.fromkeys(outline._SIDES, values)
    core["observed"] = rng.integers(0, 64, labels.shape).astype(np.uint8)
    sums = outline._sums(labels, count, core, values)
    for label in range(1, count + 1):
        inside = values[labels == label]
        good = inside[np.isfinite(inside)].astype(np.float64)
        assert sums["dNDVI_sum"][label - 1] == pytest.approx(good.sum(), abs=1e-9)
        assert sums["dNDVI_count"][label - 1] == len(good)
        seen = core["observed"][labels == label]
        assert sums["optical_px"][label - 1] == np.count_nonzero(seen & 1)
        assert sums["ascending_px"][label - 1] == np.count_nonzero(seen & 8)
        assert sums["one_side_px"][label - 1] == np.count_nonzero(((seen & 8) > 0) != ((seen & 16) > 0))
        assert sums["diffVV_asc_sum"][label - 1] == 0
        if len(good):
            assert sums["slope_max"][label - 1] == good.max()


def test_places_are_first_highest_and_lowest() -> None:
    labels = np.array([[0, 1, 1], [2, 0, 1], [2, 2, 0]], np.int32)
    height = np.array([[9, 5, 7], [1, 9, 7], [4, 3, 9]], np.float32)
    found = outline._places(labels, 2, height, (slice(100, 103), slice(200, 203)))
    assert list(found["pixels"]) == [3, 3]
    assert [(r, c) for r, c in zip(found["first_row"], found["first_col"], strict=True)] == [(100, 201), (101, 200)]
    # the tie of the two pixels at 7 m goes to the first in row-major order
    assert [(r, c) for r, c in zip(found["top_row"], found["top_col"], strict=True)] == [(100, 202), (102, 200)]
    assert [(r, c) for r, c in zip(found["toe_row"], found["toe_col"], strict=True)] == [(100, 201), (101, 200)]


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.05, 0.75), side=st.sampled_from([3, 5, 8, 16]))
def test_join_equals_labelling_the_whole(seed: int, density: float, side: int) -> None:
    rng = np.random.default_rng(seed)
    field = rng.random((side * 3, side * 4)) < density
    edges, counts, alone = {}, {}, {}
    for row in range(3):
        for col in range(4):
            labels, n = connected_regions.label(field[row * side : (row + 1) * side, col * side : (col + 1) * side])
            alone[row, col] = labels
            if n:
                edges[row, col], counts[row, col] = connected_regions.edges(labels), n
    joined = connected_regions.join(edges, counts)
    whole, n_whole = scipy.ndimage.label(field, EIGHT)
    pairs = set()
    for (row, col), labels in alone.items():
        part = whole[row * side : (row + 1) * side, col * side : (col + 1) * side]
        for label in range(1, counts.get((row, col), 0) + 1):
            (expected,) = set(part[labels == label])
            pairs.add((int(joined[row, col][label - 1]), int(expected)))
    # a one-to-one match of components
    assert len(pairs) == n_whole == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_histogram_holds_every_pixel() -> None:
    rng = np.random.default_rng(3)
    labels, count = scipy.ndimage.label(rng.random((60, 60)) < 0.3, EIGHT)
    probability = rng.random((60, 60)).astype(np.float32)
    found = outline._histograms(labels, count, probability)
    for label in range(1, count + 1):
        steps = np.rint(probability[labels == label] * 100).astype(int)
        np.testing.assert_array_equal(found[label - 1], np.bincount(steps, minlength=101))


def test_written_inventory_opens_elsewhere(tmp_path: Path) -> None:
    import geopandas as gpd
    import pyarrow.parquet as pq
    import pyogrio
    import shapely

    frame = gpd.GeoDataFrame(
        {"landslide_id": ["a", "b"], "area_m2": [1.0, 2.0]},
        geometry=[shapely.box(0, 0, 1, 1), shapely.multipolygons([shapely.box(2, 2, 3, 3)])],
        crs="EPSG:25833",
    )
    vectors.write_geopackage(tmp_path / "l.gpkg", frame, "landslides")
    vectors.write_parquet(tmp_path / "l.parquet", frame)
    info = pyogrio.read_info(tmp_path / "l.gpkg")
    assert (info["features"], info["geometry_type"], info["crs"]) == (2, "MultiPolygon", "EPSG:25833")
    assert b"covering" in pq.read_schema(tmp_path / "l.parquet").metadata[b"geo"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.gpkg", "l.parquet"]
