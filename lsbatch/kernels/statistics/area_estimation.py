"""Accuracy and area of a map from a stratified random sample, with standard errors and intervals.

There are two estimators of the same quantities. `by_class` is for strata that are the map's classes: Olofsson et al.
(2014), Remote Sens. Environ. 148, 42-57. `by_stratum` is for any strata: Stehman (2014), Int. J. Remote Sens. 35(13),
4923-4939.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Accuracy:
    """Estimates for k classes with standard errors; NaN if a ratio is undefined.

    Attributes
    ----------
    matrix : array (k, k)
        Error matrix in shares of the area: rows are the map's classes, columns the reference's.
    users, users_se : array (k,)
        Share of the area mapped as a class that is this class (1 - commission error).
    producers, producers_se : array (k,)
        Share of the area of a class that is mapped as this class (1 - omission error).
    overall, overall_se : float
        Share of the area that is mapped correctly.
    area, area_se : array (k,)
        Share of the area of a class according to the reference.
    """

    matrix: np.ndarray
    users: np.ndarray
    users_se: np.ndarray
    producers: np.ndarray
    producers_se: np.ndarray
    overall: float
    overall_se: float
    area: np.ndarray
    area_se: np.ndarray


def by_class(counts: np.ndarray, sizes: np.ndarray) -> Accuracy:
    """Estimate for strata that are the map classes; equations 4 to 7 and 9 to 11 of Olofsson et al. (2014).

    Parameters
    ----------
    counts : array (k, k)
        Points by class of the map (rows) and of the reference (columns).
    sizes : array (k,)
        Mapped area of each class in any unit, much larger than the sample: no correction for a finite population.

    Returns
    -------
    Accuracy
        Standard errors are NaN for a class with fewer than two points.
    """
    counts, sizes = np.asarray(counts, np.float64), np.asarray(sizes, np.float64)
    points = counts.sum(axis=1)
    weight = sizes / sizes.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / points[:, None]
        matrix = weight[:, None] * share
        area = matrix.sum(axis=0)
        # variance of a cell of a row
        spread = share * (1 - share) / np.where(points > 1, points - 1, np.nan)[:, None]
        users, wrong = np.diag(share).copy(), np.diag(spread).copy()
        producers = np.diag(matrix) / area
        # equation 7, in shares of the area: the class's own row, then the contributions of the other rows
        squares = weight[:, None] ** 2 * spread
        own = np.diag(squares)
        others = squares.sum(axis=0) - own
        producers_var = ((1 - producers) ** 2 * own + producers**2 * others) / area**2
    return Accuracy(
        matrix, users, np.sqrt(wrong), producers, np.sqrt(producers_var), float(np.trace(matrix)),
        float(np.sqrt(own.sum())), area, np.sqrt(squares.sum(axis=0)),
    )  # fmt: skip


def by_stratum(
    stratum: np.ndarray, mapped: np.ndarray, reference: np.ndarray, sizes: np.ndarray, classes: int
) -> Accuracy:
    """Estimate for strata that need not be the map classes; Stehman (2014).

    Every quantity is the mean of an indicator over the area, or a ratio of two such means: the user's accuracy of a
    class is the mean of "mapped and true" over the mean of "mapped".

    Parameters
    ----------
    stratum, mapped, reference : int arrays (points,)
        Stratum 0..h-1, class of the map and of the reference 0..classes-1 of each point.
    sizes : array (h,)
        Pixels of each stratum. The correction for a finite population is applied, so a stratum with all pixels sampled
        adds no variance.
    classes : int

    Returns
    -------
    Accuracy
        All NaN if a stratum with pixels has no point. Standard errors are NaN if a stratum of several pixels has one
        point.
    """
    design = _Design(np.asarray(stratum), np.asarray(sizes, np.float64))
    mapped_as = np.asarray(mapped)[None, :] == np.arange(classes)[:, None]
    true = np.asarray(reference)[None, :] == np.arange(classes)[:, None]
    matrix = np.array([[design.mean(one & other)[0] for other in true] for one in mapped_as])
    users = [design.ratio(one & other, one) for one, other in zip(mapped_as, true, strict=True)]
    producers = [design.ratio(one & other, other) for one, other in zip(mapped_as, true, strict=True)]
    area = [design.mean(one) for one in true]
    overall = design.mean((mapped_as & true).any(axis=0))
    columns = [np.array(pairs).T for pairs in (users, producers, area)]
    return Accuracy(matrix, *columns[0], *columns[1], *overall, *columns[2])  # type: ignore[call-arg]


@dataclass(frozen=True)
class _Design:
    """A stratified sample: stratum of each point, and pixels of each stratum."""

    stratum: np.ndarray
    sizes: np.ndarray

    def mean(self, values: np.ndarray) -> tuple[float, float]:
        """Return the mean over the area of a quantity known at the points, and its standard error."""
        values = np.asarray(values, np.float64)
        count = len(self.sizes)
        points = np.bincount(self.stratum, minlength=count).astype(np.float64)
        weight = self.sizes / self.sizes.sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.bincount(self.stratum, values, count) / points
            apart = np.bincount(self.stratum, (values - means[self.stratum]) ** 2, count) / (points - 1)
            # a stratum with all pixels sampled has no variance, also if it has one pixel
            variance = np.where(points >= self.sizes, 0.0, weight**2 * (1 - points / self.sizes) * apart / points)
        used = self.sizes > 0
        return float((weight * means)[used].sum()), float(np.sqrt(variance[used].sum()))

    def ratio(self, above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
        """Return the ratio of two means, and its standard error by linearisation."""
        denominator = self.mean(below)[0]
        if not denominator > 0:
            return np.nan, np.nan
        found = self.mean(above)[0] / denominator
        return found, self.mean(above - found * below.astype(np.float64))[1] / denominator


def interval(value: np.ndarray, error: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of a share by the normal approximation, clipped to 0..1; +-1.96 standard errors.

    Parameters
    ----------
    value, error : arrays
        Estimates and their standard errors.
    confidence : float

    Returns
    -------
    low, high : arrays
    """
    half = NormalDist().inv_cdf((1 + confidence) / 2) * np.asarray(error)
    return np.clip(value - half, 0, 1), np.clip(value + half, 0, 1)


def wilson(hits: float, of: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return bounds of a proportion that hold also for few or no cases; Wilson (1927), J. Am. Stat. Assoc. 22, 209-212.

    NaN of nothing. `of` need not be whole: an effective number of points.

    Parameters
    ----------
    hits, of : float
        Number of cases and of trials.
    confidence : float

    Returns
    -------
    low, high : float
    """
    if of == 0:
        return np.nan, np.nan
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    middle = (hits + z2 / 2) / (of + z2)
    half = np.sqrt(z2) / (of + z2) * np.sqrt(hits * (of - hits) / of + z2 / 4)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
