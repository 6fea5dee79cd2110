"""Fuzz targets one after another: python -m tests.fuzz.campaign --seconds 600 [target...].

Each runs in a process of its own, which may take `MEMORY_GB`, and `STUCK_S` for one input. If a process crashes or
hangs, the input that it was given has found a fault. Inputs that show a fault are kept in tests/fuzz/found/<target>/,
where the tests find them.
"""

import argparse
import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"
#: Of address space beyond what a process has after its imports.
MEMORY_GB = 3.0
#: A process that does not go on for so long is ended. Inputs have `judging.LONGEST_S`; native code heeds no signal.
STUCK_S = 30.0
#: Until the first input.
START_S = 300.0


@dataclass
class Row:
    """The result of a target."""

    tried: int = 0
    seconds: float = 0.0
    grown_mb: float = 0.0
    faults: dict[str, bytes] = field(default_factory=dict)


def main() -> None:
    """Run the targets and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=600.0, help="for each target")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed tries the same inputs")
    wanted = parser.parse_args()
    unknown = set(wanted.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; targets are {', '.join(TARGETS)}")
    print(
        "| target | inputs | inputs a second | memory grown, MB | distinct faults |\n|---|---|---|---|---|", flush=True
    )
    rows = [_target(name, wanted.seconds, wanted.seed) for name in wanted.targets]
    sys.exit(1 if any(row.faults for row in rows) else 0)


def _target(name: str, seconds: float, seed: int) -> Row:
    """Run processes until the time is over: a new one after each that crashed or hung."""
    row, end = Row(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory(prefix="lsbatch-fuzz-") as folder:
            _process(name, left, seed + row.tried, Path(folder), row)
    rate = row.tried / row.seconds if row.seconds else 0.0
    print(f"| {name} | {row.tried:,} | {rate:.0f} | {row.grown_mb:.0f} | {len(row.faults)} |", flush=True)
    for fault, data in row.faults.items():
        print(f"{name}: {fault}: {_keep(name, data)}", file=sys.stderr, flush=True)
    return row


def _process(name: str, seconds: float, seed: int, folder: Path, row: Row) -> None:
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(seconds), str(seed), str(folder)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            stuck = _watched(process, folder / "input")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    result = _result(folder / "result.json")
    row.tried += result.get("tried", 0)
    row.seconds += result.get("seconds", 0.0)
    row.grown_mb = max(row.grown_mb, result.get("grown_mb", 0.0))
    row.faults |= {fault: bytes.fromhex(data) for fault, data in result.get("faults", {}).items()}
    if process.returncode or stuck:
        last = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
        if not (folder / "input").exists():
            raise SystemExit(f"{name}: cannot start: {last}")
        how = "hangs" if stuck else f"ends the process with {process.returncode}"
        row.faults[f"{how} ({hashlib.blake2b(last.encode(), digest_size=4).hexdigest()})"] = (
            folder / "input"
        ).read_bytes()


def _watched(process: "subprocess.Popen[bytes]", current: Path) -> bool:
    """Wait for a process; return whether it was ended because it hung at one input."""
    started = time.time()
    while process.poll() is None:
        time.sleep(0.5)
        try:
            since, limit = current.stat().st_mtime, STUCK_S
        except FileNotFoundError:
            since, limit = started, START_S
        if time.time() - since > limit:
            process.kill()
            return True
    return False


def _result(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _keep(name: str, data: bytes) -> Path:
    """Keep an input for the tests; return its file."""
    path = FOUND / name / hashlib.blake2b(data, digest_size=6).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def limit_memory() -> None:
    """Limit the address space of this process to what it has now and `MEMORY_GB` more."""
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    most = now + int(MEMORY_GB * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
