"""Rehearsal of a nation on this machine: many small tiles from plan to report through `lsbatch run`.

Time by step, memory of the driver, files, and what `lsbatch bench` projected before.

    python -m benchmarks.nation [--tiles 1000] [--bench-tiles 24] [--workers 2] [--norway] [--folder FOLDER]

The country is `lsbatch simulate --repeat`: places of 256 x 512 pixels that share their files, with more landslides than
usual, so that 1,000 tiles have some 50,000. Tiles have 256 px, so what a tile costs without its pixels weighs 64 times
as much as with 2048 px. `--norway` measures instead how long the plan of 1,000 tiles of 2048 px takes: 60 granules and
two seasons from a STAC API on loopback (rustac). Prints tables; `nation.json` has all figures. Nothing is asserted;
`tests/benchmarks/test_nation.py` runs it small.
"""

import argparse
import dataclasses
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pystac
import yaml
from odc.geo.geobox import GeoBox

from lsbatch import settings, synthetic
from lsbatch.catalog import plan, planning
from lsbatch.engine import todo
from lsbatch.pipeline.types import Stage
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace
from lsbatch.synthetic import write
from lsbatch.synthetic.conditions import PLAIN
from tests import servers

SEED, PLACE_PX, TILE_PX = 900, (256, 512), 256
#: Share of the land that landslides cover: 58 landslides a tile, of which the packaged network found 87 % with 0.06.
LAND_SHARE = 0.045
#: Seconds between two looks at the driver's memory; the kernel keeps the peak.
EVERY_S = 0.5
#: Norway: granules, tiles, and acquisitions made of each of the synthetic country's.
GRANULES, GRANULE_M, NATION_TILES, NATION_TILE_PX, TIMES = (10, 6), 109_800.0, (40, 25), 2048, 4


def main() -> None:
    """Rehearse, or plan Norway; print tables and save them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", type=int, default=1000, help="an even number")
    parser.add_argument("--bench-tiles", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--norway", action="store_true", help="plan Norway from a STAC API instead")
    parser.add_argument("--folder", type=Path, help="an empty folder that is kept")
    arguments = parser.parse_args()
    kept = nullcontext(arguments.folder) if arguments.folder else tempfile.TemporaryDirectory(prefix="nation-")
    with kept as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.norway:
            found = plan_norway(folder)
        else:
            found = rehearse(folder, arguments.tiles, arguments.bench_tiles, arguments.workers)
        print_table(found)
        text = json.dumps(found, indent=1)
    Path("nation.json").write_text(text + "\n", encoding="utf-8")


def print_table(found: Mapping[str, Any]) -> None:
    """Print each group of figures as a table."""
    for name, value in found.items():
        if isinstance(value, list):
            print("\n" + "  ".join(f"{head:>14}" for head in value[0]))
            for row in value:
                print("  ".join(f"{_text(one):>14}" for one in row.values()))
        else:
            print(f"{name}: {_text(value)}")


def _text(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def places(tiles: int) -> tuple[int, int]:
    """Return rows and columns of places, each of two tiles, as nearly equal as possible."""
    count = tiles // 2
    rows = max(n for n in range(1, math.isqrt(count) + 1) if count % n == 0)
    return rows, count // rows


def rehearse(folder: Path, tiles: int, bench_tiles: int, workers: int) -> dict[str, Any]:
    """Make the country, plan, project and run; return all figures."""
    began = time.perf_counter()
    path = make_country(folder, tiles, workers)
    made_s, config = time.perf_counter() - began, settings.load(path)
    plan_s = _timed(["plan", path])[0]
    bench_s = _timed(["bench", path, "--tiles", bench_tiles])[0]
    (saved,) = (config.output / "bench").glob("bench-*.json")
    projection = json.loads(saved.read_text(encoding="utf-8"))["projection"]["this survey"]
    run_s, driver_mb = _timed(["run", path])
    steps = list(time_by_step(config))
    alone_s = sum(row["seconds"] for row in steps if row["kind"] == "reduction")
    projected_s = 3600 * (projection["hours"] + projection["more_hours"])
    return {
        "tiles": len(plan.load(config.output).tiles),
        "landslides": _landslides(steps),
        "country_s": made_s,
        "country_mb": sum(size for _, size in _files(folder / "catalog")) / 1e6,
        "plan_s": plan_s,
        "bench_s": bench_s,
        "run_s": run_s,
        "projected_s": projected_s,
        "projected_to_actual": projected_s / run_s,
        "reductions_share": alone_s / run_s,
        "driver_peak_mb": driver_mb,
        "steps": steps,
        "folders": list(folders(config.output)),
    }


def make_country(folder: Path, tiles: int, workers: int) -> Path:
    """Write a repeated country with many landslides, and settings for small tiles; return the settings file."""
    slides = dataclasses.replace(PLAIN.slides, land_share=LAND_SHARE)
    conditions = dataclasses.replace(PLAIN, slides=slides)
    rows, cols = PLACE_PX
    path = synthetic.simulate(folder, seed=SEED, rows=rows, cols=cols, conditions=conditions, repeat=places(tiles))
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["grid"]["tile_px"] = TILE_PX
    raw["cluster"] = {"kind": "local", "workers": workers, "threads": 1}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def _timed(words: Sequence[object]) -> tuple[float, float]:
    """Run a command of lsbatch in its own process; return its seconds and the peak of its own memory in MB."""
    began, peak = time.perf_counter(), 0.0
    process = subprocess.Popen([sys.executable, "-m", "lsbatch.cli", *map(str, words)], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, _resident_mb(process.pid))
        time.sleep(EVERY_S)
    if process.returncode:
        raise SystemExit(f"lsbatch {' '.join(map(str, words))} ended with {process.returncode}")
    return time.perf_counter() - began, peak


def _resident_mb(pid: int) -> float:
    """Return the resident memory of one process, without its children; 0 if it has just ended."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0


