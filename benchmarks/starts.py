"""Time from the start of a process to the end of its first tile, without and with kept machine code.

    python -m benchmarks.starts [--tile 256] [--scenes 4]

Each line is a process of its own that stacks one tile of noise in real formats. `compiles and keeps nothing` is
how every worker started before machine code was kept. Times are of the wall and of the processor, which other programs
disturb less. The pixels of all must be the same, bit for bit.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import tile_memory
from lsbatch import settings
from lsbatch.bands import STACK

#: Settings of the survey, from the usual ones to those that use most kernels.
SURVEYS: dict[str, dict[str, Any]] = {
    "usual": {},
    "everything": {
        "bands": "s1_change_s2",
        "composite": {"speckle": "lee_sigma"},
        "model": {"weights": None},
    },
}
FIRST_TILE = (
    "import sys; from pathlib import Path; from lsbatch import settings; from lsbatch.catalog import plan, planning; "
    "from lsbatch.catalog.survey import open_survey; from lsbatch.engine import execution; "
    "survey = open_survey(settings.load(Path(sys.argv[1]))); sys.exit(execution.run(survey, until='stack'))"
)


@dataclass(frozen=True)
class Start:
    """One process, and a digest of the pixels that it wrote."""

    wall_s: float
    processor_s: float
    pixels: str


def first_tile(path: Path, cache: Path, output: Path) -> Start:
    """Stack the only tile of a survey in a process of its own, with machine code in `cache`."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8")) | {"output": str(output)}
    own = path.with_name(f"{output.name}.yaml")
    own.write_text(yaml.safe_dump(raw), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "lsbatch.cli", "plan", str(own)], check=True, capture_output=True)
    before, began = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", FIRST_TILE, str(own)], check=True, env=os.environ | {"XDG_CACHE_HOME": str(cache)}
    )
    wall_s, after = time.perf_counter() - began, os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Start(wall_s, used_s, _pixels(settings.load(own)))


def _pixels(config: settings.Config) -> str:
    import zarr

    group = zarr.open_group(Path(config.output) / "cube.zarr" / STACK.name, mode="r")
    digest = hashlib.sha256()
    for name in sorted(group.array_keys()):
        digest.update(name.encode() + group[name][...].tobytes())
    return digest.hexdigest()


def measure(path: Path, folder: Path) -> dict[str, Start]:
    """Start processes on one survey: without a folder for machine code, with an empty one, and with a filled one."""
    nowhere = folder / "nowhere"
    nowhere.write_text("a file in the way of a folder", encoding="utf-8")
    caches = {"compiles and keeps nothing": nowhere, "compiles and keeps": folder / "cache", "loads": folder / "cache"}
    return {name: first_tile(path, cache, folder / name.replace(" ", "-")) for name, cache in caches.items()}


def main() -> None:
    """Print a line for each process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--scenes", type=int, default=4, help="of each sensor")
    parser.add_argument("--surveys", nargs="+", choices=SURVEYS, default=list(SURVEYS))
    arguments = parser.parse_args()
    for survey in arguments.surveys:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = tile_memory.build(folder, arguments.tile, arguments.scenes)
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
            for section, values in SURVEYS[survey].items():
                raw[section] = raw.get(section, {}) | values if isinstance(values, dict) else values
            path.write_text(yaml.safe_dump(raw), encoding="utf-8")
            found = measure(path, folder)
        for how, start in found.items():
            print(f"{survey}: {how}: {start.wall_s:.1f} s, processor {start.processor_s:.1f} s", flush=True)
        if len({start.pixels for start in found.values()}) != 1:
            raise RuntimeError(f"{survey}: the pixels differ: {found}")


if __name__ == "__main__":
    main()
