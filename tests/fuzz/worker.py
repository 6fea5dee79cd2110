"""One process of a campaign: python -m tests.fuzz.worker target seconds seed folder."""

import json
import sys
import time
import warnings
from pathlib import Path

import psutil

from tests.fuzz.campaign import limit_memory
from tests.fuzz.explore import Found, explore
from tests.fuzz.judging import judge
from tests.fuzz.targets import make

#: Seconds between two results on disk, of which a crash loses the last.
SAVE_S = 2.0
#: Seconds for the first inputs.
FIRST_S = 120.0


def main(name: str, seconds: float, seed: int, folder: Path) -> None:
    """Explore a target and write what was found into the folder."""
    warnings.simplefilter("ignore")
    place = folder / "place"
    place.mkdir()
    target = make(name, place)
    for one in target.seeds:
        # compiles kernels, imports libraries
        fault = judge(target.feed, one, FIRST_S)
        if fault is not None:
            raise SystemExit(f"a good input shows a fault: {fault.name}: {fault.detail}")
    limit_memory()
    process = psutil.Process()
    began, first_mb, saved = time.monotonic(), process.memory_info().rss / 2**20, 0.0
    found = Found()

    def save() -> None:
        result = {
            "tried": found.tried,
            "seconds": time.monotonic() - began,
            "grown_mb": process.memory_info().rss / 2**20 - first_mb,
            "faults": {fault.name: data.hex() for fault, data in found.faults.values()},
        }
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
        details = (f"{fault.name}\n{fault.detail}\n{data[:2000]!r}\n" for fault, data in found.faults.values())
        (folder / "details").write_text("\n".join(details), encoding="utf-8", errors="replace")

    def before(data: bytes) -> None:
        nonlocal saved
        # read by the campaign if this input ends the process
        (folder / "input").write_bytes(data)
        if time.monotonic() - saved > SAVE_S:
            save()
            saved = time.monotonic()

    explore(target, place, found, seconds=seconds - (time.monotonic() - began), first_seed=seed, before=before)
    save()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
