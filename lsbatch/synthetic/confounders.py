"""Changes that look like landslides: clear-cuts, harvested fields, river floods, late snow, fires, damaged forest."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from scipy import ndimage

from lsbatch.synthetic import cover as covers
from lsbatch.synthetic import landslides
from lsbatch.synthetic.conditions import PLAIN, Conditions
from lsbatch.synthetic.landslides import Landslides
from lsbatch.synthetic.relief import Relief, fractal

CLEARCUT, HARVEST, FLOOD, LATE_SNOW, FIRE, DAMAGE = range(1, 7)
NAMES = {
    CLEARCUT: "clear-cut", HARVEST: "harvest", FLOOD: "flood", LATE_SNOW: "late snow", FIRE: "fire",
    DAMAGE: "damaged forest",
}  # fmt: skip


@dataclass(frozen=True)
class Confounders:
    """Changes that are not landslides.

    Attributes
    ----------
    kind : uint8 (rows, cols)
        0, or one of the kinds above.
    strength : float32 (rows, cols)
        Degree of the change, 0..1.
    """

    kind: np.ndarray
    strength: np.ndarray


def make(
    relief: Relief, cover: np.ndarray, fields: np.ndarray, slides: Landslides, rng: np.random.Generator,
    conditions: Conditions = PLAIN,
) -> Confounders:  # fmt: skip
    """Draw each kind until it has its area; none lies on a landslide."""
    kind = np.zeros(cover.shape, np.uint8)
    strength = np.zeros(cover.shape, np.float32)
    free = slides.labels == 0
    target = {k: times * np.count_nonzero(~free) for k, times in _times(conditions).items()}
    _clearcuts(kind, strength, relief, cover, free, target[CLEARCUT], rng,
               conditions.slides.clearcut_slope_deg)  # fmt: skip
    _harvest(kind, strength, fields, free, target[HARVEST], rng)
    _flood(kind, strength, relief, cover, free, target[FLOOD], rng)
    _late_snow(kind, strength, relief, cover, free, target[LATE_SNOW], rng)
    if target[FIRE]:
        _fire(kind, strength, cover, free, target[FIRE], rng)
    if target[DAMAGE]:
        _damage(kind, strength, relief, cover, free, rng, conditions)
    return Confounders(kind, strength)


def _times(conditions: Conditions) -> dict[int, float]:
    """Return the area of each kind relative to the landslides' area; together at least twice in the plain country."""
    of = conditions.slides
    return {
        CLEARCUT: of.clearcut, HARVEST: of.harvest, FLOOD: of.flood, LATE_SNOW: of.late_snow, FIRE: of.fire,
        DAMAGE: of.damage,
    }  # fmt: skip


def _clearcuts(
    kind: np.ndarray, strength: np.ndarray, relief: Relief, cover: np.ndarray, free: np.ndarray, target: float,
    rng: np.random.Generator, slope_deg: float,
) -> None:  # fmt: skip
    """Add clear-cuts: rotated blocks on forest slopes that machines can reach."""
    good = (cover == covers.FOREST) & free & (relief.slope_deg < slope_deg) & (kind == 0)
    places = np.argwhere(good)
    done = 0
    for row, col in places[rng.permutation(len(places))[:400]]:
        half = 24
        r0, c0 = max(0, row - half), max(0, col - half)
        window = (slice(r0, row + half), slice(c0, col + half))
        r, c = np.indices(good[window].shape)
        turn = rng.uniform(0, np.pi)
        u = (r + r0 - row) * np.cos(turn) + (c + c0 - col) * np.sin(turn)
        v = -(r + r0 - row) * np.sin(turn) + (c + c0 - col) * np.cos(turn)
        block = (np.abs(u) < rng.uniform(6, 16)) & (np.abs(v) < rng.uniform(4, 10)) & good[window] & (kind[window] == 0)
        if block.sum() < 30:
            continue
        kind[window][block] = CLEARCUT
        strength[window][block] = rng.uniform(0.4, 0.85)
        done += int(block.sum())
        if done >= target:
            return


