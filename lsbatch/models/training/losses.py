"""Loss functions."""

import torch
from torch import Tensor
from torch.nn import functional as F


def loss(logits: Tensor, truth: Tensor, weight: Tensor, positive_weight: float, kind: str) -> Tensor:
    """Return the loss over the pixels with a weight other than 0.

    Parameters
    ----------
    logits, truth, weight : tensors (n, rows, cols)
        `truth` is 0 or 1; `weight` is 0 where nothing was observed or the truth is not known.
    positive_weight : float
        Weight of a landslide pixel in the cross-entropy.
    kind : {"dice_bce", "focal"}
        Soft Dice over the batch plus weighted cross-entropy; or focal loss with gamma 2 (Lin et al. 2017).
    """
    raw = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    share = torch.where(truth > 0, positive_weight, 1.0) * weight
    answer = torch.sigmoid(logits)
    if kind == "focal":
        missed = torch.where(truth > 0, 1 - answer, answer)
        return (raw * missed**2 * share).sum() / share.sum().clamp(min=1)
    hit = (answer * truth * weight).sum()
    dice = 1 - (2 * hit + 1) / ((answer * weight).sum() + (truth * weight).sum() + 1)
    return dice + (raw * share).sum() / share.sum().clamp(min=1)
