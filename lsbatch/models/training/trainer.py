"""Train a network: from chips to weights, with checkpoints, early stop, resume and a log."""

import importlib.util
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from torch import nn

from lsbatch.errors import ConfigError
from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import cards, ensembles, unet
from lsbatch.models.cards import Card
from lsbatch.models.family import TrainingJob
from lsbatch.models.training import applicability, calibration, fine_tuning, preparation, processes, spatial_split
from lsbatch.models.training import chips as cutting
from lsbatch.models.training.applicability import Described
from lsbatch.models.training.epoch_log import EpochLog
from lsbatch.models.training.learner import LateEarlyStopping
from lsbatch.models.training.preparation import Prepared
from lsbatch.settings import TrainSettings, digest
from lsbatch.storage.files import write_json

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
    config, out = job.config, job.out
    settings, folder = config.train, out.with_name(f"{out.stem}-training")
    _check_log(settings)
    key = _key(job)
    if not (resume and _written_key(folder) == key):
        shutil.rmtree(folder, ignore_errors=True)
    prepared = preparation.prepare(job, folder, progress)
    write_json(folder / "training.json", {"key": key})
    networks = [
        _fit_member(job, prepared, own, number, *_place(folder, number, settings.members, progress))
        for number, own in enumerate(_members(settings))
    ]
    described = applicability.describe(prepared.chips, job.sources, config.inputs, settings.seed, job.chip_sets)
    if described is None:
        progress("All training chips lie in one block, so the weights cannot tell where they may be believed")
    return _finished(job, folder, prepared, networks, described)


def _members(settings: TrainSettings) -> Iterator[TrainSettings]:
    """Yield the settings of each member of the ensemble: own seeds, and an equal share of the time."""
    minutes = None if settings.max_minutes is None else settings.max_minutes / settings.members
    for number in range(settings.members):
        yield settings.model_copy(update={"seed": settings.seed + number, "max_minutes": minutes})


def _place(
    folder: Path, number: int, count: int, progress: Callable[[str], None]
) -> tuple[Path, Callable[[str], None]]:
    """Return the folder of a member and the callback of its progress; of a single network those of the training."""
    if count == 1:
        return folder, progress
    return folder / f"member-{number + 1}", lambda line: progress(f"member {number + 1} of {count}: {line}")


def _fit_member(
    job: TrainingJob, prepared: Prepared, settings: TrainSettings, number: int, folder: Path,
    progress: Callable[[str], None],
) -> nn.Module:  # fmt: skip
    """Train one network, unless that has ended, and return it with its best weights in the precision of the file."""
    if not (folder / FINISHED).exists():
        folder.mkdir(exist_ok=True)
        with processes.relayed(progress, processes.count(settings)) as report:
            quiet(lambda: _run(job, prepared, settings, number, folder, report))
        (folder / FINISHED).touch()
    network = prepared.recipe.build(len(job.config.inputs), settings)
    best = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("net."): value for name, value in best.items()})
    # half precision halves the file and changes no probability by more than a thousandth (tests/models)
    # memory_format is documented, but the type stubs of torch lack it
    return unet.restore(network, unet.state(network)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _run(
    job: TrainingJob, prepared: Prepared, settings: TrainSettings, number: int, folder: Path,
    report: Callable[[str], None],
) -> None:  # fmt: skip
    """Train until the last epoch or an early stop; the best weights are in ``best.ckpt``."""
    timer = None if settings.max_minutes is None else Timer(timedelta(minutes=settings.max_minutes), verbose=False)
    loaders, last = preparation.loaders(prepared, job.config, settings), folder / "last.ckpt"
    _trainer(folder, settings, timer, report).fit(
        preparation.learner(prepared, job, settings, number, timer),
        loaders["train"],
        loaders["validation"],
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )


def _key(job: TrainingJob) -> str:
    """Return the digest of what an interrupted training must share with this one to be continued."""
    config = job.config
    names = [source.name for source in job.sources]
    start = [] if job.start is None else [cards.card(job.start).checksum]
    return digest([config.train, config.model.family, config.inputs, names, job.learned, *start])


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


def _finished(
    job: TrainingJob, folder: Path, prepared: Prepared, networks: Sequence[nn.Module], described: Described | None
) -> Card:
    """Score the networks on test blocks, and write them."""
    config = job.config
    loaders = preparation.loaders(prepared, config, config.train)
    temperature = calibration.temperature(*_answers(networks, loaders["validation"]))
    found = {name: _counted(networks, temperature, loaders[name]) for name in ("validation", "test")}
    chips = preparation.counts(prepared.chips)
    known = {
        "settings": config.train.model_dump(mode="json"),
        "scores": {"chips": chips, **found},
        "temperature": temperature,
        "made_by": _made_by(job, prepared),
    }
    card = ensembles.described(prepared.recipe.card(config, prepared.statistics, known), len(networks))
    of, cells = described or (None, None)
    arrays = ensembles.joined([unet.state(network) for network in networks])
    card = cards.save(job.out, arrays, replace(card, applicability=of), cells)
    for name in cutting.ARRAYS:
        (folder / name).unlink(missing_ok=True)
    # the next training of this name starts from the beginning
    (folder / "training.json").unlink()
    return card


def _made_by(job: TrainingJob, prepared: Prepared) -> dict[str, Any]:
    chips = prepared.chips
    split = spatial_split.split_blocks(job.sources, job.config.train) if job.sources else None
    return {
        **spatial_split.made_by(job.sources, job.learned, split),
        "torch": torch.__version__,
        "positive_weight": prepared.positive_weight,
        **({"chip_sets": list(chips.sets), "units": chips.units} if chips.sets else {}),
        **fine_tuning.made_by(job.start, job.config),
        **job.made_by,
    }


def _counted(nets: Sequence[nn.Module], temperature: float, loader: Any) -> dict[str, Any]:
    """Return counts and scores at a mean probability of 0.5, and the counts of each block, for intervals."""
    blocks: dict[tuple[int, ...], Confusion] = {}
    places = iter(loader.dataset.chips.blocks[loader.dataset.index])
    for logits, truth, seen in _batches(nets, loader):
        # sigmoid(x) is 0.5 + tanh(x / 2) / 2
        called = np.tanh(logits / (2 * temperature)).mean(axis=0) >= 0
        for chip in zip(called, truth, seen, strict=True):
            place = tuple(map(int, next(places)))
            blocks[place] = blocks.get(place, Confusion()) + Confusion(*score_intervals.confusion(*chip))
    total = sum(blocks.values(), Confusion())
    return {**total.scores(), "blocks": [[each.tp, each.fp, each.fn, each.tn] for each in blocks.values()]}


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
