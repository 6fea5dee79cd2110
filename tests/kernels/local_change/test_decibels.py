"""Decibels by a polynomial against numpy in double precision."""

import numpy as np

from lsbatch.kernels.local_change.decibels import decibels_into


def decibels(power: np.ndarray) -> np.ndarray:
    out = np.empty_like(power)
    decibels_into(out, power, np.empty_like(power))
    return out


def test_error_is_the_rounding_of_single_precision() -> None:
    power = np.geomspace(1e-5, 100, 1_000_001).astype(np.float32)
    assert np.abs(decibels(power) - 10 * np.log10(power.astype(np.float64))).max() < 4e-6


def test_powers_of_two_and_their_neighbours() -> None:
    """Where the power is split into a power of two and a factor."""
    exact = np.float32(2) ** np.arange(-20, 8, dtype=np.float32)
    exact = np.concatenate([exact, exact * np.float32(np.sqrt(2)), exact * np.float32(np.sqrt(0.5))])
    power = np.concatenate([exact, np.nextafter(exact, np.float32(0)), np.nextafter(exact, np.float32(1e9))])
    np.testing.assert_allclose(decibels(power), 10 * np.log10(power.astype(np.float64)), rtol=0, atol=6e-6)


def test_what_was_not_observed_stays_so() -> None:
    found = decibels(np.array([np.nan, 1.0, np.nan], np.float32))
    np.testing.assert_array_equal(found, np.array([np.nan, 0, np.nan], np.float32))
