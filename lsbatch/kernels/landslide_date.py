"""Date of a landslide from Sentinel-1: a step in the log ratio of a polygon to its surroundings.

The errors of the passes are a Gaussian process: independent noise, a drift that is forgotten in weeks to months
(moisture, growth), an annual cycle, and an unknown mean of each orbit. Half of the variance of drift and cycle is
common to all orbits. Their sizes over that of the noise are the same for VV and VH, because the ground is the same. All
sizes are unknown and integrated out, as are the steps. In a series that drifts the date of a step is therefore
uncertain; in one that does not it is sharp (de Jong and Penzer 1998, Diagnosing shocks in time series, Journal of the
American Statistical Association 93).

The model is still too simple for real series. So the probabilities of days use the log likelihood times `WEIGHT`, which
is calibrated on real series: `python -m benchmarks.change_series --calibrate`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy import linalg, special

YEAR_DAYS = 365.25
#: Bounds of the noise of a pass besides speckle (rain, thaw, wind); all scales in between have equal weight.
QUIET_DB, LOUD_DB, SCALES = 0.15, 4.0, 10
#: Standard deviation of the drift over that of the noise, and the days after which its correlation is 1/e. The first
#: drift is none.
DRIFTS, LASTING_DAYS = (0.0, 0.5, 1.0, 2.0, 4.0), (20.0, 80.0)
#: Standard deviation of the annual cycle over that of the noise.
SEASONS = (0.0, 2.0)
#: Prior variance of the mean of an orbit over that of the noise: nothing is known.
FREE = 1e5
#: Prior standard deviation of a landslide's step: Mondini et al. 2019 and Burrows et al. 2022 find some dB, of either
#: sign; and the share of the variance of steps, drift and cycle that is common to all orbits.
STEP_DB, COMMON = 3.0, 0.5
#: Passes on each side of a pass whose median it is compared with, and the largest difference in robust standard
#: deviations: a single pass with wet snow or rain has little weight.
NEIGHBOURS, OUTLIER = 3, 3.5
#: Share of the days in an interval.
SHARE = 0.9
#: Weight of the log likelihood in the probabilities of days. Calibrated, see `benchmarks.change_series`.
WEIGHT = 0.44
#: Natural logarithm of the required Bayes factor of a step. Real series without a change reach a factor of 159.
EVIDENCE = float(np.log(1000))
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
    """Probabilities of the date of a step. Before the series all days are equally probable.

    Attributes
    ----------
    edges : array (intervals + 1,), float64
        First day, passes of all orbits, last day.
    ratio : array (intervals,), float64
        Log likelihood of a step in each interval, minus that of no step.
    weight : float
        Weight of the log likelihood in the probabilities; 1 is Bayes' rule.
    """

    edges: np.ndarray
    ratio: np.ndarray
    weight: float = WEIGHT

    @cached_property
    def chance(self) -> np.ndarray:
        """Probability of each interval, given that there is a step; its sum is 1."""
        return np.asarray(special.softmax(np.log(np.diff(self.edges)) + self.weight * self.ratio))

    @cached_property
    def evidence(self) -> float:
        """Natural logarithm of the Bayes factor of a step against none; see `EVIDENCE`. It does not use the weight."""
        share = np.diff(self.edges) / (self.edges[-1] - self.edges[0])
        return float(special.logsumexp(self.ratio, b=share))

    def quantile(self, share: float) -> float:
        """Return the day before which the step occurred with this probability; uniform between two passes."""
        return float(np.interp(share, np.concatenate([[0], np.cumsum(self.chance)]), self.edges))

    def interval(self, share: float = SHARE) -> tuple[float, float]:
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
        """Return the posterior, given that the step occurred between two days, which the edges contain."""
        edges = np.unique(np.concatenate([[first, last], self.edges[(self.edges > first) & (self.edges < last)]]))
        of = np.searchsorted(self.edges, edges[:-1], side="right") - 1
        return Dated(edges, self.ratio[of], self.weight)


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

    Passes before and after that time are used as well.

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
    return Dated(edges, log_likelihood_ratio(series, edges[:-1]))


def log_likelihood_ratio(series: Sequence[Series], starts: np.ndarray) -> np.ndarray:
    """Return the marginal log likelihood of a step after each start, minus that of no step.

    Parameters
    ----------
    series : sequence of Series
        One for each relative orbit and direction. A pass with NaN in a channel is not used for that channel.
    starts : array (intervals,), float64
        Days. Passes up to a start are before the step.

    Returns
    -------
    array (intervals,), float64
        0 where the series say nothing.
    """
    channels = series[0].ratio_db.shape[1] if series else 0
    found = [_of_channel(series, channel, starts) for channel in range(channels)]
    known = [logs for logs in found if logs is not None]
    if not known:
        return np.zeros(len(starts))
    # one set of drift and cycle for all channels, all sets equally probable
    without, with_step = (np.sum(logs, axis=0) for logs in zip(*known, strict=True))
    return np.asarray(special.logsumexp(with_step, axis=0) - special.logsumexp(without))


def _of_channel(series: Sequence[Series], channel: int, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return log likelihoods without a step, (covariances,), and with one, (covariances, starts); None without data."""
    parts = [_seen(one, channel) for one in series]
    orbit = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    days, values, speckle = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(days, kind="stable")
    days, values, speckle, orbit = days[order], values[order], speckle[order], orbit[order]
    if len(days) < 2:
        return None
    member = (orbit[:, None] == np.arange(len(parts))).astype(np.float64)
    variance = speckle**2 + QUIET_DB**2
    noises = variance.mean() + np.geomspace(QUIET_DB, LOUD_DB, SCALES) ** 2
    after = np.searchsorted(days, starts, side="right")
    logs = [
        _of_covariance(covariance, values, member, noises, after)
        for covariance in _covariances(days, member, variance / variance.mean())
    ]
    return np.array([one for one, _ in logs]), np.array([one for _, one in logs])


