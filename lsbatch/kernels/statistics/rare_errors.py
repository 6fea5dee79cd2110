"""Accuracy intervals that are valid with rare errors, for two classes.

The papers' intervals of 1.96 standard errors are too short if a sample has few omissions, and have length zero if it
has none. Here each stratum's share has Wilson's interval, and shares are combined by the method
of variance estimates recovery: Zou and Donner (2008), Statistics in Medicine 27, 1693-1702, for sums; Donner and Zou
(2012), Stat. Methods Med. Res. 21, 347-359, for ratios.
"""

from collections.abc import Mapping

import numpy as np

from lsbatch.kernels.statistics.area_estimation import wilson

Bounds = tuple[float, float]


def intervals(
    hits: np.ndarray, points: np.ndarray, sizes: np.ndarray, says: np.ndarray, confidence: float = 0.95
) -> Mapping[str, Bounds]:
    """Return bounds of the estimates of `area_estimation.by_stratum`.

    Parameters
    ----------
    hits : int array (h,)
        Points of each stratum that the reference calls the class (landslide).
    points : int array (h,)
    sizes : int array (h,)
        Pixels.
    says : bool array (h,)
        Class of the map in each stratum.
    confidence : float

    Returns
    -------
    mapping of str to (low, high)
        users, producers and area of the class; users_not and producers_not of the other class; overall. NaN if
        undefined.
    """
    hits, points, sizes, says = (np.asarray(one) for one in (hits, points, sizes, says))
    weight = sizes / sizes.sum()
    wide = [_bounds(int(k), int(n), int(size), confidence) for k, n, size in zip(hits, points, sizes, strict=True)]
    low, high = np.array(wide).T
    with np.errstate(invalid="ignore"):
        share = hits / np.where(points > 0, points, np.nan)
    is_it = np.stack([share, low, high])
    is_not = np.stack([1 - share, 1 - high, 1 - low])
    return {
        "users": _mean(is_it, weight, says),
        "producers": _part(_sum(is_it, weight, says), _sum(is_it, weight, ~says)),
        "area": _mean(is_it, weight, sizes > 0),
        "users_not": _mean(is_not, weight, ~says),
        "producers_not": _part(_sum(is_not, weight, ~says), _sum(is_not, weight, says)),
        "overall": _mean(np.where(says, is_it, is_not), weight, sizes > 0),
    }


def _bounds(hits: int, points: int, size: int, confidence: float) -> Bounds:
    """Return Wilson's bounds for the equivalent number of independent points."""
    if points == 0:
        return np.nan, np.nan
    if points >= size:
        return hits / points, hits / points
    more = (size - 1) / (size - points)
    return wilson(hits * more, points * more, confidence)


def _sum(shares: np.ndarray, weight: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the weighted sum of strata with its bounds: value, low, high."""
    value, low, high = shares[:, chosen & (weight > 0)]
    used = weight[chosen & (weight > 0)]
    total = (used * value).sum()
    below, above = (np.sqrt(((used * (value - edge)) ** 2).sum()) for edge in (low, high))
    return np.array([total, total - below, total + above])


def _mean(shares: np.ndarray, weight: np.ndarray, chosen: np.ndarray) -> Bounds:
    whole = weight[chosen].sum()
    if not whole > 0:
        return np.nan, np.nan
    _, low, high = np.clip(_sum(shares, weight, chosen) / whole, 0, 1)
    return float(low), float(high)


def _part(one: np.ndarray, other: np.ndarray) -> Bounds:
    """Return bounds of one / (one + other) from those of the ratio other / one."""
    y, o = one[0], other[0]
    if not y + o > 0:
        return np.nan, np.nan
    most = _ratio(y, o, y - one[1], other[2] - o)
    least = _ratio(y, o, one[2] - y, o - other[1], upper=False)
    return 1 / (1 + most), 1 / (1 + least)


def _ratio(y: float, o: float, a: float, b: float, *, upper: bool = True) -> float:
    """Return the bound t of o / y at which (t y - o)^2 = t^2 a^2 + b^2; infinite if y may be 0."""
    root = np.sqrt(max(0.0, (y * o) ** 2 - (y**2 - a**2) * (o**2 - b**2)))
    if upper:
        return float((y * o + root) / (y**2 - a**2)) if y > a * (1 + 1e-12) else np.inf
    # the same root of the quadratic, in the form that allows y = a; infinite if o can be 0
    return float(max(0.0, o**2 - b**2) / (y * o + root)) if y * o + root > 0 else 0.0
