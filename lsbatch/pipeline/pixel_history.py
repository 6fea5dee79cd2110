"""Stage of models that follow each pixel through the years: read the scene history, find breaks."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise

import numpy as np

from lsbatch.catalog import plan, scene_history
from lsbatch.catalog.items.scenes import Scene
from lsbatch.grid import Tile
from lsbatch.imagery import prefetch
from lsbatch.kernels import optical as kernels
from lsbatch.models import base, ccdc
from lsbatch.pipeline import optical, terrain
from lsbatch.pipeline.types import Block, Dropped
from lsbatch.settings import Config

#: Bytes of series held at once. With more candidates, the scenes are read again for the next rows.
MOST_BYTES = 1_000_000_000
_EPOCH = date(1970, 1, 1)


def apply(block: Block, config: Config) -> Block:
    """Return the relative NDVI loss at a break and the images around it; 0 on pixels that cannot be landslides."""
    rule = base.card(base.resolve(config)).network
    chosen = ccdc.candidates(block.bands, rule)
    seen = np.logical_and.reduce([np.isfinite(block.bands[name]) for name in ccdc.BANDS])
    chance = np.where(seen, 0, np.nan).astype(np.float32)
    before, after = (np.full(chance.shape, ccdc.MISSING, np.int16) for _ in range(2))
    scenes = scene_history.tile_scenes(config.output, block.tile.id)
    used: dict[str, None] = {}
    dropped: dict[Dropped, None] = {}
    windows = config.survey.windows
    span = (windows.pre[0] - _EPOCH).days, (windows.post[1] - _EPOCH).days
    for rows in _strips(chosen, len(scenes)):
        places = np.nonzero(chosen[rows])
        days, series = _series(block.tile, rows, places, scenes, config, (used, dropped))
        found = ccdc.breaks(days, series, span, rule)
        for out, values in zip((chance, before, after), found, strict=True):
            out[rows][places] = values  # type: ignore[index]
    tally = {
        "predicted_pixels": int(np.isfinite(chance).sum()),
        "candidate_pixels": int(chosen.sum()),
        "broken_pixels": int((after != ccdc.MISSING).sum()),
    }
    bands = {"probability": chance, "spread": np.full_like(chance, np.nan), "before": before, "after": after}
    return Block(block.tile, 0, bands, tally, scenes=tuple(used), dropped=tuple(dropped))  # type: ignore[arg-type]


def _strips(chosen: np.ndarray, looks: int) -> Iterator[slice]:
    """Yield strips of rows whose pixel series, of two bands, fit in `MOST_BYTES`."""
    held = np.cumsum(chosen.sum(axis=1)) * looks * 4
    if not held[-1]:
        return
    cuts = np.flatnonzero(np.diff(held // MOST_BYTES)) + 1
    # whole pixels of the shadow grid (see `terrain.Ground.shade`)
    edges = sorted({0, *(int(cut) // 8 * 8 for cut in cuts), len(chosen)})
    yield from (slice(start, stop) for start, stop in pairwise(edges) if chosen[start:stop].any())


def _series(
    tile: Tile,
    rows: slice,
    places: tuple[np.ndarray, ...],
    scenes: tuple[Scene, ...],
    config: Config,
    scenes_used: tuple[dict[str, None], dict[Dropped, None]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return days and series (bands, images, pixels): NDVI, and short-wave infrared if all scenes have it."""
    strip = Tile(tile.row, tile.col, tile.geobox[rows])
    here = terrain.read(strip, plan.tile_scenes(config.output, tile.id)["dem"], config)
    colours = ("R", "NIR", "SWIR") if all("SWIR" in scene.assets for scene in scenes) else ("R", "NIR")
    by_day = list(optical.by_day(scenes))
    series = np.full((len(colours) - 1, len(by_day), len(places[0])), ccdc.MISSING, np.int16)
    calls = [optical.looker(same_day, here, config, colours) for _, same_day in by_day]
    for number, look in enumerate(prefetch.in_order(calls)):
        scenes_used[0].update(dict.fromkeys(look.used))
        scenes_used[1].update(dict.fromkeys(look.dropped))
        if not look.used:
            continue
        clear = look.clear[places]
        red, near, *rest = (band[places][clear] for band in look.bands)
        for band, values in enumerate((kernels.ndvi(near, red), *rest)):
            known = np.nan_to_num(np.rint(np.clip(values, -1, 2) * ccdc.SCALE), nan=ccdc.MISSING)
            series[band, number, clear] = known
    return np.array([day for day, _ in by_day]), series
