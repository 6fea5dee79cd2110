"""The files of a plan, validated when they are read: a damaged one is told in one sentence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import shapely
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from lsbatch.catalog.date_windows import KEYS
from lsbatch.catalog.items.scenes import NO_SHAPE, Scene
from lsbatch.catalog.orbit_matching import Scenes
from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid
from lsbatch.settings import GridSettings
from lsbatch.storage import documents

REPLAN = "run with --replan"
#: Coordinates of projected CRSs are smaller, in metres.
FARTHEST_M = 1e8
#: The largest side of a tile that the settings allow.
LARGEST_TILE_PX = 8192


def _in_settings(grid: Grid) -> Grid:
    """Check CRS and pixels of a plan as those of the settings, and the bounds of the other numbers."""
    GridSettings(crs=grid.crs, resolution_m=grid.resolution_m)
    if not 0 < grid.tile_px <= LARGEST_TILE_PX:
        raise ValueError(f"tile_px must be 1 to {LARGEST_TILE_PX}")
    left, bottom, right, top = grid.bounds
    if not (-FARTHEST_M < left < right < FARTHEST_M and -FARTHEST_M < bottom < top < FARTHEST_M):
        raise ValueError("bounds must be left, bottom, right, top in metres")
    return grid


def _geometry(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError("is not WKT")
    try:
        return shapely.from_wkt(text)
    except shapely.errors.ShapelyError as error:
        raise ValueError(f"is not WKT: {error}") from None


def _located(scene: Scene) -> Scene:
    """Check the fields of a scene's item that are read."""
    try:
        date.fromisoformat(scene.day)
    except ValueError:
        raise ValueError("its time does not begin with a day, YYYY-MM-DD") from None
    try:
        bounds = scene.footprint.bounds
        hrefs = [asset["href"] for asset in scene.item["assets"].values()]
    except (*NO_SHAPE, shapely.errors.ShapelyError) as error:
        raise ValueError(f"its item is not STAC: {error!r}") from None
    if len(bounds) != 4 or not all(map(math.isfinite, bounds)) or not all(isinstance(href, str) for href in hrefs):
        raise ValueError("its item has no geometry, or an asset without an address")
    return scene


@dataclass(frozen=True)
class Main:
    """The main file."""

    settings: str
    grid: Annotated[Grid, AfterValidator(_in_settings)]
    tiles: tuple[tuple[int, int], ...]
    region: Annotated[Any, BeforeValidator(_geometry)]
    summary: dict[str, Any]

    def __post_init__(self) -> None:
        rows, cols = self.grid.tile_shape
        if not all(0 <= row < rows and 0 <= col < cols for row, col in self.tiles):
            raise ValueError("a tile lies outside of the grid")


@dataclass(frozen=True)
class TileFile:
    """The file of a tile."""

    scenes: dict[str, tuple[Annotated[Scene, AfterValidator(_located)], ...]]


@dataclass(frozen=True)
class Days:
    """First and last day of the images before and after."""

    pre: tuple[str, str]
    post: tuple[str, str]


@dataclass(frozen=True)
class Count:
    """Scenes of a key: of all tiles, and of one."""

    scenes: int
    least: int
    most: int
    tiles_without: int


@dataclass(frozen=True)
class Summary:
    """What is told about a plan."""

    tiles: int
    region_km2: float
    windows: Days
    scenes: dict[str, Count]
    passes: tuple[int, int]
    orbits: tuple[str, ...]
    left_out: tuple[str, ...]
    gigabytes: Annotated[float, Field(ge=0)]


_MAIN, _TILE, _SUMMARY = TypeAdapter(Main), TypeAdapter(TileFile), TypeAdapter(Summary)
_SCENES = TypeAdapter(tuple[Annotated[Scene, AfterValidator(_located)], ...])


def main(path: Path) -> Main:
    """Read the main file. Raises StaleStoreError if it is damaged."""
    return documents.read(path, _MAIN, REPLAN)


def tile(path: Path) -> Scenes:
    """Read the scenes of a tile by key. Raises StaleStoreError if the file is damaged."""
    found = documents.read(path, _TILE, REPLAN).scenes
    if missing := [key for key in KEYS if key not in found]:
        raise StaleStoreError(f"{path}: is damaged (it has no scenes for {missing[0]}); {REPLAN}")
    return {key: found[key] for key in KEYS}


def scenes(path: Path) -> tuple[Scene, ...]:
    """Read a list of scenes. Raises StaleStoreError if the file is damaged."""
    return documents.read(path, _SCENES, REPLAN)


def summary(found: Mapping[str, Any]) -> Summary:
    """Return the summary of a plan. Raises StaleStoreError if it lacks a field."""
    try:
        return _SUMMARY.validate_python(found)
    except ValidationError as error:
        raise StaleStoreError(f"plan.json: its summary is damaged ({documents.reason(error)}); {REPLAN}") from None
