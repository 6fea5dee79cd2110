"""Methods to date a step that lsbatch does not use, for comparison in `benchmarks.change_series`.

Both have independent errors. The first is a least-squares step on top of an annual cycle, the second a Student
distribution with means and noise integrated out (Barry and Hartigan 1993,
https://doi.org/10.1080/01621459.1993.10594323, for one change).
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from lsbatch.kernels import landslide_date
from lsbatch.kernels.landslide_date import Series

#: Least number of passes before and after a step.
FEWEST = 4
#: Degrees of freedom of the errors.
FREEDOM = 4.0
#: Points of the grid of unknown means.
MEANS = 128


def step_on_seasons(series: Sequence[Series], starts: np.ndarray) -> np.ndarray:
    """Return log likelihood ratios of a step after each start, against an annual cycle alone, by least squares.

    With normal errors the ratio of a channel is n / 2 log(SSE without / SSE with). Those of channels and orbits are
    added.

    Parameters
    ----------
    series : sequence of Series
    starts : array (intervals,)
        Days. Passes up to a start are before the step.

    Returns
    -------
    array (intervals,), float64
    """
    out = np.zeros(len(starts))
    for days, values in _channels(series):
        if len(days) < 2 * FEWEST:
            continue
        fixed = np.column_stack([np.ones(len(days)), _cycle(days)])
        base = _rest(fixed, values)
        for number in np.unique(np.searchsorted(days, starts, side="right")):
            if FEWEST <= number <= len(days) - FEWEST:
                found = _rest(np.column_stack([fixed, np.arange(len(days)) >= number]), values)
                # never exactly 0: differences below a thousandth of a decibel are rounding of the stored values
                gain = len(days) / 2 * np.log((base + 1e-6) / (found + 1e-6))
                out[np.searchsorted(days, starts, side="right") == number] += gain
    return out


def independent_errors(series: Sequence[Series], starts: np.ndarray) -> np.ndarray:
    """Return marginal log likelihood ratios with Student errors; the annual cycle is taken out with the best step.

    Parameters and result as `step_on_seasons`.
    """
    best = starts[int(step_on_seasons(series, starts).argmax())]
    out = np.zeros(len(starts))
    for days, values in _channels(series):
        if len(days) < 2:
            continue
        model = np.column_stack([_cycle(days), np.ones(len(days)), days > best])
        cycle = model[:, :2] @ np.linalg.lstsq(model, values, rcond=None)[0][:2]
        ratio = _marginal(values - cycle, float(np.mean(series[0].speckle_db)))
        out += ratio[np.searchsorted(days, starts, side="right")]
    return out


def _marginal(values: np.ndarray, speckle: float) -> np.ndarray:
    """Return the marginal log likelihood of a step after k passes, minus that of no step, for k of 0..passes."""
    kernel = landslide_date
    scale = np.hypot(speckle, np.geomspace(kernel.QUIET_DB, kernel.LOUD_DB, kernel.SCALES))
    means = np.linspace(values.min() - 0.5, values.max() + 0.5, MEANS)
    apart = (values[:, None, None] - means) / scale[:, None]
    each = -((FREEDOM + 1) / 2 * np.log1p(apart**2 / FREEDOM) + np.log(scale)[:, None])
    before = np.concatenate([np.zeros((1, *each.shape[1:])), np.cumsum(each, axis=0)])
    after = before[-1] - before
    step = np.exp(-0.5 * ((means[:, None] - means) / kernel.STEP_DB) ** 2)
    step /= step.sum(axis=1, keepdims=True)
    tops = before.max(axis=2, keepdims=True), after.max(axis=2, keepdims=True)
    joint = np.einsum("ksm,ksm->ks", np.exp(before - tops[0]), np.exp(after - tops[1]) @ step.T)
    out = special.logsumexp(np.log(joint) + (tops[0] + tops[1])[:, :, 0], axis=1)
    # the data say nothing about a step before the first or after the last pass
    out[0] = out[-1]
    return np.asarray(out - out[-1])


def _channels(series: Sequence[Series]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return days and decibels of each orbit and channel, without missing values."""
    pairs = [(one.days, channel) for one in series for channel in one.ratio_db.T]
    return [(days[np.isfinite(values)], values[np.isfinite(values)]) for days, values in pairs]


def _cycle(days: np.ndarray) -> np.ndarray:
    turn = 2 * np.pi * days / landslide_date.YEAR_DAYS
    return np.column_stack([np.cos(turn), np.sin(turn)])


def _rest(model: np.ndarray, values: np.ndarray) -> float:
    """Return the mean squared residual of least squares."""
    answer = np.linalg.lstsq(model, values, rcond=None)[0]
    return float(((values - model @ answer) ** 2).mean())
