"""Greenest-pixel composite of the Sentinel-2 scenes of a date window, one acquisition day at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby

import numpy as np

from lsbatch.catalog.items import sun_position
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import prefetch, scene_reading
from lsbatch.kernels import greenest_pixel, optical
from lsbatch.pipeline.terrain import Ground
from lsbatch.pipeline.types import Dropped
from lsbatch.settings import Config

COLOURS = ("R", "G", "B", "NIR")
WATER = 6
#: Margin around a window in which clouds are searched if a scene has a cloud probability: the reach of a shadow, twice
#: the opening, and the buffer (see `optical.cloud_shadow`).
CLOUD_REACH_M = 1000 + 2 * 40 + 50


@dataclass(frozen=True)
class Picture:
    """A greenest-pixel composite.

    Attributes
    ----------
    bands : array (bands, rows, cols), float32
        Reflectance of `colours` from the one day with the highest NDVI; NaN where never clear.
    ndvi : array (rows, cols), float32
    day : array (rows, cols), int16
        Days since 1970-01-01 of the selected image; -32768 where none.
    looks, shaded : arrays (rows, cols), uint8
        Days on which the pixel was clear, and days on which only terrain shadow excluded it; at most 255.
    used : tuple of str
    dropped : tuple of Dropped
        Scenes read, and scenes that could not be read, with the reason.
    """

    bands: np.ndarray
    ndvi: np.ndarray
    day: np.ndarray
    looks: np.ndarray
    shaded: np.ndarray
    used: tuple[str, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class Look:
    """One acquisition day: bands (rows, cols), usable pixels, and pixels excluded only by terrain shadow."""

    bands: list[np.ndarray]
    clear: np.ndarray
    shaded: np.ndarray
    used: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def greenest(scenes: Sequence[Scene], ground: Ground, config: Config) -> Picture:
    """Merge the clear images of a date window; memory does not depend on their number."""
    rows, cols = ground.geobox.shape
    names = colours(config)
    picture = Picture(
        np.full((len(names), rows, cols), np.nan, np.float32),
        np.full((rows, cols), np.nan, np.float32),
        np.full((rows, cols), greenest_pixel.NO_DAY, np.int16),
        np.zeros((rows, cols), np.uint8),
        np.zeros((rows, cols), np.uint8),
        (),
        (),
    )
    used: list[str] = []
    dropped: list[Dropped] = []
    days = list(by_day(scenes))
    looks = prefetch.in_order([looker(same_day, ground, config, names) for _, same_day in days])
    for (day, _), look in zip(days, looks, strict=True):
        used += look.used
        dropped += look.dropped
        if look.used:
            ndvi = optical.ndvi(look.bands[3], look.bands[0])
            greenest_pixel.greener_into(
                picture.bands,
                picture.ndvi,
                picture.day,
                picture.looks,
                look.bands,
                ndvi,
                look.clear,
                day,
            )
            np.add(picture.shaded, look.shaded, out=picture.shaded, where=picture.shaded < 255)
    return Picture(picture.bands, picture.ndvi, picture.day, picture.looks, picture.shaded, tuple(used), tuple(dropped))


def colours(config: Config) -> tuple[str, ...]:
    """Return the bands of a composite: `COLOURS`, then those that `composite.bands` asks for."""
    return *COLOURS, *config.composite.bands


def by_day(scenes: Sequence[Scene]) -> Iterator[tuple[int, list[Scene]]]:
    """Group scenes by day since 1970-01-01, oldest first, and within a day by id."""
    ordered = sorted(scenes, key=lambda s: (s.time[:10], s.id))
    for text, group in groupby(ordered, key=lambda s: s.time[:10]):
        yield (date.fromisoformat(text) - date(1970, 1, 1)).days, list(group)


def looker(scenes: list[Scene], ground: Ground, config: Config, names: tuple[str, ...] = COLOURS) -> Callable[[], Look]:
    """Return a function that reads one day; the bands `names` in order, the near infrared among them."""
    return partial(_look, scenes, ground, config, names)


def _look(scenes: list[Scene], ground: Ground, config: Config, names: tuple[str, ...]) -> Look:
    """Read one day from its granules.

    Each granule has its own offset, sun position and mask, so granules are decoded before they are joined. Where two
    overlap, the first by id is used, so the day counts as one image.
    """
    joined: tuple[list[np.ndarray], np.ndarray, np.ndarray] | None = None
    used: list[str] = []
    dropped: list[Dropped] = []
    for scene in scenes:
        try:
            bands, clear, shaded = _granule(scene, ground, config, names)
        except SceneError as error:
            dropped.append(Dropped.of(error))
            continue
        used.append(scene.id)
        if joined is None:
            joined = bands, clear, shaded
            continue
        new = clear & ~joined[1]
        for target, source in zip(joined[0], bands, strict=True):
            np.copyto(target, source, where=new)
        joined = joined[0], joined[1] | clear, (joined[2] | shaded) & ~(joined[1] | clear)
    bands, clear, shaded = joined or ([], np.empty(0, bool), np.empty(0, bool))
    return Look(bands, clear, shaded, tuple(used), tuple(dropped))


def _granule(
    scene: Scene, ground: Ground, config: Config, names: tuple[str, ...]
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the reflectance, the usable pixels, and the pixels that only terrain shadow excludes."""
    lacking = [name for name in names if name not in scene.assets]
    if lacking:
        # it would be read as nodata, and the whole scene would be unusable without a reason
        raise SceneError(f"{scene.id}: has no asset for {', '.join(lacking)}")
    attempts, geobox = config.archives.attempts, ground.geobox
    azimuth = (
        None
        if scene.sun_azimuth_deg is None
        else sun_position.on_grid(scene.sun_azimuth_deg, scene.footprint, config.grid.crs)
    )
    # read a wider window: clouds of the next tile, and their shadows, reach into this one
    halo = config.composite.cloud_dilate_px
    has_probability = "cloud" in scene.assets and azimuth is not None
    if has_probability:
        halo = max(halo, math.ceil(CLOUD_REACH_M / config.grid.resolution_m))
    inner = np.s_[halo : halo + geobox.shape[0], halo : halo + geobox.shape[1]]
    wide = ("NIR", "SCL", "cloud") if has_probability else ("SCL",)
    raw = scene_reading.read(scene, wide, geobox.pad(halo), attempts=attempts)
    if "SCL" in scene.assets:
        clear = optical.clear(raw["SCL"], dilate_px=config.composite.cloud_dilate_px)
    else:
        # Level 1C has no cloud mask, so scenes in the date windows must be clear
        clear = np.ones(raw["SCL"].shape, np.bool_)
    if has_probability:
        nir = optical.reflectance(raw["NIR"], scene.offset_dn, scene.scale)
        side = config.grid.resolution_m
        clear &= ~optical.cloud_shadow(raw["cloud"], nir, raw["SCL"] == WATER, azimuth, side, side)  # type: ignore[arg-type]
        raw["NIR"] = np.ascontiguousarray(raw["NIR"][inner])
    clear = np.ascontiguousarray(clear[inner])
    raw |= scene_reading.read(scene, tuple(name for name in names if name not in raw), geobox, attempts=attempts)
    for name in names:
        # a pixel with nodata in one band is not used
        clear &= raw[name] != 0
    bands = [optical.reflectance(raw[name], scene.offset_dn, scene.scale) for name in names]
    shaded = clear & ground.shade(azimuth, scene.sun_elevation_deg)
    return bands, clear & ~shaded, shaded
