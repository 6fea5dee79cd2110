"""Memory bandwidth as the limit: bytes that a stage must move, and the copy speed of this machine."""

import time

import numpy as np

from lsbatch.bands import Band
from lsbatch.pipeline.types import LAYERS, Stage
from lsbatch.settings import Config

#: Bytes of the copied arrays: larger than any cache.
COPY_BYTES = 256 * 2**20
ROUNDS = 5


def copy_bytes_s() -> float:
    """Return the bytes a second that one thread reads and writes with numpy.copyto, both counted."""
    source = np.ones(COPY_BYTES // 8)
    target = np.zeros_like(source)
    best = np.inf
    for _ in range(ROUNDS):
        began = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - began)
    return 2 * COPY_BYTES / best


def moved_bytes(config: Config, stage: Stage, scenes_mb: float) -> float:
    """Return the bytes in memory that a stage must read and write once for a tile, as float32 or as stored."""
    side, halo = config.grid.tile_px, stage.halo_px(config)
    found = 0.0
    for layer, names in stage.reads(config).items():
        found += sum(_bytes(LAYERS[layer](config)[name]) for name in names) * (side + 2 * halo) ** 2
    made = stage.writes(config)
    if made is not None:
        found += sum(_bytes(band) for band in made.bands) * side**2
    return found + (scenes_mb * 1e6 if stage.name == "stack" else 0.0)


def _bytes(band: Band) -> int:
    return 4 if band.scale is not None else np.dtype(band.dtype).itemsize
