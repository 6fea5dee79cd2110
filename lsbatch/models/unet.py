"""The U-Net: two convolutions a level, batch norm, no instance norm.

Batch norm in evaluation is a fixed scale a channel, so the network is shift-equivariant on its lattice of 2^depth
pixels and tiled inference can be exact. Depth, width and loss are not in the paper; the defaults are ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """Logits (n, 1, rows, cols) from bands (n, bands, rows, cols); rows and cols are multiples of 2^depth."""

    def __init__(self, bands: int, width: int, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            _convolutions(before, after) for before, after in zip([bands, *channels], channels, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in reversed(channels[:-1]))
        self.merge = nn.ModuleList(_convolutions(2 * c, c) for c in reversed(channels[:-1]))
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Follow the U: keep each level on the way down, merge it on the way up."""
        kept = []
        for level in self.down[:-1]:
            x = level(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.dropout(self.down[-1](x))
        for up, merge, skip in zip(self.up, self.merge, reversed(kept), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.head(x)


def _convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def loss(logits: Tensor, truth: Tensor, weight: Tensor, positive_weight: float, kind: str) -> Tensor:
    """Loss over the pixels whose weight is not 0.

    Parameters
    ----------
    logits, truth, weight : tensors of one shape
        `truth` is 0 or 1; `weight` 0 where nothing was observed.
    positive_weight : float
        Weight of a landslide pixel in the cross-entropy.
    kind : {"dice_bce", "focal"}
        Soft Dice over the batch plus weighted cross-entropy; or focal loss with gamma 2 (Lin et al. 2017).
    """
    raw = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    share = torch.where(truth > 0, positive_weight, 1.0) * weight
    if kind == "focal":
        missed = torch.where(truth > 0, 1 - torch.sigmoid(logits), torch.sigmoid(logits))
        return (raw * missed**2 * share).sum() / share.sum().clamp(min=1)
    answer = torch.sigmoid(logits) * weight
    dice = 1 - (2 * (answer * truth).sum() + 1) / (answer.sum() + (truth * weight).sum() + 1)
    return dice + (raw * share).sum() / share.sum().clamp(min=1)
