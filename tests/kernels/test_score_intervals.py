"""Scores against scikit-learn and Confusion; intervals against what repeated sampling gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, matthews_corrcoef, precision_score, recall_score

from lsbatch.kernels.statistics import score_intervals
from lsbatch.kernels.statistics.confusion import Confusion

counts = st.tuples(*[st.integers(0, 1000)] * 4)


@given(counts)
def test_measures_are_those_of_confusion(found: tuple[int, ...]) -> None:
    exact = Confusion(*found).scores()
    for name, value in zip(score_intervals.MEASURES, score_intervals.measures(np.array(found)), strict=True):
        if exact[name] is None:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(exact[name], abs=1e-12)


@given(counts)
def test_mcc_never_exceeds_the_root_of_precision_times_recall(found: tuple[int, ...]) -> None:
    precision, recall, _, _, mcc = score_intervals.measures(np.array(found))
    if np.isfinite([precision, recall, mcc]).all():
        assert mcc <= np.sqrt(precision * recall) + 1e-12


@given(st.integers(0, 10_000))
def test_cells_sum_up_and_score_as_scikit_learn(seed: int) -> None:
    dice = np.random.default_rng(seed)
    truth, seen = dice.random((8, 12)) < 0.3, dice.random((8, 12)) < 0.9
    predicted = np.where(dice.random((8, 12)) < 0.8, truth, ~truth)
    cells = score_intervals.by_cell(predicted, truth, seen, 4)
    assert cells.shape == (2, 3, 4)
    assert tuple(cells[1, 2]) == score_intervals.confusion(predicted[4:, 8:], truth[4:, 8:], seen[4:, 8:])
    assert tuple(cells.sum(axis=(0, 1))) == score_intervals.confusion(predicted, truth, seen)
    pair = truth[seen], predicted[seen]
    expected = [f(*pair) for f in (precision_score, recall_score, f1_score, jaccard_score, matthews_corrcoef)]
    np.testing.assert_allclose(score_intervals.measures(cells.sum(axis=(0, 1))), expected)


def test_intervals_hold_what_blocks_scatter() -> None:
    """Blocks alike give no width; unlike ones a standard error near that of the mean of the blocks."""
    same = np.tile([90, 10, 10, 9890], (40, 1))
    np.testing.assert_allclose(
        score_intervals.intervals(same), np.tile(score_intervals.measures(same[0])[:, None], (1, 2))
    )
    dice = np.random.default_rng(0)
    hits = dice.binomial(100, dice.beta(8, 2, 400))
    blocks = np.column_stack([hits, np.zeros(400, int), 100 - hits, np.full(400, 9900)])
    low, high = score_intervals.intervals(blocks)[1]
    # recall is the mean over equal blocks: 1.96 standard errors each way
    assert (high - low) / 2 == pytest.approx(1.96 * (hits / 100).std() / 20, rel=0.1)
    assert low < hits.mean() / 100 < high


def test_intervals_of_too_little() -> None:
    assert np.isnan(score_intervals.intervals(np.array([[1, 2, 3, 4]]))).all()
    nothing = score_intervals.intervals(np.array([[0, 0, 0, 5], [0, 0, 0, 9]]))
    assert np.isnan(nothing).all()


def test_reliability_as_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    dice = np.random.default_rng(1)
    said = dice.random((60, 70)).astype(np.float32)
    truth = dice.random((60, 70)) < said**2
    said[:5] = np.nan
    said[6, 0], said[6, 1] = 0, 1
    bins = score_intervals.reliability(said, truth)
    assert bins[:, 0].sum() == 55 * 70
    so, mean = calibration_curve(truth[5:].ravel(), said[5:].ravel(), n_bins=10)
    np.testing.assert_allclose(bins[:, 2] / bins[:, 0], so)
    np.testing.assert_allclose(bins[:, 1] / bins[:, 0], mean, rtol=1e-6)
