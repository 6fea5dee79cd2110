"""Training chips: small squares of STACK with their truth, split by spatial block.

A chip that touches blocks of two shares is dropped (see `spatial_split`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import FULL_STACK
from lsbatch.errors import NoDataError
from lsbatch.models.training.spatial_split import (
    HARD,
    SPLITS,
    TEST,
    TRAIN,
    UNKNOWN,
    VALIDATION,
    Source,
    Split,
    split_blocks,
)
from lsbatch.settings import TrainSettings, digest
from lsbatch.storage import cube

#: Files of the arrays in the folder of a training; the last one only if a survey has weights.
ARRAYS = ("values.npy", "truth.npy", "weight.npy")


@dataclass(frozen=True)
class Chips:
    """The chips on disk, opened.

    Attributes
    ----------
    values : array (chips, bands, side, side) float32, memory-mapped
        Physical values, NaN as nodata.
    truth : array (chips, side, side) uint8, memory-mapped
        1 landslide, 0 none, 255 (`spatial_split.UNKNOWN`) not known.
    share : array (chips,)
        Place in SPLITS of each chip.
    sums : array (3, bands)
        Count, sum and sum of squares of each band over the pixels of the training blocks.
    blocks : array (chips, 3) int
        Source, and row and column of the block, of each chip.
    weight : array (chips, side, side) float32, memory-mapped, or None
        Weight of each pixel in the loss; None: 1 for all.
    """

    values: np.ndarray
    truth: np.ndarray
    share: np.ndarray
    sums: np.ndarray
    blocks: np.ndarray
    weight: np.ndarray | None = None

    def of(self, split: str) -> np.ndarray:
        """Return the indices of the chips of a split."""
        return np.flatnonzero(self.share == SPLITS.index(split))


@dataclass(frozen=True)
class Spot:
    """The place of a chip: source, tile, first row and column in the tile, split, and what it holds.

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
    hard: bool


def collect(
    sources: Sequence[Source], names: tuple[str, ...], settings: TrainSettings, folder: Path, halo_px: int = 0
) -> Chips:
    """Select chips and write them to one array on disk, tile by tile.

    Two passes over the tiles: the first counts landslides and sums the training blocks, the second writes the selected
    chips. Memory holds one tile. Chips of an earlier call with the same sources and settings are reused. Test chips
    keep a distance of `halo_px`, the halo of the network, from blocks of other splits.

    Raises
    ------
    NoDataError
        If no training or no validation chip has a landslide.
    """
    key = digest([_key(sources, names, settings), halo_px])
    made = folder / "chips.json"
    if not made.exists() or json.loads(made.read_text(encoding="utf-8"))["key"] != key:
        made.unlink(missing_ok=True)
        _collect(sources, names, settings, folder, key, halo_px)
    facts = json.loads(made.read_text(encoding="utf-8"))
    values, truth, weight = (
        np.load(folder / name, mmap_mode="r", allow_pickle=False) if (folder / name).exists() else None
        for name in ARRAYS
    )
    assert values is not None
    assert truth is not None
    share, sums, blocks = (np.array(facts[name]) for name in ("share", "sums", "blocks"))
    return Chips(values, truth, share, sums, blocks, weight)


def landslide_share(chips: Chips, split: str) -> float:
    """Return the share of landslides among the pixels of a split whose truth is known."""
    counts = np.sum([np.bincount(chips.truth[i].ravel(), minlength=UNKNOWN + 1)[:2] for i in chips.of(split)], axis=0)
    return float(counts[1] / max(1, counts.sum()))


def statistics(chips: Chips) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of each band over the training blocks; the spread of a constant band is 1."""
    count, total, squares = chips.sums
    means = total / count
    stds = np.sqrt(np.maximum(squares / count - means**2, 0))
    return means, np.where(stds > 0, stds, 1.0)


def _key(sources: Sequence[Source], names: tuple[str, ...], settings: TrainSettings) -> str:
    used = ("chip_px", "stride_px", "block_px", "validation_share", "test_share", "empty_share", "seed")
    return digest(
        [
            [[s.name, s.store, s.grid, [tile.id for tile in s.tiles]] for s in sources],
            names,
            settings.model_dump(include=set(used)),
            # chips of an older version have no blocks
            "blocks",
        ]
    )


def _collect(
    sources: Sequence[Source], names: tuple[str, ...], settings: TrainSettings, folder: Path, key: str, halo_px: int
) -> None:
    split = split_blocks(sources, settings)
    sums = np.zeros((3, len(names)))
    spots: list[Spot] = []
    for index, tile, bands, truth in _tiles(sources, names, settings):
        found = _spots(split, sources[index], index, tile, bands, truth, settings)
        spots += (
            spot
            for spot in found
            if spot.share != TEST or _is_apart(split, sources[index], spot, settings.chip_px, halo_px)
        )
        _add_statistics(sums, split, sources[index], index, tile, bands)
    chosen = _choose(spots, settings)
    _write(sources, names, settings, folder, chosen)
    blocks = [_block(sources[spot.source], spot, settings.block_px) for spot in chosen]
    facts = {"key": key, "share": [spot.share for spot in chosen], "sums": sums.tolist(), "blocks": blocks}
    made = folder / "chips.json"
    # renamed last, so if the file exists, it and the arrays beside it are complete
    made.with_suffix(".part").write_text(json.dumps(facts), encoding="utf-8")
    made.with_suffix(".part").replace(made)


def _tiles(
    sources: Sequence[Source], names: tuple[str, ...], settings: TrainSettings
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Yield source, tile, bands (bands, rows, cols) and truth (rows, cols), with the margin of the last chips."""
    margin = max(0, settings.chip_px - settings.stride_px)
    for index, source in enumerate(sources):
        for number, tile in enumerate(source.tiles):
            found = cube.read(source.store, source.grid, FULL_STACK, tile, margin, names)
            bands = np.stack([found[name] for name in names])[:, margin:, margin:]
            truth = source.truth(replace(tile, geobox=tile.padded(margin)))[margin:, margin:].astype(np.uint8)
            # pixels without all bands are not landslides here; loss and scores ignore them
            truth[~np.isfinite(bands).all(axis=0)] = 0
            yield index, number, bands, truth


