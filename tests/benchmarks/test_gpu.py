"""The GPU benchmark: it runs on a bare machine, bounds its time, and measures what the program does."""

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_copies, gpu_sections, gpu_setup
from benchmarks.gpu_setup import Row
from lsbatch.settings import PredictSettings, TrainSettings

ROOT = Path(__file__).parents[2]
#: Libraries that a bare machine lacks.
ABSENT = (
    "dask", "distributed", "zarr", "xarray", "rasterio", "rioxarray", "pydantic", "odc", "pystac_client", "geopandas",
    "obstore", "upath", "tenacity", "safetensors", "shapely", "monai",
)  # fmt: skip
#: Runs a file or a module as if they were not installed. Its finder answers None, as one does for an absent library.
BARE = f"""
import runpy, sys
from importlib.machinery import PathFinder

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {ABSENT} else super().find_spec(name, path, target)

sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
sys.argv = sys.argv[1:]
if sys.argv[0].endswith(".py"):
    # as python does with the folder of a file
    sys.path[0] = sys.argv[0].rpartition("/")[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
#: The bound of the docs for the network (docs/architecture.md): one stored step.
TOLERANCE = 1.5e-5


def run_bare(*words: str) -> subprocess.CompletedProcess[str]:
    # no compiler, so that torch.compile fails quickly instead of compiling for a minute
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"CXX": "/absent/c++"}
    return subprocess.run(
        [sys.executable, "-c", BARE, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900
    )


@pytest.mark.slow(ci=True)
def test_it_runs_on_a_bare_machine(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "gpu.json"
    script = str(ROOT / "benchmarks" / "gpu.py")
    words = f"--device cpu --side 64 --batch 1 --seconds 800 --json {path}".split()
    done = run_bare(script, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text(encoding="utf-8"))
    assert set(found) == {"machine", "seconds", "complete", "rows"}
    assert found["complete"]
    assert {"device", "card", "driver", "cuda", "torch", "date"} <= set(found["machine"])
    assert "the numbers are of the CPU" in done.stdout
    rows = {(row["section"], row["what"].partition(",")[0]): row for row in found["rows"]}
    assert {section for section, _ in rows} == set(gpu_sections.SECTIONS)
    assert all(set(row) == {field.name for field in fields(Row)} for row in found["rows"])
    assert rows["exactness", "float32"]["difference"] <= TOLERANCE
    assert "windows: 4," in rows["exactness", "float32"]["what"]
    assert 0 < rows["exactness", "bfloat16 against float32"]["difference"] < 0.2
    assert min(rows["inference", name]["mpx_s"] for name in ("float32", "bfloat16")) > 0
    assert min(rows["training", "float32"][name] for name in ("steps_s", "chips_s")) > 0
    assert rows["MONAI", "sliding_window_inference"]["note"] == "not installed"
    assert rows["host to host", "copies"]["note"].startswith("not measured")
    assert rows["inference, compiled", "bfloat16"]["note"].startswith("not available")
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(found["rows"])
    assert {line.count("|") for line in table} == {1 + len(fields(Row))}


def test_it_runs_as_a_module_and_says_what_time_forbids(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    done = run_bare("benchmarks.gpu", "--device", "cpu", "--side", "64", "--seconds", "0.1", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert [row["note"] for row in rows] == ["not run: time"] * len(gpu_sections.SECTIONS)


def test_a_section_is_stopped_in_time() -> None:
    def endless() -> Iterator[Row]:
        yield Row("a", "first", 1.0)
        while True:
            time.sleep(0.01)

    began = time.monotonic()
    rows, sound = gpu.measured("a", endless, 1.1)
    assert sound
    assert [row.note for row in rows] == ["", "not run: time"]
    assert time.monotonic() - began < 60


def test_a_section_that_fails_is_a_row() -> None:
    def failing() -> Iterator[Row]:
        yield Row("a", "first", 1.0)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    rows, sound = gpu.measured("a", failing, 60)
    assert not sound
    assert rows[1].note == "failed: OutOfMemoryError: CUDA out of memory."


def test_defaults_are_those_of_the_settings() -> None:
    """The benchmark cannot import the settings, which need pydantic."""
    for ours, theirs in (
        (gpu_setup.PredictDefaults(), PredictSettings()),
        (gpu_setup.TrainDefaults(), TrainSettings()),
    ):
        known = theirs.model_dump()
        assert asdict(ours) == {name: known[name] for name in asdict(ours)}


def test_monai_is_measured_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai")
    setup = gpu_setup.Setup.of_device(torch.device("cpu"), 64, 1)
    monkeypatch.setattr(gpu_sections, "PEERS", ((64, 0.5, 2),))
    with warnings.catch_warnings():
        # of MONAI about torch
        warnings.simplefilter("ignore")
        rows = list(gpu_sections.peer(setup))
    assert len(rows) == 1
    assert rows[0].mpx_s
    # it does not see what lies around the image, so its border is another answer
    assert rows[0].mean is not None
    assert 0 < rows[0].mean < 0.1


def test_ways_of_copying_give_the_same_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, with streams and events that do nothing: the order of the buffers is what is tested."""
    setup = gpu_setup.Setup.of_device(torch.device("cpu"), 64, 1)
    blocks = [(setup.inputs * gpu_setup.STD + gpu_setup.MEAN).numpy()]
    blocks = [blocks[0], blocks[0][:, ::-1].copy()] * 3
    for name, value in (("Stream", _Nothing), ("Event", _Nothing), ("stream", _Nothing)):
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "current_stream", _Nothing)
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: real(*a, **k))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    first, *others = (way("float32") for way in gpu_copies.ways(setup, blocks, 64).values())
    assert len(first) == len(blocks)
    assert abs(first[0] - first[1]).max() > 0.01
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert abs(one - two).max() < 1e-6


class _Nothing:
    """A stream, an event and a context that do nothing."""

    def __init__(self, *_: Any) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def __getattr__(self, _: str) -> Any:
        return lambda *_: None
