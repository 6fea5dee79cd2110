"""Effects of drawn conditions on the ground and the outlines of a varied country."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from lsbatch.synthetic import confounders, country, cover, mapping, radar, truth, weather, write
from lsbatch.synthetic.conditions import PLAIN, MappingConditions
from tests.synthetic.varied import (
    CALM,
    DAY,
    DAY_BEFORE,
    SIDE,
    made,
    ndvi,
    with_land,
    with_slides,
)


@pytest.fixture(scope="module")
def calm() -> country.Ground:
    return made()


# Ground and landslides


def test_relief_sea_and_pixel_size(calm: country.Ground) -> None:
    low, sea, coarse = (
        made(land=replace(CALM.land, relief_factor=0.3), slides=replace(CALM.slides, source_quantile=0.9)),
        with_land(sea_share=0.3),
        with_land(pixel_m=30.0),
    )
    assert np.ptp(low.relief.elevation_m) == pytest.approx(0.3 * np.ptp(calm.relief.elevation_m), rel=0.01)
    water = sea.cover == cover.WATER
    assert water.mean() > 0.28
    assert np.median(sea.relief.elevation_m[water]) == 0
    assert coarse.geobox.resolution.x == 30
    assert low.slides.count > 0
    assert (coarse.slides.labels > 0).mean() > 0.002


def test_flat_land_without_landslides_is_written(tmp_path: Path) -> None:
    flat = made(land=replace(CALM.land, relief_factor=0.02))
    assert flat.slides.count == 0
    truth.save(flat, tmp_path)
    assert len(gpd.read_file(tmp_path / "truth.gpkg")) == 0


def test_grass_replaces_forest() -> None:
    grassy, wooded = (np.mean(with_land(forest_limit=limit).cover == cover.FOREST) for limit in (-1.0, 2.0))
    assert grassy < 0.4 * wooded


def test_old_scars_are_bare_before_and_after(calm: country.Ground) -> None:
    scarred = with_slides(scar_times=1.5)
    old = (scarred.varied.scar_share > 0.4) & (scarred.cover == cover.FOREST) & (scarred.confounders.kind == 0)
    old &= scarred.slides.labels == 0
    assert old.sum() > 50
    for day in (DAY_BEFORE, DAY):
        assert np.median(ndvi(scarred, day)[old]) < np.median(ndvi(calm, day)[old]) - 0.1


def test_regrown_landslides_lose_less_and_quiet_ones_do_not_sound(calm: country.Ground) -> None:
    regrown = with_slides(regrown_share=0.6)
    assert regrown.slides.stripped.sum() < 0.85 * calm.slides.stripped.sum()
    quiet = with_slides(quiet_share=1.0)
    inside = quiet.slides.labels > 0
    changes = radar._change(quiet, radar.facing(quiet, radar.ORBITS[0])[1])
    assert all((change[inside] == 0).all() for change in changes)


def test_fires_and_damaged_forest() -> None:
    burned = with_slides(fire=2.0, damage=1.0)
    kinds = np.bincount(burned.confounders.kind.ravel(), minlength=7)
    for kind in (confounders.FIRE, confounders.DAMAGE):
        assert kinds[kind] > 100
        changed = (burned.confounders.kind == kind) & (burned.confounders.strength > 0.5)
        assert np.median((ndvi(burned, DAY) - ndvi(burned, DAY_BEFORE))[changed]) < -0.05
    assert set(truth.changes(burned)["kind"]) >= {"fire", "damaged forest"}


# Geolocation and mapping


def test_images_are_shifted_by_at_most_a_pixel_and_a_half() -> None:
    loose = made(mapping=MappingConditions(image_shift_px=0.7))
    shifts = np.array([weather.shift_px(loose, 44, date(2020, 7, n)) for n in range(1, 31)])
    length = np.hypot(*shifts.T)
    assert length.max() <= 1.5 + 1e-9
    assert length.max() > 1 > length.min()
    assert weather.shift_px(made(), 44, DAY) == (0, 0)


def test_a_shifted_image_is_the_same_image_elsewhere(calm: country.Ground) -> None:
    values = np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE)
    moved = write.warped(values, calm.geobox, calm.geobox, -1, (1.0, -1.0))
    np.testing.assert_array_equal(moved[:-1, 1:], values[1:, :-1])
    assert (moved[-1] == -1).all()


def _mapped(**changes: object) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    ground = made(mapping=MappingConditions(**changes), slides=replace(PLAIN.slides, land_share=0.03, scar_times=1.0))  # type: ignore[arg-type]
    perfect = truth.landslides(ground)
    return perfect, mapping.mapped(perfect, truth.outlines(ground.varied.scars, ground), ground)


def test_a_perfect_mapper_delivers_the_outlines() -> None:
    perfect, mapped = _mapped()
    assert mapped.geometry.geom_equals(perfect.geometry).all()
    pd.testing.assert_series_equal(mapped["date"], perfect["date"])


def test_a_mapper_shifts_misses_and_is_late() -> None:
    errs = {"outline_shift_px": 0.6, "outline_px": 0.4, "generalised_px": 0.8}
    perfect, mapped = _mapped(**errs, missing_share=0.3, late_share=0.5, late_days=30)
    assert len(mapped) < len(perfect)
    both = perfect.merge(mapped, on="landslide_id", suffixes=("", "_mapped"))
    moved = both.geometry.centroid.distance(gpd.GeoSeries(both.geometry_mapped, crs=perfect.crs).centroid)
    # the outline moves by at most 15 m, and a simplified one has its centre elsewhere
    assert 2 < moved.median() < 15
    late = pd.to_datetime(both.date_mapped) - pd.to_datetime(both.date)
    assert late.dt.days.between(0, 30).all()
    assert (late.dt.days > 0).any()
    assert mapped.geometry.is_valid.all()
    assert (mapped.area > 0).all()


def test_a_mapper_takes_old_scars_for_new() -> None:
    perfect, mapped = _mapped(old_share=0.5)
    assert mapped["landslide_id"].str.startswith("old-").sum() > 0.25 * len(perfect)
