"""Spatial split of training surveys: whole blocks go to training, validation or test.

Neighbouring chips share half their pixels. A split by chip would therefore train on pixels of the test. Whole blocks
are assigned instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lsbatch
from lsbatch.errors import NoDataError
from lsbatch.grid import Grid, Tile
from lsbatch.settings import TrainSettings, Windows

TRAIN, VALIDATION, TEST = range(3)
#: Truth of a pixel of which nothing is known. It is left out of loss and scores.
UNKNOWN = 255
#: Truth of a pixel without landslide whose chips are all kept. Other chips without a landslide are drawn at random.
HARD = 2
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """A survey with training data.

    Attributes
    ----------
    name : str
    store : Path
        The cube.
    grid : Grid
    tiles : tuple of Tile
    truth : callable Tile -> bool or uint8 array of its geobox's shape
        1 landslide, 0 none; a uint8 array may have UNKNOWN and HARD.
    points : callable () -> x, y, classes, optional
        Training points in the grid's coordinates, and the class name of each; None if the survey has none.
    scenes : mapping of plan key to (least, most)
        Scenes of a tile.
    windows : Windows or None
        Days of the images.
    weight : callable Tile -> float32 array of its geobox's shape, optional
        Weight of each pixel in the loss; None: every pixel has the weight 1.
    is_reviewed : bool
        Only the answers of reviewers are known, which are no random sample of the ground.
    """

    name: str
    store: Path
    grid: Grid
    tiles: tuple[Tile, ...]
    truth: Callable[[Tile], np.ndarray]
    points: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None
    scenes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    windows: Windows | None = None
    weight: Callable[[Tile], np.ndarray] | None = None
    is_reviewed: bool = False


@dataclass(frozen=True)
class Split:
    """Assignment of each block of each source to a split.

    Attributes
    ----------
    block_px : int
    shares : tuple of array (block rows, block cols) int8
        One array a source; -1 where the survey has no tile.
    """

    block_px: int
    shares: tuple[np.ndarray, ...]

    def of(self, source: int, rows: slice, cols: slice) -> int | None:
        """Return the split of a rectangle of pixels, None if it touches blocks of several."""
        near = self.shares[source][
            tuple(slice(max(0, s.start) // self.block_px, -(-s.stop // self.block_px)) for s in (rows, cols))
        ]
        return int(near.flat[0]) if near.size and (near == near.flat[0]).all() else None

    def pixels(self, source: int, rows: slice, cols: slice) -> np.ndarray:
        """Return the split of each pixel of a rectangle, int8."""
        index = (np.arange(s.start, s.stop) // self.block_px for s in (rows, cols))
        return self.shares[source][np.ix_(*index)]


#: Letter of each share: training, validation, test; a dot means that the survey has no tile there.
LETTERS = {TRAIN: "t", VALIDATION: "v", TEST: "x", -1: "."}


def describe_split(sources: Sequence[Source], split: Split) -> dict[str, Any]:
    """Return the split as plain values for a card: the bounds of each grid and one text a row of blocks."""
    return {
        "block_px": split.block_px,
        "surveys": {
            source.name: {
                "bounds": list(source.grid.bounds),
                "rows": ["".join(LETTERS[int(b)] for b in row) for row in shares],
            }
            for source, shares in zip(sources, split.shares, strict=True)
        },
    }


def split_blocks(sources: Sequence[Source], settings: TrainSettings) -> Split:
    """Assign the blocks of all sources to splits, shuffled together by the seed.

    All blocks of reviewed surveys are for training, if the mapped ones have enough blocks for every split: answers are
    no random sample, so they can neither choose the best epoch nor score it.

    Raises
    ------
    NoDataError
        If there are too few blocks for every share to have one.
    """
    shares = []
    for source in sources:
        count = [-(-size // settings.block_px) for size in source.grid.shape]
        blocks = np.full(count, -1, np.int8)
        for tile in source.tiles:
            rows, cols = (slice(s.start // settings.block_px, -(-s.stop // settings.block_px)) for s in tile.region)
            blocks[rows, cols] = TRAIN
        shares.append(blocks)
    places = [(k, r, c) for k, blocks in enumerate(shares) for r, c in np.argwhere(blocks == TRAIN)]
    mapped = [place for place in places if not sources[place[0]].is_reviewed]
    if len(mapped) > sum(_held_out(len(mapped), settings)):
        places = mapped
    counts = _held_out(len(places), settings)
    if len(places) <= sum(counts):
        raise NoDataError(
            f"train.block_px = {settings.block_px}: the surveys have {len(places)} blocks, too few for training, "
            "validation and test; set a smaller train.block_px or train on more surveys"
        )
    order = np.random.default_rng(settings.seed).permutation(len(places))
    for share, chosen in zip((VALIDATION, TEST), np.split(order, np.cumsum(counts)), strict=False):
        for k, r, c in (places[i] for i in chosen):
            shares[k][r, c] = share
    return Split(settings.block_px, tuple(shares))


def _held_out(blocks: int, settings: TrainSettings) -> list[int]:
    """Return the number of blocks for validation and for the test."""
    shares = (settings.validation_share, settings.test_share)
    return [max(1, round(share * blocks)) if share else 0 for share in shares]


def held_out_split(sources: Sequence[Source], settings: TrainSettings, hold_out: bool) -> Split | None:
    """Return the split of the blocks, or None if no samples are held out."""
    return split_blocks(sources, settings) if hold_out else None


def made_by(sources: Sequence[Source], learned: str, split: Split | None) -> dict[str, Any]:
    """Return the field `made_by` of a card: software, surveys, digest of the training, and the split if any."""
    return {
        "software": f"lsbatch {lsbatch.__version__}",
        "surveys": [source.name for source in sources],
        "learned": learned,
        **({} if split is None else {"split": describe_split(sources, split)}),
    }
