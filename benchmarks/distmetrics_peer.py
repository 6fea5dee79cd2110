"""Distances of `distmetrics` (OPERA project, PyPI) for images of `benchmarks.disturbance_peer`.

    PYTHON -I benchmarks/distmetrics_peer.py IMAGES ANSWERS

Another interpreter runs it, because distmetrics needs Python 3.12 or newer; so it imports nothing of lsbatch. Each .npz
in IMAGES has `before` and `after`, linear gamma0 (passes, [VV, VH], rows, cols). The .npz of the same name in ANSWERS
has a distance of each pass after for each metric, (passes, rows, cols). seconds.json has the time of each metric.

The order is that of the README of distmetrics: despeckle, then compare. A window smaller than one of the transformer is
not despeckled and gets no answer of the transformers. The logit is taken here: with `logit_transformed=True`, release
1.0.8 takes it of the passes before only (1d), or fails for a list of passes after (2d).
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import distmetrics
import numpy as np

#: The default of `load_transformer_model`, and the newest one.
MODELS = ("transformer_original", "transformer_v1_32")
#: Side of the windows of the second one in pixels.
LEAST_SIDE_PX = 32
#: Range of power that has a logit.
LEAST, GREATEST = 1e-7, 1 - 1e-7

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]


def logits(power: np.ndarray) -> np.ndarray:
    """Return the logit of power in `LEAST` to `GREATEST`."""
    return np.log(power / (1 - power)).astype(np.float32)


def one_dimensional(channel: int) -> Metric:
    """Return the Mahalanobis distance of the logit of one polarisation."""

    def distances(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        before, after = logits(before), logits(after)
        found = distmetrics.compute_mahalonobis_dist_1d(list(before[:, channel]), list(after[:, channel]))
        return np.stack(found.dist)

    return distances


def two_dimensional(logit: bool) -> Metric:
    """Return the Mahalanobis distance of both polarisations, of power or of its logit."""

    def distances(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        if logit:
            before, after = logits(before), logits(after)
        found = distmetrics.compute_mahalonobis_dist_2d(
            list(before[:, 0]), list(before[:, 1]), list(after[:, 0]), list(after[:, 1])
        )
        return np.stack(found.dist)

    return distances


def log_ratio(channel: int) -> Metric:
    """Return the decrease of one polarisation in dB, 0 for an increase."""

    def distances(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return np.stack([
            distmetrics.compute_log_ratio_decrease_metric(list(before[:, channel]), one[channel]).dist for one in after
        ])  # fmt: skip

    return distances


def transformer(name: str) -> Metric:
    """Return the standard score by the mean and the deviation that a transformer predicts from the passes before."""
    model = distmetrics.load_transformer_model(name, device="cpu")

    def distances(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        before, after = logits(before), logits(after)
        first = distmetrics.compute_transformer_zscore(
            model, list(before[:, 0]), list(before[:, 1]), after[0, 0], after[0, 1], tqdm_enabled=False, device="cpu"
        )
        # the model has seen the passes before only: its prediction holds for all passes after
        others = [(np.abs(one - first.mean) / first.std).max(axis=0) for one in after[1:]]
        return np.stack([first.dist, *others])

    return distances


def despeckled(passes: np.ndarray) -> np.ndarray:
    """Return passes after the despeckling of distmetrics, with its defaults."""
    clean = [[distmetrics.despeckle_one_rtc_arr_with_tv(power) for power in one] for one in passes]
    return np.asarray(clean, np.float32)


def main(images: Path, answers: Path) -> None:
    """Write the answers to all images."""
    small: dict[str, Metric] = {
        "Mahalanobis 1d VV, logit": one_dimensional(0),
        "Mahalanobis 1d VH, logit": one_dimensional(1),
        "Mahalanobis 2d": two_dimensional(logit=False),
        "Mahalanobis 2d, logit": two_dimensional(logit=True),
        "log ratio VV": log_ratio(0),
        "log ratio VH": log_ratio(1),
    }
    large = small | {name: transformer(name) for name in MODELS}
    seconds = dict.fromkeys(["despeckling", *large], 0.0)
    for file in sorted(images.glob("*.npz")):
        with np.load(file) as stored:
            before, after = (np.clip(stored[name], LEAST, GREATEST) for name in ("before", "after"))
        is_large = min(before.shape[-2:]) >= LEAST_SIDE_PX
        if is_large:
            start = time.perf_counter()
            before, after = (np.clip(despeckled(passes), LEAST, GREATEST) for passes in (before, after))
            seconds["despeckling"] += time.perf_counter() - start
        found = {}
        for name, metric in (large if is_large else small).items():
            start = time.perf_counter()
            found[name] = metric(before, after).astype(np.float32)
            seconds[name] += time.perf_counter() - start
        np.savez(answers / file.name, **found)
    (answers / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
