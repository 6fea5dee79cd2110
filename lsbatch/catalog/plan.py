"""The plan of a survey: its tiles and the scenes of each tile, saved for all workers.

The scenes of each tile are in one small file, so that a worker reads only this file and a receipt depends only on it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import shapely

from lsbatch.catalog import dating_passes, plan_documents, survey_version
from lsbatch.catalog.date_windows import KEYS
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.orbit_matching import Scenes
from lsbatch.errors import NoDataError, printable
from lsbatch.grid import Grid
from lsbatch.settings import Config, digest
from lsbatch.storage import symlinks
from lsbatch.storage.files import exists, in_folder, remove, state, write_json, write_text
from lsbatch.storage.receipts import checksum

#: Bytes a pixel of the tile that a scene adds before compression: four bands of uint16 and a quarter SCL; two
#: polarisations of float32; a DEM of 30 m.
BYTES_PER_PX = {"sentinel2": 8.25, "sentinel1": 8.0, "dem": 0.45}
#: The same of each further band of Sentinel-2: uint16 at 20 m.
FURTHER_BYTES_PER_PX = 0.5

#: Margin around the pixels that STACK composes, the wider of the two: metres for clouds, their shadows and terrain
#: shadow; pixels for filters, the border of a GRD and grown clouds (see pipeline/optical.py, radar.py, terrain.py).
HALO_M = {"sentinel2": 1200.0, "sentinel1": 0.0, "dem": 3000.0}
HALO_PX = 96
#: The pixels that STACK composes around a tile: metres, or pixels where these are coarse
#: (see kernels/local_change/surroundings.py).
SURROUNDINGS_M, SURROUNDINGS_PX = 350.0, 2
#: Rejected items that are printed; the others are counted.
SHOWN_LEFT_OUT = 5


def margin_m(sensor: str, side_m: float) -> float:
    """Return how far around a tile scenes are searched: the margin of a sensor around the tile's surroundings."""
    return max(HALO_M[sensor], HALO_PX * side_m) + max(SURROUNDINGS_M, SURROUNDINGS_PX * side_m)


