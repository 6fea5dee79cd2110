"""Reflectance of the synthetic ground in July, and how light and seasons change it, band by band."""

import numpy as np

from lsbatch.bands import FURTHER
from lsbatch.synthetic import confounders, cover
from lsbatch.synthetic.conditions import Conditions

#: Bands of every scene. The columns of all tables are these, then `lsbatch.bands.FURTHER`.
BANDS = ("R", "G", "B", "NIR")
COLUMNS = (*BANDS, *FURTHER)

#: Land cover (rows, as in `cover.NAMES`).
COVER = np.array(
    [
        # R     G      B      NIR    SWIR1  SWIR2  RE1    RE2    RE3    NIRn
        [0.020, 0.035, 0.040, 0.015, 0.010, 0.008, 0.030, 0.020, 0.018, 0.014],  # water
        [0.025, 0.040, 0.025, 0.260, 0.120, 0.055, 0.060, 0.180, 0.230, 0.270],  # forest
        [0.060, 0.075, 0.045, 0.270, 0.190, 0.110, 0.100, 0.200, 0.240, 0.280],  # scrub
        [0.160, 0.150, 0.135, 0.200, 0.240, 0.220, 0.170, 0.180, 0.190, 0.205],  # rock
        [0.050, 0.080, 0.045, 0.380, 0.180, 0.090, 0.095, 0.270, 0.340, 0.390],  # farmland
        [0.800, 0.820, 0.840, 0.700, 0.080, 0.070, 0.790, 0.760, 0.740, 0.680],  # snow
        [0.170, 0.160, 0.150, 0.220, 0.260, 0.240, 0.180, 0.195, 0.210, 0.225],  # built
    ],
    np.float32,
)
DEBRIS = np.array([0.165, 0.130, 0.098, 0.235, 0.300, 0.270, 0.180, 0.200, 0.215, 0.240], np.float32)
CHANGED = {
    kind: np.array(values, np.float32)
    for kind, values in {
        confounders.CLEARCUT: (0.085, 0.090, 0.058, 0.250, 0.210, 0.130, 0.110, 0.190, 0.220, 0.255),
        confounders.HARVEST: (0.105, 0.110, 0.070, 0.300, 0.230, 0.140, 0.130, 0.230, 0.265, 0.305),
        confounders.FLOOD: (0.110, 0.110, 0.090, 0.190, 0.080, 0.060, 0.120, 0.150, 0.170, 0.190),
        confounders.LATE_SNOW: (0.110, 0.110, 0.080, 0.230, 0.100, 0.080, 0.120, 0.170, 0.200, 0.230),
        confounders.FIRE: (0.065, 0.060, 0.050, 0.120, 0.210, 0.200, 0.075, 0.090, 0.105, 0.125),
        confounders.DAMAGE: (0.090, 0.085, 0.055, 0.215, 0.210, 0.140, 0.110, 0.165, 0.195, 0.220),
    }.items()
}

#: Relative change of vegetation that has no green left: red and water absorption weaken, infrared decreases.
BROWNING = (0.9, 0.9, 0.9, -0.8, 0.5, 0.9, 0.9, -0.6, -0.8, -0.8)
#: Relative over-correction of the darkest slopes: Sen2Cor divides by a small cosine. Visible bands become far too
#: bright, infrared less so.
OVERCORRECTION = (1.1, 1.1, 1.1, 0.25, 0.25, 0.25, 0.9, 0.4, 0.3, 0.25)
#: Path reflectance of the atmosphere.
HAZE = np.array([0.035, 0.055, 0.085, 0.015, 0.004, 0.002, 0.030, 0.024, 0.019, 0.014], np.float32)


def columns(further: tuple[str, ...]) -> list[int]:
    """Return the columns of `BANDS` and of further bands."""
    return [COLUMNS.index(name) for name in (*BANDS, *further)]


def covers(conditions: Conditions) -> np.ndarray:
    """Return the reflectance of the covers of a country, float32 (covers, columns of `COLUMNS`)."""
    gain = np.array(conditions.optical.cover_gain, np.float32)[:, None]
    return np.clip(COVER * gain, 0.005, 0.95).astype(np.float32)


def debris(conditions: Conditions) -> np.ndarray:
    """Return the reflectance of debris of a country, float32 (columns of `COLUMNS`,)."""
    green = np.float32(conditions.optical.green_debris)
    mixed = np.float32(conditions.optical.debris_gain) * DEBRIS * (1 - green) + green * COVER[cover.SCRUB]
    return mixed.astype(np.float32)
