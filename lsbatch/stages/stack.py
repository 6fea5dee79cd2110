"""Archive to STACK: one tile's composites before and after, terrain, and what was observed."""

from collections.abc import Sequence

import numpy as np

from lsbatch.archive import load, plan
from lsbatch.archive.regions import rasterize
from lsbatch.archive.scenes import Scene
from lsbatch.config import Config
from lsbatch.errors import NoDataError, SceneError
from lsbatch.grid import Tile
from lsbatch.kernels import optical as optical_kernels
from lsbatch.kernels import sar, terrain
from lsbatch.layers import STACK
from lsbatch.records import Block, Stage
from lsbatch.stages import optical, radar

OPTICAL, RADAR, DEM = 1, 2, 4
#: Scenes that the error of a tile names when none of its scenes could be read.
NAMED_SCENES = 3


def apply(block: Block, config: Config) -> Block:
    """Read the tile's scenes and compose every band of STACK; bands without a source are nodata."""
    tile = block.tile
    scenes = plan.tile_scenes(config.output, tile.id)
    bands = _blank(tile)
    used: list[str] = []
    dropped: list[str] = []
    for fill in (_optical, _radar, _terrain):
        new, names, lost = fill(tile, scenes, config)
        bands |= new
        used += names
        dropped += lost
    if dropped and not used:
        more = f"; and {len(dropped) - NAMED_SCENES} more" if len(dropped) > NAMED_SCENES else ""
        raise NoDataError(f"no scene of tile {tile.id} could be read: {'; '.join(dropped[:NAMED_SCENES])}{more}")
    inside = rasterize(plan.load(config.output).region, tile.geobox)
    bands["observed"] = _observed(bands)
    for name, values in bands.items():
        fill_value = STACK[name].fill if STACK[name].scale is None else np.nan
        values[~inside] = fill_value
    tally = {
        "region_pixels": int(inside.sum()),
        **{
            f"{key}_pixels": int(np.count_nonzero(bands["observed"] & bit))
            for key, bit in (("optical", OPTICAL), ("radar", RADAR), ("dem", DEM))
        },
        "decisions": _decisions(scenes, set(used)),
    }
    return Block(tile, 0, bands, tally, scenes=tuple(used), dropped=tuple(dropped))


def _blank(tile: Tile) -> dict[str, np.ndarray]:
    shape = tile.geobox.shape
    return {
        b.name: np.full(shape, np.nan, np.float32) if b.scale is not None else np.full(shape, b.fill, b.dtype)
        for b in STACK.bands
    }


Filled = tuple[dict[str, np.ndarray], list[str], list[str]]


def _optical(tile: Tile, scenes: dict[str, tuple[Scene, ...]], config: Config) -> Filled:
    bands: dict[str, np.ndarray] = {}
    used: list[str] = []
    dropped: list[str] = []
    ndvi = {}
    for period in ("pre", "post"):
        picture = optical.greenest(scenes[f"{period}_s2"], tile.geobox, config)
        bands |= {f"{period}{key}": picture.bands[i] for i, key in enumerate(optical.COLOURS)}
        bands |= {f"{period}_date": picture.day, f"{period}_clear_looks": picture.looks}
        ndvi[period] = picture.ndvi
        used += picture.used
        dropped += picture.dropped
    bands["dNDVI"] = optical_kernels.dndvi(ndvi["pre"], ndvi["post"])
    return bands, used, dropped


def _radar(tile: Tile, scenes: dict[str, tuple[Scene, ...]], config: Config) -> Filled:
    bands: dict[str, np.ndarray] = {}
    used: list[str] = []
    dropped: list[str] = []
    for period in ("pre", "post"):
        composite = radar.median(scenes[f"{period}_s1"], tile.geobox, config)
        bands |= {f"{period}{pol}": sar.to_db(power) for pol, power in composite.power.items()}
        bands[f"{period}_sar_looks"] = composite.looks
        used += composite.used
        dropped += composite.dropped
    for pol in radar.POLARISATIONS:
        bands[f"diff{pol}"] = bands[f"post{pol}"] - bands[f"pre{pol}"]
    return bands, used, dropped


def _terrain(tile: Tile, scenes: dict[str, tuple[Scene, ...]], config: Config) -> Filled:
    """Elevation and slope; one pixel of halo is read here, so slope has no seam at tile edges."""
    box = tile.padded(1)
    dem = np.full(box.shape, np.nan, np.float32)
    used: list[str] = []
    dropped: list[str] = []
    for scene in scenes["dem"]:
        try:
            raw = load.read(scene, ("elevation",), box, attempts=config.archives.attempts)
        except SceneError as error:
            dropped.append(str(error))
            continue
        used.append(scene.id)
        np.copyto(dem, raw["elevation"], where=np.isnan(dem))
    side = config.grid.resolution_m
    slope = terrain.slope(dem, side, side)
    return {"elevation": dem[1:-1, 1:-1].copy(), "slope": slope[1:-1, 1:-1].copy()}, used, dropped


def _observed(bands: dict[str, np.ndarray]) -> np.ndarray:
    def seen(*names: str) -> np.ndarray:
        return np.logical_and.reduce([np.isfinite(bands[n]) for n in names])

    return (
        seen("dNDVI") * np.uint8(OPTICAL)
        + seen("preVV", "postVV") * np.uint8(RADAR)
        + seen("elevation", "slope") * np.uint8(DEM)
    ).astype(np.uint8)


def _decisions(scenes: dict[str, tuple[Scene, ...]], used: set[str]) -> dict[str, Sequence[str]]:
    """Provenance: what was decided about the scenes that were read."""
    every = [scene for group in scenes.values() for scene in group if scene.id in used]
    return {
        "offsets": sorted({f"{s.offset_dn:g}: {s.offset_reason}" for s in every if s.sensor == "sentinel2"}),
        "orbits": sorted(
            {f"{s.orbit_state} {s.relative_orbit} {s.platform}" for s in every if s.sensor == "sentinel1"}
        ),
    }


STAGE = Stage(
    name="stack",
    version=1,
    apply=apply,
    settings=lambda config: config.composite.model_dump(exclude={"same_orbits"}),
    writes=lambda _: STACK,
    source=True,
)
