"""Inference throughput of a U-Net on this machine, and its share of the arithmetic peak."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lsbatch.models import cards, devices, tiled_inference, unet
from lsbatch.models.unet_weights import loaded
from lsbatch.settings import PredictSettings

#: Side of the random test image and of the multiplied matrices, on a CPU and on a GPU.
SIDE_PX = {"cpu": 1024, "cuda": 2048}
PRODUCT = {"cpu": 2048, "cuda": 8192}
ROUNDS = 3
#: A first call that takes longer counts as the measurement: what it does only once is then a small part. bfloat16 took
#: 45 s a call on a CPU without instructions for it.
LONG_S = 10.0


def of(path: Path, predict: PredictSettings, threads: int) -> dict[str, Any]:
    """Return the throughput of a network, or of all members of an ensemble, in both precisions.

    Parameters
    ----------
    path : Path
        Weights.
    predict : PredictSettings
    threads : int
        Threads of torch.

    Returns
    -------
    dict by precision
        `mpx_s`: useful pixels; `gflop_s`: operations for those, without halo; `product_gflop_s`: of a matrix product on
        the same device; `share`: ratio of the two, above 1 if convolutions use the unit better than a product.
        `largest_difference` and `mean_difference` of bfloat16 probabilities from float32, on random bands.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _both(path, predict)
    finally:
        torch.set_num_threads(before)


def _both(path: Path, predict: PredictSettings) -> dict[str, Any]:
    of_card = cards.card(path)
    networks, where = loaded(path, of_card.checksum, predict.device)
    side, flops = SIDE_PX[where.type], len(networks) * flops_px(of_card)
    block, seen = noise(of_card, side), np.ones((side, side), bool)
    found, answers = {}, {}
    for precision in ("float32", "bfloat16"):
        settings = predict.model_copy(update={"precision": precision, "tiling": "exact", "flips": False})

        def answer(settings: PredictSettings = settings) -> np.ndarray:
            return tiled_inference.answers(networks, of_card, block, of_card.halo_px, settings, seen)[0]

        answers[precision], seconds = _best(answer)
        rate, limit = side**2 * flops / seconds, product_flops(where, precision)
        found[precision] = {
            "mpx_s": side**2 / seconds / 1e6,
            "gflop_s": rate / 1e9,
            "product_gflop_s": limit / 1e9,
            "share": rate / limit,
        }
    apart = np.abs(answers["bfloat16"] - answers["float32"])
    found["bfloat16"] |= {"largest_difference": float(apart.max()), "mean_difference": float(apart.mean())}
    return found


def flops_px(of: cards.Card) -> float:
    """Return the floating-point operations of one network per pixel, without halo. Multiply and add count as two."""
    side = 4 * of.lattice_px
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        unet.structure(of).eval()(torch.empty(1, len(of.bands), side, side))
    return counter.get_total_flops() / side**2


def product_flops(where: torch.device, precision: str) -> float:
    """Return the floating-point operations a second of a plain matrix product."""
    size = PRODUCT[where.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    one, other = (torch.rand(size, size, device=where).to(dtype) for _ in range(2))

    def product() -> Any:
        with devices.numbers(where, "float32"):
            # read one number back, so that the GPU has finished
            return (one @ other)[0, 0].item()

    return 2 * size**3 / _best(product)[1]


def _best(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the seconds of the best of some rounds after the first, or of a long first one."""
    began = time.perf_counter()
    found = call()
    first_s = time.perf_counter() - began
    if first_s > LONG_S:
        return found, first_s
    seconds = np.inf
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        seconds = min(seconds, time.perf_counter() - began)
    return found, seconds


def noise(of: cards.Card, side: int) -> np.ndarray:
    """Return random bands of a tile with halo, in physical units, with the spread of the training data."""
    shape = (len(of.bands), *[side + 2 * of.halo_px] * 2)
    means, stds = (np.reshape(np.asarray(values, np.float32), (-1, 1, 1)) for values in (of.means, of.stds))
    return means + stds * np.random.default_rng(0).standard_normal(shape, np.float32)
