"""The uncertainty of records, against scipy and sorted lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lsbatch.kernels.statistics import uncertainty

SHARES = st.floats(0, 1)
INNER = st.floats(0.01, 0.99)


@given(SHARES)
def test_entropy_is_that_of_a_coin(probability: float) -> None:
    assert uncertainty.entropy(np.array(probability)) == pytest.approx(
        stats.entropy([probability, 1 - probability], base=2), abs=1e-12
    )


@given(SHARES, INNER)
def test_most_uncertain_at_the_threshold(probability: float, threshold: float) -> None:
    found = uncertainty.entropy(np.array([probability, threshold, 0.0, 1.0]), threshold)
    assert found[1] == pytest.approx(1)
    assert 0 <= found[0] <= 1 + 1e-12
    assert found[2:].tolist() == [0, 0]


@given(INNER)
def test_nearer_the_threshold_is_more_uncertain(threshold: float) -> None:
    """On each side of the threshold."""
    for far in (0.0, 1.0):
        found = uncertainty.entropy(np.linspace(threshold, far, 20), threshold)
        assert (np.diff(found) < 0).all()


def test_unknown_stays_unknown() -> None:
    assert np.isnan(uncertainty.entropy(np.array([np.nan, 0.5]))).tolist() == [True, False]


TABLE = st.lists(st.tuples(*[SHARES | st.just(np.nan)] * 3), min_size=1, max_size=8)


@given(TABLE)
def test_unknown_measures_are_left_out(rows: list[tuple[float, float, float]]) -> None:
    found = uncertainty.combined(*np.array(rows).T)
    for value, row in zip(found, rows, strict=True):
        known = [one for one in row if one == one]
        assert value == pytest.approx(sum(known) / len(known)) if known else np.isnan(value)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.3, 0.7, np.nan]), st.booleans()), max_size=12))
def test_open_records_come_first_and_the_uncertain_before_the_certain(rows: list[tuple[float, bool]]) -> None:
    found = uncertainty.ranking(np.array([u for u, _ in rows], float), np.array([a for _, a in rows], bool))
    slow = sorted(range(len(rows)), key=lambda i: (rows[i][1], 2 - rows[i][0] if rows[i][0] == rows[i][0] else 9, i))
    assert found.tolist() == slow
