"""Inference, copies and training on a GPU, also on a bare machine: one command, under five minutes.

    python -m benchmarks.gpu [--json gpu.json] [--seconds 240] [--side 4096] [--device auto]
    python benchmarks/gpu.py [...]

Needs PyTorch and numpy; lightning for the training; MONAI for the peer. The rest of lsbatch's libraries may be missing.
The network is the project's U-Net with the default settings, 13 bands and random weights; the image is noise. Prints a
table and writes JSON, which is renewed after every section. Without a GPU it measures the CPU on a smaller image.

The time is that of the best of up to three rounds after one that is not counted, between two synchronisations with the
device. Mpx/s are useful pixels, without halo. float32 is without TF32 if it does not say so. A section may use half of
what is left of `--seconds`, the last one all of it; what does not fit is "not run: time". The last is torch.compile,
whose time is not known before. Unless windows are counted, they are those of 1 GB, the default of predict.memory_gb.
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if not __package__:
    # run as a file: python puts its folder on the path, not the repository
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import gpu_sections
from benchmarks.gpu_setup import REASONS, Row, Setup, TrainDefaults, reason
from lsbatch.models import devices

#: Side of the image on a GPU and on a CPU.
SIDE_PX = {"cuda": 4096, "cpu": 512}
#: A section with less time than this is not begun.
LEAST_S = 1.0
HEADINGS = {
    "section": "section", "what": "what", "mpx_s": "Mpx/s", "difference": "largest difference", "mean": "mean",
    "steps_s": "steps/s", "chips_s": "chips/s", "peak_gb": "peak GPU memory, GB", "note": "note",
}  # fmt: skip


class OutOfTimeError(BaseException):
    """The time of the benchmark is over. Not an `Exception`, because torch.compile catches and wraps those."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTimeError` after this time, also in the middle of a compilation."""

    def stop(*_: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(name: str, section: Callable[[], Iterator[Row]], seconds: float) -> tuple[list[Row], bool]:
    """Return the rows of a section, and whether it did not fail; a row says why the rest is missing."""
    rows: list[Row] = []
    if seconds < LEAST_S:
        return [Row(name, "all", note="not run: time")], True
    try:
        with time_limit(seconds):
            for row in section():
                rows.append(row)
    except OutOfTimeError:
        return [*rows, Row(name, "rest" if rows else "all", note="not run: time")], True
    except REASONS as error:
        return [*rows, Row(name, "rest" if rows else "all", note=f"failed: {reason(error)}")], False
    return rows, True


def machine(where: torch.device) -> dict[str, Any]:
    """Return what the numbers depend on: card, driver, versions, date."""
    is_gpu = where.type == "cuda"
    return {
        "device": where.type, "card": torch.cuda.get_device_name(where) if is_gpu else None,
        "memory_gb": round(torch.cuda.get_device_properties(where).total_memory / 1e9, 1) if is_gpu else None,
        "driver": driver() if is_gpu else None, "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if is_gpu else None, "torch": torch.__version__,
        "python": platform.python_version(), "processor": processor(), "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }  # fmt: skip


def driver() -> str:
    """Return the version of the driver, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.split("\n")[0].strip()


def processor() -> str:
    """Return the name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def header(known: dict[str, Any]) -> str:
    """Return the line above the table."""
    if known["device"] == "cuda":
        where = f"{known['card']}, driver {known['driver']}, CUDA {known['cuda']}, cuDNN {known['cudnn']}"
    else:
        where = f"CPU, no GPU: the numbers are of the CPU: {known['processor']}, {known['threads']} threads"
    return f"{where}, torch {known['torch']}, Python {known['python']}, {known['date']}"


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [" | ".join(HEADINGS.values()), "|".join(["---"] * len(HEADINGS))]
    lines += [" | ".join(shown(name, value) for name, value in asdict(row).items()) for row in rows]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def shown(name: str, value: Any) -> str:
    """Return a cell of the table; empty if it was not measured."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("|", "/")
    return f"{value:.1e}" if name in ("difference", "mean") else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def write(path: Path, known: dict[str, Any], rows: list[Row], seconds: float, *, complete: bool) -> None:
    """Write what is known so far."""
    found = {
        "machine": known,
        "seconds": round(seconds, 1),
        "complete": complete,
        "rows": [asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2), encoding="utf-8")


def options() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("build/gpu.json"), help="where the result goes")
    parser.add_argument("--seconds", type=float, default=240, help="time for all sections")
    parser.add_argument("--side", type=int, help="pixels on a side of the image; a multiple of 16")
    parser.add_argument("--batch", type=int, default=TrainDefaults.batch, help="chips a training step")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser.parse_args()


def main() -> int:
    """Measure, print the table, write JSON; return 1 if a section failed."""
    began, asked = time.monotonic(), options()
    where = devices.device(asked.device)
    known, rows, sound = machine(where), [], True
    print(header(known), flush=True)
    setup = Setup.of_device(where, asked.side or SIDE_PX[where.type], asked.batch)
    last = list(gpu_sections.SECTIONS)[-1]
    for name, section in gpu_sections.SECTIONS.items():
        left = asked.seconds - (time.monotonic() - began)
        found, is_sound = measured(name, lambda section=section: section(setup), left if name == last else left / 2)
        rows, sound = [*rows, *found], sound and is_sound
        spent = time.monotonic() - began
        print(f"{name}: done after {spent:.0f} s", file=sys.stderr, flush=True)
        write(asked.json, known, rows, spent, complete=name == last)
    print(f"\n{table(rows)}\n\n{time.monotonic() - began:.0f} s; {asked.json}")
    return 0 if sound else 1


assert list(HEADINGS) == [field.name for field in fields(Row)]

if __name__ == "__main__":
    sys.exit(main())
