"""Loss functions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

#: Exponent of the focal loss (Lin et al. 2017).
GAMMA = 2


def loss(logits: Tensor, truth: Tensor, weight: Tensor, positive_weight: float, kind: str) -> Tensor:
    """Return the loss over the pixels with a weight other than 0.

    Parameters
    ----------
    logits, truth, weight : tensors (n, rows, cols)
        `truth` is 0 or 1; `weight` is 0 where nothing was observed or the truth is not known.
    positive_weight : float
        Weight of a landslide pixel in the cross-entropy and the focal loss.
    kind : str
        Name in `LOSSES`.
    """
    share = torch.where(truth > 0, positive_weight, 1.0) * weight
    return LOSSES[kind](logits, truth, weight, share)


def dice(logits: Tensor, truth: Tensor, weight: Tensor, _: Tensor) -> Tensor:
    """Return the soft Dice loss, with all pixels of the batch as one image; `weight` is that of `loss`."""
    answer = torch.sigmoid(logits)
    hit = (answer * truth * weight).sum()
    return 1 - (2 * hit + 1) / ((answer * weight).sum() + (truth * weight).sum() + 1)


def cross_entropy(logits: Tensor, truth: Tensor, _: Tensor, share: Tensor) -> Tensor:
    """Return the mean binary cross-entropy, weighted by `share`."""
    raw = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return _mean(raw, share)


def focal(logits: Tensor, truth: Tensor, _: Tensor, share: Tensor) -> Tensor:
    """Return the mean focal loss, weighted by `share`."""
    raw = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    answer = torch.sigmoid(logits)
    missed = torch.where(truth > 0, 1 - answer, answer)
    return _mean(raw * missed**GAMMA, share)


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """Return the weighted mean, 0 if no pixel has a weight."""
    return (values * share).sum() / share.sum().clamp(min=1)


#: Functions of logits, truth, weight of a pixel, and weight of a pixel with that of its class, by ``train.loss``.
LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "dice_bce": lambda *values: dice(*values) + cross_entropy(*values),
    "focal": focal,
    "dice": dice,
    "bce": cross_entropy,
}
