"""Train a network: from chips to weights, with checkpoints, early stop, resume and a log."""

import importlib.util
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, Timer
from pytorch_lightning.loggers import TensorBoardLogger

# Lightning documents this name here, but does not list it in `__all__`
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

from lsbatch.errors import ConfigError
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import cards, unet
from lsbatch.models.cards import Card
from lsbatch.models.family import TrainingJob
from lsbatch.models.training import applicability, calibration, fine_tuning, preparation, processes, spatial_split
from lsbatch.models.training.applicability import Described
from lsbatch.models.training.epoch_log import EpochLog
from lsbatch.models.training.learner import LateEarlyStopping, Learner
from lsbatch.models.training.preparation import Prepared
from lsbatch.settings import TrainSettings, digest
from lsbatch.storage.files import write_json


def fit(job: TrainingJob, *, resume: bool = True, progress: Callable[[str], None] = lambda line: None) -> Card:
    """Train a network and write its weights.

    Parameters
    ----------
    job : TrainingJob
        The folder ``<name>-training`` next to its file of weights has chips, checkpoint, log and curve.
    resume : bool
        Continue an interrupted training of the same settings and surveys.
    progress : callable str -> None

    Returns
    -------
    Card
        With the scores on the validation and test blocks, which were not used for training.
    """
    config, out = job.config, job.out
    settings, folder = config.train, out.with_name(f"{out.stem}-training")
    _check_log(settings)
    key = _key(job)
    if not (resume and _written_key(folder) == key):
        shutil.rmtree(folder, ignore_errors=True)
    timer = None if settings.max_minutes is None else Timer(timedelta(minutes=settings.max_minutes), verbose=False)
    prepared = preparation.prepare(job, folder, timer, progress)
    write_json(folder / "training.json", {"key": key})
    with processes.relayed(progress, processes.count(settings)) as report:
        quiet(lambda: _run(folder, prepared, timer, settings, report))
    described = applicability.describe(prepared.chips, job.sources, config.inputs, settings.seed)
    if described is None:
        progress("All training chips lie in one block, so the weights cannot tell where they may be believed")
    return _finished(job, folder, prepared, described)


def _run(
    folder: Path, prepared: Prepared, timer: Timer | None, settings: TrainSettings, report: Callable[[str], None]
) -> None:
    """Train until the last epoch or an early stop; the best weights are in ``best.ckpt``."""
    last = folder / "last.ckpt"
    _trainer(folder, settings, timer, report).fit(
        prepared.learner,
        prepared.loaders["train"],
        prepared.loaders["validation"],
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )


def _key(job: TrainingJob) -> str:
    """Return the digest of what an interrupted training must share with this one to be continued."""
    config = job.config
    start = [] if job.start is None else [cards.card(job.start).checksum]
    names = [source.name for source in job.sources]
    return digest([config.train, config.model.family, config.inputs, names, *start])


def _written_key(folder: Path) -> str | None:
    path = folder / "training.json"
    return json.loads(path.read_text(encoding="utf-8"))["key"] if path.exists() else None


def _trainer(folder: Path, settings: TrainSettings, timer: Timer | None, progress: Callable[[str], None]) -> pl.Trainer:
    callbacks: list[Callback] = [
        EpochLog(folder / "log.csv", progress),
        LateEarlyStopping("validation_mcc", mode="max", patience=settings.patience),
        ModelCheckpoint(folder, "best", monitor="validation_mcc", mode="max", enable_version_counter=False),
        # a separate checkpoint: `save_last` of the one above follows the best epochs only, so a resumed training would
        # repeat the epochs after the best
        ModelCheckpoint(folder, "last", enable_version_counter=False),
    ]
    return plain_trainer(folder, settings, [*callbacks, *([] if timer is None else [timer])])


