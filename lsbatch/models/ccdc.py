"""CCDC as COLD (Zhu et al. 2020), by pyxccd: the date at which a pixel leaves its seasonal model.

Each pixel's clear looks are fitted with a yearly cycle; six looks in a row that leave it are a break. A break inside
the survey's windows at which NDVI falls is a landslide as far as its vegetation is gone: the probability is the share
of greenness that the break took (vegetation cover is linear in NDVI between bare and full; Carlson and Ripley 1997),
and 0.5 means half of it. It is a score on the same scale as the other models' and was never calibrated.

The share, and the rule that selects pixels, are our additions to the published method.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from lsbatch.bands import OWN_BANDS
from lsbatch.errors import ModelError
from lsbatch.models.cards import Card

BANDS = OWN_BANDS["ccdc"]
#: Value of a date or a series without an observation.
MISSING = -32768
#: Days from the first of January of the year 1 to that of 1970: pyxccd counts as Python's `date.toordinal` does.
EPOCH = 719_163
#: Looks are integers of this size, on which COLD's penalty of 20 is meant.
SCALE = 10_000
#: All parameters that affect a prediction; stored in the card.
PARAMETERS: Mapping[str, float] = {
    # the published ones
    "chi_square": 0.99,
    "consecutive": 6,
    "penalty": 20,
    # NDVI of bare ground
    "bare_ndvi": 0.1,
    # pixels that cannot have slid, or would not show it, are skipped
    "least_ndvi": 0.3,
    "least_slope_deg": 3,
    "least_fall": 0.05,
}
#: With fewer observations, pyxccd 1.1.0 crashes without an exception (101 of 101 series of 15 to 23 observations).
FEWEST = 24


def card() -> Card:
    """Return the card: nothing is trained, the parameters are the model."""
    return Card("ccdc", BANDS, (), (), dict(PARAMETERS), 0, 1, made_by={"software": "pyxccd"})


def check() -> None:
    """Refuse to start without the library pyxccd.

    Raises
    ------
    ModelError
        With what to install.
    """
    if importlib.util.find_spec("pyxccd") is None:
        raise ModelError("model.family ccdc: needs pyxccd, which is not installed; run pip install 'lsbatch[ccdc]'")


def candidates(bands: Mapping[str, np.ndarray], rule: Mapping[str, float]) -> np.ndarray:
    """Return pixels that may be landslides, bool (rows, cols).

    Those that were green before (no water, rock or snow), are not flat, and were less green in their greenest look
    after. Where a band was not seen the answer is False.
    """
    red, near = bands["preR"], bands["preNIR"]
    with np.errstate(invalid="ignore", divide="ignore"):
        green = (near > 0) & (red > 0) & ((near - red) / (near + red) >= rule["least_ndvi"])
    return green & (bands["slope"] >= rule["least_slope_deg"]) & (bands["dNDVI"] <= -rule["least_fall"])


def breaks(
    days: np.ndarray, series: np.ndarray, window: tuple[int, int], rule: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the break of each pixel with the largest loss of greenness.

    Parameters
    ----------
    days : int array (looks,)
        Since 1970-01-01, rising.
    series : int16 array (bands, looks, pixels)
        NDVI first, then reflectances, times 10,000; `MISSING` in NDVI where a look was not clear.
    window : (int, int)
        First and last day on which a break counts.
    rule : mapping
        `PARAMETERS`.

    Returns
    -------
    share : float32 array (pixels,)
        Of the greenness, 0 without a break, NaN with too few looks to tell.
    before, after : int16 arrays (pixels,)
        Last observation before the break and first observation after it; `MISSING` without a break.
    """
    count = series.shape[2]
    share = np.full(count, np.nan, np.float32)
    before, after = (np.full(count, MISSING, np.int16) for _ in range(2))
    last = series.shape[0]
    for pixel in range(count):
        seen = series[0, :, pixel] != MISSING
        if seen.sum() < FEWEST:
            continue
        when, looks = days[seen], series[:, seen, pixel].T.astype(np.int64)
        segments = _segments(when, looks, last, rule)
        if segments is None:
            continue
        share[pixel] = 0
        for segment in segments:
            day = int(segment["t_break"]) - EPOCH
            if segment["change_prob"] < 100 or not window[0] <= day <= window[1]:
                continue
            at = int(np.searchsorted(when, day))
            lost = _lost(
                looks[at : at + int(rule["consecutive"]), 0], float(segment["magnitude"][0]), rule["bare_ndvi"]
            )
            if at and lost > share[pixel]:
                share[pixel], before[pixel], after[pixel] = lost, when[at - 1], when[at]
    return share, before, after


def _segments(when: np.ndarray, looks: np.ndarray, last: int, rule: Mapping[str, float]) -> Any:
    """Return the records of pyxccd; None if it cannot start a model."""
    # the import takes one second and is needed only here
    from pyxccd import cold_detect_flex

    try:
        return cold_detect_flex(
            when + EPOCH, looks, np.zeros(len(when), np.int64), rule["penalty"], p_cg=rule["chi_square"],
            conse=int(rule["consecutive"]), tmask_b1_index=1, tmask_b2_index=last,
        )  # fmt: skip
    except Exception as error:
        # pyxccd has no exception type of its own for this case
        if "no change records" in str(error):
            return None
        raise


def _lost(looks: np.ndarray, magnitude: float, bare: float) -> float:
    """Return the share of expected greenness that was lost; `magnitude` is observed minus expected."""
    expected = (np.median(looks) - magnitude) / SCALE - bare
    return float(np.clip(-magnitude / SCALE / expected, 0, 1)) if expected > 0 else 0.0
