"""Find and save the Sentinel-1 passes that date landslides, of all relative orbits.

They are saved separately from a tile's other scenes, so that receipts of STACK depend only on scenes that STACK reads.
"""

import json
from datetime import timedelta
from pathlib import Path

import shapely

from lsbatch.catalog import date_windows, plan_documents
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.orbit_matching import Scenes
from lsbatch.catalog.search import search as search_catalog
from lsbatch.settings import Config
from lsbatch.storage.files import remove, write_text


def wanted(config: Config) -> bool:
    """Return whether landslides are dated with Sentinel-1."""
    return config.inventory.radar_dates and config.archives.sentinel1 is not None


def search(config: Config, region: shapely.Geometry) -> tuple[tuple[Scene, ...], list[str]]:
    """Return the scenes between the images before and the images after, and the rejected items with the reason.

    Raises
    ------
    CatalogError
    """
    looks = config.survey.windows
    first, last = looks.pre[1] + timedelta(days=1), looks.post[0] - timedelta(days=1)
    source = config.archives.sentinel1
    if not wanted(config) or source is None or last < first:
        return (), []
    found = search_catalog(
        source,
        "sentinel1",
        date_windows.outline(region, config),
        (first, last),
        max_cloud_percent=config.archives.max_cloud_percent,
        attempts=config.archives.attempts,
    )
    return found.scenes, list(found.left_out)


def joined(scenes: Scenes, more: tuple[Scene, ...]) -> tuple[Scene, ...]:
    """Add the passes of the images before and after, also of orbits that are not compared, without duplicates."""
    return tuple({scene.id: scene for scene in (*scenes["pre_s1"], *more, *scenes["post_s1"])}.values())


def file(root: Path, tile: str) -> Path:
    """Return the file with the passes of a tile."""
    return root / "plan" / "passes" / f"{tile}.json"


def save(scenes: tuple[Scene, ...] | None, root: Path, tile: str) -> None:
    """Write the file of a tile; remove it if `passes` is None."""
    path = file(root, tile)
    if scenes is None:
        remove(path)
    else:
        write_text(path, json.dumps([scene.to_dict() for scene in scenes], separators=(",", ":")))


def tile_scenes(root: Path, tile: str) -> tuple[Scene, ...]:
    """Return the passes of a tile by time."""
    return plan_documents.scenes(file(root, tile))
