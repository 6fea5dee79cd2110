"""The sections of `benchmarks.gpu`: each yields rows of its table.

Needs torch and numpy; lightning for the training, MONAI for the peer.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import gpu_copies
from benchmarks.gpu_setup import (
    MEAN,
    REASONS,
    STD,
    TF32,
    PredictDefaults,
    Row,
    Setup,
    TrainDefaults,
    apart,
    best,
    numbers,
    reason,
)
from lsbatch.models import unet, window_memory

#: Steps of training in a round.
STEPS = {"cuda": 50, "cpu": 1}
#: Number formats of the training; autocast of bfloat16 on a GPU only, as in the program.
TRAINED = {
    "float32": {"cpu": "float32", "cuda": "float32, convolutions with TF32 (torch's default)"},
    "bfloat16": {"cuda": "bfloat16 autocast"},
}
#: Tiles that go through the pipeline of copies in a round, and their side.
TILES, TILE_PX = 6, 2048
#: Windows of MONAI: side, overlap, windows in a batch.
PEERS = ((128, 0.5, 16), (128, 0.25, 16), (512, 0.25, 4))


def exactness(setup: Setup) -> Iterator[Row]:
    """Compare tiles with one pass of the untrimmed network over the whole image."""
    halo, maps = setup.of.halo_px, {}
    # four at least: one window would be the whole image
    most = min(window_memory.most_px(setup.of, PredictDefaults.memory_gb), setup.window_px(setup.side // 2))
    cut = setup.windows(setup.side, most)
    for precision in ("float32", "bfloat16"):
        maps[precision] = setup.tiled(precision, cut)
        with numbers(setup.where, precision):
            whole = unet.probability(setup.network, setup.inputs[None])[0, halo:-halo, halo:-halo]
        what = f"{precision}, windows: {len(cut)}, against the whole image of {setup.side} px"
        yield Row("exactness", what, **apart(maps[precision], whole))
    yield Row("exactness", "bfloat16 against float32", **apart(maps["bfloat16"], maps["float32"]))


def throughput(setup: Setup) -> Iterator[Row]:
    """Time the windows of the default memory, and one window; bands and probabilities stay on the device."""
    truth, default, one = None, setup.windows(setup.side), setup.windows(setup.side, setup.window_px(setup.side))
    for precision in ("float32", *([TF32] if setup.where.type == "cuda" else []), "bfloat16"):
        for cut in (default, one) if len(default) > 1 else (default,):
            found, seconds, peak = best(lambda precision=precision, cut=cut: setup.tiled(precision, cut), setup.where)
            truth = found if truth is None else truth
            what = f"{precision}, windows: {len(cut)}"
            yield Row("inference", what, setup.side**2 / seconds / 1e6, **apart(found, truth), peak_gb=peak)


def compiled(setup: Setup) -> Iterator[Row]:
    """Time the same with torch.compile; what it lacks is the note of a row."""
    cut = setup.windows(setup.side)
    for precision in ("bfloat16", "float32"):
        truth, began = setup.tiled(precision, cut), time.perf_counter()
        try:
            program = torch.compile(setup.network, dynamic=False)
            setup.tiled(precision, cut, program)
            note = f"compiled in {time.perf_counter() - began:.0f} s"
            found, seconds, peak = best(lambda p=program, name=precision: setup.tiled(name, cut, p), setup.where)
        except REASONS as error:
            yield Row("inference, compiled", precision, note=f"not available: {reason(error)}")
            return
        speed = setup.side**2 / seconds / 1e6
        yield Row("inference, compiled", precision, speed, **apart(found, truth), peak_gb=peak, note=note)


def peer(setup: Setup) -> Iterator[Row]:
    """Time MONAI's sliding window with the same network; differences are from the windows of the program."""
    if find_spec("monai") is None:
        yield Row("MONAI", "sliding_window_inference", note="not installed")
        return
    from monai.inferers import sliding_window_inference

    halo = setup.of.halo_px
    image = setup.inputs[None, :, halo:-halo, halo:-halo].contiguous()
    truth = setup.tiled("float32", setup.windows(setup.side))

    def slide(side: int, overlap: float, batch: int, precision: str) -> Tensor:
        with numbers(setup.where, precision):
            return sliding_window_inference(
                image, side, batch, lambda x: unet.probability(setup.network, x)[:, None], overlap, mode="gaussian"
            )[0, 0]

    short = [(*PEERS[0], "bfloat16")] if setup.where.type == "cuda" else []
    for side, overlap, many, precision in (*((*each, "float32") for each in PEERS), *short):
        found, seconds, peak = best(lambda a=(side, overlap, many, precision): slide(*a), setup.where)
        what = f"{precision}, windows of {side} px, overlap {overlap:.0%}, gaussian, batches of {many}"
        yield Row("MONAI", what, setup.side**2 / seconds / 1e6, **apart(found, truth), peak_gb=peak)


