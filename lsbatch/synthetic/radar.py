"""Synthetic Sentinel-1: terrain-corrected gamma0 of one pass, linear power with speckle."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from lsbatch.synthetic import confounders, cover, weather
from lsbatch.synthetic.conditions import PLAIN
from lsbatch.synthetic.country import YEAR, Ground, rng
from lsbatch.synthetic.relief import fractal

#: Equivalent number of looks of an IW GRD product.
LOOKS = PLAIN.radar.looks
NODATA = -32768.0
#: gamma0 VV in decibels, and the difference between VV and VH.
_VV_DB = np.array([-19.0, -9.6, -11.0, -10.2, -11.2, -14.5, -4.5], np.float32)
_VH_BELOW_DB = np.array([8.0, 5.8, 6.8, 8.0, 7.5, 7.0, 7.0], np.float32)
#: Texture within a cover class.
TEXTURE_DB = 2.0
#: VH by debris: the share of the change of VV, and the loss in dB where a forest is removed completely.
VH_SHARE, VOLUME_VH_DB = weather.ROUGH_VH_SHARE, 1.8
#: Change by a confounder at full strength: VV, VH.
_CHANGED_DB = {
    confounders.CLEARCUT: (-1.4, -2.4),
    confounders.HARVEST: (-1.6, -1.8),
    confounders.FLOOD: (-3.5, -3.0),
    confounders.LATE_SNOW: (-2.6, -2.2),
    confounders.FIRE: (0.6, -1.5),
    confounders.DAMAGE: (-0.8, -1.6),
}


@dataclass(frozen=True)
class Orbit:
    """A relative orbit over the country.

    Attributes
    ----------
    number : int
    state : str
        ascending or descending.
    platform : str
    look_azimuth_deg : float
        From the sensor to the ground, clockwise from north; Sentinel-1 looks to the right of its track.
    incidence_deg : float
        On the ellipsoid, at the centre of the country.
    cols : (float, float)
        Part of the country's width that the swath covers.
    """

    number: int
    state: str
    platform: str
    look_azimuth_deg: float
    incidence_deg: float
    cols: tuple[float, float]


ORBITS = (
    Orbit(44, "ascending", "sentinel-1a", 78.0, 36.0, (0.0, 1.0)),
    Orbit(146, "ascending", "sentinel-1b", 79.0, 42.5, (0.25, 1.0)),
    Orbit(66, "descending", "sentinel-1b", 282.0, 38.0, (0.0, 0.8)),
    Orbit(139, "descending", "sentinel-1a", 281.0, 33.0, (0.0, 1.0)),
)
#: Present only in the year after. A survey that compares the same orbits must exclude it.
ONLY_AFTER = Orbit(117, "ascending", "sentinel-1a", 80.0, 31.0, (0.0, 1.0))


def orbits(ground: Ground) -> tuple[Orbit, ...]:
    """Return the orbits over a country."""
    of = ground.conditions.radar
    return tuple(replace(ORBITS[i], incidence_deg=ORBITS[i].incidence_deg + of.incidence_shift_deg) for i in of.orbits)


def facing(ground: Ground, orbit: Orbit) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope towards the sensor in degrees (positive faces it), and the cosine between slope and look."""
    towards = np.cos(np.radians(orbit.look_azimuth_deg + 180 - ground.relief.aspect_deg))
    return np.degrees(np.arctan(np.tan(np.radians(ground.relief.slope_deg)) * towards)), towards


def gamma0(ground: Ground, orbit: Orbit, day: date) -> dict[str, np.ndarray]:
    """Return VV and VH of one pass, float32 linear power (rows, cols); layover, shadow and outside are nodata."""
    dice = rng(ground.seed, 20, orbit.number, day.toordinal())
    slope_r, towards = facing(ground, orbit)
    of, plain = ground.conditions.radar, ground.variety is None
    texture = (TEXTURE_DB * ground.texture,) * 2 if ground.variety is None else ground.variety.texture_db
    base = (_VV_DB + np.array(of.cover_db, np.float32))[ground.cover] + texture[0]
    base += of.left_over_db * np.clip(slope_r / 30, -1, 1)
    # soil moisture, the same during a day: patches of some hundred metres
    base += 0.35 * dice.standard_normal() + 0.3 * fractal(ground.shape, dice, 3, 60)
    bare = np.isin(ground.cover, (cover.FARMLAND, cover.SCRUB))
    base += np.where(bare, 0.5 * dice.standard_normal(), 0)
    base += np.where(ground.cover == cover.WATER, of.wind_db * dice.standard_normal(), 0)
    vh = base - _VH_BELOW_DB[ground.cover]
    if not plain:
        vh += (np.array(of.cover_vh_db, np.float32) - np.array(of.cover_db, np.float32))[ground.cover]
        vh += texture[1] - texture[0]
        of_vv, of_vh = weather.radar_db(ground, orbit.number, day)
        base, vh = base + of_vv, vh + of_vh
    if day.year >= YEAR:
        more, less = _change(ground, towards, day)
        base, vh = base + more, vh + less
    hidden = (slope_r >= orbit.incidence_deg) | (slope_r <= orbit.incidence_deg - 90) | ~_swath(ground, orbit)
    return {name: _speckled(db, hidden, dice, of.looks) for name, db in (("VV", base), ("VH", vh))}


def _change(ground: Ground, towards: np.ndarray, day: date = date.max) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of VV and VH in dB by confounders and by landslides up to a day."""
    slides = ground.slides
    happened = np.array([day >= slid for slid in (date.min, *slides.day)])[slides.labels]
    rough = slides.roughness_db * look_factor(slides.roughness_db, towards) * happened
    volume = np.where(ground.cover == cover.FOREST, -1.0, 0) * slides.stripped * happened
    volume = np.where(slides.quiet[slides.labels], 0, volume)
    vv, vh = rough + 0.6 * volume, VH_SHARE * rough + VOLUME_VH_DB * volume
    for kind, (of_vv, of_vh) in _CHANGED_DB.items():
        share = np.where(ground.confounders.kind == kind, ground.confounders.strength, 0)
        vv, vh = vv + share * of_vv, vh + share * of_vh
    return vv, vh


def look_factor(change_db: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Return the factor by which a change of roughness in dB appears from one side.

    Parameters
    ----------
    change_db : array
        Change of backscatter, as the mean of all looks.
    towards : array
        Cosine of the angle between the slope and the look; 1 faces the sensor.

    Returns
    -------
    array
    """
    # a darker scar is visible from one side only, so the mean of both directions hides it; a rough one is visible from
    # both
    return np.where(change_db < 0, 1 + 0.75 * towards, 1 + 0.2 * towards)


def _swath(ground: Ground, orbit: Orbit) -> np.ndarray:
    """Return the pixels inside the swath; its edges are inclined like the orbit."""
    rows, cols = ground.shape
    lean = 0.18 if orbit.state == "ascending" else -0.18
    position = (np.arange(cols)[None, :] + lean * (np.arange(rows)[:, None] - rows / 2)) / cols
    low, high = orbit.cols
    return (position >= (low if low > 0 else -9)) & (position <= (high if high < 1 else 9))


def _speckled(db: np.ndarray, hidden: np.ndarray, dice: np.random.Generator, looks: float) -> np.ndarray:
    power = 10 ** (db.astype(np.float32) / 10)
    power *= dice.standard_gamma(looks, db.shape, dtype=np.float32) / np.float32(looks)
    power[hidden] = NODATA
    return power
