"""Uncertainty of predicted records, to sort the work of a reviewer.

Uncertainty sampling: Lewis and Gale (1994), A sequential algorithm for training text classifiers, SIGIR '94, 3-12. The
measure is Shannon's (1948) entropy.
"""

import numpy as np
from scipy import special


def entropy(probability: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the entropy in bits of a yes or no with a probability: 0 if it is certain, 1 at the threshold.

    With p the probability and t the threshold, q = p (1 - t) / (p (1 - t) + (1 - p) t) is the probability for which the
    threshold is 0.5, and the entropy is -q log2 q - (1 - q) log2 (1 - q).

    Parameters
    ----------
    probability : array
        NaN if unknown.
    threshold : float
        Probability above which the answer is yes, between 0 and 1, both excluded.

    Returns
    -------
    array float64
        Of the same shape; NaN if unknown.
    """
    p = np.asarray(probability, np.float64)
    yes, no = p * (1 - threshold), (1 - p) * threshold
    q = yes / (yes + no)
    return (special.entr(q) + special.entr(1 - q)) / np.log(2)


def combined(*measures: np.ndarray) -> np.ndarray:
    """Return the mean of the known measures of each record; NaN for a record without any.

    Parameters
    ----------
    *measures : array (records,)
        Between 0 and 1; NaN if unknown.

    Returns
    -------
    array (records,) float64
    """
    table = np.stack([np.asarray(each, np.float64) for each in measures])
    known = np.isfinite(table)
    count = known.sum(axis=0)
    total = np.where(known, table, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def ranking(uncertainty: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """Return the order in which to review records: those without an answer first, each part by uncertainty.

    Parameters
    ----------
    uncertainty : array (records,)
        In any unit, at least 0. NaN if unknown: after the known ones.
    answered : bool array (records,)

    Returns
    -------
    int array (records,)
        Indices. Records that are equal keep their order.
    """
    known = np.isfinite(uncertainty)
    return np.lexsort((np.where(known, -uncertainty, 0.0), ~known, answered))
