"""Training chips: small squares of STACK with their truth, split by spatial block.

A chip that touches blocks of two shares is dropped (see `spatial_split`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lsbatch.bands import FULL_STACK
from lsbatch.models.training import chip_places
from lsbatch.models.training.chip_places import Spot
from lsbatch.models.training.public_sets import set_chips
from lsbatch.models.training.public_sets.chip_folder import PHYSICAL, ChipFolder
from lsbatch.models.training.public_sets.set_chips import Scale
from lsbatch.models.training.spatial_split import (
    HARD,
    SPLITS,
    TEST,
    TRAIN,
    UNKNOWN,
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
        Values in `units`, NaN as nodata.
    truth : array (chips, side, side) uint8, memory-mapped
        1 landslide, 0 none, 255 (`spatial_split.UNKNOWN`) not known.
    share : array (chips,)
        Place in SPLITS of each chip.
    sums : array (3, bands)
        Count, sum and sum of squares of each band over the pixels of the training blocks.
    blocks : array (chips, 3) int
        Source, and row and column of the block, of each chip. Public sets follow the surveys; their blocks are regions.
    sets : tuple of mapping
        What was read of each public set (`set_chips.Contents.facts`).
    units : str
        Units of the values and of `sums`; STANDARDISED if only standardised sets were read.
    weight : array (chips, side, side) float32, memory-mapped, or None
        Weight of each pixel in the loss; None: 1 for all.
    """

    values: np.ndarray
    truth: np.ndarray
    share: np.ndarray
    sums: np.ndarray
    blocks: np.ndarray
    sets: tuple[Mapping[str, Any], ...] = ()
    units: str = PHYSICAL
    weight: np.ndarray | None = None

    def of(self, split: str) -> np.ndarray:
        """Return the indices of the chips of a split."""
        return np.flatnonzero(self.share == SPLITS.index(split))

    def __reduce__(self) -> tuple[Any, ...]:
        """Give another process the folder: numpy would copy the pixels of a memory map."""
        return opened, (Path(self.values.filename).parent,)  # type: ignore[attr-defined]


def collect(
    sources: Sequence[Source],
    names: tuple[str, ...],
    settings: TrainSettings,
    folder: Path,
    halo_px: int = 0,
    chip_sets: Sequence[ChipFolder] = (),
) -> Chips:
    """Select chips and write them to one array on disk, tile by tile and patch by patch.

    Two passes over the tiles and patches: the first counts landslides and sums the training blocks, the second writes
    the selected chips. Memory holds one tile. Chips of an earlier call with the same sources, sets and settings are
    reused. Test chips of surveys keep a distance of `halo_px`, the halo of the network, from blocks of other splits.
    Public sets keep their own splits.

    Raises
    ------
    NoDataError
        If no training or no validation chip has a landslide.
    """
    key = digest([_key(sources, names, settings), halo_px, *(one.digest for one in chip_sets)])
    made = folder / "chips.json"
    if not made.exists() or json.loads(made.read_text(encoding="utf-8"))["key"] != key:
        made.unlink(missing_ok=True)
        _collect(sources, names, settings, folder, key, halo_px, chip_sets)
    return opened(folder)


def opened(folder: Path) -> Chips:
    """Open the chips that `collect` wrote into a folder."""
    facts = json.loads((folder / "chips.json").read_text(encoding="utf-8"))
    values, truth = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in ARRAYS[:2])
    file = folder / ARRAYS[2]
    weight = np.load(file, mmap_mode="r", allow_pickle=False) if file.exists() else None
    share, sums, blocks = (np.array(facts[name]) for name in ("share", "sums", "blocks"))
    # chips of an older version have no sets
    return Chips(values, truth, share, sums, blocks, tuple(facts.get("sets", ())), facts.get("units", PHYSICAL), weight)


def landslide_share(chips: Chips, split: str) -> float:
    """Return the share of landslides among the pixels of a split whose truth is known."""
    counts = np.sum([np.bincount(chips.truth[i].ravel(), minlength=UNKNOWN + 1)[:2] for i in chips.of(split)], axis=0)
    return float(counts[1] / max(1, counts.sum()))


