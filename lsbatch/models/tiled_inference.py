"""Predict a block with networks window by window: exact (a U-Net), or blended as in the paper.

Needs torch and numpy only. `benchmarks/gpu.py` runs it on machines that have nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lsbatch.kernels import inference_windows
from lsbatch.models import devices, unet
from lsbatch.models.model_card import Card
from lsbatch.models.window_memory import most_px

if TYPE_CHECKING:
    from lsbatch.settings import PredictSettings

#: Mirrored axes: none, columns, rows, both.
FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
#: Windows of 128 px in a batch of `blend`; always the same number, so that results do not depend on the batch.
BLEND_BATCH = 16


def answer(
    network: nn.Module, of: Card, block: np.ndarray, carried_px: int, predict: "PredictSettings", seen: np.ndarray
) -> np.ndarray:
    """Return the probability in the core of a block (bands, rows + 2 carried, cols + 2 carried), (rows, cols) float32.

    It is computed on the device of the network. Where the core is not `seen` (rows, cols) it is undefined: windows
    without a seen pixel are not computed.
    """
    return _evaluation(network, of, block, carried_px, predict, seen)(network, ())


def answers(
    networks: Sequence[nn.Module],
    of: Card,
    block: np.ndarray,
    carried_px: int,
    predict: "PredictSettings",
    seen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return mean and standard deviation of the probability over networks and mirror images; otherwise as `answer`.

    Windows are mirrored, not tiles, so that tiles still equal the whole. The standard deviation is None with one
    network and without ``predict.flips``.
    """
    one = _evaluation(networks[0], of, block, carried_px, predict, seen)
    cases = [(network, flip) for network in networks for flip in (FLIPS if predict.flips else FLIPS[:1])]
    if len(cases) == 1:
        return one(*cases[0]), None
    return mean_and_spread(one(network, flip) for network, flip in cases)


def mean_and_spread(found: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of arrays of one shape.

    The arrays are read one at a time, so that memory does not grow with their number. Sums are of differences from the
    first one, so that the standard deviation of small differences is not lost in rounding.
    """
    rest = iter(found)
    first = next(rest)
    total, apart, squares, count = first.copy(), np.zeros_like(first), np.zeros_like(first), 1
    for each in rest:
        total += each
        apart += each - first
        squares += np.square(each - first)
        count += 1
    variance = squares / count - np.square(apart / count)
    return total / count, np.sqrt(np.maximum(variance, 0))


def _evaluation(
    network: nn.Module, of: Card, block: np.ndarray, carried_px: int, predict: "PredictSettings", seen: np.ndarray
) -> Callable[[nn.Module, tuple[int, ...]], np.ndarray]:
    """Return a function of a network, on the device of `network`, and mirrored axes that predicts the core."""
    where = next(network.parameters()).device
    needed = of.halo_px if predict.tiling == "exact" else inference_windows.blend_px()
    if carried_px < needed:
        raise ValueError(f"the block has a halo of {carried_px} px, {needed} px are needed")
    spare = carried_px - needed
    rows, cols = (size - spare for size in block.shape[1:])
    inputs = torch.from_numpy(unet.normalised(block[:, spare:rows, spare:cols], of.means, of.stds)).to(where)
    if predict.tiling == "exact":
        cut = inference_windows.exact(seen.shape, of.halo_px, of.lattice_px, most_px(of, predict.memory_gb), seen)
    else:
        cut = inference_windows.blend(seen.shape, seen=seen)

    def one(network: nn.Module, flip: tuple[int, ...]) -> np.ndarray:
        with devices.numbers(where, predict.precision), devices.kept_memory(where):
            if predict.tiling == "exact":
                return exact(network, inputs, of.halo_px, cut, flip).cpu().numpy()
            return _blended(network, inputs, cut, flip)

    return one


def exact(
    network: nn.Module,
    inputs: Tensor,
    halo_px: int,
    cut: Sequence[inference_windows.Window],
    flip: tuple[int, ...] = (),
) -> Tensor:
    """Return the probability in the core of normalised bands (bands, rows + 2 halo, cols + 2 halo), on their device.

    `cut` are windows of `inference_windows.exact`. The result is 0 where no window was computed.
    """
    out = inputs.new_zeros([size - 2 * halo_px for size in inputs.shape[1:]])
    for window in cut:
        found = _mirrored(network, inputs[None, :, *window.read], flip, halo_px)[0]
        out[window.keep] = found[window.inner]
    return out


def _blended(
    network: nn.Module, inputs: Tensor, cut: Sequence[inference_windows.Window], flip: tuple[int, ...]
) -> np.ndarray:
    bell = torch.from_numpy(inference_windows.hann()).to(inputs.device)
    total, weight = (
        inputs.new_zeros([size - 2 * inference_windows.blend_px() for size in inputs.shape[1:]]) for _ in range(2)
    )
    for start in range(0, len(cut), BLEND_BATCH):
        batch = cut[start : start + BLEND_BATCH]
        filled = [*batch, *[batch[-1]] * (BLEND_BATCH - len(batch))]
        found = _mirrored(network, torch.stack([inputs[:, *window.read] for window in filled]), flip)
        for window, each in zip(batch, found, strict=False):
            inference_windows.add_into(total, weight, each, window, bell)
    # 0 where no window was computed
    return (total / weight.clamp(min=inference_windows.LEAST)).cpu().numpy()


def _mirrored(network: nn.Module, batch: Tensor, flip: tuple[int, ...], *halo_px: int) -> Tensor:
    return (
        unet.probability(network, batch.flip(flip), *halo_px).flip(flip)
        if flip
        else unet.probability(network, batch, *halo_px)
    )
