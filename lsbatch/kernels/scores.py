"""Exact counts."""

import numpy as np


def confusion(predicted: np.ndarray, truth: np.ndarray, surveyed: np.ndarray) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives among surveyed pixels.

    Parameters
    ----------
    predicted, truth, surveyed : bool arrays of one shape

    Returns
    -------
    tp, fp, fn, tn : int
        What is not surveyed is in none of them.
    """
    predicted, truth, surveyed = (np.asarray(a, np.bool_) for a in (predicted, truth, surveyed))
    total = int(np.count_nonzero(surveyed))
    tp = int(np.count_nonzero(predicted & truth & surveyed))
    found = int(np.count_nonzero(predicted & surveyed))
    real = int(np.count_nonzero(truth & surveyed))
    return tp, found - tp, real - tp, total - found - real + tp
