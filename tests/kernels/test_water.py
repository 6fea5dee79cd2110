"""Water before, by each of its rules."""

import numpy as np
import pytest

from lsbatch.kernels import water

NAN = float("nan")


def found(vh_db: float, green: float, nir: float, slope_deg: float, side_m: float = 10) -> bool:
    arrays = (np.full((40, 40), value, np.float32) for value in (vh_db, green, nir, slope_deg))
    vh, green_array, nir_array, slope = arrays
    answer = water.before(vh, green_array, nir_array, slope, side_m)
    assert answer.all() == answer.any()
    return bool(answer.all())


@pytest.mark.parametrize(
    ("vh_db", "green", "nir", "slope_deg", "expected"),
    [
        (-28, NAN, NAN, NAN, True),
        (-20, NAN, NAN, NAN, False),
        (-28, NAN, NAN, 12, False),
        (-28, NAN, NAN, 2, True),
        (NAN, NAN, NAN, NAN, False),
        # Sentinel-2 decides where it saw the ground
        (-28, 0.05, 0.30, NAN, False),
        (-15, 0.05, 0.02, NAN, True),
        # snow has a bright near infrared
        (-15, 0.80, 0.70, NAN, False),
        (NAN, 0.05, 0.02, 30, False),
    ],
)
def test_water(vh_db: float, green: float, nir: float, slope_deg: float, expected: bool) -> None:
    assert found(vh_db, green, nir, slope_deg) is expected


@pytest.mark.parametrize("side_m", [10, 30])
def test_speckle_on_land_is_no_water_and_on_the_sea_it_is(side_m: float) -> None:
    dice = np.random.default_rng(0)
    unknown = np.full((128, 128), np.nan, np.float32)
    for level_db, expected in ((-28, True), (-20, False)):
        power = dice.gamma(4.4, 10 ** (level_db / 10) / 4.4, unknown.shape)
        answer = water.before((10 * np.log10(power)).astype(np.float32), unknown, unknown, unknown, side_m)
        assert answer.mean() == (1 if expected else 0)