def _spots(
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


def _block(source: Source, spot: Spot, block_px: int) -> tuple[int, int, int]:
    """Return the source and the block in which a chip begins."""
    rows, cols = source.tiles[spot.tile].region
    return spot.source, (rows.start + spot.row) // block_px, (cols.start + spot.col) // block_px


def _is_apart(split: Split, source: Source, spot: Spot, side_px: int, halo_px: int) -> bool:
    """Return whether all pixels within the halo of a chip lie in its own split."""
    starts = (span.start + at for span, at in zip(source.tiles[spot.tile].region, (spot.row, spot.col), strict=True))
    return split.of(spot.source, *(slice(start - halo_px, start + side_px + halo_px) for start in starts)) == spot.share


def _add_statistics(sums: np.ndarray, split: Split, source: Source, index: int, number: int, bands: np.ndarray) -> None:
    """Add count, sum and sum of squares of each band over the pixels of training blocks."""
    side = source.grid.tile_px
    train = split.pixels(index, *source.tiles[number].region) == TRAIN
    for k, band in enumerate(bands[:, :side, :side]):
        values = band[train & np.isfinite(band)].astype(np.float64)
        sums[:, k] += values.size, values.sum(), np.square(values).sum()


def _choose(spots: Sequence[Spot], settings: TrainSettings) -> list[Spot]:
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
                "surveys, or set another train.seed or a smaller train.block_px"
            )
    count = min(len(empty), round(settings.empty_share * len(full)))
    dice = np.random.default_rng([settings.seed, 1])
    kept = [empty[i] for i in sorted(dice.choice(len(empty), count, replace=False))]
    return [*full, *hard, *kept, *held_out]


def _write(
    sources: Sequence[Source], names: tuple[str, ...], settings: TrainSettings, folder: Path, chosen: Sequence[Spot]
) -> None:
    side, count = settings.chip_px, len(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    create = np.lib.format.open_memmap
    values_out = create(folder / "values.npy", "w+", np.float32, (count, len(names), side, side))
    truth_out = create(folder / "truth.npy", "w+", np.uint8, (count, side, side))
    places: dict[tuple[int, int], list[tuple[int, Spot]]] = {}
    for number, spot in enumerate(chosen):
        places.setdefault((spot.source, spot.tile), []).append((number, spot))
    for index, tile, bands, truth in _tiles(sources, names, settings):
        truth[truth == HARD] = 0
        for number, spot in places.get((index, tile), ()):
            rows, cols = slice(spot.row, spot.row + side), slice(spot.col, spot.col + side)
            values_out[number], truth_out[number] = bands[:, rows, cols], truth[rows, cols]
    values_out.flush()
    truth_out.flush()
    _write_weights(sources, settings, folder, chosen)


def _write_weights(sources: Sequence[Source], settings: TrainSettings, folder: Path, chosen: Sequence[Spot]) -> None:
    """Write the weight of each pixel of the chips, if a source has weights."""
    file = folder / ARRAYS[2]
    file.unlink(missing_ok=True)
    if all(source.weight is None for source in sources):
        return
    side = settings.chip_px
    out = np.lib.format.open_memmap(file, "w+", np.float32, (len(chosen), side, side))
    for number, spot in enumerate(chosen):
        source = sources[spot.source]
        tile = source.tiles[spot.tile]
        box = tile.padded(side)
        here = slice(side + spot.row, 2 * side + spot.row), slice(side + spot.col, 2 * side + spot.col)
        out[number] = 1 if source.weight is None else source.weight(replace(tile, geobox=box[here]))
    out.flush()


def turned(values: Any, symmetry: int) -> Any:
    """Return one of the eight symmetries of the last two axes: quarter turns, then a mirror."""
    turn = np.rot90(values, symmetry % 4, axes=(-2, -1))
    return turn[..., ::-1] if symmetry >= 4 else turn
