"""Geometries across the antimeridian and around poles."""

import numpy as np
import pyproj
import pytest
import shapely

from lsbatch.catalog.date_windows import to_lonlat
from lsbatch.storage import longitudes

FIJI = shapely.box(2_050_000, 3_930_000, 2_250_000, 4_080_000)


@pytest.mark.parametrize("turn", [False, True])
def test_a_region_across_the_antimeridian_has_two_sides(turn):
    box = shapely.segmentize(FIJI, 10_000)
    outline = to_lonlat(box.reverse() if turn else box, "EPSG:3460")
    west, south, east, north = longitudes.extent(outline)
    np.testing.assert_allclose((west, south, east, north), (179.22, -17.63, -178.89, -16.26), atol=0.01)
    assert outline.is_valid
    # in the plane of an equal-area projection the parts are as large as the region
    area = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shapely.normalize(outline))[0])
    assert abs(area / FIJI.area - 1) < 0.01
    assert outline.contains(shapely.Point(179.9, -17))
    assert outline.contains(shapely.Point(-179.5, -17))
    assert not outline.intersects(shapely.Point(0, -17))


def test_items_may_leave_the_split_to_the_reader():
    crossing = shapely.Polygon([(179, -18), (-179, -18), (-179, -17), (179, -17)])
    beyond = shapely.Polygon([(179, -18), (181, -18), (181, -17), (179, -17)])
    before = shapely.Polygon([(-181, -18), (-179, -18), (-179, -17), (-181, -17)])
    for outline in (crossing, crossing.reverse(), beyond, before):
        split = longitudes.split(outline)
        assert longitudes.extent(split) == (179, -18, -179, -17)
        assert split.area == pytest.approx(2)
        assert longitudes.middle(split)[0] in (pytest.approx(179.5), pytest.approx(-179.5))
        assert longitudes.split(split) is split


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
def test_a_region_around_a_pole_holds_it(crs, pole):
    outline = to_lonlat(shapely.segmentize(shapely.box(-3e5, -3e5, 3e5, 3e5), 50_000), crs)
    for longitude in (-170, -1, 90, 179):
        assert outline.contains(shapely.Point(longitude, pole * 0.9999))
        assert not outline.contains(shapely.Point(longitude, pole * 0.9))


def test_other_geometries_are_unchanged():
    norway = shapely.box(5, 58, 31, 71)
    globe = shapely.box(-180, -90, 180, 90)
    assert longitudes.split(norway) is norway
    assert longitudes.split(globe) is globe
    assert longitudes.extent(norway) == (5, 58, 31, 71)
    several = longitudes.split_all(np.array([norway, shapely.Point(3, 4)]))
    assert several.tolist() == [norway, shapely.Point(3, 4)]