def copies(setup: Setup) -> Iterator[Row]:
    """Time tiles from host memory to host memory: as the program does it, and with less or overlapped copying."""
    if setup.where.type != "cuda":
        yield Row("host to host", "copies", note="not measured: a CPU copies nothing")
        return
    side = min(TILE_PX, setup.side)
    read = side + 2 * setup.of.halo_px
    block = (setup.inputs[:, :read, :read] * STD + MEAN).cpu().numpy()
    ways = gpu_copies.ways(setup, [block, block[:, ::-1].copy()] * (TILES // 2), side)
    for precision in ("float32", "bfloat16"):
        truth = None
        for what, run in ways.items():
            found, seconds, peak = best(lambda run=run, precision=precision: run(precision), setup.where)
            maps = torch.from_numpy(np.stack(found))
            truth = maps if truth is None else truth
            yield Row(
                "host to host", f"{precision}, {what}", TILES * side**2 / seconds / 1e6, **apart(maps, truth),
                peak_gb=peak, note=f"{TILES} tiles of {side} px",
            )  # fmt: skip


def training(setup: Setup) -> Iterator[Row]:
    """Time training steps: loss, gradients, AdamW and schedule of the program; the batch lies on the device."""
    # only here: the other sections do without lightning
    from lsbatch.models.training.learner import Learner

    settings, where = TrainDefaults(), setup.where
    shape = (setup.batch, settings.chip_px, settings.chip_px)
    values = torch.randn(shape[0], len(setup.of.bands), *shape[1:], device=where)
    batch = (values, (values[:, 0] > 2).float(), torch.ones(shape, device=where))
    for precision, names in TRAINED.items():
        if where.type not in names:
            yield Row("training", precision, note="not run: on a GPU only")
            continue
        network = unet.UNet(len(setup.of.bands), settings.depth, settings.width, settings.dropout)
        learner = Learner(network, settings, 5.0, 10_000).to(where).train()
        found = learner.configure_optimizers()
        optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]

        def steps(
            learner: Learner = learner, optimizer: Any = optimizer, schedule: Any = schedule, precision: str = precision
        ) -> None:
            for _ in range(STEPS[where.type]):
                optimizer.zero_grad()
                with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    loss = learner.training_step(batch, 0)
                loss.backward()
                optimizer.step()
                schedule.step()

        _, seconds, peak = best(steps, where)
        speed = STEPS[where.type] / seconds
        yield Row(
            "training", names[where.type], speed * setup.batch * settings.chip_px**2 / 1e6, steps_s=speed,
            chips_s=speed * setup.batch, peak_gb=peak, note=f"{setup.batch} chips of {settings.chip_px} px",
        )  # fmt: skip


#: Sections in the order in which they run.
SECTIONS: Mapping[str, Callable[[Setup], Iterator[Row]]] = {
    "exactness": exactness,
    "inference": throughput,
    "training": training,
    "MONAI": peer,
    "host to host": copies,
    "inference, compiled": compiled,
}
