"""Lightning module of a network in training, with learning rate schedule and early stop.

Needs torch, numpy and lightning only. `benchmarks/gpu.py` runs it on machines that have nothing else.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, Timer

from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models.training.losses import loss

if TYPE_CHECKING:
    from lsbatch.settings import TrainSettings

#: Fraction of the training in which the learning rate increases.
WARM_UP = 0.3
#: Fraction of the training before which early stopping is off.
SETTLED = 0.5


class Learner(pl.LightningModule):
    """A network with its loss, learning rate schedule and confusion counts.

    Attributes
    ----------
    steps : int
        Optimiser steps of the longest possible training.
    frozen : tuple of nn.Module
        Parts of the network whose weights and batch statistics do not change.
    losses : dict of split to list of Tensor
        Of each batch of the epoch. They stay on the device, because reading one waits for the GPU.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        settings: "TrainSettings",
        positive_weight: float,
        steps: int,
        timer: Timer | None = None,
        frozen: Sequence[torch.nn.Module] = (),
    ) -> None:
        super().__init__()
        # memory_format is documented, but the type stubs of torch lack it
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.settings, self.positive_weight, self.steps, self.timer = settings, positive_weight, steps, timer
        # a tuple: torch would register modules in a ModuleList a second time
        self.frozen = tuple(frozen)
        for part in self.frozen:
            part.requires_grad_(False)
        self.counts = Confusion()
        self.losses: dict[str, list[torch.Tensor]] = {"train": [], "validation": []}

    def _loss(self, batch: Any, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        values, truth, seen = batch
        outputs = self.net(values.contiguous(memory_format=torch.channels_last))
        # a network with deep supervision returns the logits of each level, the finest first
        levels = [a.float() for a in (outputs if isinstance(outputs, list) else [outputs])]
        found = torch.stack([loss(a, truth, seen, self.positive_weight, self.settings.loss) for a in levels]).mean()
        self.losses[name].append(found.detach())
        return found, levels[0]

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        """Compute the loss of one batch."""
        return self._loss(batch, "train")[0]

    def validation_step(self, batch: Any, _: int) -> None:
        """Count hits and misses of one batch at a probability of 0.5."""
        found, logits = self._loss(batch, "validation")
        counts = score_intervals.confusion(
            logits.cpu().numpy() >= 0, batch[1].cpu().numpy() > 0, batch[2].cpu().numpy() > 0
        )
        self.counts += Confusion(*counts)
        del found

    def mean_loss(self, name: str) -> float | None:
        """Return the mean loss of the batches of this epoch on all devices, None if there were none."""
        found = self.losses[name]
        return float(self.trainer.strategy.reduce(torch.stack(found).mean(), reduce_op="mean")) if found else None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Begin an epoch with its first batch; a resumed training skips the hook of the epoch."""
        if batch_idx:
            return
        self.losses["train"] = []
        # dropout depends on seed, epoch and device only, so that a resumed training gives the same weights
        key = [self.settings.seed, 4, self.current_epoch, self.global_rank]
        torch.manual_seed(int(np.random.default_rng(key).integers(2**63)))
        # Lightning sets all modules to training
        for part in self.frozen:
            part.eval()

    def on_validation_epoch_start(self) -> None:
        """Reset the counts; not in `epoch_log.EpochLog`, whose hook runs before this one."""
        self.counts, self.losses["validation"] = Confusion(), []

    def on_validation_epoch_end(self) -> None:
        """Log the values for early stopping and checkpoints; undefined MCC counts as -1."""
        # the mean over the devices: they must agree on when to stop
        self.log("validation_mcc", -1.0 if self.counts.mcc is None else self.counts.mcc, sync_dist=True)

    test_step = validation_step

    # Lightning accepts this dictionary; its own type is an incomplete TypedDict
    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        """Return AdamW with a one-cycle schedule over the longest possible training."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.settings.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(self.progress(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def progress(self, step: int) -> float:
        """Return the finished share of the training, by steps or by time, so that the rate falls before time is up."""
        minutes = self.settings.max_minutes
        if self.timer is None or minutes is None:
            return min(1.0, step / self.steps)
        # one clock for all devices, or their weights would drift apart
        elapsed = self.trainer.strategy.broadcast(self.timer.time_elapsed())
        return min(1.0, max(step / self.steps, elapsed / (60 * minutes)))


def one_cycle(progress: float) -> float:
    """Return the learning rate relative to its peak: up in the first 30 %, then down to 0 (Smith 2018)."""
    if progress < WARM_UP:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


class LateEarlyStopping(EarlyStopping):
    """Early stopping that starts counting after half of the schedule.

    While the learning rate is high the validation score fluctuates: with a patience of 8 epochs from the start, two of
    five trainings of 30 epochs stopped after 9 and 11 epochs, before they had learned anything.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a training that was interrupted after it had stopped early."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count an epoch after half of the schedule."""
        assert isinstance(pl_module, Learner)
        if pl_module.progress(trainer.global_step) >= SETTLED:
            super().on_validation_end(trainer, pl_module)