def time_by_step(config: Config) -> Iterator[dict[str, Any]]:
    """Return the time of each stage and reduction from its receipts."""
    for step in todo.steps(config):
        found = list(receipts.read_stage(Workspace(config.output).receipts, step.name).values())
        if not found:
            continue
        ends = [datetime.fromisoformat(receipt.finished) for receipt in found]
        starts = [end - timedelta(seconds=receipt.seconds) for end, receipt in zip(ends, found, strict=True)]
        yield {
            "step": step.name,
            "kind": "stage" if isinstance(step, Stage) else "reduction",
            "tiles": len(found),
            "seconds": sum(receipt.seconds for receipt in found),
            "cpu_s": sum(receipt.cpu_s for receipt in found),
            "from_first_to_last_s": (max(ends) - min(starts)).total_seconds(),
            "peak_mb": max(receipt.peak_mb for receipt in found),
            "failed": sum(not receipt for receipt in found),
            "landslides": max(_count(receipt) for receipt in found),
        }


def _count(receipt: Receipt) -> int:
    return int(receipt.tally.get("landslides", 0))


def _landslides(steps: Sequence[Mapping[str, Any]]) -> int:
    """Return the landslides of the inventory: the largest count that a reduction tells."""
    return max(row["landslides"] for row in steps)


def folders(output: Path) -> Iterator[dict[str, Any]]:
    """Return files and bytes of each folder of the survey, without the bench."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path, size in _files(output):
        top = path.relative_to(output).parts[0]
        files[top] += 1
        sizes[top] += size
    del files["bench"]
    for name in sorted(files):
        yield {"folder": name, "files": files[name], "mb": sizes[name] / 1e6}
    yield {"folder": "all", "files": files.total(), "mb": sum(sizes[name] for name in files) / 1e6}


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for top, _, names in os.walk(folder):
        for name in names:
            yield Path(top) / name, (Path(top) / name).lstat().st_size


def plan_norway(folder: Path) -> dict[str, Any]:
    """Plan 1,000 tiles of 2048 px from a STAC API with the scenes of 60 granules in two seasons."""
    rows, cols = PLACE_PX
    path = synthetic.simulate(folder, seed=SEED, rows=rows, cols=cols, repeat=(1, 1))
    items = norway(path.parent)
    with servers.stac_api([item.to_dict() for item in items], folder) as url:
        config = settings.parse(_of_norway(path, url), folder)
        config.output.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        made = planning.make(config)
        searched = time.perf_counter()
        plan.save(made, config.output)
    return {
        "items": len(items),
        "tiles": len(made.tiles),
        "scenes": [{"sensor": key, **row} for key, row in made.summary["scenes"].items()],
        "search_s": searched - began,
        "save_s": time.perf_counter() - searched,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def _of_norway(path: Path, url: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    left, _, _, top = raw["region"]["bounds"]
    side = raw["grid"]["resolution_m"] * NATION_TILE_PX
    # on the corner of a tile, or a further row and column of tiles is cut
    left, top = left // side * side, top // side * side
    raw["region"] = {"bounds": [left, top - NATION_TILES[0] * side, left + NATION_TILES[1] * side, top]}
    raw["grid"]["tile_px"] = NATION_TILE_PX
    for source in raw["archives"].values():
        source |= {"preset": "stac", "url": url}
    return raw


def norway(country: Path) -> list[pystac.Item]:
    """Return the items of a small country again for each granule of a nation, Sentinel-2 with more acquisitions."""
    root = pystac.Catalog.from_file(str(country / "catalog" / "catalog.json"))
    out = []
    for item in root.get_items(recursive=True):
        optical = "view:sun_azimuth" in item.properties
        for (name, box), time_ in product(_boxes(country), range(TIMES if optical else 1)):
            assert item.datetime is not None
            when = item.datetime + timedelta(days=time_, minutes=time_)
            made = write.item(f"{item.id}-{name}-{time_}", when, box, item.properties)
            made.collection_id = item.collection_id
            made.assets = {
                key: pystac.Asset(f"https://example.org/{made.id}/{key}.tif", media_type=asset.media_type,
                                  roles=asset.roles)
                for key, asset in item.assets.items()
            }  # fmt: skip
            out.append(made)
    return out


def _boxes(country: Path) -> list[tuple[str, GeoBox]]:
    config = settings.load(country / "config.yaml")
    assert config.region.bounds is not None
    left, top = config.region.bounds[0] - 20_480, config.region.bounds[3] + 20_480
    height, width = (n * NATION_TILE_PX * config.grid.resolution_m for n in NATION_TILES)
    rows, cols = GRANULES
    out = []
    for row, col in product(range(rows), range(cols)):
        x, y = left + col * width / cols, top - row * height / rows
        bounds = (x, y - GRANULE_M, x + GRANULE_M, y)
        out.append((f"{row:02d}{col:02d}", GeoBox.from_bbox(bounds, config.grid.crs, resolution=10.0)))
    return out


if __name__ == "__main__":
    main()
