"""Chips as torch reads them: turned, prepared, normalised."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lsbatch.config import TrainSettings
from lsbatch.models import chips as cutting
from lsbatch.models.chips import Chips

#: What a model does to raw bands before they are normalised.
Prepare = Callable[[np.ndarray], np.ndarray]


class ChipSet(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Chips of a split as torch sees them: normalised bands, truth, and where something was observed."""

    def __init__(
        self, chips: Chips, split: str, stats: tuple[np.ndarray, np.ndarray], turn: bool, seed: int, prepare: Prepare
    ) -> None:
        self.chips, self.index, self.turn, self.prepare = chips, chips.of(split), turn, prepare
        self.mean, self.std = (a.astype(np.float32)[:, None, None] for a in stats)
        self.dice = np.random.default_rng([seed, 2])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.index[i]
        symmetry = int(self.dice.integers(8)) if self.turn else 0
        raw, truth = (cutting.turned(a[k], symmetry).copy() for a in (self.chips.values, self.chips.truth))
        # after turning: a hillshade is lit from the north-west, however the ground lies
        values = (self.prepare(raw) - self.mean) / self.std
        seen = np.isfinite(values).all(axis=0)
        out = (np.nan_to_num(values, nan=0.0), truth.astype(np.float32), seen.astype(np.float32))
        return tuple(torch.from_numpy(a) for a in out)  # type: ignore[return-value]


def loaders(
    chips: Chips, stats: tuple[np.ndarray, np.ndarray], turn: bool, settings: TrainSettings, prepare: Prepare
) -> dict[str, Any]:
    """A loader for each split; only training chips are turned and shuffled."""
    return {
        name: DataLoader(
            ChipSet(chips, name, stats, turn and name == "train", settings.seed, prepare),
            batch_size=settings.batch,
            shuffle=name == "train",
            generator=torch.Generator().manual_seed(settings.seed),
        )
        for name in cutting.SPLITS
    }
