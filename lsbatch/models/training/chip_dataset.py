"""Training chips as a torch dataset: augmented and normalised."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, Sampler

from lsbatch.bands import knows_look_direction, mirrored
from lsbatch.models.training import chips as cutting
from lsbatch.models.training import spatial_split
from lsbatch.models.training.chips import Chips
from lsbatch.settings import TrainSettings

#: Preprocessing of raw bands by a model before normalisation.
Prepare = Callable[[np.ndarray], np.ndarray]
#: A symmetry of `chips.turned`, and the index of each band of the turned image in the original.
Turn = tuple[int, tuple[int, ...]]


def turns(names: tuple[str, ...]) -> list[Turn]:
    """Return the symmetries for chips: all eight, or at most east-west if a band depends on the look direction."""
    straight = tuple(range(len(names)))
    if not knows_look_direction(names):
        return [(k, straight) for k in range(8)]
    swapped = mirrored(names)
    return [(0, straight)] if swapped is None else [(0, straight), (4, swapped)]


class EpochOrder(Sampler[int]):
    """Numbers for `ChipSet` in the order of an epoch: a function of seed and epoch, so that a training can resume.

    Lightning calls `set_epoch` before each epoch. If a training has several processes, each gets its part of the order,
    all of the same length: some chips are then used twice.
    """

    def __init__(self, chips: int, seed: int) -> None:
        self.chips, self.seed, self.epoch = chips, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.chips // _processes()[1])

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, 3, self.epoch]).permutation(self.chips)
        rank, processes = _processes()
        part = np.resize(order, len(self) * processes)[rank::processes]
        yield from (self.epoch * self.chips + part).tolist()


def _processes() -> tuple[int, int]:
    """Return the number of this process of a training, and how many there are."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


class ChipSet(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Chips of a split: normalised bands, truth, and the weight of each pixel in the loss.

    Number `epoch * chips + place` is a chip as it is turned in that epoch. The weight is 0 where a band was not
    observed or the truth is not known, and 1 elsewhere unless the chips have weights.
    """

    def __init__(
        self,
        chips: Chips,
        split: str,
        stats: tuple[np.ndarray, np.ndarray],
        turns: Sequence[Turn],
        seed: int,
        prepare: Prepare,
    ) -> None:
        self.chips, self.index, self.turns, self.prepare = chips, chips.of(split), turns, prepare
        self.mean, self.std = (a.astype(np.float32)[:, None, None] for a in stats)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.index[number % len(self)]
        symmetry, order = self._turn(number)
        raw, truth = (
            cutting.turned(a, symmetry).copy() for a in (self.chips.values[k][order, ...], self.chips.truth[k])
        )
        # after turning: a hillshade is always lit from the north-west
        values = (self.prepare(raw) - self.mean) / self.std
        seen = np.isfinite(values).all(axis=0) & (truth != spatial_split.UNKNOWN)
        weight = seen.astype(np.float32)
        if self.chips.weight is not None:
            weight *= cutting.turned(self.chips.weight[k], symmetry)
        out = (np.nan_to_num(values, nan=0.0), (truth == 1).astype(np.float32), weight)
        return tuple(torch.from_numpy(a) for a in out)  # type: ignore[return-value]

    def _turn(self, number: int) -> tuple[int, tuple[int, ...] | slice]:
        """Return the turn of a number, which depends on nothing else but the seed."""
        if not self.turns:
            return 0, slice(None)
        return self.turns[int(np.random.default_rng([self.seed, 2, number]).integers(len(self.turns)))]


def loaders(
    chips: Chips, stats: tuple[np.ndarray, np.ndarray], turns: Sequence[Turn], settings: TrainSettings, prepare: Prepare
) -> dict[str, Any]:
    """Return a loader for each split. Only training chips are turned and shuffled."""
    sets = {
        name: ChipSet(chips, name, stats, turns if name == "train" else (), settings.seed, prepare)
        for name in spatial_split.SPLITS
    }
    return {
        name: DataLoader(
            found,
            batch_size=settings.batch,
            sampler=EpochOrder(len(found), settings.seed) if name == "train" else None,
        )
        for name, found in sets.items()
    }
