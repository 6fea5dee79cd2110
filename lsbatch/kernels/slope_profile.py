"""Break of slope of landslides, from their slope by elevation."""

import numpy as np

#: Each side of a break has at least this share of the pixels, because a break near the end is uncertain (Andrews 1993).
TRIM = 0.15
#: Critical value of the largest F over all breaks that leave `TRIM` on either side: exceeded in 1 % of profiles without
#: a break (Andrews 1993, table 1, one parameter, as corrected in 2003). `tests/kernels/test_slope_profile.py` simulates
#: it.
CRITICAL_F = 12.16


def breaks_of_slope(
    starts: np.ndarray, pixels: np.ndarray, sums: np.ndarray, squares: np.ndarray, a_sample: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each profile where the ground is best split into steeper above and gentler below.

    This is the first split of a regression tree of slope by elevation: the one with the smallest sum of squares
    (Breiman et al. 1984).

    Parameters
    ----------
    starts : array (profiles,) int
        First row of each profile. Each has at least one row, and its rows are consecutive.
    pixels : array (rows,)
        Pixels in an elevation step, from the lowest step of a profile up; at least one, steps without pixels are left
        out.
    sums, squares : array (rows,)
        Sum of their slopes, and of the squares of their slopes.
    a_sample : float
        Pixels that share one measured elevation: nine of 10 m with a DEM of 30 m. They count as one observation.

    Returns
    -------
    row : array (profiles,) int
        First row above the break; -1 if no break is significant at 1 %, or the ground is steeper below.
    above, below : arrays (profiles,) float64
        Mean slope on either side, in the unit of `sums`; NaN without a break.
    """
    pixels, sums, squares = (np.asarray(values, np.float64) for values in (pixels, sums, squares))
    owner = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(pixels)))
    total, summed = np.add.reduceat(pixels, starts), np.add.reduceat(sums, starts)
    under, summed_under = _before(pixels, starts, owner), _before(sums, starts, owner)
    over = total[owner] - under
    # the first row of a profile has nothing below it, and is not allowed
    with np.errstate(invalid="ignore"):
        low, high = summed_under / under, (summed[owner] - summed_under) / over
    allowed = (under >= TRIM * total[owner]) & (under <= (1 - TRIM) * total[owner]) & (high > low)
    between = np.where(allowed, under * over / total[owner] * (high - low) ** 2, 0.0)
    most = np.maximum.reduceat(between, starts)
    best = np.flatnonzero(between == most[owner])
    row = best[np.unique(owner[best], return_index=True)[1]]
    within = np.add.reduceat(squares, starts) - summed**2 / total - most
    # F statistic of two means, with the sample size of the DEM
    found = most * (total / a_sample - 2) > CRITICAL_F * np.maximum(within, 0.0)
    return np.where(found, row, -1), np.where(found, high[row], np.nan), np.where(found, low[row], np.nan)


def _before(values: np.ndarray, starts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the sum of the earlier rows of the same profile; exact for whole numbers, as those of a survey are."""
    out = np.cumsum(values) - values
    return out - out[starts][owner]
