"""Weather, crops and geolocation of one date in a varied country: what no landslide caused."""

from datetime import date

import numpy as np

from lsbatch.synthetic import cover
from lsbatch.synthetic.country import YEAR, Ground, rng
from lsbatch.synthetic.relief import fractal

#: Share of moisture, and of frost, by which the backscatter of each cover changes: forest hides the ground.
_MOIST = np.array([0.0, 0.6, 1.1, 0.6, 1.2, 0.3, 0.3], np.float32)
_FROST = np.array([0.0, 1.0, 0.7, 0.3, 1.0, 0.0, 0.1], np.float32)
#: Share in VH of the change of VV by moisture, and by the roughness of debris.
MOIST_VH_SHARE, ROUGH_VH_SHARE = 0.8, 0.55
#: Browning of each cover in a dry season.
_DRY = np.array([0.0, 0.3, 1.0, 0.0, 0.5, 0.0, 0.0], np.float32)
#: Largest geolocation error in pixels.
LARGEST_SHIFT_PX = 1.5
#: Purposes of the random generators.
_CROPS, _PASS, _YEAR, _SNOW, _SHIFT, _AIR = 60, 61, 62, 63, 64, 65


def radar_db(ground: Ground, orbit: int, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of VV and VH in dB by moisture, snow, frost and crops on a pass, float32 (rows, cols)."""
    of, varied = ground.conditions.radar, ground.varied
    dice = rng(ground.seed, _PASS, orbit, day.toordinal())
    moisture = of.between_passes_db * dice.standard_normal() + _smooth(ground, dice) * of.moist_db
    if day.year >= YEAR:
        moisture = moisture + of.between_years_db + _smooth(ground, rng(ground.seed, _YEAR)) * of.moist_db
    other = of.crop_db * _crops(ground, day)[0][varied.crop]
    if dice.random() < of.wet_snow_share:
        other = other + of.wet_snow_db * varied.snow * (ground.cover != cover.WATER)
    if dice.random() < of.frozen_share:
        other = other + of.frozen_db * _FROST[ground.cover]
    vv = _MOIST[ground.cover] * moisture + other
    vh = MOIST_VH_SHARE * _MOIST[ground.cover] * moisture + other
    scars = varied.scar_db * (varied.scars.labels > 0)
    return (vv + scars).astype(np.float32), (vh + ROUGH_VH_SHARE * scars).astype(np.float32)


def browning(ground: Ground, day: date) -> np.ndarray:
    """Return how far vegetation lacks green on a day, besides the season's own course; float32 (rows, cols)."""
    of, varied = ground.conditions.optical, ground.varied
    season = np.clip((day.timetuple().tm_yday - 170) / 80, 0, 1)
    brown = of.dry * season * _DRY[ground.cover] + of.patchy * np.abs(varied.patchy)
    if day.year >= YEAR:
        brown = brown + of.between_years
    return (brown + of.crop * _crops(ground, day)[1][varied.crop]).astype(np.float32)


def snow(ground: Ground, day: date) -> np.ndarray:
    """Return the pixels that lie under new snow, bool (rows, cols)."""
    fell = rng(ground.seed, _SNOW, day.toordinal()).random() < ground.conditions.optical.snow_share
    return ground.varied.snow & (ground.cover != cover.WATER) & fell


def air(ground: Ground, day: date, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and additional reflectance of each band, errors of the atmospheric correction; (bands, 1, 1)."""
    of = ground.conditions.optical
    dice = rng(ground.seed, _AIR, day.toordinal())
    gain = 1 + of.gain * (dice.standard_normal() + 0.5 * dice.standard_normal(bands))
    # haze is strongest in the short wavelengths; beyond the four bands of 10 m it is neglected
    fall = np.zeros(bands)
    fall[:4] = 0.7, 0.85, 1.0, 0.3
    return gain[:, None, None], (of.haze * dice.standard_normal() * fall)[:, None, None]


def shift_px(ground: Ground, sensor: int, day: date) -> tuple[float, float]:
    """Return the geolocation error of an image in rows and columns; part is a sensor's own, part a date's."""
    spread = ground.conditions.mapping.image_shift_px
    if not spread:
        return 0.0, 0.0
    own = rng(ground.seed, _SHIFT, sensor).standard_normal(2)
    error = spread * (own + rng(ground.seed, _SHIFT, sensor, day.toordinal()).standard_normal(2))
    error *= min(1.0, LARGEST_SHIFT_PX / float(np.hypot(*error)))
    return float(error[0]), float(error[1])


def _smooth(ground: Ground, dice: np.random.Generator) -> np.ndarray:
    largest_px = ground.conditions.radar.moist_m / ground.conditions.land.pixel_m
    return fractal(ground.shape, dice, 5.0, min(largest_px, max(ground.shape)))


def _crops(ground: Ground, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return backscatter (relative) and browning of each field on a day; both change when the field is harvested."""
    count = int(ground.varied.crop.max()) + 1
    dice = rng(ground.seed, _CROPS, day.year)
    harvest_day = dice.uniform(150, 290, count)
    cut = day.timetuple().tm_yday >= harvest_day
    db = np.where(cut, dice.standard_normal(count), dice.standard_normal(count))
    brown = np.where(cut, dice.uniform(0.3, 1.0, count), dice.uniform(0, 0.3, count))
    db[0] = brown[0] = 0
    return db.astype(np.float32), brown.astype(np.float32)
