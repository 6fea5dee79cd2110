"""Sentinel-2 scenes of the years before a survey, for models that follow each pixel through time.

They are saved separately from the plan, so that receipts of STACK depend only on scenes that STACK reads.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import TypeAdapter

from lsbatch.catalog import date_windows, plan, plan_documents, planning, search
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import NoDataError
from lsbatch.settings import Config, digest
from lsbatch.storage import documents
from lsbatch.storage.files import exists, write_json, write_text


@dataclass(frozen=True)
class _Main:
    settings: str


_MAIN = TypeAdapter(_Main)


def days(config: Config) -> tuple[date, date]:
    """Return the first and last day, both included."""
    survey = config.survey.windows
    first = survey.pre[0]
    return date(first.year - config.model.history_years, 1, 1), survey.post[1]


def make(config: Config) -> Mapping[str, tuple[Scene, ...]]:
    """Search the archive and assign scenes to the tiles of the saved plan; no pixel is read.

    Raises
    ------
    NoDataError
        If there is no scene at all.
    CatalogError
    """
    made = plan.load(config.output)
    source = config.archives.sentinel2
    # a family that needs Sentinel-2 without an archive was refused with the settings
    assert source is not None
    found = search.search(
        source,
        "sentinel2",
        date_windows.outline(made.region, config),
        days(config),
        max_cloud_percent=config.archives.max_cloud_percent,
        attempts=config.archives.attempts,
    )
    if not found.scenes:
        raise NoDataError(
            f"archives.sentinel2: {found.where} has no scene from {days(config)[0]} to {days(config)[1]}, "
            f"which model.family = {config.model.family} needs"
        )
    return planning.by_tile(made, "post_s2", found.scenes, config)


def file(root: Path) -> Path:
    """Return the main file. It is written last."""
    return root / "plan" / "history.json"


def tile_file(root: Path, tile: str) -> Path:
    """Return the file with the scenes of a tile."""
    return root / "plan" / "history" / f"{tile}.json"


def save(scenes: Mapping[str, tuple[Scene, ...]], config: Config) -> None:
    """Write the files of the tiles, then the main file with the digest of the settings."""
    for name, group in scenes.items():
        write_text(
            tile_file(config.output, name), json.dumps([scene.to_dict() for scene in group], separators=(",", ":"))
        )
    write_json(
        file(config.output),
        {"settings": _digest(config), "scenes": len({s.id for group in scenes.values() for s in group})},
    )


def fits(config: Config) -> bool:
    """Return whether the saved history was searched for these settings."""
    path = file(config.output)
    return exists(path) and documents.read(path, _MAIN, plan_documents.REPLAN).settings == _digest(config)


def tile_scenes(root: Path, tile: str) -> tuple[Scene, ...]:
    """Read the scenes of a tile by time."""
    return plan_documents.scenes(tile_file(root, tile))


def _digest(config: Config) -> str:
    plan_settings = plan_documents.main(plan.file(config.output)).settings
    return digest([plan_settings, [day.isoformat() for day in days(config)]])
