"""Learning rate finder: a range test of the learning rate (Smith 2017)."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.tuner.tuning import Tuner

from lsbatch.errors import NoDataError
from lsbatch.models.family import TrainingJob
from lsbatch.models.training import preparation, trainer

#: Range of the test and its number of steps.
LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
#: First steps that are left out: the running mean of the loss begins there.
SKIPPED = 10


def find_rate(job: TrainingJob, progress: Callable[[str], None] = lambda line: None) -> float:
    """Return a learning rate for ``train.learning_rate``; nothing is kept of the test.

    The rate increases exponentially over some steps. The result is the one at which the loss falls fastest.

    Raises
    ------
    NoDataError
        If the loss never falls.
    """
    with tempfile.TemporaryDirectory(prefix="lsbatch-rate-", dir=_existing(job.out.parent)) as folder:
        prepared = preparation.prepare(job, Path(folder), progress)
        loader = preparation.loaders(prepared, job.config, job.config.train)["train"]
        learner = preparation.learner(prepared, job, job.config.train)
        test = trainer.quiet(lambda: _trainer(Path(folder), job))
        found = trainer.quiet(
            lambda: Tuner(test).lr_find(
                learner, loader, min_lr=LOWEST, max_lr=HIGHEST, num_training=STEPS, update_attr=False
            )
        )
    rates, losses = (np.array(found.results[name][SKIPPED:-1], float) for name in ("lr", "loss"))
    return steepest(rates, losses)


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _trainer(folder: Path, job: TrainingJob) -> pl.Trainer:
    # an epoch has at least one step
    settings = job.config.train.model_copy(update={"epochs": STEPS, "log": "csv", "devices": 1})
    return trainer.plain_trainer(folder, settings, [])


def steepest(rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the rate at which the loss falls fastest, by the logarithm of the rate.

    Raises
    ------
    NoDataError
        If it falls nowhere.
    """
    finite = np.isfinite(losses)
    rates, losses = rates[finite], losses[finite]
    if not (np.diff(losses) < 0).any():
        raise NoDataError("the loss falls at no learning rate: none can be suggested; train on more surveys")
    return float(rates[np.argmin(np.gradient(losses, np.log(rates)))])
