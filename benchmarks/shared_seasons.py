"""What surveys in a row save by sharing seasons: scenes and bytes read, searches, seconds, and what is kept meanwhile.

    python -m benchmarks.shared_seasons [--folder DIR] [--size 512] [--years 3]

A synthetic country is surveyed up to STACK twice: by lsbatch run --years, and each year alone. The first takes the
composites of a season from the year before (lsbatch/pipeline/season_composites.py); the STACKs must be equal.
"""

import argparse
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsbatch import settings, synthetic
from lsbatch.catalog import date_windows
from lsbatch.cli import terminal
from lsbatch.commands import run, years
from lsbatch.imagery import scene_reading
from lsbatch.pipeline import season_composites
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.workspace import Workspace


def counted(counts: Counter[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, and its calls are counted."""

    def counting(*args: Any, **options: Any) -> Any:
        counts[name] += 1
        return call(*args, **options)

    return counting


def measure(configs: list[Config], survey: Callable[[], int]) -> Counter[str]:
    """Run surveys up to STACK; return what they read."""
    counts: Counter[str] = Counter()
    scene_reading.read = counted(counts, "scene reads", READ)
    date_windows.search_catalog = counted(counts, "searches", SEARCH)
    season_composites._write = kept(counts)
    season_composites._read = taken(counts)
    began = time.perf_counter()
    if survey():
        raise SystemExit("some tiles failed")
    counts["seconds"] = round(time.perf_counter() - began)
    for config in configs:
        for receipt in receipts.read_stage(Workspace(config.output).receipts, "stack").values():
            counts["CPU seconds of STACK"] += receipt.cpu_s
            counts["MB read from scenes"] += receipt.read_mb
    counts["MB read from scenes"] -= counts["MB read from composites"]
    return counts


def kept(counts: Counter[str]) -> Callable[[Path, Any], None]:
    """The function that keeps a composite; its bytes are added up."""

    def write(file: Path, packed: Any) -> None:
        WRITE(file, packed)
        counts["MB of composites kept"] += file.stat().st_size / 1e6

    return write


def taken(counts: Counter[str]) -> Callable[[Path], Any]:
    """The function that takes a composite; its bytes are added up."""

    def read(file: Path) -> Any:
        found = TAKE(file)
        if found is not None:
            counts["MB read from composites"] += file.stat().st_size / 1e6
        return found

    return read


READ, SEARCH = scene_reading.read, date_windows.search_catalog
WRITE, TAKE = season_composites._write, season_composites._read


def main() -> None:
    """Simulate, survey twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("shared-seasons-work"), help="where the country goes")
    parser.add_argument("--size", type=int, default=512, help="pixels on a side of the country")
    parser.add_argument("--years", type=int, default=3)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    path = folder / "config.yaml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        synthetic.simulate(folder, seed=7, rows=arguments.size, cols=arguments.size, years=arguments.years)
    first = settings.load(path).survey.year or 0
    every = [settings.load(path, year) for year in range(first, first + arguments.years)]
    every = [one.model_copy(update={"cluster": one.cluster.model_copy(update={"kind": "serial"})}) for one in every]
    apart, shared = ([placed(one, folder / name) for one in every] for name in ("apart", "shared"))
    screen = terminal.Screen()
    # kernels are compiled before the first measurement
    run.survey(placed(every[0], folder / "warm"), screen, until="stack")
    found = {
        "each year alone": measure(apart, lambda: sum(run.survey(one, screen, until="stack") for one in apart)),
        "run --years": measure(shared, lambda: years.surveys(shared, screen, until="stack")),
    }
    names = sorted(set().union(*found.values()))
    print("| | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for how, counts in found.items():
        print(f"| {how} | " + " | ".join(f"{counts[name]:.0f}" for name in names) + " |")
    if [sums(one) for one in apart] != [sums(one) for one in shared]:
        raise SystemExit("the STACKs differ")
    print("The STACKs have the same bytes.")


def placed(config: Config, folder: Path) -> Config:
    """The same survey in another, empty folder."""
    output = folder / config.output.name
    shutil.rmtree(output, ignore_errors=True)
    return config.model_copy(update={"output": output})


def sums(config: Config) -> dict[str, Any]:
    """Checksums of the STACK by tile."""
    found = receipts.read_stage(Workspace(config.output).receipts, "stack")
    return {tile: receipt.sums for tile, receipt in found.items()}


if __name__ == "__main__":
    main()
