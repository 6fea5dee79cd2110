"""A survey whose predictions run on a GPU: rates of both kinds of workers, difference from a CPU, and a fine-tuning.

    python -m benchmarks.gpu_survey [--folder DIR] [--side 1024] [--repeat 12 8] [--tile 2048] [--workers N]

A **synthetic** country (`lsbatch simulate --repeat`; radar VV and Sentinel-2, the packaged network) goes through
`lsbatch run --until predict` with local workers and `predict.device: cuda`. Its STACK is then predicted again on CPUs,
and a network is trained for some epochs from random weights and from the packaged ones. Without a GPU, everything runs
on CPUs. Seconds a tile are the median without the first tile of each worker, which loads libraries and weights. Scenes
are small files on the local disk and few, so STACK is cheaper than with 40 + 40 scenes: a GPU serves more workers in
practice. Prints a table; `gpu_survey.json` in the folder has it too. `benchmarks/gpu.py` measures the network alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.variants import variant
from lsbatch import settings, synthetic
from lsbatch.bands import probability
from lsbatch.catalog.survey import open_survey
from lsbatch.models.training import epoch_log
from lsbatch.settings import Config
from lsbatch.storage import cube, receipts
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace

SEED = 901
WEIGHTS = "package:unet-s1vv_s2"


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="an empty folder that is kept")
    parser.add_argument("--side", type=int, default=1024, help="pixels on a side of the country")
    parser.add_argument("--repeat", type=int, nargs=2, default=(12, 8), metavar=("ROWS", "COLS"), help="of the country")
    parser.add_argument("--tile", type=int, default=2048, help="pixels on a side of a tile")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--epochs", type=int, default=5)
    asked = parser.parse_args()
    kept = nullcontext(asked.folder) if asked.folder else tempfile.TemporaryDirectory(prefix="gpu-survey-")
    with kept as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, Any] = {}
        path = make(folder, asked)
        for step in (predicted, compared, trained):
            for key, value in step(path, asked.epochs):
                found[key] = value
                print(f"{key}: {value}", flush=True)
                (folder / "gpu_survey.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def make(folder: Path, asked: argparse.Namespace) -> Path:
    """Write the country and settings that predict on the GPU, if there is one; return the settings file."""
    path = synthetic.simulate(folder, seed=SEED, rows=asked.side, cols=asked.side, repeat=tuple(asked.repeat))
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["grid"]["tile_px"] = asked.tile
    raw["cluster"] = {"kind": "local", "workers": asked.workers, "threads": 1}
    raw["predict"] = {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    raw["train"] = {"epochs": asked.epochs, "block_px": min(512, asked.tile)}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def predicted(path: Path, _: int) -> Iterator[tuple[str, Any]]:
    """Run the survey until its predictions, and those again on CPUs."""
    config = settings.load(path)
    yield "device", torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, no GPU"
    yield "workers", config.cluster.workers
    yield "run until predict, s", timed("run", path, "--until", "predict")
    stack_s, device_s = (median_s(config, stage) for stage in ("stack", "predict"))
    yield "stack of a tile by a CPU worker, s", stack_s
    yield "predict of a tile by a worker of the device, s", device_s
    other = on_cpu(config)
    written = path.with_name("cpu.yaml")
    written.write_text(yaml.safe_dump(other.model_dump(mode="json")), encoding="utf-8")
    yield "predictions again on CPUs, s", timed("run", written, "--until", "predict")
    yield "predict of a tile by a CPU worker, s", median_s(other, "predict")
    if torch.cuda.is_available():
        # two workers share a GPU
        yield "CPU workers that keep one GPU busy", round(2 * stack_s / device_s, 1)


def on_cpu(config: Config) -> Config:
    """Return the survey with predictions on CPUs, which shares STACK."""
    folder = config.output.with_name("survey-cpu")
    return variant(config, folder, {"predict": config.predict.model_dump(mode="json") | {"device": "cpu"}})


def timed(*words: object) -> float:
    """Run a command of lsbatch; return its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lsbatch.cli", *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"lsbatch {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return round(time.perf_counter() - began, 1)


def median_s(config: Config, stage: str) -> float:
    """Return the median seconds of a tile, without the first one of each worker if it had others."""
    by_worker: dict[str, list[Receipt]] = {}
    for receipt in receipts.read_stage(Workspace(config.output).receipts, stage).values():
        by_worker.setdefault(receipt.worker, []).append(receipt)
    later = [receipt.seconds for each in by_worker.values() for receipt in _after_first(each)]
    return round(float(np.median(later)), 3)


def _after_first(some: Sequence[Receipt]) -> Sequence[Receipt]:
    return sorted(some, key=lambda receipt: receipt.finished)[1:] or some


def compared(path: Path, _: int) -> Iterator[tuple[str, Any]]:
    """Compare the probabilities of both devices."""
    config = settings.load(path)
    survey, other = open_survey(config), open_survey(on_cpu(config))
    layer = probability(config.model.family)
    largest, crossed = 0.0, 0
    for position in survey.positions:
        one, two = (
            cube.read(each.workspace.store, each.grid, layer, each.grid.tile(*position), 0, ("probability",))[
                "probability"
            ]
            for each in (survey, other)
        )
        if not np.array_equal(np.isnan(one), np.isnan(two)):
            raise SystemExit(f"tile {position}: other pixels are predicted")
        largest = max(largest, float(np.nanmax(np.abs(one - two), initial=0.0)))
        crossed += int(((one >= 0.5) != (two >= 0.5)).sum())
    yield "largest difference of a probability between the devices", largest
    yield "pixels on the other side of 0.5", crossed


def trained(path: Path, epochs: int) -> Iterator[tuple[str, Any]]:
    """Train from random weights and from the packaged ones."""
    for name, start in (("from random weights", ()), ("from the packaged weights", ("--from", WEIGHTS))):
        whole_s = timed("train", path, "--out", path.with_name("new.safetensors"), "--fresh", *start)
        rows = epoch_log.read(path.with_name("new-training") / "log.csv")
        # seconds of the log go on from epoch to epoch
        epoch_s = (float(rows[-1]["seconds"]) - float(rows[0]["seconds"])) / max(len(rows) - 1, 1)
        yield f"training {name}, {epochs} epochs with preparation and scores, s", whole_s
        yield f"training {name}, an epoch after the first, s", round(epoch_s, 2)
        yield f"training {name}, validation MCC", float(rows[-1]["validation_mcc"] or "nan")


if __name__ == "__main__":
    main()
