"""Dates on 50 real series; as measured in docs/measured.md, so that a change of the kernel does not go unseen."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import change_series as benchmark
from lsbatch.kernels import landslide_date
from lsbatch.kernels.landslide_date import Dated


def test_real_series_as_measured(shared_data: Path) -> None:
    folder = shared_data / "s1_change_series"
    found, labels = benchmark.searched(folder), benchmark.labels(folder)
    weight, others = benchmark.weights(found, labels["true"])
    # the constants of the kernel are what the benchmark computes
    assert weight == pytest.approx(landslide_date.WEIGHT)
    still = [one.evidence for site, one in found.items() if labels.loc[site, "label"] == benchmark.NO_CHANGE]
    assert (len(found), len(still)) == (38, 13)
    assert 4 < max(still) < landslide_date.EVIDENCE
    # with the weight that the other sites give
    for span in (None, benchmark.SPAN_DAYS):
        table = benchmark.judged(folder, found, others, span)
        changed = table["label"] != benchmark.NO_CHANGE
        assert 0.8 <= table.loc[changed, "held"].mean() <= 0.97
        assert table.loc[~changed, "dated"].mean() == 0
        assert (table["earliest"] <= table["day"]).all()
        assert (table["day"] <= table["latest"]).all()


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_the_calibration_holds_its_share(rate: float) -> None:
    """Where a share of sites holds with every weight below its own, 90 % of new ones hold in 90 % of trials."""
    dice = np.random.default_rng(1)
    spread = [dice.beta(2, 20 * rate, 25) for _ in range(400)]
    kept = [(dice.beta(2, 20 * rate, 4000) >= benchmark.calibrated(list(own)) - 1e-9).mean() for own in spread]
    assert np.mean(np.array(kept) >= 0.9) > 0.87


def test_too_few_sites_for_a_calibration() -> None:
    with pytest.raises(ValueError, match="21 sites with a day: at least 22 are needed"):
        benchmark.calibrated([1.0] * 21)


def test_the_largest_weight_is_where_the_interval_first_leaves_the_day() -> None:
    edges = np.arange(0.0, 101.0)
    sharp = Dated(edges, np.where(edges[:-1] == 50, 20.0, 0.0))
    assert benchmark.largest_weight(sharp, 50.5) == 1
    away = benchmark.largest_weight(sharp, 10.0)
    for weight, held in ((away, True), (away + 0.01, False)):
        first, last = Dated(edges, sharp.ratio, weight).interval()
        assert (first <= 10 <= last) == held
