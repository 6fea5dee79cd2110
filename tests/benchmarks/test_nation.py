"""The rehearsal of a nation, small: all steps have a time, and the plan has all scenes."""

from pathlib import Path

import pytest

from benchmarks import nation


@pytest.mark.parametrize(("tiles", "expected"), [(1000, (20, 25)), (36, (3, 6)), (2, (1, 1)), (14, (1, 7))])
def test_places_give_the_tiles(tiles: int, expected: tuple[int, int]) -> None:
    assert nation.places(tiles) == expected


@pytest.mark.slow
def test_a_rehearsal_of_four_tiles(tmp_path: Path) -> None:
    found = nation.rehearse(tmp_path, tiles=4, bench_tiles=2, workers=2)
    assert found["tiles"] == 4
    assert found["landslides"] > 0
    steps = {row["step"]: row for row in found["steps"]}
    assert steps["stack"]["tiles"] == 4
    assert steps["inventory"]["kind"] == "reduction"
    assert not any(row["failed"] for row in found["steps"])
    assert 0 < found["reductions_share"] < 1
    assert found["driver_peak_mb"] > 50
    assert found["folders"][-1]["files"] == sum(row["files"] for row in found["folders"][:-1]) > 0


@pytest.mark.slow
def test_norway_is_planned(tmp_path: Path) -> None:
    found = nation.plan_norway(tmp_path)
    assert found["tiles"] == 1000
    assert all(row["tiles_without"] == 0 for row in found["scenes"])
