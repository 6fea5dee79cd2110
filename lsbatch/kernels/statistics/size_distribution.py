"""Size distribution of landslides: density, two fitted laws, rollover.

Real inventories follow a power law for large landslides and have fewer small landslides than this law, below a
rollover. Malamud et al. (2004), Earth Surf. Process. Landforms 29, 687-711, fit a three-parameter inverse gamma, whose
mode is the rollover. Clauset, Shalizi and Newman (2009), SIAM Rev. 51, 661-703, estimate the start and the exponent of
the tail.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

#: Minimum number of landslides for a fit.
FEWEST = 50
#: Maximum number of thresholds tried for the tail.
THRESHOLDS = 100
#: Half width of a 95 % interval in standard errors.
Z95 = 1.959963984540054


@dataclass(frozen=True)
class InverseGamma:
    """A fitted three-parameter inverse gamma for areas of at least `least_m2`.

    Attributes
    ----------
    rho : float
        The tail decreases as area^-(rho + 1).
    scale_m2, shift_m2 : float
        a and s of Malamud et al.: the density is (a / (A - s))^(rho + 1) exp(-a / (A - s)) / (a gamma(rho)).
    least_m2 : float
    count : int
    log_likelihood : float
    rollover_m2 : float
        The mode, a / (rho + 1) + s.
    rollover_low_m2, rollover_high_m2, rho_se : float
        95 % interval and standard error from the curvature of the likelihood; NaN without a maximum.
    """

    rho: float
    scale_m2: float
    shift_m2: float
    least_m2: float
    count: int
    log_likelihood: float
    rollover_m2: float
    rollover_low_m2: float
    rollover_high_m2: float
    rho_se: float

    @property
    def rollover_is_seen(self) -> bool:
        """Return whether the rollover lies within the fitted areas; otherwise it is an extrapolation."""
        return self.rollover_low_m2 > self.least_m2

    def density(self, areas_m2: np.ndarray) -> np.ndarray:
        """Return the probability density per m2 for areas of at least `least_m2`; 0 below."""
        areas = np.asarray(areas_m2, np.float64)
        inside = areas >= self.least_m2
        out = np.zeros(areas.shape)
        out[inside] = np.exp(
            _log_density(np.array([self.rho, self.scale_m2, self.shift_m2]), areas[inside], self.least_m2)
        )
        return out


@dataclass(frozen=True)
class Tail:
    """A fitted power-law tail: density proportional to area^-alpha above `from_m2`.

    Attributes
    ----------
    alpha, alpha_se : float
    from_m2 : float
        Lower limit of the tail; the rollover lies below.
    count : int
        Number of landslides in the tail.
    distance : float
        Kolmogorov-Smirnov distance between the tail and the law.
    """

    alpha: float
    alpha_se: float
    from_m2: float
    count: int
    distance: float


def densities(areas_m2: np.ndarray, per_decade: int = 5) -> np.ndarray:
    """Return frequency densities in bins of equal width of the logarithm.

    Parameters
    ----------
    areas_m2 : array (n,)
        Above 0.
    per_decade : int
        Bins in a factor of ten; the edges are powers of ten and steps between them.

    Returns
    -------
    array (bins, 4)
        Lower and upper edge in m2, number of landslides, and probability density per m2 (landslides over all landslides
        and over the width of the bin).
    """
    areas = np.asarray(areas_m2, np.float64)
    if not areas.size:
        return np.empty((0, 4))
    steps = np.log10(areas) * per_decade
    # an area on an edge belongs to the bin above, also if its logarithm was rounded
    place = np.floor(steps + 1e-9).astype(np.int64)
    first = place.min()
    counts = np.bincount(place - first)
    edges = 10.0 ** ((first + np.arange(len(counts) + 1)) / per_decade)
    return np.column_stack([edges[:-1], edges[1:], counts, counts / (areas.size * np.diff(edges))])


def fit_inverse_gamma(areas_m2: np.ndarray, least_m2: float = 0.0) -> InverseGamma | None:
    """Fit by maximum likelihood to areas of at least `least_m2`, the smallest mapped area.

    The law is truncated there, because smaller landslides were not mapped. Areas are scaled by their median, and the
    parameters are fitted as logarithms.

    Parameters
    ----------
    areas_m2 : array (n,)
    least_m2 : float
        Smallest mapped area.

    Returns
    -------
    InverseGamma or None
        None with fewer than 50 areas, or if the search finds no maximum.
    """
    areas = np.asarray(areas_m2, np.float64)
    areas = areas[areas >= least_m2]
    if areas.size < FEWEST or areas.min() <= 0 or areas.min() == areas.max():
        return None
    unit = float(np.median(areas))
    scaled, least = areas / unit, least_m2 / unit
    # the shift lies below the smallest possible area
    floor = least if least > 0 else float(scaled.min())

    def loss(free: np.ndarray) -> float:
        value = -_log_density(_natural(free, floor), scaled, least).sum()
        return float(value) if np.isfinite(value) else 1e300

    starts = [np.log([rho, scale, gap]) for rho, scale, gap in ((0.7, 1.0, 0.5), (1.4, 1.0, 0.5), (2.5, 3.0, 1.0))]
    found = [
        optimize.minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-7})
        for start in starts
    ]
    best = min(found, key=lambda one: one.fun)
    if not best.success or best.fun >= 1e299:
        return None
    return _inverse_gamma(best.x, loss, (unit, floor), areas, least_m2)


def _natural(free: np.ndarray, floor: float) -> np.ndarray:
    """Return rho, a and s from their unconstrained forms."""
    with np.errstate(over="ignore"):
        return np.array([np.exp(free[0]), np.exp(free[1]), floor - np.exp(free[2])])


def _log_density(law: np.ndarray, areas: np.ndarray, least: float) -> np.ndarray:
    rho, a, s = law
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        over = a / (areas - s)
        out = (rho + 1) * np.log(over) - over - np.log(a) - special.gammaln(rho)
        # the share above `least`: regularised lower incomplete gamma
        return out - np.log(special.gammainc(rho, a / (least - s))) if least > 0 else out


def _inverse_gamma(free, loss, scaling, areas, least_m2) -> InverseGamma:  # type: ignore[no-untyped-def]
    unit, floor = scaling
    rho, a, s = _natural(free, floor)

    def mode(one: np.ndarray) -> float:
        law = _natural(one, floor)
        return float(law[1] / (law[0] + 1) + law[2])

    covariance = _covariance(loss, free)
    low = high = rho_se = np.nan
    if covariance is not None:
        slope = optimize.approx_fprime(free, mode, 1e-6)
        error = np.sqrt(slope @ covariance @ slope)
        low, high = mode(free) - Z95 * error, mode(free) + Z95 * error
        rho_se = rho * np.sqrt(covariance[0, 0])
    return InverseGamma(
        float(rho),
        float(a * unit),
        float(s * unit),
        float(least_m2),
        int(areas.size),
        float(-loss(free) - areas.size * np.log(unit)),
        mode(free) * unit,
        float(low * unit),
        float(high * unit),
        float(rho_se),
    )


def _covariance(loss, free: np.ndarray, step: float = 1e-3) -> np.ndarray | None:  # type: ignore[no-untyped-def]
    """Return the inverse of the curvature at the minimum by central differences; None if it is not a minimum."""
    n = len(free)
    steps = np.eye(n) * step
    curvature = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            corners = [
                sign * other * loss(free + sign * steps[i] + other * steps[j]) for sign in (1, -1) for other in (1, -1)
            ]
            curvature[i, j] = sum(corners) / (4 * step**2)
    values = np.linalg.eigvalsh((curvature + curvature.T) / 2)
    # flatter than one standard error in e^5: the data do not determine it
    return np.linalg.inv(curvature) if values.min() > 1 / 25 else None


def fit_tail(areas_m2: np.ndarray) -> Tail | None:
    """Fit a power-law tail by the method of Clauset et al.: the best of up to 100 thresholds.

    Parameters
    ----------
    areas_m2 : array (n,)

    Returns
    -------
    Tail or None
        None if no threshold leaves 50 different areas.
    """
    areas = np.sort(np.asarray(areas_m2, np.float64))
    values, first = np.unique(areas, return_index=True)
    rest = areas.size - first
    # a threshold must leave enough landslides with more than one size
    able = np.flatnonzero((rest >= FEWEST) & (values > 0) & (values < areas[-1] if areas.size else False))
    if not able.size:
        return None
    tried = able[np.unique(np.linspace(0, able.size - 1, THRESHOLDS).round().astype(np.int64))]
    return min((_tail(areas[first[k] :]) for k in tried), key=lambda one: one.distance)


def _tail(areas: np.ndarray) -> Tail:
    """Return the law of all these areas, sorted: equations 3.1, 3.2 and 3.9."""
    logs = np.log(areas / areas[0])
    alpha = 1 + areas.size / logs.sum()
    law = 1 - np.exp(-(alpha - 1) * logs)
    steps = np.arange(areas.size + 1) / areas.size
    distance = max(np.abs(law - steps[1:]).max(), np.abs(law - steps[:-1]).max())
    return Tail(
        float(alpha), float((alpha - 1) / np.sqrt(areas.size)), float(areas[0]), int(areas.size), float(distance)
    )
