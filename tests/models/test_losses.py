"""Losses, each beside another program or a slow obvious function."""

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsbatch.models.training.losses import LOSSES, loss

Maps = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _maps(seed: int, share: float = 0.3) -> Maps:
    """Logits, truth, and which pixels were observed."""
    dice = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 6, 5, generator=dice, dtype=torch.float64)
    truth, seen = (torch.rand(2, 6, 5, generator=dice) < p for p in (share, 0.8))
    return logits, truth.double(), seen.double()


def _monai(name: str, **options: Any) -> Any:
    pytest.importorskip("monai")
    with warnings.catch_warnings():
        # of MONAI about torch
        warnings.simplefilter("ignore")
        from monai import losses
    return getattr(losses, name)(**options)


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_that_of_monai(seed: int) -> None:
    logits, truth, seen = _maps(seed)
    theirs = _monai("DiceLoss", sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
    # one image of one row: the observed pixels
    rows = [each[seen > 0][None, None] for each in (logits, truth)]
    assert float(loss(logits, truth, seen, 5.0, "dice")) == pytest.approx(float(theirs(*rows)), rel=1e-12)


@pytest.mark.parametrize("weight", [0.5, 1.0, 7.0])
def test_cross_entropy_is_that_of_torch(weight: float) -> None:
    logits, truth, seen = _maps(1)
    theirs = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight), reduction="sum")
    total = theirs(logits[seen > 0], truth[seen > 0]) / (weight * (truth * seen).sum() + ((1 - truth) * seen).sum())
    assert float(loss(logits, truth, seen, weight, "bce")) == pytest.approx(float(total), rel=1e-12)


def test_focal_is_that_of_monai_without_weights() -> None:
    logits, truth, seen = _maps(2)
    theirs = _monai("FocalLoss", gamma=2.0)
    rows = [each[seen > 0][None, None] for each in (logits, truth)]
    assert float(loss(logits, truth, seen, 1.0, "focal")) == pytest.approx(float(theirs(*rows)), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0.2, 50))
def test_focal_is_the_formula(seed: int, weight: float) -> None:
    """Lin et al. 2017, pixel by pixel."""
    logits, truth, seen = _maps(seed)
    total = shares = 0.0
    for logit, is_slide, is_seen in zip(*(each.flatten().tolist() for each in (logits, truth, seen)), strict=True):
        right = 1 / (1 + math.exp(-logit if is_slide else logit))
        share = (weight if is_slide else 1) * is_seen
        total += -share * (1 - right) ** 2 * math.log(right)
        shares += share
    assert float(loss(logits, truth, seen, weight, "focal")) == pytest.approx(total / shares, rel=1e-6)


def test_the_default_is_the_sum_of_two() -> None:
    maps = _maps(3)
    found = {name: float(loss(*maps, 4.0, name)) for name in LOSSES}
    assert found["dice_bce"] == pytest.approx(found["dice"] + found["bce"], rel=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_fall_with_a_better_answer(kind: str) -> None:
    truth = torch.zeros(2, 8, 8)
    truth[:, :2] = 1
    seen = torch.ones_like(truth)
    good, none, bad = (loss(logits, truth, seen, 3.0, kind) for logits in (8 * truth - 4, 0 * truth, 4 - 8 * truth))
    assert 0 <= good < none < bad
    # what was not observed is not asked
    seen[:, 2:] = 0
    wrong = torch.where(seen > 0, 8 * truth - 4, 50.0)
    assert torch.allclose(loss(wrong, truth, seen, 3.0, kind), loss(8 * truth - 4, truth, seen, 3.0, kind))


@pytest.mark.parametrize("kind", LOSSES)
def test_a_batch_without_an_observed_pixel_gives_no_gradient(kind: str) -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    found = loss(logits, torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), 3.0, kind)
    found.backward()
    assert float(found.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("kind", LOSSES)
def test_a_pixel_of_weight_three_counts_like_three_pixels(kind: str) -> None:
    dice = torch.Generator().manual_seed(2)
    logits, truth = torch.randn(1, 1, 6, generator=dice), torch.tensor([[[1.0, 0, 1, 0, 0, 1]]])
    weight = torch.tensor([[[1.0, 3, 0, 1, 1, 2]]])
    often = weight.int().flatten().tolist()
    apart = [torch.repeat_interleave(values, torch.tensor(often), dim=2) for values in (logits, truth)]
    expected = loss(*apart, torch.ones_like(apart[0]), 3.0, kind)
    assert float(loss(logits, truth, weight, 3.0, kind)) == pytest.approx(float(expected), rel=1e-6)