def _seen(one: Series, channel: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return days, values without their mean and outliers, and speckle of the passes that observed the polygon."""
    seen = np.isfinite(one.ratio_db[:, channel])
    values, speckle = one.ratio_db[seen, channel].astype(np.float64), one.speckle_db[seen, channel]
    if len(values):
        values = _without_outliers(values, speckle) - values.mean()
    return one.days[seen], values, speckle


def _without_outliers(values: np.ndarray, speckle: np.ndarray) -> np.ndarray:
    """Return the values, at most `OUTLIER` robust standard deviations from the median of their neighbours.

    Parameters
    ----------
    values : array (passes,)
        Of one orbit and channel in order of time, without NaN.
    speckle : array (passes,)
        The robust standard deviation is at least the median of these.
    """
    windows = (slice(max(k - NEIGHBOURS, 0), k + NEIGHBOURS + 1) for k in range(len(values)))
    usual = np.array([np.median(values[window]) for window in windows])
    rest = values - usual
    limit = OUTLIER * max(1.4826 * float(np.median(np.abs(rest))), float(np.median(speckle)))
    return usual + np.clip(rest, -limit, limit)


def _covariances(days: np.ndarray, member: np.ndarray, relative: np.ndarray) -> Iterator[np.ndarray]:
    """Yield covariances of passes without a step, (passes, passes), over the mean variance of the noise.

    `member`, (passes, orbits), is 1 where a pass is of an orbit; `relative` is the noise variance of each pass.
    """
    apart = np.abs(days[:, None] - days)
    cycle = np.cos(2 * np.pi / YEAR_DAYS * apart)
    same = member @ member.T
    fixed, shared = np.diag(relative) + FREE * same, COMMON + (1 - COMMON) * same
    drifting = [drift**2 * np.exp(-apart / lasting) for drift, lasting in product(DRIFTS[1:], LASTING_DAYS)]
    for drift, season in product([np.zeros_like(apart), *drifting], SEASONS):
        yield fixed + shared * (drift + season**2 * cycle)


def _of_covariance(
    covariance: np.ndarray, values: np.ndarray, member: np.ndarray, noises: np.ndarray, after: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the log likelihood without a step and with a step before pass `after`; the noise is integrated out.

    The steps of the orbits are Gaussian, so the step adds moved' (1 / step + scatter)^-1 moved - log det to twice the
    log likelihood, in axes in which the steps are independent.
    """
    root = np.linalg.cholesky(covariance)
    half = np.tril(linalg.lapack.dpotri(root, lower=1)[0])
    inverse = half + np.tril(half, -1).T
    weighted = inverse @ values
    scatter, moved = _sums_after(inverse, weighted, member)
    mixed = np.linalg.cholesky(COMMON + (1 - COMMON) * np.eye(member.shape[1]))
    size, axes = np.linalg.eigh(mixed.T @ scatter[after] @ mixed)
    size, moved = np.maximum(size, 0), np.einsum("kom,ko->km", axes, moved[after] @ mixed)
    noise = noises[:, None]
    # the mean of each orbit takes one value
    free = len(values) - member.any(axis=0).sum()
    null = -np.log(np.diag(root)).sum() - free / 2 * np.log(noise) - 0.5 * (values @ weighted) / noise
    gain = np.zeros((len(noises), len(after)))
    for one, part in zip(size.T, moved.T, strict=True):
        gain += part**2 / noise / (noise / STEP_DB**2 + one) - np.log1p(STEP_DB**2 / noise * one)
    return float(special.logsumexp(null)), np.asarray(special.logsumexp(null + 0.5 * gain, axis=0))


def _sums_after(inverse: np.ndarray, weighted: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over the passes from k on, for k of 0..passes.

    Returns
    -------
    scatter : array (passes + 1, orbits, orbits)
        Of the inverse covariance, over pairs of passes.
    moved : array (passes + 1, orbits)
        Of the weighted values.
    """
    passes, orbits = member.shape
    scatter, moved = np.zeros((passes + 1, orbits, orbits)), np.zeros((passes + 1, orbits))
    moved[:-1] = np.cumsum((member * weighted[:, None])[::-1], axis=0)[::-1]
    # pass k adds its row and its column of the pairs from k on; the diagonal element is in both
    pair = member[:, :, None] * (np.triu(inverse) @ member)[:, None, :]
    both = pair + pair.transpose(0, 2, 1)
    both -= member[:, :, None] * member[:, None, :] * np.diag(inverse)[:, None, None]
    scatter[:-1] = np.cumsum(both[::-1], axis=0)[::-1]
    return scatter, moved