@dataclass(frozen=True)
class TilePlan:
    """The plan of one tile: scenes by key, the orbit rule, bytes before compression, and the passes for dating."""

    scenes: Scenes
    matched_by: str
    megabytes: float
    passes: tuple[Scene, ...] | None = None

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return the keys without any scene."""
        return tuple(key for key in KEYS if not self.scenes[key])


@dataclass(frozen=True)
class Plan:
    """The plan of a survey: its tiles and their scenes.

    Attributes
    ----------
    settings : str
        Digest of the settings of the plan.
    grid : Grid
    tiles : tuple of (row, col)
        Tiles that touch the region, in row-major order.
    region : shapely geometry
        In the grid's CRS.
    by_tile : mapping of tile id to TilePlan
        Empty in a loaded plan; see `tile_scenes`.
    summary : mapping
        Counts of scenes, gaps and gigabytes for `lines`.
    """

    settings: str
    grid: Grid
    tiles: tuple[tuple[int, int], ...]
    region: shapely.Geometry
    by_tile: Mapping[str, TilePlan]
    summary: Mapping[str, Any]

    def lines(self) -> list[str]:
        """Return the plan as lines of text."""
        s = plan_documents.summary(self.summary)
        (first, last), (first_after, last_after) = s.windows.pre, s.windows.post
        out = [
            f"Plan: {s.tiles} tiles of {self.grid.tile_px} px at {self.grid.resolution_m:g} m, {s.region_km2:,.0f} km2",
            f"Looks: {first} to {last} before, {first_after} to {last_after} after",
        ]
        for key, row in s.scenes.items():
            out.append(
                f"  {key:8} {row.scenes:5d} scenes, {row.least} to {row.most} a tile"
                + (f"; none on {row.tiles_without} tiles" if row.tiles_without else "")
            )
        if s.passes[1]:
            out.append(
                f"  dates    {s.passes[0]} to {s.passes[1]} Sentinel-1 scenes a tile, read only around landslides"
            )
        out += [f"  {text}" for text in s.orbits]
        for reason in s.left_out[:SHOWN_LEFT_OUT]:
            out.append(f"  rejected: {reason}")
        if len(s.left_out) > SHOWN_LEFT_OUT:
            out.append(f"  rejected: {len(s.left_out) - SHOWN_LEFT_OUT} more, see plan/plan.json")
        size = f"{s.gigabytes:,.1f} GB" if s.gigabytes >= 1 else f"{1000 * s.gigabytes:.0f} MB"
        out.append(f"To read: about {size} before compression")
        return [printable(line) for line in out]


def settings_digest(config: Config) -> str:
    """Return the digest of the settings that a plan depends on."""
    region = config.region.model_dump(mode="json", exclude={"file"})
    file = None if config.region.file is None else checksum(config.region.file)
    dem = config.archives.dem_file
    return digest(
        [
            region,
            file,
            config.grid.model_dump(),
            config.archives.model_dump(mode="json", exclude={"attempts"}),
            # size and time instead of a checksum: a national DEM has gigabytes
            None if dem is None or not exists(dem) else state(dem),
            config.survey.windows.model_dump(mode="json"),
            config.survey.newest_passes,
            config.composite.same_orbits,
            dating_passes.wanted(config),
            # nothing if there are none: plans of before the setting stay valid
            *sorted(config.composite.bands),
        ]
    )


def file(root: Path) -> Path:
    """Return the main file of the plan. It is written last."""
    return root / "plan" / "plan.json"


def tile_file(root: Path, tile: str) -> Path:
    """Return the file with the scenes of a tile."""
    return root / "plan" / "tiles" / f"{tile}.json"


def save(plan: Plan, root: Path) -> None:
    """Write the files of the tiles, then the main file that names them."""
    symlinks.refuse(root)
    survey_version.check(root)
    for name, tile in plan.by_tile.items():
        scenes = {key: [scene.to_dict() for scene in group] for key, group in tile.scenes.items()}
        content = {"matched_by": tile.matched_by, "gaps": tile.gaps, "megabytes": tile.megabytes, "scenes": scenes}
        # without spaces: a nation has 4,000 of these files
        write_text(tile_file(root, name), json.dumps(content, separators=(",", ":")))
        dating_passes.save(tile.passes, root, name)
    write_json(
        file(root),
        {
            "settings": plan.settings,
            "grid": asdict(plan.grid),
            "tiles": plan.tiles,
            "region": shapely.to_wkt(plan.region, rounding_precision=3),
            "summary": plan.summary,
        },
    )
    _remove_old(plan, root)


def _remove_old(plan: Plan, root: Path) -> None:
    for folder in ("tiles", "passes"):
        for path in in_folder(root / "plan" / folder, ".json"):
            if path.stem not in plan.by_tile:
                remove(path)


def fits(config: Config) -> bool:
    """Return whether the saved plan was made for these settings."""
    symlinks.refuse(config.output)
    path = file(config.output)
    return exists(path) and plan_documents.main(path).settings == settings_digest(config)


def load(root: Path) -> Plan:
    """Read the saved plan without the scenes.

    Raises
    ------
    NoDataError
        If there is none.
    StaleStoreError
        If it is damaged, or a folder of the survey is a link to another place.
    """
    symlinks.refuse(root)
    path = file(root)
    try:
        modified = state(path)[1]
    except FileNotFoundError:
        raise NoDataError(f"{root}: has no plan; run 'lsbatch run' or 'lsbatch plan' first") from None
    return _load(path, modified)


@lru_cache(maxsize=4)
def _load(path: Path, modified: int) -> Plan:
    del modified  # part of the cache key, so that a new plan is read again
    found = plan_documents.main(path)
    return Plan(found.settings, found.grid, found.tiles, found.region, {}, found.summary)


def tile_scenes(root: Path, tile: str) -> Scenes:
    """Read the scenes of a tile by key. Raises StaleStoreError if the file is damaged."""
    return plan_documents.tile(tile_file(root, tile))
