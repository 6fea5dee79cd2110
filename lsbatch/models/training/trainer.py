"""Train a network: from chips to weights, with checkpoints, early stop, resume and a log."""

import csv
import json
import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, Timer
from pytorch_lightning.plugins.environments import LightningEnvironment

import lsbatch
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import prakash, unet
from lsbatch.models.cards import Card, save
from lsbatch.models.training import calibration, chip_dataset, learning_curve
from lsbatch.models.training import chips as cutting
from lsbatch.models.training.chips import Source
from lsbatch.models.training.losses import loss
from lsbatch.settings import Config, TrainSettings, digest
from lsbatch.storage.files import write_json

__all__ = ["Source", "fit"]

#: More weight than this on the few landslide pixels makes the outlines fat.
LARGEST_WEIGHT = 10.0
#: Share of the training in which the learning rate rises.
WARM_UP = 0.3
#: Share after which a score that does not rise means something.
SETTLED = 0.5
LOG_FIELDS = ("epoch", "seconds", "train_loss", "validation_loss", "validation_mcc", "validation_f1")


class Learner(pl.LightningModule):
    """The network with its loss, schedule and counts."""

    def __init__(
        self,
        net: torch.nn.Module,
        settings: TrainSettings,
        positive_weight: float,
        steps: int,
        timer: Timer | None = None,
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.settings, self.positive_weight, self.steps, self.timer = settings, positive_weight, steps, timer
        self.counts = Confusion()
        self.losses: dict[str, list[float]] = {"train": [], "validation": []}

    def _loss(self, batch: Any, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        values, truth, seen = batch
        answers = self.net(values.contiguous(memory_format=torch.channels_last))
        # a network with deep supervision gives the answer of each level, the finest first
        levels = [a.float() for a in (answers if isinstance(answers, list) else [answers])]
        found = torch.stack([loss(a, truth, seen, self.positive_weight, self.settings.loss) for a in levels]).mean()
        self.losses[name].append(float(found.detach()))
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

    def on_train_epoch_start(self) -> None:
        """Reset the mean loss."""
        self.losses["train"] = []

    def on_validation_epoch_start(self) -> None:
        """Reset the counts; not in `Log`, whose hook runs before this one."""
        self.counts, self.losses["validation"] = Confusion(), []

    def on_validation_epoch_end(self) -> None:
        """Log the values for early stopping and checkpoints; undefined MCC counts as -1."""
        self.log("validation_mcc", -1.0 if self.counts.mcc is None else self.counts.mcc)

    test_step = validation_step

    def configure_optimizers(self) -> dict[str, Any]:
        """Return AdamW with a one-cycle schedule over the longest possible training."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.settings.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(self.progress(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def progress(self, step: int) -> float:
        """Return the finished share of the training, by steps or by time, so that the rate falls before time is up."""
        minutes = self.settings.max_minutes
        clock = 0.0 if self.timer is None or minutes is None else self.timer.time_elapsed() / (60 * minutes)
        return min(1.0, max(step / self.steps, clock))


def one_cycle(progress: float) -> float:
    """Return the learning rate relative to its peak: up in the first 30 %, then down to 0 (Smith 2018)."""
    if progress < WARM_UP:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


class Patience(EarlyStopping):
    """Early stopping that starts counting after half of the schedule.

    While the learning rate is high the validation score jumps up and down: with a patience of 8 epochs from the start,
    two of five trainings of 30 epochs stopped after 9 and 11, having learned nothing.
    """

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count an epoch after half of the schedule."""
        assert isinstance(pl_module, Learner)
        if pl_module.progress(trainer.global_step) >= SETTLED:
            super().on_validation_end(trainer, pl_module)


class Log(Callback):
    """A CSV with one row an epoch, continued by a resumed training, and its learning curve."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path, self.say, self.began = path, say, time.monotonic()

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
        self.say(
            f"epoch {row['epoch']:3d}  loss {row['train_loss']}  validation MCC {row['validation_mcc'] or 'undefined'}  {row['seconds']} s"
        )


def fit(
    sources: list[Source], config: Config, out: Path, resume: bool = True, progress: Callable[[str], None] = lambda line: None,
    known: Mapping[str, Any] | None = None,
) -> Card:  # fmt: skip
    """Train on surveys and write weights.

    Parameters
    ----------
    sources : list of Source
    config : Config
        Its `train` and its band setting rule.
    out : Path
        File of weights; beside it a folder ``<name>-training`` keeps chips, checkpoint, log and curve.
    resume : bool
        Go on with an interrupted training of the same settings and surveys.
    progress : callable str -> None
    known : mapping, optional
        Written into the card's `made_by`.

    Returns
    -------
    Card
        With the scores on the validation and test blocks, which were never trained on.
    """
    settings, folder = config.train, out.with_name(f"{out.stem}-training")
    key = digest([settings, config.model.family, config.inputs, [source.name for source in sources]])
    if not (resume and _key(folder) == key):
        shutil.rmtree(folder, ignore_errors=True)
    pl.seed_everything(settings.seed, verbose=False)
    own = config.model.family == "prakash"
    halo_px = prakash.HALO_PX if own else unet.halo_px(settings.depth)
    chips = cutting.collect(sources, config.inputs, settings, folder, halo_px)
    write_json(folder / "training.json", {"key": key})
    stats = (np.array(prakash.MEANS), np.array(prakash.STDS)) if own else cutting.statistics(chips)
    turns = chip_dataset.turns(config.inputs) if settings.symmetries else []
    side_m = config.grid.resolution_m
    feeds = chip_dataset.loaders(
        chips, stats, turns, settings, (lambda raw: prakash.prepared(raw, side_m)) if own else (lambda raw: raw)
    )
    net = (
        prakash.build(settings)
        if own
        else unet.UNet(len(config.inputs), settings.depth, settings.width, settings.dropout)
    )
    share = float(np.mean([chips.truth[i].mean() for i in chips.of("train")]))
    weight = float(np.clip(np.sqrt((1 - share) / max(share, 1e-9)), 1, LARGEST_WEIGHT))
    timer = None if settings.max_minutes is None else Timer(timedelta(minutes=settings.max_minutes), verbose=False)
    learner = Learner(net, settings, weight, max(1, len(feeds["train"])) * settings.epochs + 1, timer)
    counts = {name: len(chips.of(name)) for name in cutting.SPLITS}
    progress(
        f"Chips: {', '.join(f'{n} {name}' for name, n in counts.items())}; landslide {share:.2%} of the training pixels"
    )
    trainer = _quiet(lambda: _trainer(folder, settings, timer, progress))
    last = folder / "last.ckpt"
    _quiet(
        lambda: trainer.fit(
            learner, feeds["train"], feeds["validation"], ckpt_path=last if last.exists() else None, weights_only=True
        )
    )
    split = cutting.told(sources, cutting.deal(sources, settings))
    made_by = {"surveys": [source.name for source in sources], "split": split, **(known or {})}
    return _finished(learner, trainer, folder, out, feeds, stats, config, counts, made_by)


def _key(folder: Path) -> str | None:
    path = folder / "training.json"
    return json.loads(path.read_text(encoding="utf-8"))["key"] if path.exists() else None


def _trainer(folder: Path, settings: TrainSettings, timer: Timer | None, progress: Callable[[str], None]) -> pl.Trainer:
    callbacks: list[Callback] = [
        Log(folder / "log.csv", progress),
        Patience("validation_mcc", mode="max", patience=settings.patience),
        ModelCheckpoint(folder, "best", monitor="validation_mcc", mode="max", enable_version_counter=False),
        # by itself: `save_last` of the one above follows the best epochs only, and a resumed training would repeat the rest
        ModelCheckpoint(folder, "last", enable_version_counter=False),
    ]
    if timer is not None:
        callbacks.append(timer)
    return pl.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=1,
        precision=_precision(),
        callbacks=callbacks,
        # one process, also in a job of SLURM, whose tasks and signals Lightning would take for its own
        plugins=[LightningEnvironment()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _precision() -> str:
    """Return bfloat16 if the hardware multiplies it (GPU, or CPU with AMX: 2.4 times the chips a second of float32)."""
    if torch.cuda.is_available() or torch.cpu._is_amx_tile_supported():
        return "bf16-mixed"
    return "32-true"


def _quiet(work: Callable[[], Any]) -> Any:
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


def _finished(
    learner: Learner, trainer: pl.Trainer, folder: Path, out: Path, feeds: dict[str, Any],
    stats: tuple[np.ndarray, np.ndarray], config: Config, counts: dict[str, int], made_by: Mapping[str, Any],
) -> Card:  # fmt: skip
    """Score the best weights on test blocks, and write them."""
    best = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    # half precision halves the file and moves no probability by more than a thousandth (tests/models)
    half = {k: v.half().float() if v.is_floating_point() else v for k, v in best.items()}
    learner.load_state_dict(half)
    found = {name: _counted(learner, feeds[name]) for name in ("validation", "test")}
    temperature = calibration.temperature(*_answers(learner, feeds["validation"]))
    learner.load_state_dict(best)
    settings = config.train
    known = {
        "settings": settings.model_dump(),
        "scores": {"chips": counts, **{name: c.scores() for name, c in found.items()}},
        "temperature": temperature,
        "made_by": {"software": f"lsbatch {lsbatch.__version__}", "torch": torch.__version__, **made_by},
    }
    if config.model.family == "prakash":
        card = prakash.card(config.grid.resolution_m, settings.width, settings.dropout, **known)
    else:
        means, stds = (tuple(a.tolist()) for a in stats)
        card = unet.card(
            config.inputs, settings.depth, settings.width, settings.dropout, means=means, stds=stds, **known
        )
    card = save(out, unet.state(learner.net), card)
    for name in ("values.npy", "truth.npy"):
        (folder / name).unlink()
    # the next training under this name starts anew
    (folder / "training.json").unlink()
    del trainer
    return card


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
