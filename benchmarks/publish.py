"""Seconds and megabytes of a published nation, and seconds of its page in a headless Chromium.

    python -m benchmarks.publish [--landslides 50000] [--rows 40000] [--cols 60000] [--pictures FOLDER]

The survey is that of `benchmarks.view`: the national map `probability`, and no cube, so neither images of the cube nor
images of single landslides. The folder is served by the tests' server of files with ranges, on this machine.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks import view
from lsbatch.review import publication
from tests import servers


def main() -> None:
    """Make the survey in a temporary folder, publish it, measure and print."""
    args = view.options(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder, site = Path(name), Path(name) / "site"
        survey = view.make(folder, args.rows, args.cols, args.landslides)
        view.finish(survey)
        print(f"{args.landslides:,} landslides, {args.rows:,} x {args.cols:,} px")
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        began = time.perf_counter()
        publication.publish(
            survey, site, lambda line: print(f"{time.perf_counter() - began:7.1f} s  {line}", flush=True)
        )
        print("\n".join(sizes(site)), flush=True)
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        with servers.serve(site) as served:
            print("\n".join(view.of_page(f"{served.url}/index.html", survey, folder, args.pictures)))


def sizes(site: Path) -> list[str]:
    """Return the megabytes of each part of a site."""
    files = [path for path in site.rglob("*") if path.is_file()]
    parts: dict[str, int] = {}
    for path in files:
        relative = path.relative_to(site)
        part = relative.as_posix() if relative.parts[0] in ("data", "tiles") else f"{relative.parts[0]}/"
        parts[part if len(relative.parts) > 1 else "page"] = (
            parts.get(part if len(relative.parts) > 1 else "page", 0) + path.stat().st_size
        )
    total = sum(parts.values())
    return [f"site: {total / 1e6:.1f} MB in {len(files)} files"] + [
        f"site: {size / 1e6:8.2f} MB {part}" for part, size in sorted(parts.items())
    ]


if __name__ == "__main__":
    main()
