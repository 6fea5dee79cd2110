"""Small varied countries for tests: everything is off except what a test asks for."""

from dataclasses import replace
from datetime import date

import numpy as np

from lsbatch.synthetic import country, optical, radar
from lsbatch.synthetic.conditions import PLAIN, Conditions

SIDE = 256
DAY, DAY_BEFORE = date(2020, 7, 1), date(2019, 7, 1)
#: Varied, but without any weather, error or change between dates.
CALM = Conditions(varied=True, snow_line=0.5, radar=replace(PLAIN.radar, texture_order=5.0, texture_m=200.0))


def made(seed: int = 7, conditions: Conditions = CALM, **changes: object) -> country.Ground:
    return country.make(seed, SIDE, SIDE, replace(conditions, **changes))  # type: ignore[arg-type]


def with_radar(**changes: object) -> country.Ground:
    return made(radar=replace(CALM.radar, **changes))


def with_optical(**changes: object) -> country.Ground:
    return made(optical=replace(CALM.optical, **changes))


def with_slides(**changes: object) -> country.Ground:
    return made(slides=replace(CALM.slides, **changes))


def with_land(**changes: object) -> country.Ground:
    return made(land=replace(CALM.land, **changes))


def mean_db(ground: country.Ground, where: np.ndarray, day: date = DAY, band: str = "VV") -> float:
    power = radar.gamma0(ground, radar.orbits(ground)[0], day)[band][where]
    return float(10 * np.log10(power[power > 0].mean()))


def ndvi(ground: country.Ground, day: date) -> np.ndarray:
    red, _, _, infrared = optical.surface(ground, day, 1.0)
    return (infrared - red) / (infrared + red)


def one_pass(ground: country.Ground) -> dict[str, np.ndarray]:
    return radar.gamma0(ground, radar.orbits(ground)[0], DAY)
