"""Training chips as a torch dataset: augmented and normalised."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

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


class ChipSet(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Chips of a split: normalised bands, truth, and the weight of each pixel in the loss.

    The weight is 0 where a band was not observed or the truth is not known, and 1 elsewhere unless the chips have
    weights.
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
        self.dice = np.random.default_rng([seed, 2])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.index[i]
        symmetry, order = self.turns[int(self.dice.integers(len(self.turns)))] if self.turns else (0, slice(None))
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


def loaders(
    chips: Chips, stats: tuple[np.ndarray, np.ndarray], turns: Sequence[Turn], settings: TrainSettings, prepare: Prepare
) -> dict[str, Any]:
    """Return a loader for each split. Only training chips are turned and shuffled."""
    return {
        name: DataLoader(
            ChipSet(chips, name, stats, turns if name == "train" else (), settings.seed, prepare),
            batch_size=settings.batch,
            shuffle=name == "train",
            generator=torch.Generator().manual_seed(settings.seed),
        )
        for name in spatial_split.SPLITS
    }