def statistics(chips: Chips) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and spread of each band over the training blocks; the spread of a constant band is 1."""
    return set_chips.moments(chips.sums)


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
    sources: Sequence[Source],
    names: tuple[str, ...],
    settings: TrainSettings,
    folder: Path,
    key: str,
    halo_px: int,
    chip_sets: Sequence[ChipFolder],
) -> None:
    split = split_blocks(sources, settings) if sources else Split(settings.block_px, ())
    sums = np.zeros((3, len(names)))
    spots: list[Spot] = []
    for index, tile, bands, truth in _tiles(sources, names, settings):
        found = chip_places.spots(split, sources[index], index, tile, bands, truth, settings)
        spots += (
            spot
            for spot in found
            if spot.share != TEST or chip_places.is_apart(split, sources[index], spot, settings.chip_px, halo_px)
        )
        _add_statistics(sums, split, sources[index], index, tile, bands)
    found_sets = [set_chips.contents(one, len(names), settings.chip_px) for one in chip_sets]
    for index, one in enumerate(found_sets, len(sources)):
        spots += (Spot(index, *astuple(square)) for square in one.squares)
    scales, sums, units = set_chips.onto_common_units(sums, chip_sets, found_sets)
    chosen = chip_places.choose(spots, settings)
    _write(sources, names, settings, folder, chosen, chip_sets, scales)
    owners: tuple[Source | ChipFolder, ...] = (*sources, *chip_sets)
    blocks = [chip_places.block(owners[spot.source], spot, settings.block_px) for spot in chosen]
    facts = {
        "key": key, "share": [spot.share for spot in chosen], "sums": sums.tolist(), "blocks": blocks,
        "sets": [one.facts for one in found_sets], "units": units,
    }  # fmt: skip
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


def _add_statistics(sums: np.ndarray, split: Split, source: Source, index: int, number: int, bands: np.ndarray) -> None:
    """Add count, sum and sum of squares of each band over the pixels of training blocks."""
    side = source.grid.tile_px
    train = split.pixels(index, *source.tiles[number].region) == TRAIN
    for k, band in enumerate(bands[:, :side, :side]):
        values = band[train & np.isfinite(band)].astype(np.float64)
        sums[:, k] += values.size, values.sum(), np.square(values).sum()


def _write(
    sources: Sequence[Source],
    names: tuple[str, ...],
    settings: TrainSettings,
    folder: Path,
    chosen: Sequence[Spot],
    chip_sets: Sequence[ChipFolder],
    scales: Sequence[Scale],
) -> None:
    side, count = settings.chip_px, len(chosen)
    folder.mkdir(parents=True, exist_ok=True)
    create = np.lib.format.open_memmap
    values_out = create(folder / "values.npy", "w+", np.float32, (count, len(names), side, side))
    truth_out = create(folder / "truth.npy", "w+", np.uint8, (count, side, side))
    places: dict[tuple[int, int], list[tuple[int, Spot]]] = {}
    for number, spot in enumerate(chosen):
        places.setdefault((spot.source, spot.tile), []).append((number, spot))
    of_sets = set_chips.patches(chip_sets, scales, len(sources), places.keys())
    for index, tile, bands, truth in chain(_tiles(sources, names, settings), of_sets):
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
    out[:] = 1
    for number, spot in enumerate(chosen):
        source = sources[spot.source] if spot.source < len(sources) else None
        # a public set has no weights
        if source is None or source.weight is None:
            continue
        tile = source.tiles[spot.tile]
        box = tile.padded(side)
        here = slice(side + spot.row, 2 * side + spot.row), slice(side + spot.col, 2 * side + spot.col)
        out[number] = source.weight(replace(tile, geobox=box[here]))
    out.flush()


def turned(values: Any, symmetry: int) -> Any:
    """Return one of the eight symmetries of the last two axes: quarter turns, then a mirror."""
    turn = np.rot90(values, symmetry % 4, axes=(-2, -1))
    return turn[..., ::-1] if symmetry >= 4 else turn
