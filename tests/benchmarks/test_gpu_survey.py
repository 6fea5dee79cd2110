"""The benchmark of a survey on a GPU runs to its end, also on CPUs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow


@pytest.mark.skipif(torch.cuda.is_available(), reason="compares CPU with CPU")
def test_a_small_survey_is_measured(tmp_path: Path) -> None:
    words = f"--folder {tmp_path} --side 256 --repeat 4 4 --tile 256 --workers 2 --epochs 2"
    command = [sys.executable, "-m", "benchmarks.gpu_survey", *words.split()]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu_survey.json").read_text(encoding="utf-8"))
    assert found["device"] == "CPU, no GPU"
    # the same numbers on the same device
    assert found["largest difference of a probability between the devices"] == 0
    assert found["pixels on the other side of 0.5"] == 0
    assert found["stack of a tile by a CPU worker, s"] > 0
    tuned, scratch = (
        found[f"training from {start}, validation MCC"] for start in ("the packaged weights", "random weights")
    )
    assert tuned > scratch
