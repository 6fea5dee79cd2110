"""Effects of drawn conditions in the images of a varied country."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from lsbatch.synthetic import country, cover, optical, radar, scenes, weather
from lsbatch.synthetic.conditions import PLAIN
from tests.synthetic.varied import (
    CALM,
    DAY,
    DAY_BEFORE,
    made,
    mean_db,
    ndvi,
    one_pass,
    with_optical,
    with_radar,
)


@pytest.fixture(scope="module")
def calm() -> country.Ground:
    return made()


# Radar


def test_wet_snow_lowers_backscatter_above_the_snow_line(calm: country.Ground) -> None:
    snowy = with_radar(wet_snow_share=1.0, wet_snow_db=-5.0)
    land = calm.cover != cover.WATER
    for band in ("VV", "VH"):
        above, below = (land & side for side in (calm.varied.snow, ~calm.varied.snow))
        assert mean_db(snowy, above, band=band) - mean_db(calm, above, band=band) == pytest.approx(-5, abs=0.3)
        assert mean_db(snowy, below, band=band) == pytest.approx(mean_db(calm, below, band=band), abs=1e-6)


def test_frozen_ground_is_darker_and_water_is_not(calm: country.Ground) -> None:
    frozen = with_radar(frozen_share=1.0, frozen_db=-3.0)
    forest, water = calm.cover == cover.FOREST, calm.cover == cover.WATER
    assert mean_db(frozen, forest) - mean_db(calm, forest) == pytest.approx(-3, abs=0.3)
    assert mean_db(frozen, water) == pytest.approx(mean_db(calm, water), abs=1e-6)


def test_rain_raises_the_whole_country_in_the_second_year(calm: country.Ground) -> None:
    wet = with_radar(between_years_db=4.0)
    scrub = calm.cover == cover.SCRUB
    assert mean_db(wet, scrub) - mean_db(calm, scrub) == pytest.approx(1.1 * 4, abs=0.1)
    assert mean_db(wet, scrub, DAY_BEFORE) == pytest.approx(mean_db(calm, scrub, DAY_BEFORE), abs=1e-6)
    # forest hides the ground
    forest = calm.cover == cover.FOREST
    assert mean_db(wet, forest) - mean_db(calm, forest) == pytest.approx(0.6 * 4, abs=0.1)


def test_moisture_is_smooth_and_differs_between_passes() -> None:
    wet = with_radar(moist_db=1.0, between_passes_db=1.0, moist_m=2000.0)
    one, two = (weather.radar_db(wet, 44, day)[0] for day in (DAY, date(2020, 7, 13)))
    scrub = wet.cover == cover.SCRUB
    assert np.std((two - one)[scrub]) > 0.5
    beside = scrub[:, 1:] & scrub[:, :-1]
    assert np.std(np.diff(one, axis=1)[beside]) < 0.2


def test_wind_on_water_changes_it_as_a_whole() -> None:
    windy, still = with_radar(wind_db=4.0), with_radar(wind_db=0.1)
    water = windy.cover == cover.WATER
    days = [date(2020, 7, n) for n in range(1, 9)]
    spread = [np.std([mean_db(ground, water, day) for day in days]) for ground in (windy, still)]
    assert spread[0] > 2 > 0.7 > spread[1]


def test_fields_change_on_their_own() -> None:
    farmed = made(
        land=replace(PLAIN.land, farm_slope_deg=12.0, farm_valley_m=3000.0),
        radar=replace(CALM.radar, crop_db=3.0),
        optical=replace(PLAIN.optical, crop=0.6),
    )
    crop = farmed.varied.crop
    assert crop.max() > 20
    early, late = (weather.radar_db(farmed, 44, day)[0] for day in (date(2020, 6, 20), date(2020, 9, 10)))
    change = np.array([(late - early)[crop == n].mean() for n in range(1, crop.max() + 1)])
    assert np.count_nonzero(np.abs(change) > 2) > 5
    assert (change == 0).any()
    assert np.ptp((late - early)[crop == 3]) == pytest.approx(0, abs=1e-6)
    green, cut = (ndvi(farmed, day) for day in (date(2020, 6, 20), date(2020, 9, 10)))
    assert np.median((cut - green)[crop > 0]) < -0.03


def test_texture_is_that_of_a_gamma_distribution() -> None:
    """Its mean power is 1, and the squared deviation over the mean is one over the order."""
    rough = with_radar(texture_order=3.0, texture_m=60.0).varied.texture_db
    power = 10 ** (rough.astype(np.float64) / 10)
    assert power.mean(axis=(1, 2)) == pytest.approx([1, 1], abs=0.05)
    assert power.var(axis=(1, 2)) == pytest.approx([1 / 3, 1 / 3], abs=0.05)


def test_looks_and_level_are_those_of_the_conditions(calm: country.Ground) -> None:
    many = with_radar(looks=20.0, cover_db=(2.0,) * 7, cover_vh_db=(3.0,) * 7)
    forest = (calm.cover == cover.FOREST) & (calm.confounders.kind == 0)
    assert mean_db(many, forest) - mean_db(calm, forest) == pytest.approx(2, abs=0.1)
    assert mean_db(many, forest, band="VH") - mean_db(calm, forest, band="VH") == pytest.approx(3, abs=0.1)
    ratio = [np.log(p["VV"] / p["VH"])[forest & (p["VV"] > 0)].var() for p in map(one_pass, (many, calm))]
    assert ratio[0] < 0.4 * ratio[1]


def test_orbits_passes_and_days_are_those_of_the_conditions(tmp_path: Path) -> None:
    few = made(
        radar=replace(CALM.radar, orbits=(1, 3), passes=2, incidence_shift_deg=2.0),
        optical=replace(PLAIN.optical, days=3),
    )
    assert [orbit.incidence_deg for orbit in radar.orbits(few)] == [44.5, 35.0]
    # two years: three days, two orbits with two passes; and the orbit that flew only after
    assert len(scenes.jobs(few, tmp_path)) == 2 * (3 + 2 * 2) + 1


# Optical


def test_dry_grass_loses_its_green_during_the_season() -> None:
    dry = with_optical(dry=0.7)
    scrub = (dry.cover == cover.SCRUB) & (dry.slides.labels == 0)
    early, late = (np.median(ndvi(dry, date(2019, *day))[scrub]) for day in ((6, 19), (9, 10)))
    assert late < early - 0.2


def test_new_snow_is_bright_and_mostly_classified(calm: country.Ground) -> None:
    snowy = with_optical(snow_share=1.0)
    seen, clear = (optical.look(ground, DAY, 0, 0.0) for ground in (snowy, calm))
    white = calm.varied.snow & (calm.cover == cover.FOREST)
    assert np.median(seen.reflectance[0][white]) > 0.5 > np.median(clear.reflectance[0][white])
    assert 0.6 < (seen.scl[white] == 11).mean() < 1


def test_atmospheric_correction_errs_by_date() -> None:
    hazy = with_optical(gain=0.05, haze=0.01)
    gains = [weather.air(hazy, date(2020, 7, n), 4)[0] for n in (1, 2)]
    assert np.abs(gains[0] - gains[1]).max() > 0.005
    assert weather.air(made(), DAY, 6)[0] == pytest.approx(1)


def test_a_point_spread_function_mixes_neighbours(calm: country.Ground) -> None:
    blurred = with_optical(blur_px=0.7)
    rough = [np.abs(np.diff(optical.surface(ground, DAY, 1.0)[3], axis=1)).mean() for ground in (blurred, calm)]
    assert rough[0] < rough[1]
