"""Network, image, settings and timing that the sections of `benchmarks.gpu` share. Needs torch and numpy."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lsbatch.bands import BAND_SETTINGS
from lsbatch.kernels import inference_windows
from lsbatch.models import devices, tiled_inference, unet, window_memory
from lsbatch.models.model_card import Card

#: Rounds after the one that is not counted, and seconds after which no further round begins.
ROUNDS, ENOUGH_S = 3, 10.0
#: Share of the free GPU memory that the pass over the whole image may take.
MEMORY_SHARE = 0.7
#: Mean and standard deviation of the noise before normalisation.
MEAN, STD = 0.5, 2.0
TF32 = "float32, TF32"
#: What torch raises if a library, a compiler or memory is missing; dynamo's own errors are kinds of RuntimeError.
REASONS = (RuntimeError, ImportError, OSError, subprocess.SubprocessError)
Windows = tuple[inference_windows.Window, ...]


@dataclass(frozen=True)
class Row:
    """A line of the table; None: does not apply."""

    section: str
    what: str
    mpx_s: float | None = None
    difference: float | None = None
    mean: float | None = None
    steps_s: float | None = None
    chips_s: float | None = None
    peak_gb: float | None = None
    note: str = ""


@dataclass(frozen=True)
class PredictDefaults:
    """`settings.PredictSettings`, which needs pydantic; a test compares the defaults."""

    precision: str = "float32"
    tiling: str = "exact"
    memory_gb: float = 1.0


@dataclass(frozen=True)
class TrainDefaults:
    """`settings.TrainSettings`, which needs pydantic; a test compares the defaults."""

    depth: int = 4
    width: int = 16
    dropout: float = 0.1
    loss: str = "dice_bce"
    batch: int = 32
    chip_px: int = 128
    learning_rate: float = 4e-3
    max_minutes: float | None = None


@dataclass(frozen=True)
class Setup:
    """What all sections share.

    Attributes
    ----------
    where : torch.device
    side, batch : int
        Of the image, in pixels; of a training step, in chips.
    of : Card
    network : UNet
        For prediction, on the device.
    inputs : Tensor (bands, side + 2 halo, side + 2 halo)
        Normalised noise on the device.
    """

    where: torch.device
    side: int
    batch: int
    of: Card
    network: unet.UNet
    inputs: Tensor

    @classmethod
    def of_device(cls, where: torch.device, side: int, batch: int) -> "Setup":
        """Make network and image; the image is smaller if one pass over it would not fit in the memory of the GPU."""
        train, bands = TrainDefaults(), BAND_SETTINGS["s1_s2_dem"]
        spread = {"means": (MEAN,) * len(bands), "stds": (STD,) * len(bands)}
        of = unet.card(bands, train.depth, train.width, train.dropout, **spread)
        side = fitting_side(of, where, side)
        # memory_format is documented, but the type stubs of torch lack it
        network = random_network(of).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        dice = torch.Generator(where).manual_seed(0)
        inputs = torch.randn(len(bands), *[side + 2 * of.halo_px] * 2, generator=dice, device=where)
        return cls(where, side, batch, of, network, inputs)

    def window_px(self, kept_px: int) -> int:
        """Return the pixels of a square window that keeps so many on a side."""
        return (kept_px + 2 * self.of.halo_px) ** 2

    def windows(self, side: int, most_px: int | None = None) -> Windows:
        """Return the windows of a square block; without `most_px` those of the default memory."""
        most = most_px or window_memory.most_px(self.of, PredictDefaults.memory_gb)
        return inference_windows.exact((side, side), self.of.halo_px, self.of.lattice_px, most)

    def tiled(self, precision: str, cut: Windows, network: nn.Module | None = None) -> Tensor:
        """Return the probability of the image by the windows of the program."""
        with numbers(self.where, precision), devices.kept_memory(self.where):
            return tiled_inference.exact(
                self.network if network is None else network, self.inputs, self.of.halo_px, cut
            )


def fitting_side(of: Card, where: torch.device, side: int) -> int:
    """Return the side of the image, or the largest that fits in the memory of the GPU."""
    cell = of.lattice_px
    if where.type == "cuda":
        # the network's own arrays, and the bands twice: as they come and as channels last
        held = 4 * (window_memory.HELD * of.network["width"] + 2 * len(of.bands))
        most = int((MEMORY_SHARE * torch.cuda.mem_get_info()[0] / held) ** 0.5) - 2 * of.halo_px
        side = min(side, most)
    return max(cell, side // cell * cell)


def random_network(of: Card) -> unet.UNet:
    """Return a network with random weights for prediction; batch norm has the statistics of noise.

    Without those the logits hardly differ from pixel to pixel, and so would not the precisions.
    """
    torch.manual_seed(0)
    network = unet.structure(of).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(8, len(of.bands), 128, 128))
    return unet.fused(network)


@contextmanager
def numbers(where: torch.device, precision: str) -> Iterator[None]:
    """Set the precision as the program does, or float32 with TF32."""
    tf32 = precision == TF32
    with (
        devices.numbers(where, "float32" if tf32 else precision),
        torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=tf32),
    ):
        yield


def synchronise(where: torch.device) -> None:
    """Wait for the GPU."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def best(call: Callable[[], Any], where: torch.device) -> tuple[Any, float, float | None]:
    """Return the result, the seconds of the best round after the first, and the peak of GPU memory in GB."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    found, seconds, began = call(), np.inf, time.perf_counter()
    for _ in range(ROUNDS):
        synchronise(where)
        start = time.perf_counter()
        found = call()
        synchronise(where)
        seconds = min(seconds, time.perf_counter() - start)
        if time.perf_counter() - began > ENOUGH_S:
            break
    return found, seconds, torch.cuda.max_memory_allocated(where) / 1e9 if where.type == "cuda" else None


def apart(one: Tensor, other: Tensor) -> dict[str, float]:
    """Return the largest and the mean difference of two maps."""
    difference = (one - other).abs()
    return {"difference": float(difference.max()), "mean": float(difference.mean())}


def reason(error: BaseException) -> str:
    """Return the kind of an error and its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
