"""Synthetic Sentinel-2: Level-2A reflectance and scene classification of one day."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy import ndimage

from lsbatch.synthetic import confounders, cover, spectra, weather
from lsbatch.synthetic.country import YEAR, Ground, rng
from lsbatch.synthetic.relief import fractal

_GREEN = np.array([False, True, True, False, True, False, False])
CLOUD_BASE_M = 1500.0


@dataclass(frozen=True)
class Look:
    """One acquisition over the whole country, before it is cut into granules.

    Attributes
    ----------
    day : date
    sun_azimuth_deg, sun_elevation_deg : float
    bands : tuple of str
        `spectra.BANDS`, then the further bands.
    reflectance : float32 (bands, rows, cols)
        Surface reflectance, as in Level 2A.
    at_sensor : float32 (bands, rows, cols)
        Top of atmosphere reflectance, as in Level 1C: with terrain illumination and haze.
    scl : uint8 (rows, cols)
    cloud_percent : float
    """

    day: date
    sun_azimuth_deg: float
    sun_elevation_deg: float
    bands: tuple[str, ...]
    reflectance: np.ndarray
    at_sensor: np.ndarray
    scl: np.ndarray
    cloud_percent: float


def surface(ground: Ground, day: date, vigour: float, dated: bool = False, further: tuple[str, ...] = ()) -> np.ndarray:
    """Return the reflectance of the ground (bands, rows, cols) on a day, without sun, air or cloud.

    All changes are present in the images of the survey year. With `dated`, landslides appear on their own days.
    """
    year, of = day.year, ground.conditions.optical
    dice = rng(ground.seed, 10, year)
    columns = spectra.columns(further)
    green = _GREEN[ground.cover]
    out = np.moveaxis(spectra.covers(ground.conditions)[:, columns][ground.cover], -1, 0).copy()
    out *= 1 + of.texture * ground.texture
    brown = (1 - vigour) + of.year_to_year * np.abs(fractal(ground.shape, dice, 2.4, 60))
    if ground.variety is not None:
        brown = np.clip(brown + weather.browning(ground, day), -0.15, 1)
    for band, column in zip(out, columns, strict=True):
        band *= np.where(green, 1 + spectra.BROWNING[column] * brown, 1)
    if ground.variety is not None:
        out += ground.variety.scar_share * (spectra.debris(ground.conditions)[columns, None, None] - out)
    if year >= YEAR:
        _change(out, columns, ground, np.array([not dated or day >= slid for slid in (date.min, *ground.slides.day)]))
    if ground.variety is not None:
        white = 0.8 * weather.snow(ground, day)
        out += white * (spectra.COVER[cover.SNOW, columns][:, None, None] - out)
        out = ndimage.gaussian_filter(out, (0, of.blur_px, of.blur_px))
    return out


def _change(out: np.ndarray, columns: list[int], ground: Ground, happened: np.ndarray) -> None:
    """Add debris and the surfaces of the confounders; edges are mixed, as in 10 m pixels."""
    for kind, spectrum in spectra.CHANGED.items():
        share = np.where(ground.confounders.kind == kind, ground.confounders.strength, 0).astype(np.float32)
        out += share * (spectrum[columns, None, None] * (1 + 0.12 * ground.texture) - out)
    share = ndimage.gaussian_filter(ground.slides.stripped * happened[ground.slides.labels], 0.45)
    rocky = ground.cover == cover.ROCK
    debris = spectra.debris(ground.conditions)[columns, None, None]
    fresh = debris * np.where(rocky, 1.1, 1) * (1 + 0.15 * ground.texture)
    out += share * (fresh - out)


def look(
    ground: Ground, day: date, number: int, cloudiness: float, dated: bool = False, further: tuple[str, ...] = ()
) -> Look:
    """Return the scene of one day; `dated` as in `surface`. Further bands leave the others unchanged."""
    dice = rng(ground.seed, 11, day.toordinal())
    turn = (day - date(day.year, 6, 21)).days / 365 * 2 * np.pi
    elevation = 28.5 + 23.4 * np.cos(turn)
    azimuth = 168.0 + number % 3
    # leaves are fullest in late July
    vigour = 1 - 0.18 * min(1.0, abs((day - date(day.year, 7, 25)).days) / 50)
    columns = spectra.columns(further)
    values = surface(ground, day, vigour, dated, further)
    lit = _lit(ground, azimuth, elevation)
    at_sensor = values * np.clip(lit / np.sin(np.radians(elevation)), 0.15, 1.6) + spectra.HAZE[columns, None, None]
    shade = np.clip((0.38 - lit) / 0.38, 0, 1)
    for band, column in zip(values, columns, strict=True):
        band *= 1 + spectra.OVERCORRECTION[column] * shade
    if ground.variety is not None:
        gain, haze = weather.air(ground, day, len(columns))
        values = values * gain + haze
    cloud, thin = _clouds(ground.shape, cloudiness, dice, ground.conditions.optical.thin_share)
    white = np.where(cloud, 0.55 + 0.1 * dice.standard_normal(ground.shape), 0)
    shadow = _shifted(cloud, azimuth, elevation, ground.pixel_m) & ~cloud
    noise = 1 + 0.02 * _noise(ground, day, dice, len(further))
    for seen in (values, at_sensor):
        seen += white * (1 - seen)
        seen += np.where(thin & ~cloud, 0.05, 0)
        seen *= np.where(shadow, 0.42, 1)
        seen *= noise
    scl = _classes(values, ground, cloud, thin, shadow, shade, day)
    surface_of, at_sensor = (np.clip(seen, 0.0005, 1.5).astype(np.float32) for seen in (values, at_sensor))
    bands = (*spectra.BANDS, *further)
    return Look(day, azimuth, elevation, bands, surface_of, at_sensor, scl, 100 * float(cloud.mean()))


def _noise(ground: Ground, day: date, dice: np.random.Generator, further: int) -> np.ndarray:
    """Return noise of a spread of 1; that of further bands has a generator of its own, so the others keep theirs."""
    own = rng(ground.seed, 12, day.toordinal())
    parts = ((dice, len(spectra.BANDS)), (own, further))
    return np.concatenate([one.standard_normal((n, *ground.shape), dtype=np.float32) for one, n in parts])


def _lit(ground: Ground, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Return the cosine of the sun's angle to the ground."""
    slope = np.radians(ground.relief.slope_deg)
    turn = np.radians(azimuth_deg - ground.relief.aspect_deg)
    up = np.radians(elevation_deg)
    return np.sin(up) * np.cos(slope) + np.cos(up) * np.sin(slope) * np.cos(turn)


