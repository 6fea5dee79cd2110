"""Law: peak memory of a tile does not grow with the number of scenes."""

import subprocess
import sys

import pytest

from benchmarks import tile_memory
from lsbatch.engine import tile_task
from lsbatch.pipeline import radar

#: The issue's limit for a worker.
LIMIT_MB = 4000


@pytest.mark.slow
def test_peak_of_a_2048_px_tile_is_the_same_with_40_and_with_10_scenes() -> None:
    few = tile_memory.measure(2048, 10)
    many = tile_memory.measure(2048, 40)
    assert many["scenes"] == 4 * few["scenes"] - 3
    assert many["peak_mb"] < LIMIT_MB
    assert many["stack_mb"] < 1.1 * few["stack_mb"]
    assert many["peak_mb"] < 1.1 * few["peak_mb"]


def test_strip_gets_lower_as_passes_get_more() -> None:
    heights = [radar.strip_rows(2048, passes, cols=2048, halo=3) for passes in (1, 10, 40, 400, 4000)]
    assert heights == sorted(heights, reverse=True)
    for passes, height in zip((10, 40, 400), heights[1:4], strict=True):
        held = passes * 2 * (height + 6) * (2048 + 6) * 4
        # strips of one height, so the buffer may be only half full
        assert 0.5 * radar.STRIP_BYTES < held <= radar.STRIP_BYTES
        assert height % radar.CELL_ROWS == 0
    assert heights[-1] >= 1


def test_a_worker_does_not_inherit_the_peak_of_its_parent() -> None:
    ballast = bytearray(400 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    code = "from lsbatch.engine import tile_task; print(tile_task.peak_mb())"
    child = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert tile_task.peak_mb() > 400
    assert 50 < child < tile_task.peak_mb() - 200
