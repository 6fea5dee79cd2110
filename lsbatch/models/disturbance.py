"""Disturbance by Sentinel-1 alone, without training: how far the passes after lie from those before.

The standardised change of VV and of VH (STACK bands zVV and zVH; for each relative orbit the change of mean dB less
that of the surroundings, divided by its standard error) is averaged over some 50 m, at least 3 px, because one pixel of
a pass has speckle of 2 dB. Both polarisations are added, because debris changes both in the same direction. The sum is
divided by what the surroundings show of it (median of the absolute value over 0.6745, at least 1), so that rain,
harvest and correlated pixels, which change a whole area, do not count.

Without a change the result is nearly standard normal. The threshold follows from the false-alarm rate in the settings.
DIST-S1 (Marshak et al.) and constant false alarm rate detectors follow the same idea; the rule itself is ours.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import expit, ndtri

from lsbatch.bands import OWN_BANDS
from lsbatch.kernels import speckle
from lsbatch.kernels.local_change import surroundings
from lsbatch.models.cards import Card

BANDS = OWN_BANDS["disturbance"]
#: All parameters that affect a prediction; stored in the card.
PARAMETERS: Mapping[str, float] = {
    # side of the window of the average, at least 3 px: wider ones find weaker changes and blur outlines
    "window_m": 50.0,
    # median of the absolute value of a standard normal number
    "normal_median": 0.6745,
}


def card() -> Card:
    """Return the card: nothing is trained, the parameters are the model."""
    return Card("disturbance", BANDS, (), (), dict(PARAMETERS), 0, 1)


def window_px(rule: Mapping[str, float], side_m: float) -> int:
    """Return the side of the window in pixels, odd and at least 3."""
    return max(3, 2 * int(rule["window_m"] / side_m / 2) + 1)


def halo_px(rule: Mapping[str, float], side_m: float) -> int:
    """Return the halo: surroundings, in whole cells, of pixels whose windows are complete."""
    cell_px, _ = surroundings.sizes(side_m)
    window = -(-(window_px(rule, side_m) // 2) // cell_px) * cell_px
    return surroundings.halo_px(side_m) + window


def distance(z_vv: np.ndarray, z_vh: np.ndarray, rule: Mapping[str, float], side_m: float) -> np.ndarray:
    """Return the distance of the passes after from those before, in standard deviations of the surroundings.

    Parameters
    ----------
    z_vv, z_vh : float32 arrays (rows, cols)
        Standardised change; NaN as nodata. Rows and columns are multiples of a cell of `surroundings`.
    rule : mapping
        `PARAMETERS`.
    side_m : float
        Side of a pixel in metres.

    Returns
    -------
    float32 array (rows, cols)
        At least 0; NaN where an input is NaN. A tile needs a halo of `halo_px`.
    """
    size = window_px(rule, side_m)
    both = (z_vv + z_vh) / np.float32(np.sqrt(2))
    # the sum of n values over the root of n, where nodata leaves fewer than a whole window
    share = speckle.boxcar(np.isfinite(both).astype(np.float32), size)
    raw = np.abs(speckle.boxcar(both, size)) * np.sqrt(share) * np.float32(size)
    usual = surroundings.shared(raw, side_m) / np.float32(rule["normal_median"])
    return raw / np.maximum(usual, np.float32(1))


def score(distances: np.ndarray, false_alarm_rate: float) -> np.ndarray:
    """Return the logistic function of a distance less its threshold; 0.5 at the threshold.

    Parameters
    ----------
    distances : array
        From `distance`.
    false_alarm_rate : float
        Share of standard normal numbers whose absolute value is above the threshold.

    Returns
    -------
    array of the same shape, 0..1
        Like the probability of other models, but not calibrated.
    """
    # not through scipy.stats, whose import takes half a second of each command
    return np.asarray(expit(distances + np.float32(ndtri(false_alarm_rate / 2))))
