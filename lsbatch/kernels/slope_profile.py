"""Break of slope of a landslide, from its slope by elevation."""

import numpy as np

#: Each side of a break has at least this share of the pixels, because a break near the end is uncertain (Andrews 1993).
TRIM = 0.15
#: Critical value of the largest F over all breaks that leave `TRIM` on either side: exceeded in 1 % of profiles without
#: a break (Andrews 1993, table 1, one parameter, as corrected in 2003). `tests/kernels/test_slope_profile.py` simulates
#: it.
CRITICAL_F = 12.16


def break_of_slope(
    pixels: np.ndarray, sums: np.ndarray, squares: np.ndarray, a_sample: float = 1.0
) -> tuple[int, float, float] | None:
    """Return the elevation that best splits the ground into steeper above and gentler below.

    This is the first split of a regression tree of slope by elevation: the one with the smallest sum of squares
    (Breiman et al. 1984).

    Parameters
    ----------
    pixels : array (steps,)
        Pixels in each elevation step, from the lowest up; steps may be empty.
    sums, squares : array (steps,)
        Sum of their slopes, and of the squares of their slopes.
    a_sample : float
        Pixels that share one measured elevation: nine of 10 m with a DEM of 30 m. They count as one observation.

    Returns
    -------
    (step, above, below) or None
        First step above the break, and the mean slope on either side, in the unit of `sums`. None if no break is
        significant at 1 %, or the ground is steeper below.
    """
    total, count = float(pixels.sum()), np.cumsum(pixels)[:-1]
    # a break at an empty step gives the same two sides
    at = np.flatnonzero((count >= TRIM * total) & (count <= (1 - TRIM) * total) & (pixels[1:] > 0))
    if not at.size:
        return None
    below, summed = count[at].astype(np.float64), np.cumsum(sums)[at]
    low, high = summed / below, (float(sums.sum()) - summed) / (total - below)
    between = np.where(high > low, below * (total - below) / total * (high - low) ** 2, 0.0)
    best = int(np.argmax(between))
    within = float(squares.sum()) - float(sums.sum()) ** 2 / total - between[best]
    # F statistic of two means, with the sample size of the DEM
    if between[best] * (total / a_sample - 2) <= CRITICAL_F * max(within, 0.0):
        return None
    return int(at[best]) + 1, float(high[best]), float(low[best])
