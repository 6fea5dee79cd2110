"""Make the plan of a survey: search the archives and assign scenes to tiles."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from lsbatch.catalog import date_windows, dating_passes
from lsbatch.catalog.date_windows import KEYS, SENSORS
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.orbit_matching import Scenes, newest, same_orbits
from lsbatch.catalog.plan import (
    BYTES_PER_PX,
    FURTHER_BYTES_PER_PX,
    HALO_M,
    Plan,
    TilePlan,
    margin_m,
    settings_digest,
)
from lsbatch.grid import Grid, tile_id
from lsbatch.settings import Config
from lsbatch.storage.geometries import read_region


def make(config: Config, known: date_windows.Answers | None = None) -> Plan:
    """Search the archives and assign the scenes to the tiles; no pixel is read.

    `known` are answers to earlier searches for another year of the same survey (see `date_windows.search`).

    Raises
    ------
    NoDataError
        If a sensor that the setting `bands` needs has no scene in a window.
    CatalogError, ConfigError
    """
    region = read_region(config)
    settings = config.grid
    grid = Grid.snapped(settings.crs, settings.resolution_m, settings.tile_px, region.bounds)
    positions, boxes = tiles(grid, region)
    found, left_out = date_windows.search(config, region, known)
    footprints = {sensor: _footprints(boxes, sensor, config) for sensor in HALO_M}
    per_tile = _distribute(found, footprints)
    more, useless = dating_passes.search(config, region)
    passes = _distribute({"pre_s1": dating_passes.joined(found, more)}, footprints)
    by_tile = {
        tile_id(*position): _tile_plan(scenes, config, dating["pre_s1"])
        for position, scenes, dating in zip(positions, per_tile, passes, strict=True)
    }
    summary = _summary(config, region, found, by_tile) | {"left_out": left_out + useless}
    return Plan(settings_digest(config), grid, positions, region, by_tile, summary)


def tiles(grid: Grid, region: shapely.Geometry) -> tuple[tuple[tuple[int, int], ...], np.ndarray]:
    """Return the positions of the tiles that share area with the region, and their boxes in the grid's CRS."""
    rows, cols = grid.tile_shape
    row, col = (a.ravel() for a in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"))
    boxes = _boxes(grid, row, col)
    shapely.prepare(region)
    # the interiors must overlap: a tile that shares only an edge with the region has no pixel in it
    inside = shapely.intersects(region, boxes) & ~shapely.touches(region, boxes)
    return tuple(zip(row[inside].tolist(), col[inside].tolist(), strict=True)), boxes[inside]


def _boxes(grid: Grid, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Return the outlines of tiles in the grid's CRS."""
    side = grid.resolution_m * grid.tile_px
    left, _, _, top = grid.bounds
    return np.asarray(shapely.box(left + col * side, top - (row + 1) * side, left + (col + 1) * side, top - row * side))


def by_tile(made: Plan, key: str, scenes: tuple[Scene, ...], config: Config) -> dict[str, tuple[Scene, ...]]:
    """Assign further scenes of a sensor (`key` in `date_windows.SENSORS`) to the tiles of a plan."""
    boxes = _boxes(made.grid, *np.array(made.tiles).T)
    sensor = SENSORS[key]
    dealt = _distribute({key: scenes}, {sensor: _footprints(boxes, sensor, config)})
    return {tile_id(*position): found[key] for position, found in zip(made.tiles, dealt, strict=True)}


def _footprints(boxes: np.ndarray, sensor: str, config: Config) -> np.ndarray:
    """Return the outlines of tiles with their halo in EPSG:4326. A scene may touch only the halo."""
    grid = config.grid
    grown = shapely.buffer(boxes, margin_m(sensor, grid.resolution_m), join_style="mitre")
    dense = shapely.segmentize(grown, grid.resolution_m * grid.tile_px / 4)
    return np.asarray(date_windows.to_lonlat(dense, grid.crs))


def _distribute(found: Scenes, by_sensor: Mapping[str, np.ndarray]) -> list[Scenes]:
    """Return for each tile the scenes whose footprint touches it."""
    out: list[Scenes] = [dict.fromkeys(KEYS, ()) for _ in next(iter(by_sensor.values()))]
    for key, scenes in found.items():
        if not scenes:
            continue
        footprints = by_sensor[SENSORS[key]]
        shapes = shapely.make_valid([scene.footprint for scene in scenes])
        tile_index, scene_index = shapely.STRtree(shapes).query(footprints, predicate="intersects")
        members: dict[int, list[int]] = {}
        for tile, scene in zip(tile_index.tolist(), scene_index.tolist(), strict=True):
            members.setdefault(tile, []).append(scene)
        for tile, indices in members.items():
            out[tile][key] = tuple(scenes[i] for i in sorted(indices))
    return out


def _tile_plan(scenes: Scenes, config: Config, passes: tuple[Scene, ...]) -> TilePlan:
    scenes, rule = same_orbits(scenes) if config.composite.same_orbits else (scenes, "all orbits")
    if config.survey.newest_passes is not None:
        scenes = newest(scenes, config.survey.newest_passes)
    return TilePlan(scenes, rule, round(megabytes(scenes, config), 1), passes if dating_passes.wanted(config) else None)


def megabytes(scenes: Scenes, config: Config) -> float:
    """Return the megabytes of a tile's scenes before compression."""
    each = BYTES_PER_PX | {"sentinel2": BYTES_PER_PX["sentinel2"] + FURTHER_BYTES_PER_PX * len(config.composite.bands)}
    return sum(each[SENSORS[key]] * config.grid.tile_px**2 * len(group) for key, group in scenes.items()) / 1e6


def _summary(
    config: Config, region: shapely.Geometry, found: Scenes, by_tile: Mapping[str, TilePlan]
) -> dict[str, Any]:
    rows = {}
    for key in KEYS:
        if SENSORS[key] not in config.archives.sensors:
            continue
        counts = [len(tile.scenes[key]) for tile in by_tile.values()]
        used = {s.id for tile in by_tile.values() for s in tile.scenes[key]}
        rows[key] = {
            "scenes": len(used),
            "found": len(found[key]),
            "least": min(counts),
            "most": max(counts),
            "tiles_without": counts.count(0),
        }
    rules = Counter(tile.matched_by for tile in by_tile.values())
    return {
        "tiles": len(by_tile),
        "region_km2": region.area / 1e6,
        "windows": config.survey.windows.model_dump(mode="json"),
        "scenes": rows,
        "passes": [pick(len(tile.passes or ()) for tile in by_tile.values()) for pick in (min, max)],
        "orbits": [f"{rule}: {count} tiles" for rule, count in sorted(rules.items()) if rule != "no Sentinel-1"],
        "gigabytes": round(sum(tile.megabytes for tile in by_tile.values()) / 1000, 3),
    }
