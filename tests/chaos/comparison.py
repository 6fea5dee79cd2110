"""Whether two surveys are the same: stored bytes, pixels, counts and polygons.

And which files a kill left half-written.
"""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from lsbatch.engine.registry import PIPELINE
from lsbatch.storage import receipts

#: What a receipt says of the result; the rest is of how it came about.
RESULT = ("digest", "pixels", "tally", "scenes", "dropped", "sums", "error")


def stored(root: Path) -> dict[str, bytes]:
    """Bytes of cube, parts and inventory by name.

    What kills left half-written is not the survey's, and has names of its own.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if (
            path.is_file()
            and not is_half_written(path)
            and name.startswith(("cube.zarr/", "parts/", "inventory/", "maps/"))
        ):
            found[name] = path.read_bytes()
    # a database knows when it was written; its rows are compared
    for name in ("landslides", "inspire"):
        found.pop(f"inventory/{name}.gpkg")
    return found


def is_half_written(path: Path) -> bool:
    """Whether a file is one that was to be renamed: Zarr's, ours, SQLite's."""
    return (
        path.suffix == ".partial"
        or (path.name.startswith(".") and path.name != ".lock")
        or path.name.endswith("-journal")
    )


def half_written(root: Path) -> list[Path]:
    """Such files, in what belongs to a survey."""
    return [
        path
        for path in root.rglob("*")
        if path.is_file() and is_half_written(path) and "dask" not in path.relative_to(root).parts
    ]


def pixels(root: Path) -> dict[str, np.ndarray]:
    """Every array of the cube, decompressed."""
    found = {}
    for layer in ("stack", "probability/unet", "mask/unet"):
        for path in sorted((root / "cube.zarr" / layer).glob("*/zarr.json")):
            found[f"{layer}/{path.parent.name}"] = zarr.open_array(path.parent, mode="r")[...]
    return found


def results(root: Path) -> dict[str, dict[str, Any]]:
    """What the receipts of every step say of the result."""
    found = {}
    for step in PIPELINE:
        for tile, receipt in receipts.read_stage(root / "receipts", step.name).items():
            said = receipt.to_dict()
            found[f"{step.name} {tile}"] = {key: said[key] for key in RESULT}
    # the size of a page with times in it
    found["report all"].pop("tally")
    return found


def polygons(root: Path) -> list[tuple[Any, ...]]:
    """Rows of the GeoPackage, geometry as its bytes."""
    with sqlite3.connect(root / "inventory" / "landslides.gpkg") as base:
        rows = base.execute("select * from landslides order by fid").fetchall()
    base.close()
    return rows


def differences(root: Path, other: Path) -> list[str]:
    """Names of everything that is not the same in two surveys."""
    found = []
    for told in (stored, pixels, results):
        ours, theirs = told(root), told(other)
        found += [f"{told.__name__}: only one has {name}" for name in sorted(ours.keys() ^ theirs.keys())]
        for name in sorted(ours.keys() & theirs.keys()):
            same = np.array_equal(ours[name], theirs[name]) if told is pixels else ours[name] == theirs[name]
            if not same:
                found.append(f"{told.__name__}: {name} differs")
    if polygons(root) != polygons(other):
        found.append("polygons differ")
    return found
