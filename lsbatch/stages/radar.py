"""Sentinel-1 scenes of one window into one median of linear power, by strips of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.archive import load
from lsbatch.archive.scenes import Scene
from lsbatch.config import Config
from lsbatch.errors import SceneError
from lsbatch.kernels import series, speckle

POLARISATIONS = ("VV", "VH")

#: Bytes of the one buffer that holds all passes of a strip. A median needs every value of a pixel at once; the strip
#: gets lower as passes get more, so a tile's memory stays the same.
STRIP_BYTES = 192 * 2**20


@dataclass(frozen=True)
class Median:
    """A median composite of linear power.

    Attributes
    ----------
    power : dict of polarisation to array (rows, cols), float32
        gamma0; NaN where never observed.
    looks : array (rows, cols), uint8
        Passes that observed the pixel, at most 255.
    used, dropped : tuple of str
        Scenes read, and those that could not be, with the reason.
    """

    power: dict[str, np.ndarray]
    looks: np.ndarray
    used: tuple[str, ...]
    dropped: tuple[str, ...]


def median(scenes: Sequence[Scene], geobox: GeoBox, config: Config) -> Median:
    """Median over passes, each filtered for speckle first if the settings say so.

    Frames of one pass (same platform, orbit and day) are joined before the median, so that their overlap is one
    look, not two.
    """
    rows, cols = geobox.shape
    power = {p: np.full((rows, cols), np.nan, np.float32) for p in POLARISATIONS}
    looks = np.zeros((rows, cols), np.uint8)
    passes = _by_pass(scenes)
    dropped: dict[str, str] = {}
    if passes:
        halo = config.composite.speckle_size_px // 2 if config.composite.speckle != "none" else 0
        height = strip_rows(len(passes), cols, halo)
        for top in range(0, rows, height):
            rows_here = slice(top, min(rows, top + height))
            strip = _strip(passes, geobox, rows_here, halo, config, dropped)
            for p, name in enumerate(POLARISATIONS):
                power[name][rows_here] = series.masked_median(strip[p])
            count = np.isfinite(strip[0]).sum(axis=0)
            looks[rows_here] = np.minimum(count, 255)
            # or two strips would be held while the next one is filled: 216 MB more with 40 passes than with 10
            del strip
    used = tuple(s.id for group in passes for s in group if s.id not in dropped)
    return Median(power, looks, used, tuple(dropped.values()))


def strip_rows(passes: int, cols: int, halo: int) -> int:
    """Rows of a strip whose buffer of all passes, halo included, fits into `STRIP_BYTES`; at least one."""
    row_bytes = passes * len(POLARISATIONS) * (cols + 2 * halo) * 4
    return max(1, STRIP_BYTES // row_bytes - 2 * halo)


def _by_pass(scenes: Sequence[Scene]) -> list[list[Scene]]:
    def key(scene: Scene) -> tuple[str, str, int]:
        return scene.time[:10], scene.platform or "", scene.relative_orbit or 0

    ordered = sorted(scenes, key=lambda s: (*key(s), s.id))
    return [list(group) for _, group in groupby(ordered, key=key)]


def _strip(
    passes: list[list[Scene]], geobox: GeoBox, rows: slice, halo: int, config: Config, dropped: dict[str, str]
) -> np.ndarray:
    """All passes over a strip of rows, (polarisations, passes, rows, cols), filtered and without halo.

    A scene that fails in one strip is left out of the later ones too; strips above keep it, and the receipt names it.
    """
    height, cols = rows.stop - rows.start, geobox.shape[1]
    box = geobox.pad(halo)[rows.start : rows.stop + 2 * halo, :]
    out = np.full((len(POLARISATIONS), len(passes), height, cols), np.nan, np.float32)
    for i, frames in enumerate(passes):
        for frame in frames:
            if frame.id in dropped:
                continue
            try:
                raw = load.read(frame, POLARISATIONS, box, attempts=config.archives.attempts)
            except SceneError as error:
                dropped[frame.id] = str(error)
                continue
            for p, name in enumerate(POLARISATIONS):
                target, new = out[p, i], _filtered(raw[name], config, halo)
                np.copyto(target, new, where=np.isnan(target))
    return out


def _filtered(power: np.ndarray, config: Config, halo: int) -> np.ndarray:
    # gamma0 that is not positive is the noise floor subtracted away, not a measurement
    power = np.where(power > 0, power, np.nan)
    if config.composite.speckle == "lee":
        power = speckle.lee(power, config.composite.speckle_size_px, config.composite.speckle_looks)
    return power[halo : power.shape[0] - halo, halo : power.shape[1] - halo]
