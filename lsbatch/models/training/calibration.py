"""Temperature scaling, so that probabilities match observed frequencies (Guo et al. 2017)."""

import numpy as np
from scipy import optimize, special

#: Bounds of the temperature. A value outside means that the network has not learned.
COLDEST, HOTTEST = 0.05, 20.0


def temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the divisor of the logits that maximises the likelihood of the truth.

    The logits of each member of an ensemble are divided, and the mean of their probabilities is compared with the
    truth. Of one network, whether a probability is above 0.5 does not change.

    Parameters
    ----------
    logits : array (pixels,) or (members, pixels)
        Of blocks that were not used for training.
    truth : bool array (pixels,)

    Returns
    -------
    float
        1 if the truth has only one class, because the optimum is then undefined.
    """
    if truth.all() or not truth.any():
        return 1.0
    members = np.atleast_2d(logits)

    def loss(log_heat: float) -> float:
        total = np.full(truth.shape, -np.inf)
        # one member at a time, because there may be many pixels
        for each in members:
            # log sigmoid(x) of the right answer
            right = special.log_expit(np.where(truth, each, -each).astype(np.float64) / np.exp(log_heat))
            total = np.logaddexp(total, right)
        return float(np.log(len(members)) - total.mean())

    found = optimize.minimize_scalar(
        loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x))
