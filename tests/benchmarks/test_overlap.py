"""Two kinds of workers at once, small: what must hold on any machine. `python -m benchmarks.overlap` measures."""

from pathlib import Path

from benchmarks import overlap


def test_predictions_start_while_stack_runs_and_only_without_a_barrier(tmp_path: Path) -> None:
    found = overlap.compare(3, 0.05, tmp_path / "survey")
    for name, bars in found.items():
        assert sorted((bar.worker, bar.stage) for bar in bars) == [("cpu", "stack")] * 9 + [("gpu", "predict")] * 9
        last = max(bar.began_s for bar in bars if bar.stage == "stack")
        early = sum(bar.ended_s <= last for bar in bars if bar.stage == "predict")
        # the tile in the first corner needs four of nine tiles of STACK
        assert early == 0 if name == "stage after stage" else early >= 1
    picture = tmp_path / "overlap.png"
    overlap.draw(found, picture)
    assert picture.stat().st_size > 5000
