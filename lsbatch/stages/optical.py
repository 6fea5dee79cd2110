"""Sentinel-2 scenes of one window into one greenest-pixel picture, one acquisition day at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.archive import load
from lsbatch.archive.scenes import Scene
from lsbatch.config import Config
from lsbatch.errors import SceneError
from lsbatch.kernels import optical

COLOURS = ("R", "G", "B", "NIR")


@dataclass(frozen=True)
class Picture:
    """A greenest-pixel composite.

    Attributes
    ----------
    bands : array (4, rows, cols), float32
        Reflectance of R, G, B, NIR from the one day with the highest NDVI; NaN where never clear.
    ndvi : array (rows, cols), float32
    day : array (rows, cols), int16
        Days since 1970-01-01 of the look that was chosen; -32768 where none.
    looks : array (rows, cols), uint8
        Days on which the pixel was clear.
    used, dropped : tuple of str
        Scenes read, and those that could not be, with the reason.
    """

    bands: np.ndarray
    ndvi: np.ndarray
    day: np.ndarray
    looks: np.ndarray
    used: tuple[str, ...]
    dropped: tuple[str, ...]


def greenest(scenes: Sequence[Scene], geobox: GeoBox, config: Config) -> Picture:
    """Fold the clear looks of a window; memory does not depend on how many there are."""
    rows, cols = geobox.shape
    picture = Picture(
        np.full((len(COLOURS), rows, cols), np.nan, np.float32),
        np.full((rows, cols), np.nan, np.float32),
        np.full((rows, cols), -32768, np.int16),
        np.zeros((rows, cols), np.uint8),
        (),
        (),
    )
    used: list[str] = []
    dropped: list[str] = []
    for day, same_day in _by_day(scenes):
        look = _look(same_day, geobox, config, used, dropped)
        if look is not None:
            ndvi = optical.ndvi(look[3], look[0])
            optical.greener_into(
                picture.bands, picture.ndvi, picture.day, picture.looks, look, ndvi, np.isfinite(ndvi), day
            )
    return Picture(picture.bands, picture.ndvi, picture.day, picture.looks, tuple(used), tuple(dropped))


def _by_day(scenes: Sequence[Scene]) -> Iterator[tuple[int, list[Scene]]]:
    """Scenes by day since 1970-01-01, oldest first; within a day by id, so that the order never depends on the catalogue."""
    ordered = sorted(scenes, key=lambda s: (s.time[:10], s.id))
    for text, group in groupby(ordered, key=lambda s: s.time[:10]):
        yield (date.fromisoformat(text) - date(1970, 1, 1)).days, list(group)


def _look(
    scenes: list[Scene], geobox: GeoBox, config: Config, used: list[str], dropped: list[str]
) -> np.ndarray | None:
    """One day's clear reflectance (4, rows, cols) from its granules, or None if none could be read.

    Each granule has its own offset and mask, so they are decoded before they are joined; where two overlap the first
    by id is kept, which counts the day as one look.
    """
    look: np.ndarray | None = None
    for scene in scenes:
        try:
            raw = load.read(scene, COLOURS, geobox, attempts=config.archives.attempts)
            clear = _clear(scene, geobox, config)
        except SceneError as error:
            dropped.append(str(error))
            continue
        used.append(scene.id)
        bands = np.stack([optical.reflectance(raw[name], scene.offset_dn, scene.scale) for name in COLOURS])
        bands[:, ~clear] = np.nan
        if look is None:
            look = bands
        else:
            hole = np.isnan(look).any(axis=0)
            look[:, hole] = bands[:, hole]
    return look


def _clear(scene: Scene, geobox: GeoBox, config: Config) -> np.ndarray:
    """Pixels that may be used; read a little wider, because a cloud of the next tile grows into this one."""
    grown = config.composite.cloud_dilate_px
    scl = load.read(scene, ("SCL",), geobox.pad(grown), attempts=config.archives.attempts)["SCL"]
    clear = optical.clear(scl, dilate_px=grown)
    return clear[grown : clear.shape[0] - grown, grown : clear.shape[1] - grown]
