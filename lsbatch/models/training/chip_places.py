"""Places of training chips: which squares of tiles are chips, of which split, and which of them are used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lsbatch.errors import NoDataError
from lsbatch.models.training.public_sets.chip_folder import ChipFolder
from lsbatch.models.training.spatial_split import HARD, SPLITS, TRAIN, UNKNOWN, VALIDATION, Source, Split
from lsbatch.settings import TrainSettings


@dataclass(frozen=True)
class Spot:
    """The place of a chip: source, tile or patch, first row and column in it, split, and what it holds.

    Attributes
    ----------
    landslide : bool
        Holds a landslide.
    hard : bool
        Holds a pixel whose truth is HARD.
    """

    source: int
    tile: int
    row: int
    col: int
    share: int
    landslide: bool
    hard: bool = False


def spots(
    split: Split, source: Source, index: int, number: int, bands: np.ndarray, truth: np.ndarray, settings: TrainSettings
) -> Iterator[Spot]:
    """Return the chips that begin in a tile, lie in one split and have observed pixels whose truth is known."""
    seen = np.isfinite(bands).all(axis=0) & (truth != UNKNOWN)
    rows, cols = source.tiles[number].region
    side, step = settings.chip_px, settings.stride_px
    for row in range(rows.start, rows.stop, step):
        for col in range(cols.start, cols.stop, step):
            if row + side > source.grid.shape[0] or col + side > source.grid.shape[1]:
                continue
            share = split.of(index, slice(row, row + side), slice(col, col + side))
            if share is None or share < 0 or (share != TRAIN and (row % side or col % side)):
                continue
            place = row - rows.start, col - cols.start
            piece = tuple(slice(p, p + side) for p in place)
            if seen[piece].any():
                landslide, hard = (bool((truth[piece] == value).any()) for value in (1, HARD))
                yield Spot(index, number, *place, share, landslide, hard)


def block(source: Source | ChipFolder, spot: Spot, block_px: int) -> tuple[int, int, int]:
    """Return the source and the block in which a chip begins; the blocks of a public set are its regions."""
    if isinstance(source, ChipFolder):
        return spot.source, source.region_of(spot.tile), 0
    rows, cols = source.tiles[spot.tile].region
    return spot.source, (rows.start + spot.row) // block_px, (cols.start + spot.col) // block_px


def is_apart(split: Split, source: Source, spot: Spot, side_px: int, halo_px: int) -> bool:
    """Return whether all pixels within the halo of a chip lie in its own split."""
    starts = (span.start + at for span, at in zip(source.tiles[spot.tile].region, (spot.row, spot.col), strict=True))
    return split.of(spot.source, *(slice(start - halo_px, start + side_px + halo_px) for start in starts)) == spot.share


def choose(spots: Sequence[Spot], settings: TrainSettings) -> list[Spot]:
    """Select all validation and test chips, training chips with landslides, and `empty_share` times as many without.

    Training chips without a landslide that are hard are selected too, and do not count in `empty_share`.
    """
    train = [spot for spot in spots if spot.share == TRAIN]
    full = [spot for spot in train if spot.landslide]
    hard = [spot for spot in train if spot.hard and not spot.landslide]
    empty = [spot for spot in train if not (spot.landslide or spot.hard)]
    held_out = [spot for spot in spots if spot.share != TRAIN]
    for share in (TRAIN, VALIDATION):
        if not any(spot.landslide for spot in spots if spot.share == share):
            raise NoDataError(
                f"no {SPLITS[share]} chip of {settings.chip_px} px contains an observed landslide; train on more "
                "surveys or sets, or set another train.seed or a smaller train.block_px"
            )
    count = min(len(empty), round(settings.empty_share * len(full)))
    dice = np.random.default_rng([settings.seed, 1])
    kept = [empty[i] for i in sorted(dice.choice(len(empty), count, replace=False))]
    return [*full, *hard, *kept, *held_out]
