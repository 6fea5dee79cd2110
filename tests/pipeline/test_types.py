"""Scores are exact, undefined scores are None, and receipts survive JSON."""

import json
import math
import warnings
from dataclasses import FrozenInstanceError
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt

counts = st.integers(0, 10**12)
confusions = st.builds(Confusion, tp=counts, fp=counts, fn=counts, tn=counts)
small = st.builds(Confusion, *[st.integers(0, 30)] * 4)


def labels(found: Confusion) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction with these counts."""
    truth = np.repeat([1, 0, 1, 0], [found.tp, found.fp, found.fn, found.tn])
    predicted = np.repeat([1, 1, 0, 0], [found.tp, found.fp, found.fn, found.tn])
    return truth, predicted


@given(small)
def test_scores_equal_sklearn_or_are_none_where_undefined(found: Confusion) -> None:
    truth, predicted = labels(found)
    if found.total == 0:
        assert set(found.scores().values()) == {0, None}
        return
    expected = {
        "precision": (metrics.precision_score, found.tp + found.fp),
        "recall": (metrics.recall_score, found.tp + found.fn),
        "f1": (metrics.f1_score, 2 * found.tp + found.fp + found.fn),
        "iou": (metrics.jaccard_score, found.tp + found.fp + found.fn),
    }
    for name, (score, denominator) in expected.items():
        if denominator:
            assert getattr(found, name) == pytest.approx(score(truth, predicted, zero_division=0))
        else:
            assert getattr(found, name) is None
    margins = (found.tp + found.fp, found.tp + found.fn, found.tn + found.fp, found.tn + found.fn)
    if all(margins):
        assert found.mcc == pytest.approx(metrics.matthews_corrcoef(truth, predicted))
    else:
        # sklearn says 0; a survey that could not be scored must not look like a bad one
        assert found.mcc is None
    assert found.prevalence == pytest.approx(truth.mean())


@given(confusions)
def test_scores_stay_inside_their_ranges_at_national_size(found: Confusion) -> None:
    for name in ("precision", "recall", "f1", "iou", "prevalence"):
        value = getattr(found, name)
        assert value is None or 0 <= value <= 1
    assert found.mcc is None or -1 - 1e-12 <= found.mcc <= 1 + 1e-12
    # MCC is below the geometric mean of precision and recall wherever there is an error
    if found.mcc is not None and found.tp and (found.fp or found.fn):
        assert found.mcc <= math.sqrt(found.precision * found.recall) + 1e-12


@given(st.lists(confusions, max_size=8), st.randoms())
def test_counts_sum_exactly_in_any_order(parts: list[Confusion], random: object) -> None:
    total = reduce(Confusion.__add__, parts, Confusion())
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert reduce(Confusion.__add__, shuffled, Confusion()) == total
    assert total.total == sum(part.total for part in parts)


def test_a_perfect_and_an_inverted_survey() -> None:
    assert Confusion(tp=5, tn=95).mcc == pytest.approx(1)
    assert Confusion(fp=5, fn=95).mcc == pytest.approx(-1)
    assert Confusion(tn=100).mcc is None
    assert Confusion(tn=100).precision is None


def test_the_mcc_of_the_paper_is_refused_by_arithmetic() -> None:
    """Precision 83 and recall 79 allow no MCC of 89, whatever the prevalence."""
    for prevalence in (0.001, 0.01, 0.1, 0.4):
        n = 10**9
        positives = int(n * prevalence)
        tp = int(positives * 0.79)
        fp = int(tp / 0.83 - tp)
        assert Confusion(tp, fp, positives - tp, n - positives - fp).mcc < 0.81


def receipt(**changes: object) -> Receipt:
    """A receipt that worked."""
    values = {
        "stage": "stack", "tile": "r000c001", "digest": "00ff", "seconds": 1.5, "pixels": 4096, "peak_mb": 12.25,
        "worker": "host:1", "finished": "2024-09-15T00:00:00+00:00", "tally": {"tp": 2**53, "scenes": 3},
        "scenes": ("a", "b"), "dropped": ("c: truncated",),
    }  # fmt: skip
    return Receipt(**(values | changes))


def test_receipt_survives_json() -> None:
    for made in (receipt(), receipt(error="ValueError: no", trace="Traceback ...", scenes=())):
        assert receipts.parsed(json.dumps(made.to_dict()).encode()) == made


def test_receipt_is_true_if_it_worked() -> None:
    assert receipt()
    assert not receipt(error="no scene")
    # an empty reason is a reason
    assert not receipt(error="")


def test_receipt_of_a_later_version_is_read_without_what_is_not_known() -> None:
    assert receipts.parsed(json.dumps(receipt().to_dict() | {"colour": "blue"}).encode()) == receipt()


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        receipt().error = "x"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Confusion().tp = 1  # type: ignore[misc]


def test_counts_beyond_64_bits_do_not_wrap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        world = Confusion(tp=10**13, fp=10**12, fn=10**12, tn=10**15)
        assert world.mcc == pytest.approx(0.9081, abs=1e-3)
