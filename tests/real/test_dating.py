"""Dates on 50 real series; as measured in docs/measured.md, so that a change of the kernel does not go unseen."""

from pathlib import Path

import numpy as np

from benchmarks import dating as benchmark
from lsbatch.kernels import landslide_date


def test_real_series_as_measured(shared_data: Path) -> None:
    table = benchmark.real(shared_data / "s1_change_series")
    changed = (table["label"] != benchmark.NO_CHANGE).to_numpy()
    dated = (table["evidence"] >= landslide_date.EVIDENCE).to_numpy()
    assert (changed.sum(), (~changed).sum()) == (25, 13)
    # few are dated, and those that are not landslides: what is held here is that unchanged sites are left alone
    assert dated[~changed].sum() <= 1
    assert dated[changed].sum() >= 4
    assert np.isfinite(table[["day", "earliest", "latest"]]).all(axis=None)
    assert (table["earliest"] <= table["day"]).all()
    assert (table["day"] <= table["latest"]).all()
