"""Confusion counts of arrays, and intervals of scores by spatial blocks."""

import numpy as np


def confusion(predicted: np.ndarray, truth: np.ndarray, surveyed: np.ndarray) -> tuple[int, int, int, int]:
    """Return true positives, false positives, false negatives, true negatives of surveyed pixels.

    Parameters
    ----------
    predicted, truth, surveyed : bool arrays of one shape

    Returns
    -------
    tp, fp, fn, tn : int
        Pixels that are not surveyed are in none of them.
    """
    predicted, truth, surveyed = (np.asarray(a, np.bool_) for a in (predicted, truth, surveyed))
    total = int(np.count_nonzero(surveyed))
    tp = int(np.count_nonzero(predicted & truth & surveyed))
    found = int(np.count_nonzero(predicted & surveyed))
    real = int(np.count_nonzero(truth & surveyed))
    return tp, found - tp, real - tp, total - found - real + tp


#: Scores returned by `measures`, in order.
MEASURES = ("precision", "recall", "f1", "iou", "mcc")


def by_cell(predicted: np.ndarray, truth: np.ndarray, surveyed: np.ndarray, side_px: int) -> np.ndarray:
    """Return confusion counts of square cells.

    Parameters
    ----------
    predicted, truth, surveyed : bool arrays (rows, cols)
        Both sides multiples of `side_px`.

    Returns
    -------
    array (rows / side_px, cols / side_px, 4) of int64
        tp, fp, fn, tn.
    """
    rows, cols = (size // side_px for size in np.shape(truth))
    kinds = (predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth)
    cells = [(kind & surveyed).reshape(rows, side_px, cols, side_px).sum(axis=(1, 3), dtype=np.int64) for kind in kinds]
    return np.stack(cells, axis=-1)


def measures(counts: np.ndarray) -> np.ndarray:
    """Return precision, recall, F1, IoU and MCC of counts (..., 4), float64 (..., 5); NaN if undefined.

    MCC is that of Matthews (1975), with its square root; it never exceeds sqrt(precision * recall).

    Parameters
    ----------
    counts : int array (..., 4)
        tp, fp, fn, tn.

    Returns
    -------
    array (..., 5), float64
        In the order of `MEASURES`.
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
        found = (
            tp / (tp + fp), tp / (tp + fn), 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn), (tp * tn - fp * fn) / root
        )  # fmt: skip
    out = np.stack(found, axis=-1)
    return np.where(np.isfinite(out), out, np.nan)


def intervals(blocks: np.ndarray, share: float = 0.95, draws: int = 2000, seed: int = 0) -> np.ndarray:
    """Return bootstrap intervals of the scores. Whole blocks are drawn, because neighbouring pixels are correlated.

    Parameters
    ----------
    blocks : array (n, 4) of int
        Counts of spatial blocks.
    share : float
        Share of the draws inside the interval, with equal tails.

    Returns
    -------
    array (5, 2)
        Lower and upper bound of each of `MEASURES`; NaN with fewer than two blocks, or if all draws are undefined.
    """
    out = np.full((len(MEASURES), 2), np.nan)
    if len(blocks) > 1:
        weights = np.random.default_rng(seed).multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), draws)
        found = measures(weights @ blocks)
        for k, values in enumerate(found.T):
            if np.isfinite(values).any():
                out[k] = np.nanquantile(values, [(1 - share) / 2, (1 + share) / 2])
    return out


def reliability(probability: np.ndarray, truth: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return the observed frequency of landslide by predicted probability.

    Parameters
    ----------
    probability : array (rows, cols)
        0 to 1; NaN is not counted.
    truth : bool array (rows, cols)
    bins : int
        Number of bins of equal width.

    Returns
    -------
    array (bins, 3) of float64
        Number of pixels, sum of their probabilities, and number of landslide pixels.
    """
    seen = np.isfinite(probability)
    predicted_known = probability[seen].astype(np.float64)
    place = np.minimum((predicted_known * bins).astype(np.int64), bins - 1)
    return np.column_stack(
        [
            np.bincount(place, weights, minlength=bins)
            for weights in (None, predicted_known, truth[seen].astype(np.float64))
        ]
    )
