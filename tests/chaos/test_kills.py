"""Chaos: ``kill -9`` of workers, nannies, schedulers and drivers at random moments.

Resumed until done, nothing is lost, doubled or different.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.chaos import arena
from tests.chaos.comparison import differences

SEED = int(os.environ.get("LSBATCH_CHAOS_SEED", "20200630"))
MINUTES = float(os.environ.get("LSBATCH_CHAOS_MINUTES", "12"))
KILLS = 200


@pytest.mark.slow(ci=True)
def test_a_handful_of_kills_leaves_no_trace(
    home: arena.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toll = arena.siege(home, tmp_path, seed=SEED, kills=6, minutes=4, each=4)
    with capsys.disabled():
        print(f"\nseed {SEED}: {toll}")
    assert toll.total >= 6


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_two_hundred_kills_leave_no_trace(
    home: arena.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toll = arena.siege(home, tmp_path, seed=SEED, kills=KILLS, minutes=MINUTES)
    with capsys.disabled():
        print(f"\nseed {SEED}: {toll}")
    assert toll.total >= KILLS, (
        f"only {toll.total} kills in {MINUTES} minutes prove too little; LSBATCH_CHAOS_MINUTES gives it more"
    )
    assert min(toll.kills[role] for role in ("worker", "nanny", "scheduler", "driver")) >= 10


@pytest.mark.slow(ci=True)
def test_the_comparison_sees_a_pixel_a_count_and_a_polygon(home: arena.Nursery, tmp_path: Path) -> None:
    """What the chaos rests on must be able to fail."""
    whole = home.undisturbed.output
    copy = tmp_path / "s"
    shutil.copytree(whole, copy)
    assert differences(copy, whole) == []
    group = zarr.open_group(copy / "cube.zarr" / "mask" / "unet", mode="r+")
    group["landslide"][200, 7] ^= 1
    receipt = copy / "receipts" / "score" / "r000c001.json"
    receipt.write_text(receipt.read_text().replace('"tn": ', '"tn": 1'))
    part = next((copy / "parts").rglob("*.npy"))
    edges = np.load(part)
    np.save(part, edges + 1)
    (copy / "parts" / "outline" / "r009c009.parquet").touch()
    shutil.rmtree(copy / "receipts" / "catalog")
    found = differences(copy, whole)
    assert found == [
        "stored: only one has parts/outline/r009c009.parquet",
        "stored: cube.zarr/mask/unet/landslide/c/1/0 differs",
        f"stored: parts/outline/{part.name} differs",
        "pixels: mask/unet/landslide differs",
        "results: only one has catalog all",
        "results: score r000c001 differs",
    ]