def _harvest(
    kind: np.ndarray,
    strength: np.ndarray,
    fields: np.ndarray,
    free: np.ndarray,
    target: float,
    rng: np.random.Generator,
) -> None:
    """Add harvested fields: whole fields, mown or ploughed before every image after."""
    numbers, sizes = np.unique(fields[(fields > 0) & free], return_counts=True)
    order = rng.permutation(len(numbers))
    chosen = order[: int(np.searchsorted(np.cumsum(sizes[order]), target)) + 1]
    powers = np.zeros(int(fields.max()) + 1, np.float32)
    powers[numbers[chosen]] = rng.uniform(0.4, 0.9, len(chosen))
    hit = (powers[fields] > 0) & free & (kind == 0) & (fields > 0)
    kind[hit] = HARVEST
    strength[hit] = powers[fields][hit]


def _nearest_ground(
    kind: np.ndarray,
    strength: np.ndarray,
    good: np.ndarray,
    cost: np.ndarray,
    target: float,
    power: np.ndarray,
    what: int,
) -> None:
    """Return the `target` cheapest pixels of `good`."""
    places = np.flatnonzero(good & (kind == 0))
    chosen = places[np.argsort(cost.ravel()[places], kind="stable")[: int(target)]]
    kind.ravel()[chosen] = what
    strength.ravel()[chosen] = power.ravel()[chosen]


def _flood(
    kind: np.ndarray, strength: np.ndarray, relief: Relief, cover: np.ndarray, free: np.ndarray, target: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add river floods: low banks, covered by sand or still wet."""
    water = cover == covers.WATER
    distance = ndimage.distance_transform_edt(~water)
    good = free & ~water & (relief.slope_deg < 8) & (distance < 25)
    cost = distance + 6 * fractal(cover.shape, rng, 2.6, 60)
    power = np.clip(0.75 + 0.2 * fractal(cover.shape, rng, 2.4, 30), 0.3, 1)
    _nearest_ground(kind, strength, good, cost, target, power, FLOOD)


def _late_snow(
    kind: np.ndarray, strength: np.ndarray, relief: Relief, cover: np.ndarray, free: np.ndarray, target: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add late snow: high hollows that were green last year and have snow, or just lost it, this year."""
    shade = np.cos(np.radians(relief.aspect_deg)) * np.clip(relief.slope_deg / 30, 0, 1)
    good = free & (cover == covers.SCRUB) & (relief.slope_deg < 42)
    cost = -(relief.elevation_m + 150 * shade + 130 * fractal(cover.shape, rng, 2.6, 50))
    power = np.clip(0.6 + 0.25 * fractal(cover.shape, rng, 2.4, 20), 0.15, 1)
    _nearest_ground(kind, strength, good, cost, target, power, LATE_SNOW)


def _fire(
    kind: np.ndarray, strength: np.ndarray, cover: np.ndarray, free: np.ndarray, target: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add fires: a few large patches of forest and scrub, unevenly burned."""
    good = free & np.isin(cover, (covers.FOREST, covers.SCRUB))
    cost = -fractal(cover.shape, rng, 3.4, 120)
    power = np.clip(0.6 + 0.25 * fractal(cover.shape, rng, 2.4, 30), 0.1, 1)
    _nearest_ground(kind, strength, good, cost, target, power, FIRE)


def _damage(
    kind: np.ndarray, strength: np.ndarray, relief: Relief, cover: np.ndarray, free: np.ndarray,
    rng: np.random.Generator, conditions: Conditions,
) -> None:  # fmt: skip
    """Add damage by avalanches and wind: it has the place and shape of landslides, but the soil stays covered."""
    share = conditions.slides.land_share * conditions.slides.damage
    there = replace(conditions, slides=replace(conditions.slides, land_share=share))
    paths = landslides.make(relief, cover, date.min.replace(year=2000), rng, there)
    power = np.concatenate([[0], rng.uniform(0.3, 0.9, paths.count)]).astype(np.float32)[paths.labels]
    hit = (power > 0) & free & (kind == 0) & np.isin(cover, (covers.FOREST, covers.SCRUB))
    kind[hit] = DAMAGE
    strength[hit] = power[hit]
