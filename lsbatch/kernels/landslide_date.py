"""Date of a landslide from Sentinel-1: a step in the log ratio of a polygon to its surroundings.

Each orbit observes the step at its own passes, so it gives a likelihood for each interval between two passes. The log
likelihoods of all orbits are added on a common time axis. The means before and after and the noise are unknown and
integrated out, not fitted, which keeps intervals correct with few passes (Barry and Hartigan 1993,
https://doi.org/10.1080/01621459.1993.10594323, for one change).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import special

#: Degrees of freedom of the Student distribution of errors: a single pass with wet snow or rain has little weight.
FREEDOM = 4.0
#: Bounds of the noise of a pass besides speckle (moisture, thaw, wind); all scales in between have equal weight.
QUIET_DB, LOUD_DB, SCALES = 0.15, 4.0, 9
#: Prior standard deviation of a landslide's step: Mondini et al. 2019 and Burrows et al. 2022 find some dB, of either
#: sign.
STEP_DB = 3.0
#: Grid of the unknown mean: step in standard errors of the most certain mean, and minimum and maximum number of points.
#: Sums over a Gaussian are exact to a thousandth if the step is below 1.7 standard deviations.
GRID_STEP, FEWEST_POINTS, MOST_POINTS = 1.5, 64, 384
#: Natural logarithm of the required Bayes factor of a step: a factor of 100, "decisive" in Kass and Raftery 1995.
EVIDENCE = float(np.log(100))
DB = 10 / np.log(10)


@dataclass(frozen=True)
class Series:
    """The series of a polygon in one relative orbit.

    Attributes
    ----------
    days : array (passes,), float64
        Days of the passes since any origin, in order.
    ratio_db : array (passes, channels), float64
        Log ratio of the polygon to its surroundings, VV and VH; NaN if a pass did not observe it.
    speckle_db : array (passes, channels), float64
        Standard deviation of `ratio_db` by speckle alone.
    """

    days: np.ndarray
    ratio_db: np.ndarray
    speckle_db: np.ndarray


@dataclass(frozen=True)
class Dated:
    """Probabilities of the date of a step.

    Attributes
    ----------
    edges : array (intervals + 1,), float64
        First day, passes of all orbits, last day.
    chance : array (intervals,), float64
        Posterior probability of each interval, given that there is a step; its sum is 1.
    evidence : float
        Natural logarithm of the Bayes factor of a step against none; see `EVIDENCE`.
    """

    edges: np.ndarray
    chance: np.ndarray
    evidence: float

    def quantile(self, share: float) -> float:
        """Return the day before which the step occurred with this probability; uniform between two passes."""
        return float(np.interp(share, np.concatenate([[0], np.cumsum(self.chance)]), self.edges))

    def interval(self, share: float = 0.9) -> tuple[float, float]:
        """Return the days between which the step occurred with this probability, with equal tails."""
        return self.quantile((1 - share) / 2), self.quantile((1 + share) / 2)

    def likely(self) -> tuple[float, float]:
        """Return the two passes, or ends, between which the step most likely occurred."""
        best = int(self.chance.argmax())
        return float(self.edges[best]), float(self.edges[best + 1])

    def between(self, first: float, last: float) -> float:
        """Return the probability that the step occurred between two days."""
        reached = np.interp([first, last], self.edges, np.concatenate([[0], np.cumsum(self.chance)]))
        return float(reached[1] - reached[0])

    def within(self, first: float, last: float) -> "Dated":
        """Return the posterior, given that the step occurred between two days."""
        edges = np.unique(np.concatenate([[first, last], self.edges[(self.edges > first) & (self.edges < last)]]))
        chance = np.array([self.between(*pair) for pair in pairwise(edges)])
        before = (last - first) / (self.edges[-1] - self.edges[0])
        return Dated(edges, chance / chance.sum(), float(self.evidence + np.log(chance.sum() / before)))


def log_ratio(
    inside: np.ndarray, inside_px: np.ndarray, around: np.ndarray, around_px: np.ndarray, looks: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean power inside over mean power around in dB, and its standard deviation by speckle.

    The logarithm of a mean of n gamma variates of L looks has the variance trigamma(n L).

    Parameters
    ----------
    inside, around : array
        Sums of linear power.
    inside_px, around_px : array
        Pixels in the sums; the result is NaN if one is 0.
    looks : float
        Equivalent number of looks of a pixel.

    Returns
    -------
    ratio_db, speckle_db : arrays of the shape of `inside`
    """
    known = (inside_px > 0) & (around_px > 0) & (inside > 0) & (around > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = DB * (np.log(inside / inside_px) - np.log(around / around_px))
    variance = sum(special.polygamma(1, looks * np.maximum(pixels, 1)) for pixels in (inside_px, around_px))
    return np.where(known, ratio, np.nan), np.where(known, DB * np.sqrt(variance), np.nan)


def date(series: Sequence[Series], first: float, last: float) -> Dated:
    """Return the posterior of the date of a step. The prior is uniform over the days from `first` to `last`.

    Passes before and after that time are used as well. Errors that are correlated between passes or channels are
    estimated from the residuals of a first result; in the second result each pass has a correspondingly smaller
    weight.

    Parameters
    ----------
    series : sequence of Series
        One for each relative orbit and direction.
    first, last : float
        Days, `first` before `last`.

    Returns
    -------
    Dated
    """
    passes = np.concatenate([one.days for one in series]) if series else np.empty(0)
    edges = np.unique(np.concatenate([[first, last], passes[(passes > first) & (passes < last)]]))
    found = _posterior(series, edges, 1.0)
    weight = _weight(series, found)
    return found if weight == 1 else _posterior(series, edges, weight)


def _posterior(series: Sequence[Series], edges: np.ndarray, weight: float) -> Dated:
    prior = np.log(np.diff(edges) / (edges[-1] - edges[0]))
    total = prior.copy()
    for one in series:
        for values, speckle in zip(one.ratio_db.T, one.speckle_db.T, strict=True):
            seen = np.isfinite(values)
            if seen.sum() > 1:
                ratio = log_likelihood_ratio(values[seen], speckle[seen], weight)
                # the passes up to the first edge of an interval are before the step
                total += ratio[np.searchsorted(one.days[seen], edges[:-1], side="right")]
    evidence = special.logsumexp(total)
    return Dated(edges, np.exp(total - evidence), float(evidence))


def log_likelihood_ratio(values: np.ndarray, speckle: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Return the marginal log likelihood of a step after k passes, minus that of no step, for k of 0..passes.

    With independent errors the passes before depend only on the mean before, and those after only on the mean after:
    running sums over a grid of means give all k at once.

    Parameters
    ----------
    values, speckle : array (passes,)
        In order of time, without NaN; decibels.
    weight : float
        Weight of each pass, at most 1.

    Returns
    -------
    array (passes + 1,), float64
        0 at both ends, where one side is empty.
    """
    noise = np.geomspace(QUIET_DB, LOUD_DB, SCALES)
    scale = np.sqrt(speckle[:, None] ** 2 + noise**2)
    means = _grid(values, scale.min() / np.sqrt(len(values) * weight))
    apart = (values[:, None, None] - means) / scale[:, :, None]
    each = -weight * ((FREEDOM + 1) / 2 * np.log1p(apart**2 / FREEDOM) + np.log(scale)[:, :, None])
    before = np.concatenate([np.zeros((1, *each.shape[1:])), np.cumsum(each, axis=0)])
    after = before[-1] - before
    step = np.exp(-0.5 * ((means[:, None] - means) / STEP_DB) ** 2)
    step /= step.sum(axis=1, keepdims=True)
    tops = before.max(axis=2, keepdims=True), after.max(axis=2, keepdims=True)
    joint = np.einsum("ksm,ksm->ks", np.exp(before - tops[0]), np.exp(after - tops[1]) @ step.T)
    of_noise = np.log(joint) + (tops[0] + tops[1])[:, :, 0]
    out = special.logsumexp(of_noise, axis=1)
    # the data say nothing about a step before the first or after the last pass; the end of the grid would give a
    # difference of 0.01
    out[0] = out[-1]
    return out - out[-1]


def _grid(values: np.ndarray, error: float) -> np.ndarray:
    """Return the possible means: from the lowest value to the highest, with a margin."""
    low, high = values.min() - 3 * error, values.max() + 3 * error
    return np.linspace(low, high, int(np.clip((high - low) / (GRID_STEP * error), FEWEST_POINTS, MOST_POINTS)))


def _weight(series: Sequence[Series], found: Dated) -> float:
    """Return the weight of a pass with correlated errors: (1 - r) / (1 + r) in time, 1 / (1 + r) for two channels.

    r are correlations of the residuals of a first result, with outliers clipped: between passes of all orbits in order,
    because moisture is the same for all of them on a day, and between channels. Negative correlations count as 0.
    """
    day = found.quantile(0.5)
    days, rest = [], []
    for one in series:
        rest.append(_residuals(one, day))
        days.append(one.days)
    if not rest or sum(map(len, rest)) < 4:
        return 1.0
    left = np.concatenate(rest)[np.argsort(np.concatenate(days), kind="stable")]
    in_time = np.nanmean([max(0.0, _correlation(channel[:-1], channel[1:])) for channel in left.T])
    shared = [max(0.0, _correlation(left[:, 0], channel)) for channel in left.T[1:]]
    return float((1 - in_time) / (1 + in_time) / (1 + sum(shared)))


def _residuals(one: Series, day: float) -> np.ndarray:
    """Return distances to the median of the side, in robust standard deviations of the channel, clipped."""
    out = np.full(one.ratio_db.shape, np.nan)
    for side in (one.days < day, one.days >= day):
        for channel in range(out.shape[1]):  # type: ignore[misc]
            chosen = side & np.isfinite(one.ratio_db[:, channel])
            values = one.ratio_db[chosen, channel]
            if len(values) > 2:
                out[chosen, channel] = values - np.median(values)
    for channel in out.T:
        if np.isfinite(channel).any():
            channel /= max(1.4826 * np.nanmedian(np.abs(channel)), 1e-3)
    return np.clip(out, -2.5, 2.5)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 8:
        return 0.0
    spread = np.sqrt((one[both] ** 2).sum() * (other[both] ** 2).sum())
    return float(np.clip((one[both] * other[both]).sum() / spread, -1, 0.9)) if spread else 0.0
