"""Outlines: the same as those of the whole raster, valid, of the same area when simplified.

Measures against other programs.
"""

import geopandas as gpd
import numpy as np
import pytest
import scipy.ndimage
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from lsbatch.grid import Grid
from lsbatch.inventory import shapes
from lsbatch.kernels import connected_regions
from lsbatch.storage import geometries
from lsbatch.storage.geometries import geodesic

CRS = "EPSG:25833"
TO_LONLAT = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def _joined(parts: list[shapely.Geometry]) -> tuple[shapely.MultiPolygon, bool]:
    """One outline of all parts, and whether it was repaired."""
    outlines, repaired = shapes.joined(np.array(parts), np.array([0]))
    return outlines[0], bool(repaired[0])


def _simplified(shape: shapely.MultiPolygon, most_m: float) -> shapely.MultiPolygon:
    return shapes.simplified(np.array([shape]), most_m)[0]


def _length(shape: shapely.Geometry, source: tuple[float, float], toe: tuple[float, float]) -> float:
    return float(shapes.lengths(np.array([shape]), np.array([source]), np.array([toe]))[0])


def _tiles(field: np.ndarray, side: int) -> dict[int, list[shapely.Geometry]]:
    """Parts of each landslide, found tile by tile."""
    grid = Grid(CRS, 10.0, side, (0.0, 6_400_000.0, field.shape[1] * 10.0, 6_400_000.0 + field.shape[0] * 10.0))
    edges, counts, parts = {}, {}, {}
    for row in range(field.shape[0] // side):
        for col in range(field.shape[1] // side):
            labels, count = connected_regions.label(field[row * side : (row + 1) * side, col * side : (col + 1) * side])
            if count:
                edges[row, col], counts[row, col] = connected_regions.edges(labels), count
                parts[row, col] = geometries.polygonize(labels, count, grid.tile(row, col).geobox)
    found: dict[int, list[shapely.Geometry]] = {}
    for position, components in connected_regions.join(edges, counts).items():
        for component, part in zip(components, parts[position], strict=True):
            found.setdefault(int(component), []).append(part)
    return found


@pytest.mark.parametrize("fields", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_the_same_polygons_as_of_the_whole_raster(fields: int) -> None:
    rng = np.random.default_rng(6)
    landslides = 0
    for _ in range(fields):
        side = int(rng.choice([4, 6, 8, 12]))
        smooth = scipy.ndimage.gaussian_filter(rng.standard_normal((24, 48)), rng.uniform(0, 2))
        field = smooth > np.quantile(smooth, rng.uniform(0.3, 0.95))
        labels, count = scipy.ndimage.label(field, np.ones((3, 3)))
        box = Grid(CRS, 10.0, 24, (0.0, 6_400_000.0, 480.0, 6_400_240.0)).geobox
        whole = [_joined([one])[0] for one in geometries.polygonize(labels.astype(np.int32), count, box)]
        tiled = [_joined(parts) for parts in _tiles(field, side).values()]
        assert not any(repaired for _, repaired in tiled)
        assert all(one.is_valid for one, _ in tiled)
        assert sorted(shapely.to_wkb(shapely.normalize(one)) for one in whole) == sorted(
            shapely.to_wkb(shapely.normalize(one)) for one, _ in tiled
        )
        assert sum(one.area for one, _ in tiled) == 100.0 * np.count_nonzero(field)
        landslides += count
    assert landslides > 10 * fields


# each example has a dozen outlines
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), most_m=st.sampled_from([5.0, 10.0, 20.0, 60.0]))
def test_simpler_outlines_keep_their_area(seed: int, most_m: float) -> None:
    rng = np.random.default_rng(seed)
    smooth = scipy.ndimage.gaussian_filter(rng.standard_normal((40, 40)), 2.5)
    labels, count = scipy.ndimage.label(smooth > np.quantile(smooth, 0.8), np.ones((3, 3)))
    box = Grid(CRS, 10.0, 40, (0.0, 6_400_000.0, 400.0, 6_400_400.0)).geobox
    for one in geometries.polygonize(labels.astype(np.int32), count, box):
        before = _joined([one])[0]
        after = _simplified(before, most_m)
        assert after.is_valid
        assert after.geom_type == "MultiPolygon"
        assert after.area == pytest.approx(before.area, rel=shapes.AREA_KEPT)
        # a buffer's mitres reach twice as far as it is wide
        assert shapely.hausdorff_distance(before, after) <= 4 * most_m
        assert len(shapely.get_coordinates(after)) <= 2 * len(shapely.get_coordinates(before))


def test_a_large_outline_gets_simpler() -> None:
    rng = np.random.default_rng(2)
    smooth = scipy.ndimage.gaussian_filter(rng.standard_normal((100, 100)), 6)
    labels, count = scipy.ndimage.label(smooth > np.quantile(smooth, 0.7))
    box = Grid(CRS, 10.0, 100, (0.0, 6_400_000.0, 1000.0, 6_401_000.0)).geobox
    before = max(
        (_joined([one])[0] for one in geometries.polygonize(labels.astype(np.int32), count, box)),
        key=lambda one: one.area,
    )
    after = _simplified(before, 15.0)
    assert len(shapely.get_coordinates(after)) < len(shapely.get_coordinates(before)) / 2
    assert shapely.intersection(before, after).area / shapely.union(before, after).area > 0.9


def test_a_pixel_stays_a_pixel() -> None:
    pixel = shapely.multipolygons([shapely.box(0, 0, 10, 10)])
    assert _simplified(pixel, 60.0).area == pytest.approx(100.0, rel=shapes.AREA_KEPT)


def test_area_is_that_of_an_equal_area_projection() -> None:
    # small: between its corners the shortest lines on the ellipsoid are not those of the map
    one = shapely.box(500_000, 6_600_000, 500_400, 6_600_600)
    (area,), (perimeter,) = geodesic(np.array([one]), TO_LONLAT)
    # Lambert's azimuthal equal-area projection, by another road
    assert area == pytest.approx(gpd.GeoSeries([one], crs=CRS).to_crs("EPSG:3035").area.iloc[0], rel=1e-6)
    assert perimeter == pytest.approx(2_000 / 0.9996, rel=1e-4)


def test_length_is_along_the_slope() -> None:
    wide = shapely.box(0, 0, 300, 100)
    assert _length(wide, (150.0, 95.0), (150.0, 5.0)) == pytest.approx(100)
    assert _length(wide, (5.0, 50.0), (295.0, 50.0)) == pytest.approx(300)
    # no direction: the longer side
    assert _length(wide, (5.0, 5.0), (5.0, 5.0)) == pytest.approx(300)
