"""Land cover of the synthetic country before any event."""

import numpy as np
from scipy import ndimage

from lsbatch.synthetic.conditions import PLAIN, LandConditions
from lsbatch.synthetic.relief import Relief, fractal

#: The paper's CART distinguishes landslides from seven other classes; these are the seven.
WATER, FOREST, SCRUB, ROCK, FARMLAND, SNOW, BUILT = range(7)
NAMES = ("water", "forest", "scrub", "rock", "farmland", "snow", "built")


def make(relief: Relief, rng: np.random.Generator, land: LandConditions = PLAIN.land) -> tuple[np.ndarray, np.ndarray]:
    """Return land cover (rows, cols) uint8, and the number of the field for farmland, 0 elsewhere, int32."""
    # where the relief is low, the climate and not the height decides: cover is that of the unscaled relief
    z, slope = relief.elevation_m / land.relief_factor + land.cover_shift_m, relief.slope_deg
    shape = z.shape
    tree_line = 830 + 70 * fractal(shape, rng, 3, 200)
    cover = np.where(z < tree_line, FOREST, SCRUB).astype(np.uint8)
    cover[(z > tree_line + 320) | ((slope > 44) & (fractal(shape, rng, 2.5, 30) > 0.2))] = ROCK
    # openings in the forest
    cover[(cover == FOREST) & (fractal(shape, rng, land.forest_beta, 40) > land.forest_limit)] = SCRUB
    # perennial snow lies on high, flat, shaded ground
    shade = np.cos(np.radians(relief.aspect_deg)) * np.clip(slope / 30, 0, 1)
    cover[(z > 1150) & (slope < 30) & (z + 120 * shade + 90 * fractal(shape, rng, 3, 80) > 1370)] = SNOW
    fields = _fields(relief, rng, land, z)
    cover[fields > 0] = FARMLAND
    cover[_built(relief, fields, rng)] = BUILT
    fields[cover != FARMLAND] = 0
    cover[relief.lake | relief.river] = WATER
    fields[cover == WATER] = 0
    return cover, fields


def _fields(relief: Relief, rng: np.random.Generator, land: LandConditions, z: np.ndarray) -> np.ndarray:
    """Return numbered rectangles of a rotated lattice on flat valley ground; about two of three are farmed."""
    rows, cols = np.indices(relief.elevation_m.shape)
    turn = rng.uniform(0, np.pi)
    u = rows * np.cos(turn) + cols * np.sin(turn)
    v = -rows * np.sin(turn) + cols * np.cos(turn)
    long, short = land.field_scale * rng.uniform(16, 26), land.field_scale * rng.uniform(8, 13)
    strip = np.floor(v / short).astype(np.int64)
    number = (np.floor(u / long + 0.37 * (strip % 3)).astype(np.int64) * 100_003 + strip) % 2_147_483_647
    used = rng.permutation(64)[number % 64] < 42
    flat = (relief.slope_deg < land.farm_slope_deg) & (z < 520) & (relief.valley_m < land.farm_valley_m)
    # fields have straight edges: a single pixel that is slightly too steep stays in the field
    flat = ndimage.binary_opening(flat, iterations=3)
    return np.where(flat & used, number % 1_000_000 + 1, 0).astype(np.int32)


def _built(relief: Relief, fields: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return villages: clusters of small blocks on flat valley ground."""
    out = np.zeros(fields.shape, bool)
    places = np.argwhere(fields > 0)
    if len(places) == 0:
        return out
    for row, col in places[rng.integers(0, len(places), max(1, len(places) // 4000))]:
        for dr, dc in rng.normal(0, 9, (25, 2)):
            r, c = int(row + dr), int(col + dc)
            height, width = rng.integers(1, 4, 2)
            out[max(0, r) : max(0, r + height), max(0, c) : max(0, c + width)] = True
    return out & (relief.slope_deg < 10)
