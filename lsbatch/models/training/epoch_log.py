"""Log of a training: a CSV with one row an epoch and its learning curve."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from lsbatch.models.training import learning_curve
from lsbatch.models.training.learner import Learner

LOG_FIELDS = ("epoch", "seconds", "train_loss", "validation_loss", "validation_mcc", "validation_f1")


class EpochLog(Callback):
    """A CSV with one row an epoch, continued by a resumed training, and its learning curve."""

    def __init__(self, path: Path, progress: Callable[[str], None]) -> None:
        self.path, self.progress, self.began = path, progress, time.monotonic()

    def on_validation_epoch_end(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Write the row and draw the curve."""
        assert isinstance(learner, Learner)
        counts, losses = learner.counts, learner.losses
        row = {
            "epoch": trainer.current_epoch,
            "seconds": round(time.monotonic() - self.began, 1),
            **{f"{name}_loss": round(float(np.mean(found)), 5) if found else "" for name, found in losses.items()},
            "validation_mcc": "" if counts.mcc is None else round(counts.mcc, 5),
            "validation_f1": "" if counts.f1 is None else round(counts.f1, 5),
        }
        fresh = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, LOG_FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        self.began = time.monotonic()
        learning_curve.draw(self.path, self.path.with_suffix(".png"))
        self.progress(
            f"epoch {row['epoch']:3d}  loss {row['train_loss']}  validation MCC "
            f"{row['validation_mcc'] or 'undefined'}  {row['seconds']} s"
        )
