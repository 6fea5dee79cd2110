"""The three-stream network of Prakash et al., as the paper uses it: before, after and terrain.

Three 7 x 7 stems (24 + 24 + 16 channels) meet in residual blocks (3, 4, 6, 3 of 64, 128, 256, 256); five decoder levels
(256, 128, 64, 64, 64) lead back to full resolution, where each stream is joined again; every level answers during
training (deep supervision). RGB on an 8-bit stretch and hillshade are divided by 127.5 less 1, slope by 45 less 1.

Our choices: windows have 256 px and the middle 128 px are kept. The source has 224 and 112. Tiles are multiples of
128 px, so our windows lie on one national lattice and the result does not depend on tiles. The loss was not published;
the one in the settings is used.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsbatch.bands import OWN_BANDS
from lsbatch.errors import ModelError
from lsbatch.kernels import terrain
from lsbatch.models import cards, devices, unet
from lsbatch.settings import PredictSettings, TrainSettings

BANDS = OWN_BANDS["prakash"]
ELEVATION = BANDS.index("elevation")
WINDOW_PX, KEPT_PX = 256, 128
#: Margin of a window, rounded up, including one pixel for the hillshade.
HALO_PX = 128
#: Windows in a batch; always the same number, so that results do not depend on the batch.
BATCH = 4
#: Reflectance that is white in the 8-bit stretch.
WHITE = 0.3
#: The normalisation above as mean and standard deviation of each band: RGB twice, hillshade, slope.
MEANS = (*[WHITE / 2] * 6, 127.5, 45.0)
STDS = MEANS
STEMS, BLOCKS, CHANNELS = (24, 24, 16), (3, 4, 6, 3), (64, 128, 256, 256)
DECODER = (256, 128, 64, 64, 64)
STREAMS = (slice(0, 3), slice(3, 6), slice(6, 8))
#: Width in the settings that gives the published number of channels.
FULL_WIDTH = 16


def prepared(block: np.ndarray, side_m: float) -> np.ndarray:
    """Return bands (..., 8, rows, cols) with hillshade instead of elevation; the outermost pixels become NaN."""
    out = np.array(block, np.float32)
    out[..., :6, :, :] = np.clip(out[..., :6, :, :], 0, WHITE)
    out[..., ELEVATION, :, :] = terrain.hillshade(out[..., ELEVATION, :, :], side_m, side_m)
    return out


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
        same = stride == 1 and channels_in == channels
        self.short = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.body(x) + self.short(x))


class Prakash(nn.Module):
    """Network from normalised bands (n, 8, rows, cols) to logits (n, rows, cols); a list of levels in training.

    Rows and columns must be multiples of 32. `width` scales all channels; 16 gives the published ones.
    """

    def __init__(self, width: int = FULL_WIDTH, dropout: float = 0.1) -> None:
        super().__init__()

        def wide(channels: int) -> int:
            return max(1, channels * width // FULL_WIDTH)

        stems = [wide(c) for c in STEMS]
        counts = [s.stop - s.start for s in STREAMS]
        self.stems = nn.ModuleList(_convolved(i, o, 7, 2) for i, o in zip(counts, stems, strict=True))
        # full resolution, a few channels for each stream
        self.fine = nn.ModuleList(_convolved(i, max(1, o // 2), 3, 1) for i, o in zip(counts, stems, strict=True))
        channels = sum(stems)
        skips = [sum(max(1, o // 2) for o in stems), channels]
        self.stages = nn.ModuleList()
        for level, (count, target) in enumerate(zip(BLOCKS, (wide(c) for c in CHANNELS), strict=True)):
            stride = 1 if level == 0 else 2
            self.stages.append(
                nn.Sequential(
                    *(Residual(channels if k == 0 else target, target, stride if k == 0 else 1) for k in range(count))
                )
            )
            skips.append(target)
            channels = target
        self.drop = nn.Dropout2d(dropout)
        self.up, self.heads = nn.ModuleList(), nn.ModuleList()
        for target, skip in zip((wide(c) for c in DECODER), reversed(skips[:-1]), strict=True):
            self.up.append(_convolved(channels + skip, target, 3, 1))
            self.heads.append(nn.Conv2d(target, 1, 1))
            channels = target

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """See the class."""
        parts = [x[:, stream] for stream in STREAMS]
        skips = [torch.cat([fine(p) for fine, p in zip(self.fine, parts, strict=True)], dim=1)]
        y = torch.cat([stem(p) for stem, p in zip(self.stems, parts, strict=True)], dim=1)
        skips.append(y)
        y = F.max_pool2d(y, 3, 2, 1)
        for stage in self.stages:
            y = stage(y)
            skips.append(y)
        y = self.drop(skips.pop())
        answers = []
        for up, head in zip(self.up, self.heads, strict=True):
            skip = skips.pop()
            y = up(torch.cat([F.interpolate(y, size=skip.shape[-2:], mode="nearest"), skip], dim=1))
            answers.append(head(y))
        if not self.training:
            return answers[-1][:, 0]
        size = x.shape[-2:]
        return [F.interpolate(a, size=size, mode="bilinear", align_corners=False)[:, 0] for a in reversed(answers)]


def _convolved(channels_in: int, channels: int, side: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def build(settings: TrainSettings) -> Prakash:
    """Build the network of the training settings."""
    return Prakash(settings.width, settings.dropout)


def card(side_m: float, width: int, dropout: float, temperature: float = 1.0, **known: Any) -> cards.Card:
    """Return the card of a network; it is valid for one pixel size."""
    network = {"width": width, "dropout": dropout, "side_m": side_m, "temperature": temperature}
    return cards.Card("prakash", BANDS, MEANS, STDS, network, HALO_PX, KEPT_PX, **known)


def answer(path: Path, block: np.ndarray, halo_px: int, predict: PredictSettings) -> np.ndarray:
    """Return the probability in the core of a block (bands, rows + 2 halo, cols + 2 halo), (rows, cols) float32."""
    of = cards.card(path)
    network, where = _network(path, of.checksum, predict.device)
    margin = (WINDOW_PX - KEPT_PX) // 2
    spare = halo_px - margin
    shaded = prepared(block, of.network["side_m"])[:, spare : block.shape[1] - spare, spare : block.shape[2] - spare]
    inputs = torch.from_numpy(unet.normalised(shaded, of.means, of.stds))
    rows, cols = (size - 2 * margin for size in inputs.shape[1:])
    out = np.empty((rows, cols), np.float32)
    starts = [(r, c) for r in range(0, rows, KEPT_PX) for c in range(0, cols, KEPT_PX)]
    for first in range(0, len(starts), BATCH):
        batch = starts[first : first + BATCH]
        filled = [*batch, *[batch[-1]] * (BATCH - len(batch))]
        pieces = torch.stack([_window(inputs, r, c) for r, c in filled]).to(where)
        with devices.numbers(where, predict.precision):
            found = unet.probability(network, pieces).cpu().numpy()
        for (r, c), piece in zip(batch, found, strict=False):
            kept = out[r : r + KEPT_PX, c : c + KEPT_PX]
            kept[:] = piece[margin : margin + kept.shape[0], margin : margin + kept.shape[1]]
    return out


def _window(inputs: Tensor, row: int, col: int) -> Tensor:
    """Return a window of full size; outside the core it contains the mean."""
    piece = inputs[:, row : row + WINDOW_PX, col : col + WINDOW_PX]
    return F.pad(piece, (0, WINDOW_PX - piece.shape[2], 0, WINDOW_PX - piece.shape[1]))


@lru_cache(maxsize=2)
def _network(path: Path, _checksum: str, name: str) -> tuple[Prakash, torch.device]:
    where = devices.device(name)
    of = cards.card(path)
    if (of.halo_px, of.lattice_px) != (HALO_PX, KEPT_PX):
        raise ModelError(
            f"{path}: is damaged: its card has a halo of {of.halo_px} px and a lattice of {of.lattice_px} px; the "
            f"network has {HALO_PX} px and {KEPT_PX} px"
        )
    network = unet.restore(Prakash(of.network["width"], of.network["dropout"]), cards.arrays(path))
    unet.cooled(cast(nn.Conv2d, network.heads[-1]), of)
    # memory_format is documented, but the type stubs of torch lack it
    return network.eval().to(where, memory_format=torch.channels_last), where  # type: ignore[call-overload]