def _clouds(
    shape: tuple[int, int], cover_share: float, dice: np.random.Generator, thin_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return dense cloud, and thin cloud that the classification partly misses."""
    field = fractal(shape, dice, 3.2, 250)
    thin = field > np.quantile(field, max(0, 1 - cover_share - thin_share))
    return field > np.quantile(field, 1 - cover_share), thin


def _shifted(cloud: np.ndarray, azimuth_deg: float, elevation_deg: float, pixel_m: float) -> np.ndarray:
    """Return the shadow of the clouds: shifted from the sun by base height / tan(elevation)."""
    reach = CLOUD_BASE_M / np.tan(np.radians(elevation_deg)) / pixel_m
    away = np.radians(azimuth_deg + 180)
    rows, cols = round(-np.cos(away) * reach), round(np.sin(away) * reach)
    out = np.zeros_like(cloud)
    n, m = cloud.shape
    if abs(rows) < n and abs(cols) < m:
        target = (slice(max(0, rows), n + min(0, rows)), slice(max(0, cols), m + min(0, cols)))
        source = (slice(max(0, -rows), n + min(0, -rows)), slice(max(0, -cols), m + min(0, -cols)))
        out[target] = cloud[source]
    return out


def _classes(
    values: np.ndarray,
    ground: Ground,
    cloud: np.ndarray,
    thin: np.ndarray,
    shadow: np.ndarray,
    shade: np.ndarray,
    day: date,
) -> np.ndarray:
    """Return a scene classification similar to Sen2Cor's."""
    ndvi = (values[3] - values[0]) / (values[3] + values[0])
    scl = np.where(ndvi > 0.4, 4, 5).astype(np.uint8)
    scl[ground.cover == cover.WATER] = 6
    scl[(shade > 0.8) & (ndvi < 0.5)] = 2
    scl[ground.cover == cover.SNOW] = 11
    if ground.variety is not None:
        # a part of new snow is missed
        scl[weather.snow(ground, day) & (ground.texture > -1.2)] = 11
    late = (ground.confounders.kind == confounders.LATE_SNOW) & (ground.confounders.strength > 0.9)
    if day.year >= YEAR and day.month < 7:
        scl[late] = 11
    # the edge of a cloud is called medium, a part of the thin cloud cirrus, the rest is missed
    scl[thin] = np.where(ground.texture > 0, 10, scl)[thin]
    scl[cloud] = 9
    scl[cloud & ~ndimage.binary_erosion(cloud, iterations=3)] = 8
    scl[shadow] = 3
    return scl
