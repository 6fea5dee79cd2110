"""Divide the surveyed ground into three strata: mapped landslide, near a landslide, elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lsbatch.bands import mask, probability
from lsbatch.catalog.survey import Position, Survey
from lsbatch.errors import NoDataError, StaleStoreError
from lsbatch.inventory import map_checksum
from lsbatch.kernels import focal
from lsbatch.kernels.statistics import stratified_sampling
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.storage import cube

#: Strata in order, with their meaning. The first has the map class "landslide", the others "no landslide".
STRATA: Mapping[str, str] = {
    "landslide": "landslide in the map",
    "near": "near a landslide in the map, or with a probability of at least half the threshold",
    "elsewhere": "all other surveyed ground",
}
#: The map's class of each stratum, and the answers that a reviewer may give.
LANDSLIDE, NONE, UNSURE = "landslide", "no landslide", "unsure"
#: Largest distance of the stratum `near` from a landslide in the map, in pixels from centre to centre.
NEAR_PX = 3
#: Share of `clean.threshold`: pixels with at least this probability are in the stratum `near`.
MIDDLE = 0.5
#: Share of landslide that is expected in each stratum, for Neyman's allocation: a guess, which costs precision where it
#: is wrong, but causes no bias.
EXPECTED = np.array([0.8, 0.1, 0.002])


@dataclass(frozen=True)
class Census:
    """Result of one pass over the survey.

    Attributes
    ----------
    pixels : int array (3,)
        Number of pixels of each stratum.
    candidates : tuple of int array (n, 2)
        National rows and columns of the pixels of each stratum with the lowest ranks, lowest first.
    tiles : int
        Number of tiles that were read.
    digest : str
        Digest of the map that was read.
    """

    pixels: np.ndarray
    candidates: tuple[np.ndarray, ...]
    tiles: int
    digest: str


def census(survey: Survey, seed: int, keep: int) -> Census:
    """Count the strata and rank their pixels; memory holds one tile and `keep` pixels of each stratum.

    Raises
    ------
    NoDataError
        If nothing was surveyed.
    StaleStoreError
        If the map does not match its receipts, or changes while it is read.
    """
    sums = map_checksum.tile_sums(survey)
    top, left = _origin(survey)
    pixels = np.zeros(len(STRATA), np.int64)
    ranks, places = [[np.empty(0, np.uint64)] * len(STRATA), [np.empty((0, 2), np.int64)] * len(STRATA)]
    for position, strata in _tiles(survey, sums):
        rows, cols = (np.arange(span.start, span.stop) for span in survey.tile(position).region)
        rank = stratified_sampling.ranks(rows[:, None] + top, cols[None, :] + left, seed)
        for k in range(len(STRATA)):
            mine = strata == k
            pixels[k] += np.count_nonzero(mine)
            if len(ranks[k]) == keep:
                # skip pixels that cannot be among the lowest
                mine &= rank <= ranks[k][-1]
            here = np.argwhere(mine)
            both = np.concatenate([ranks[k], rank[tuple(here.T)]])
            where = np.concatenate([places[k], here + np.array((rows[0], cols[0]))])
            # equal ranks are one in 10^7 for the pixels of a country; then the row and the column decide
            first = (
                np.lexsort((where[:, 1], where[:, 0], both))[:keep]
                if len(both) <= 4 * keep
                else _lowest(both, where, keep)
            )
            ranks[k], places[k] = both[first], where[first]
    found = map_checksum.digest(survey)
    if found != map_checksum.combine(survey, sums):
        raise StaleStoreError(
            f"{survey.config.output}: the map changed while it was read; wait until the run ends, then draw again"
        )
    if not pixels.sum():
        raise NoDataError(f"{survey.config.output}: no pixel was observed, so no sample can be drawn")
    return Census(pixels, tuple(places), len(sums), found)


def _lowest(ranks: np.ndarray, places: np.ndarray, keep: int) -> np.ndarray:
    """Return the indices of the lowest ranks in order, without sorting the rest."""
    few = np.flatnonzero(ranks <= np.partition(ranks, keep - 1)[keep - 1])
    return few[np.lexsort((places[few, 1], places[few, 0], ranks[few]))][:keep]


def _tiles(survey: Survey, sums: Mapping[Position, str]) -> Iterator[tuple[Position, np.ndarray]]:
    """Yield the stratum (0, 1, 2) of each pixel of each tile; 255 is not observed."""
    family, store, grid = survey.config.model.family, survey.workspace.store, survey.grid
    for position in sorted(sums):
        tile = survey.tile(position)
        if cube.sums(store, mask(family), tile)["landslide"] != sums[position]:
            raise StaleStoreError(
                f"{store}: the map of tile {tile.id} does not match its receipt; run 'lsbatch run' with "
                "these settings, then draw"
            )
        found = cube.read(store, grid, mask(family), tile, NEAR_PX, ("landslide",))["landslide"]
        _clear_missing_tiles(found, position, sums, grid.tile_px)
        chance = cube.read(store, grid, probability(family), tile, 0, ("probability",))["probability"]
        yield position, classify(found, chance, survey.config.clean.threshold)


def _clear_missing_tiles(found: np.ndarray, position: Position, sums: Mapping[Position, str], side: int) -> None:
    """Clear the parts of a halo that belong to tiles without a map; an earlier run left these values."""
    spans = slice(0, NEAR_PX), slice(NEAR_PX, NEAR_PX + side), slice(NEAR_PX + side, None)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if (position[0] + down, position[1] + right) not in sums:
                found[spans[down + 1], spans[right + 1]] = UNOBSERVED


def classify(found: np.ndarray, chance: np.ndarray, threshold: float) -> np.ndarray:
    """Return the strata of a tile.

    Parameters
    ----------
    found : uint8 array (rows + 2 * NEAR_PX, cols + 2 * NEAR_PX)
        The mask with its halo.
    chance : array (rows, cols)
        Probability.
    threshold : float
        Of the mask.

    Returns
    -------
    uint8 array (rows, cols)
        0 landslide, 1 near, 2 elsewhere, 255 not observed.
    """
    core = found[NEAR_PX:-NEAR_PX, NEAR_PX:-NEAR_PX]
    near = focal.dilate(found == 1, NEAR_PX)[NEAR_PX:-NEAR_PX, NEAR_PX:-NEAR_PX] | (chance >= MIDDLE * threshold)
    out = np.where(near, 1, 2).astype(np.uint8)
    out[core == 1] = 0
    out[core == UNOBSERVED] = UNOBSERVED
    return out


def _origin(survey: Survey) -> tuple[int, int]:
    """Return row and column of the grid's corner on the lattice of its CRS, which all tile sizes share."""
    left, _, _, top = survey.grid.bounds
    side = survey.grid.resolution_m
    return -round(top / side), round(left / side)
