"""A plain U-Net that can be evaluated in tiles (`lsbatch.models.tiled_inference`).

The network has batch norm and no instance norm, so the prediction of a pixel depends only on a bounded neighbourhood.
Windows on the lattice of 2^depth pixels with a halo of the receptive field therefore give the same result as the whole
image.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lsbatch.errors import ModelError
from lsbatch.models.model_card import Card

Network = TypeVar("Network", bound=nn.Module)

#: 3x3 convolutions on each level, on the way down and on the way up.
CONVOLUTIONS = 2


class Double(nn.Sequential):
    """Two 3x3 convolutions, each with batch norm and ReLU."""

    def __init__(self, channels_in: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for first in (channels_in, *[channels] * (CONVOLUTIONS - 1)):
            conv = nn.Conv2d(first, channels, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNet(nn.Module):
    """U-Net from normalised bands (n, bands, rows, cols) to the logit of a landslide (n, rows, cols).

    Rows and columns must be multiples of 2^depth. `width` channels on the first level, twice as many on each next.

    With `halo_px`, a multiple of 2^depth and at least the network's own halo, the output has this many pixels less on
    each side, and the decoder, which is two thirds of the work, runs only for the pixels of the output.
    """

    def __init__(self, bands: int, depth: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(Double(i, o) for i, o in zip([bands, *sizes], sizes, strict=False))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * size, size, 2, stride=2) for size in sizes[:-1])
        self.up = nn.ModuleList(Double(2 * size, size) for size in sizes[:-1])
        self.drop = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor, halo_px: int = 0) -> Tensor:
        """Apply the network."""
        margins = up_margins_px(len(self.up)) if halo_px else (0,) * len(self.up)
        skips = []
        for level, (down, margin) in enumerate(zip(self.down, margins, strict=False)):
            x = down(x)
            skips.append(_trimmed(x, (halo_px >> level) - margin))
            x = nn.functional.max_pool2d(x, 2)
        x = self.drop(self.down[-1](x))
        around = halo_px >> len(self.up)
        for rise, up, margin in zip(reversed(self.rise), reversed(self.up), reversed(margins), strict=True):
            # half of the margin that the level above needs, rounded up
            below = -(-margin // 2)
            x = _trimmed(rise(_trimmed(x, around - below)), 2 * below - margin)
            x = up(torch.cat([skips.pop(), x], dim=1))
            around = margin
        return _trimmed(self.last(x), around)[:, 0]


def _trimmed(x: Tensor, by_px: int) -> Tensor:
    return x[..., by_px : x.shape[-2] - by_px, by_px : x.shape[-1] - by_px] if by_px else x


def up_margins_px(depth: int) -> tuple[int, ...]:
    """Return the margin in pixels that the decoder needs at each level, the first level first.

    A level needs the margin of its own convolutions, and half of what the level above it needs.
    """
    margins = [CONVOLUTIONS]
    for _ in range(depth - 1):
        margins.append(-(-margins[-1] // 2) + CONVOLUTIONS)
    return tuple(margins)


def lattice_px(depth: int) -> int:
    """Return the step by which the input may be shifted so that the output only shifts."""
    return 2**depth


def reach_px(depth: int) -> tuple[int, int]:
    """Return the first and last input pixel, along an axis, that affect one lattice cell [0, 2^depth).

    Follows the deepest path backwards; every other path lies within it. A 3x3 convolution widens a span by one pixel
    of its level on each side, a pixel of the level above comes from half its number, and a pooled pixel from two.
    """
    low, high = 0, lattice_px(depth) - 1
    for _ in range(depth):
        low, high = (low - CONVOLUTIONS) // 2, (high + CONVOLUTIONS) // 2
    low, high = low - CONVOLUTIONS, high + CONVOLUTIONS
    for _ in range(depth):
        low, high = 2 * low - CONVOLUTIONS, 2 * high + 1 + CONVOLUTIONS
    return low, high


def halo_px(depth: int) -> int:
    """Return the halo of exact tiling: the reach beyond a lattice cell, rounded up to the lattice."""
    low, high = reach_px(depth)
    cell = lattice_px(depth)
    return math.ceil(max(-low, high - (cell - 1)) / cell) * cell


def structure(of: Card) -> UNet:
    """Return an untrained network for a card.

    Raises
    ------
    ModelError
        If the windows that the card gives are not exact with it.
    """
    depth = of.network["depth"]
    cell, halo = lattice_px(depth), halo_px(depth)
    if of.lattice_px != cell or of.halo_px % cell or of.halo_px < halo:
        raise ModelError(
            f"weights do not fit their card: a U-Net of depth {depth} needs a lattice of {cell} px and a halo of "
            f"{halo} px, the card has {of.lattice_px} px and {of.halo_px} px"
        )
    return UNet(len(of.bands), depth, of.network["width"], of.network["dropout"])


def state(network: nn.Module, dtype: type = np.float16) -> dict[str, np.ndarray]:
    """Return the weights as arrays; floats as `dtype`, without counters.

    An array with a number too large for `dtype`, for example a variance above 65504, stays float32.
    """
    floats = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    return {name: _narrowed(value.detach().cpu().numpy(), dtype) for name, value in floats.items()}


def _narrowed(values: np.ndarray, dtype: type) -> np.ndarray:
    with np.errstate(over="ignore"):
        narrow: np.ndarray = values.astype(dtype)
    return narrow if np.isfinite(narrow).all() else values


def restore(network: Network, found: Mapping[str, np.ndarray]) -> Network:
    """Load arrays into a network.

    Raises
    ------
    ModelError
        If they are of another structure.
    """
    tensors = {name: torch.from_numpy(value.astype(np.float32)) for name, value in found.items()}
    counters = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
    try:
        network.load_state_dict(tensors | counters)
    except RuntimeError as error:
        raise ModelError(f"weights do not fit their card: {' '.join(str(error).split())[:200]}") from None
    return network


def fused(network: UNet) -> UNet:
    """Return a network for prediction: batch norm is merged into the convolutions, dropout is removed."""
    network.eval()
    for level in (*network.down, *network.up):
        kept: list[nn.Module] = []
        for layer in level:
            kept.append(
                fuse_conv_bn_eval(cast(nn.Conv2d, kept.pop()), layer) if isinstance(layer, nn.BatchNorm2d) else layer
            )
        while len(level):
            del level[0]
        level.extend(kept)
    return network


def normalised(block: np.ndarray, means: Sequence[float], stds: Sequence[float]) -> np.ndarray:
    """Return normalised bands (..., bands, rows, cols); nodata becomes 0, the mean."""
    shape = (-1, 1, 1)
    scaled = block - np.reshape(np.asarray(means, np.float32), shape)
    scaled /= np.reshape(np.asarray(stds, np.float32), shape)
    scaled[~np.isfinite(scaled)] = 0
    return scaled


def cooled(last: nn.Conv2d, of: Card) -> None:
    """Divide the logits by the temperature of the card, in the last convolution, at no cost."""
    # weights of earlier versions have none
    heat = of.network.get("temperature", 1.0)
    with torch.no_grad():
        last.weight /= heat
        if last.bias is not None:
            last.bias /= heat


def probability(network: nn.Module, batch: Tensor, *halo_px: int) -> Tensor:
    """Return the probabilities of a batch (n, bands, rows, cols), (n, rows, cols) float32, without the halo."""
    return torch.sigmoid(network(batch.contiguous(memory_format=torch.channels_last), *halo_px).float())


def card(
    bands: tuple[str, ...], depth: int, width: int, dropout: float, temperature: float = 1.0, **known: Any
) -> Card:
    """Return the card of a network; `known` are the fields besides its structure."""
    network = {"depth": depth, "width": width, "dropout": dropout, "temperature": temperature}
    return Card(
        family="unet", bands=bands, network=network, halo_px=halo_px(depth), lattice_px=lattice_px(depth), **known
    )