def plain_trainer(folder: Path, settings: TrainSettings, callbacks: list[Callback]) -> pl.Trainer:
    """Return Lightning's trainer for these settings, with no other callbacks than these."""
    devices = processes.count(settings)
    return pl.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=devices,
        # spawn: the usual way starts the command again, with its update of STACK
        strategy="auto" if devices == 1 else "ddp_spawn",
        # the order of chips knows the devices, and each device validates on all chips
        use_distributed_sampler=False,
        precision=precision(settings),
        accumulate_grad_batches=settings.accumulate,
        callbacks=callbacks,
        # one process, also in a SLURM job; otherwise Lightning would use the tasks and signals of the job
        plugins=[LightningEnvironment()],
        logger=_logger(folder, settings),
        enable_progress_bar=False,
        enable_model_summary=False,
        # the callbacks write them
        enable_checkpointing=any(isinstance(each, ModelCheckpoint) for each in callbacks),
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _check_log(settings: TrainSettings) -> None:
    if settings.log == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("train.log = tensorboard: needs the package tensorboard; pip install 'lsbatch[tensorboard]'")


def _logger(folder: Path, settings: TrainSettings) -> TensorBoardLogger | Literal[False]:
    if settings.log == "csv":
        # written by `EpochLog` in any case
        return False
    return TensorBoardLogger(folder, name="tensorboard", version="")


def precision(settings: TrainSettings) -> Literal["bf16-mixed", "32-true"]:
    """Return the number format as Lightning names it.

    By default bfloat16 if the hardware multiplies it (GPU, or CPU with AMX: 2.4 times the chips a second of float32).
    """
    if settings.precision != "auto":
        return "bf16-mixed" if settings.precision == "bfloat16" else "32-true"
    if torch.cuda.is_available() or torch.cpu._is_amx_tile_supported():
        return "bf16-mixed"
    return "32-true"


def quiet(work: Callable[[], Any]) -> Any:
    """Silence the notices that Lightning prints on every run."""
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # on a login node
            warnings.filterwarnings("ignore", message="The `srun` command is available on your system but is not used")
            return work()
    finally:
        logger.setLevel(before)


def _finished(job: TrainingJob, folder: Path, prepared: Prepared, described: Described | None) -> Card:
    """Score the best weights on test blocks, and write them."""
    learner, loaders, config = prepared.learner, prepared.loaders, job.config
    best = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    # half precision halves the file and changes no probability by more than a thousandth (tests/models)
    half = {k: v.half().float() if v.is_floating_point() else v for k, v in best.items()}
    learner.load_state_dict(half)
    found = {name: _counted(learner, loaders[name]) for name in ("validation", "test")}
    temperature = calibration.temperature(*_answers(learner, loaders["validation"]))
    learner.load_state_dict(best)
    chips = preparation.counts(prepared.chips)
    known = {
        "settings": config.train.model_dump(),
        "scores": {"chips": chips, **{name: c.scores() for name, c in found.items()}},
        "temperature": temperature,
        "made_by": _made_by(job, learner),
    }
    card = prepared.recipe.card(config, prepared.statistics, known)
    of, cells = described or (None, None)
    card = cards.save(job.out, unet.state(learner.net), replace(card, applicability=of), cells)
    for name in ("values.npy", "truth.npy"):
        (folder / name).unlink()
    # the next training of this name starts from the beginning
    (folder / "training.json").unlink()
    return card


def _made_by(job: TrainingJob, learner: Learner) -> dict[str, Any]:
    split = spatial_split.split_blocks(job.sources, job.config.train)
    return {
        **spatial_split.made_by(job.sources, job.learned, split),
        "torch": torch.__version__,
        "positive_weight": learner.positive_weight,
        **fine_tuning.made_by(job.start, job.config),
    }


def _counted(learner: Learner, loader: Any) -> Confusion:
    total = Confusion()
    for logits, truth, seen in _batches(learner, loader):
        total += Confusion(*score_intervals.confusion(logits >= 0, truth, seen))
    return total


def _answers(learner: Learner, loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and truth of all observed pixels."""
    found = [(logits[seen], truth[seen]) for logits, truth, seen in _batches(learner, loader)]
    logits, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return logits, truth


def _batches(learner: Learner, loader: Any) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield logits, truth and observed mask, batch by batch."""
    learner.eval()
    with torch.inference_mode():
        for values, truth, seen in loader:
            yield learner.net(values).numpy(), truth.numpy() > 0, seen.numpy() > 0
