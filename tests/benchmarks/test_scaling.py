"""Many tiles and placement, small: what must hold on any machine. `python -m benchmarks.scaling` measures."""

from pathlib import Path

import pytest

from benchmarks import scaling


def test_predictions_go_where_the_gpu_is(tmp_path: Path) -> None:
    with scaling.workers(2, gpus=1) as client:
        assert scaling.placement(client, 40, tmp_path) == (40, 40)


@pytest.mark.slow
def test_the_driver_does_not_grow_with_the_tiles(tmp_path: Path) -> None:
    with scaling.workers(1) as client:
        few = scaling.overhead(client, 1_000, tmp_path)
        many = scaling.overhead(client, 6_000, tmp_path)
    assert (few["tiles"], many["tiles"]) == (1_000, 6_000)
    # 512 in flight, whatever their number: a future that is kept costs 7 kB, and 5,000 of them 35 MB
    assert many["driver_mb_more"] < few["driver_mb_more"] + 20


def test_receipts_are_all_found(tmp_path: Path) -> None:
    found = scaling.listing(300, tmp_path)
    assert found["receipts"] == 300


@pytest.mark.slow
def test_efficiency_and_growth_do_all_their_tiles(tmp_path: Path) -> None:
    survey = scaling.country_of(tmp_path / "country", "512x512")
    result = scaling.efficiency(survey, tmp_path / "runs", tiles=2, rounds=1)
    assert result["efficiency"] == result["each"][0] == result["pairs"][0][0] / result["pairs"][0][1] / 2


@pytest.mark.slow
def test_growth_does_all_tiles_in_each_kind_of_run(tmp_path: Path) -> None:
    survey = scaling.country_of(tmp_path / "country", "512x512", 128)
    paces = scaling.growth(survey, tmp_path / "growth")
    assert list(paces) == [1, 4, 16]
    assert all(0 < seconds < 100 for seconds in paces.values())
    for runs in ("sixteenth-*", "quarter-*", "all"):
        assert len({path.name for path in (tmp_path / "growth").glob(f"{runs}/receipts/outline/*.json")}) == 16
