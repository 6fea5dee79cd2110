"""Train a network: from chips to weights, with checkpoints, early stop, resume and a log."""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, Timer

# Lightning documents this name here, but does not list it in `__all__`
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

import lsbatch
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import families, unet
from lsbatch.models.cards import Card, save
from lsbatch.models.family import BandStatistics, NetworkRecipe, TrainingJob
from lsbatch.models.training import applicability, calibration, chip_dataset, spatial_split
from lsbatch.models.training import chips as cutting
from lsbatch.models.training.applicability import Described
from lsbatch.models.training.epoch_log import EpochLog
from lsbatch.models.training.learner import LateEarlyStopping, Learner
from lsbatch.settings import Config, TrainSettings, digest
from lsbatch.storage.files import write_json

#: Maximum weight of landslide pixels in the loss; a larger weight makes outlines too wide.
LARGEST_WEIGHT = 10.0


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
    sources, config, out = job.sources, job.config, job.out
    settings, folder = config.train, out.with_name(f"{out.stem}-training")
    key = digest([settings, config.model.family, config.inputs, [source.name for source in sources], job.learned])
    if not (resume and _key(folder) == key):
        shutil.rmtree(folder, ignore_errors=True)
    pl.seed_everything(settings.seed, verbose=False)
    recipe = families.of(config).training
    assert isinstance(recipe, NetworkRecipe)
    chips = cutting.collect(sources, config.inputs, settings, folder, recipe.halo_px(settings))
    write_json(folder / "training.json", {"key": key})
    stats = recipe.statistics(chips)
    turns = chip_dataset.turns(config.inputs) if settings.symmetries else []
    side_m = config.grid.resolution_m
    feeds = chip_dataset.loaders(chips, stats, turns, settings, lambda raw: recipe.prepare(raw, side_m))
    net = recipe.build(len(config.inputs), settings)
    share = cutting.landslide_share(chips, "train")
    weight = float(np.clip(np.sqrt((1 - share) / max(share, 1e-9)), 1, LARGEST_WEIGHT))
    timer = None if settings.max_minutes is None else Timer(timedelta(minutes=settings.max_minutes), verbose=False)
    learner = Learner(net, settings, weight, max(1, len(feeds["train"])) * settings.epochs + 1, timer)
    counts = {name: len(chips.of(name)) for name in spatial_split.SPLITS}
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
    split = spatial_split.describe_split(sources, spatial_split.split_blocks(sources, settings))
    made_by = {"surveys": [source.name for source in sources], "split": split, "learned": job.learned, **job.made_by}
    described = applicability.describe(chips, sources, config.inputs, settings.seed)
    if described is None:
        progress("All training chips lie in one block, so the weights cannot tell where they may be believed")
    return _finished(learner, trainer, folder, out, feeds, stats, recipe, config, counts, made_by, described)


def _key(folder: Path) -> str | None:
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
    if timer is not None:
        callbacks.append(timer)
    return pl.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=1,
        precision=_precision(),
        callbacks=callbacks,
        # one process, also in a SLURM job; otherwise Lightning would use the tasks and signals of the job
        plugins=[LightningEnvironment()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _precision() -> Literal["bf16-mixed", "32-true"]:
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
    stats: BandStatistics, recipe: NetworkRecipe, config: Config, counts: dict[str, int], made_by: Mapping[str, Any],
    described: Described | None,
) -> Card:  # fmt: skip
    """Score the best weights on test blocks, and write them."""
    best = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    # half precision halves the file and changes no probability by more than a thousandth (tests/models)
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
    card = recipe.card(config, stats, known)
    of, cells = described or (None, None)
    card = save(out, unet.state(learner.net), replace(card, applicability=of), cells)
    for name in cutting.ARRAYS:
        (folder / name).unlink(missing_ok=True)
    # the next training of this name starts from the beginning
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
