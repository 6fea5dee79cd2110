"""Train a network: from chips to weights, with checkpoints, early stop, resume and a log."""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from torch import nn

import lsbatch
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import ensembles, families, unet
from lsbatch.models.cards import Card, save
from lsbatch.models.family import BandStatistics, NetworkRecipe, TrainingJob
from lsbatch.models.training import applicability, calibration, chip_dataset, spatial_split
from lsbatch.models.training import chips as cutting
from lsbatch.models.training.applicability import Described
from lsbatch.models.training.chips import Chips
from lsbatch.models.training.epoch_log import EpochLog
from lsbatch.models.training.learner import LateEarlyStopping, Learner
from lsbatch.settings import Config, TrainSettings, digest
from lsbatch.storage.files import write_json

#: Maximum weight of landslide pixels in the loss; a larger weight makes outlines too wide.
LARGEST_WEIGHT = 10.0
#: Empty file in the folder of a network whose training has ended.
FINISHED = "finished"


def fit(job: TrainingJob, *, resume: bool = True, progress: Callable[[str], None] = lambda line: None) -> Card:
    """Train a network, or the members of an ensemble one after another, and write the weights.

    Parameters
    ----------
    job : TrainingJob
        The folder ``<name>-training`` next to its file of weights has chips, checkpoint, log and curve. The members of
        an ensemble have folders of their own in it.
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
    key = digest([settings, config.model.family, config.inputs, [source.name for source in sources]])
    if not (resume and _key(folder) == key):
        shutil.rmtree(folder, ignore_errors=True)
    recipe = families.of(config).training
    assert isinstance(recipe, NetworkRecipe)
    recipe.check(config)
    chips = cutting.collect(sources, config.inputs, settings, folder, recipe.halo_px(settings))
    write_json(folder / "training.json", {"key": key})
    stats = recipe.statistics(chips)
    share = cutting.landslide_share(chips, "train")
    weight = float(np.clip(np.sqrt((1 - share) / max(share, 1e-9)), 1, LARGEST_WEIGHT))
    counts = {name: len(chips.of(name)) for name in spatial_split.SPLITS}
    progress(
        f"Chips: {', '.join(f'{n} {name}' for name, n in counts.items())}; landslide {share:.2%} of the training pixels"
    )
    nets = [
        _fit_member(recipe, own, chips, stats, weight, *_place(folder, number, settings.members, progress))
        for number, own in enumerate(_members(config))
    ]
    split = spatial_split.describe_split(sources, spatial_split.split_blocks(sources, settings))
    made_by = {"surveys": [source.name for source in sources], "split": split, "learned": job.learned}
    described = applicability.describe(chips, sources, config.inputs, settings.seed)
    if described is None:
        progress("All training chips lie in one block, so the weights cannot tell where they may be believed")
    feeds = _feeds(recipe, config, chips, stats)
    return _finished(nets, folder, out, feeds, stats, recipe, config, counts, made_by, described)


def _members(config: Config) -> Iterator[Config]:
    """Yield the settings of each member of the ensemble: own seeds, and an equal share of the time."""
    settings = config.train
    minutes = None if settings.max_minutes is None else settings.max_minutes / settings.members
    for number in range(settings.members):
        own = settings.model_copy(update={"seed": settings.seed + number, "max_minutes": minutes})
        yield config.model_copy(update={"train": own})


def _place(
    folder: Path, number: int, count: int, progress: Callable[[str], None]
) -> tuple[Path, Callable[[str], None]]:
    """Return the folder of a member and the callback of its progress; of a single network those of the training."""
    if count == 1:
        return folder, progress
    return folder / f"member-{number + 1}", lambda line: progress(f"member {number + 1} of {count}: {line}")


def _feeds(recipe: NetworkRecipe, config: Config, chips: Chips, stats: BandStatistics) -> dict[str, Any]:
    """Return a loader for each split."""
    turns = chip_dataset.turns(config.inputs) if config.train.symmetries else []
    side_m = config.grid.resolution_m
    return chip_dataset.loaders(chips, stats, turns, config.train, lambda raw: recipe.prepare(raw, side_m))


def _fit_member(
    recipe: NetworkRecipe, config: Config, chips: Chips, stats: BandStatistics, weight: float, folder: Path,
    progress: Callable[[str], None],
) -> nn.Module:  # fmt: skip
    """Train one network, unless that has ended, and return it with its best weights in the precision of the file."""
    settings = config.train
    pl.seed_everything(settings.seed, verbose=False)
    net = recipe.build(len(config.inputs), settings)
    if not (folder / FINISHED).exists():
        folder.mkdir(exist_ok=True)
        recipe.pretrain(net, settings)
        feeds = _feeds(recipe, config, chips, stats)
        timer = None if settings.max_minutes is None else Timer(timedelta(minutes=settings.max_minutes), verbose=False)
        learner = Learner(net, settings, weight, max(1, len(feeds["train"])) * settings.epochs + 1, timer)
        trainer = _quiet(lambda: _trainer(folder, settings, timer, progress))
        last = folder / "last.ckpt"
        start = last if last.exists() else None
        _quiet(lambda: trainer.fit(learner, feeds["train"], feeds["validation"], ckpt_path=start, weights_only=True))
        (folder / FINISHED).touch()
    best = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    net.load_state_dict({name.removeprefix("net."): value for name, value in best.items()})
    # half precision halves the file and changes no probability by more than a thousandth (tests/models)
    # memory_format is documented, but the type stubs of torch lack it
    return unet.restore(net, unet.state(net)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


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
    nets: Sequence[nn.Module], folder: Path, out: Path, feeds: dict[str, Any], stats: BandStatistics,
    recipe: NetworkRecipe, config: Config, counts: dict[str, int], made_by: Mapping[str, Any],
    described: Described | None,
) -> Card:  # fmt: skip
    """Score the networks on test blocks, and write them."""
    temperature = calibration.temperature(*_answers(nets, feeds["validation"]))
    found = {name: _counted(nets, temperature, feeds[name]) for name in ("validation", "test")}
    settings = config.train
    known = {
        "settings": settings.model_dump(mode="json"),
        "scores": {"chips": counts, **{name: c.scores() for name, c in found.items()}},
        "temperature": temperature,
        "made_by": {"software": f"lsbatch {lsbatch.__version__}", "torch": torch.__version__, **made_by},
    }
    card = ensembles.described(recipe.card(config, stats, known), len(nets))
    of, cells = described or (None, None)
    card = save(out, ensembles.joined([unet.state(net) for net in nets]), replace(card, applicability=of), cells)
    for name in ("values.npy", "truth.npy"):
        (folder / name).unlink()
    # the next training of this name starts from the beginning
    (folder / "training.json").unlink()
    return card


def _counted(nets: Sequence[nn.Module], temperature: float, loader: Any) -> Confusion:
    """Count hits and misses of the mean probability at 0.5."""
    total = Confusion()
    for logits, truth, seen in _batches(nets, loader):
        # sigmoid(x) is 0.5 + tanh(x / 2) / 2
        called = np.tanh(logits / (2 * temperature)).mean(axis=0) >= 0
        total += Confusion(*score_intervals.confusion(called, truth, seen))
    return total


def _answers(nets: Sequence[nn.Module], loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (members, pixels) and truth (pixels,) of all observed pixels."""
    found = [(logits[:, seen], truth[seen]) for logits, truth, seen in _batches(nets, loader)]
    return tuple(np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def _batches(nets: Sequence[nn.Module], loader: Any) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield logits (members, chips, rows, cols), truth and observed mask (chips, rows, cols), batch by batch."""
    for net in nets:
        net.eval()
    with torch.inference_mode():
        for values, truth, seen in loader:
            yield np.stack([net(values).numpy() for net in nets]), truth.numpy() > 0, seen.numpy() > 0
