"""Temperature against a grid of temperatures, and what it leaves alone."""

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import log_loss

from lsbatch.models.training import calibration


def test_the_best_of_a_grid() -> None:
    dice = np.random.default_rng(0)
    real = dice.normal(-1, 2, 20_000)
    truth = dice.random(20_000) < special.expit(real)
    found = calibration.temperature(3 * real, truth)
    assert found == pytest.approx(3, rel=0.05)
    grid = np.linspace(2, 4, 201)
    losses = [log_loss(truth, special.expit(3 * real / heat)) for heat in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], abs=0.02)


def test_one_class_alone_says_nothing() -> None:
    assert calibration.temperature(np.array([1.0, 2.0]), np.array([True, True])) == 1
    assert calibration.temperature(np.array([1.0, 2.0]), np.array([False, False])) == 1


def test_bounds() -> None:
    perfect = np.array([-1.0, 1.0])
    assert calibration.temperature(perfect, perfect > 0) == pytest.approx(calibration.COLDEST, rel=0.01)
