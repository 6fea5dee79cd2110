"""Log of a training: a CSV with one row an epoch and its learning curve; for TensorBoard too, if asked for."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from lsbatch.models.training import learning_curve
from lsbatch.models.training.learner import Learner
from lsbatch.storage.files import aside

LOG_FIELDS = ("epoch", "seconds", "train_loss", "validation_loss", "validation_mcc", "validation_f1")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a log."""
    with aside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, LOG_FIELDS)
        writer.writeheader()
        writer.writerows(rows)


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 5)


class EpochLog(Callback):
    """A CSV with one row an epoch, continued by a resumed training, and its learning curve."""

    def __init__(self, path: Path, progress: Callable[[str], None]) -> None:
        self.path, self.progress, self.began = path, progress, time.monotonic()

    def on_validation_epoch_end(self, trainer: pl.Trainer, learner: pl.LightningModule) -> None:
        """Write the row and draw the curve."""
        assert isinstance(learner, Learner)
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch,
            "seconds": round(time.monotonic() - self.began, 1),
            **{f"{name}_loss": _rounded(learner.mean_loss(name)) for name in learner.losses},
            "validation_mcc": _rounded(learner.counts.mcc),
            "validation_f1": _rounded(learner.counts.f1),
        }
        # after the means over all devices
        if not trainer.is_global_zero:
            return
        # rows of this epoch and later ones are of a run that was stopped before its checkpoint
        write(self.path, [*(each for each in read(self.path) if int(each["epoch"]) < row["epoch"]), row])
        if trainer.logger is not None:
            trainer.logger.log_metrics({name: value for name, value in row.items() if value != ""}, row["epoch"])
        self.began = time.monotonic()
        learning_curve.draw(self.path, self.path.with_suffix(".png"))
        self.progress(
            f"epoch {row['epoch']:3d}  loss {row['train_loss']}  validation MCC "
            f"{row['validation_mcc'] or 'undefined'}  {row['seconds']} s"
        )
