"""Stage archive to STACK: composites before and after, terrain and observation counts of one tile."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lsbatch.bands import INDEX_TERMS, Band, stack_layer
from lsbatch.catalog import plan
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.grid import Tile
from lsbatch.kernels import optical as optical_kernels
from lsbatch.kernels import sar, water
from lsbatch.kernels.local_change import pass_moments, surroundings
from lsbatch.pipeline import optical, radar, season_composites, terrain
from lsbatch.pipeline.terrain import Ground
from lsbatch.pipeline.types import Block, Dropped, Stage
from lsbatch.settings import Config
from lsbatch.storage.geometries import rasterize

#: Bits of the band `observed`.
OPTICAL, RADAR, DEM, ASCENDING, DESCENDING, SHADED, WATER = 1, 2, 4, 8, 16, 32, 64
BITS = {
    "optical": OPTICAL,
    "radar": RADAR,
    "dem": DEM,
    "ascending": ASCENDING,
    "descending": DESCENDING,
    "shaded": SHADED,
    "water": WATER,
}
SHORT = {"ascending": "asc", "descending": "desc"}
#: Scenes named in the error of a tile none of whose scenes could be read.
NAMED_SCENES = 3


def apply(block: Block, config: Config) -> Block:
    """Read the scenes of the tile and compose every band of STACK; bands without a source are nodata."""
    tile, halo = block.tile, surroundings.halo_px(config.grid.resolution_m)
    # wider than the tile, because the local bands depend on the surroundings
    wide = replace(tile, geobox=tile.padded(halo))
    scenes = plan.tile_scenes(config.output, tile.id)
    layer = stack_layer(config.composite.bands)
    bands: dict[str, np.ndarray] = {}
    # terrain first: terrain shadow and slope correction need it
    here = terrain.read(wide, scenes["dem"], config)
    used: list[str] = []
    dropped: list[Dropped] = []
    for fill in (_optical, _radar, _terrain):
        new, names, lost = fill(scenes, here, config)
        bands |= new
        used += names
        dropped += lost
    if dropped and not used:
        more = f"; and {len(dropped) - NAMED_SCENES} more" if len(dropped) > NAMED_SCENES else ""
        named = "; ".join(one.reason for one in dropped[:NAMED_SCENES])
        raise SceneError(
            f"no scene of tile {tile.id} could be read: {named}{more}", may_pass=any(d.may_pass for d in dropped)
        )
    bands |= _blank(wide, [band for band in layer.bands if band.name not in bands])
    bands["observed"] = _observed(bands, here.side_m)
    inner = slice(halo, -halo)
    for name in bands:
        # one by one, because a copy of all bands at once would hold them twice
        bands[name] = bands[name][inner, inner].copy()
    inside = rasterize(plan.load(config.output).region, tile.geobox)
    for name, values in bands.items():
        fill_value = layer[name].fill if layer[name].scale is None else np.nan
        values[~inside] = fill_value
    tally = {
        "region_pixels": int(inside.sum()),
        **{f"{key}_pixels": int(np.count_nonzero(bands["observed"] & bit)) for key, bit in BITS.items()},
        "dem_filled_pixels": int(np.count_nonzero(here.is_filled[inner, inner])),
        "decisions": _decisions(scenes, set(used)),
    }
    return Block(tile, 0, bands, tally, scenes=tuple(used), dropped=tuple(dropped))


def _blank(tile: Tile, bands: Iterable[Band]) -> dict[str, np.ndarray]:
    """Return the arrays of bands without a source; made last, because they would be held while scenes are read."""
    shape = tile.geobox.shape
    return {
        b.name: np.full(shape, np.nan, np.float32) if b.scale is not None else np.full(shape, b.fill, b.dtype)
        for b in bands
    }


Filled = tuple[dict[str, np.ndarray], tuple[str, ...], tuple[Dropped, ...]]


def _optical(scenes: dict[str, tuple[Scene, ...]], here: Ground, config: Config) -> Filled:
    bands: dict[str, np.ndarray] = {}
    used: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    ndvi = {}
    for period in ("pre", "post"):
        picture = season_composites.greenest(period, scenes[f"{period}_s2"], here, config)
        bands |= {f"{period}{key}": picture.bands[i] for i, key in enumerate(optical.colours(config))}
        bands |= {f"{period}_date": picture.day, f"{period}_clear_looks": picture.looks}
        bands[f"{period}_shaded_looks"] = picture.shaded
        ndvi[period] = picture.ndvi
        used += picture.used
        dropped += picture.dropped
    bands["dNDVI"] = optical_kernels.dndvi(ndvi["pre"], ndvi["post"])
    bands["localNDVI"] = bands["dNDVI"] - surroundings.shared(bands["dNDVI"], here.side_m)
    return bands | _index_differences(bands, config), used, dropped


def _index_differences(bands: Mapping[str, np.ndarray], config: Config) -> dict[str, np.ndarray]:
    """Return after minus before of each index of the layer, from the composites."""

    def index(name: str, period: str) -> np.ndarray:
        return optical_kernels.INDICES[name](*(bands[f"{period}{term}"] for term in INDEX_TERMS[name]))

    names = [name for name in stack_layer(config.composite.bands).names if name in INDEX_TERMS]
    return {name: index(name, "post") - index(name, "pre") for name in names}


def _radar(scenes: dict[str, tuple[Scene, ...]], here: Ground, config: Config) -> Filled:
    bands: dict[str, np.ndarray] = {}
    used: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    orbits = []
    for period in ("pre", "post"):
        composite = season_composites.median(period, scenes[f"{period}_s1"], here, config)
        orbits.append(composite.orbits)
        bands |= {f"{period}{pol}": sar.to_db(power) for pol, power in composite.power.items()}
        for direction, power in composite.apart.items():
            bands[f"{period}VV_{SHORT[direction]}"] = sar.to_db(power)
            bands[f"{period}_{SHORT[direction]}_looks"] = composite.looks[direction]
        bands[f"{period}_sar_looks"] = composite.all_looks
        used += composite.used
        dropped += composite.dropped
    for pol in radar.POLARISATIONS:
        bands[f"diff{pol}"] = bands[f"post{pol}"] - bands[f"pre{pol}"]
    return bands | _local_change(orbits[0], orbits[1], here.side_m), used, dropped


def _local_change(before: radar.Orbits, after: radar.Orbits, side_m: float) -> dict[str, np.ndarray]:
    """Return the change of each polarisation against the surroundings, from the orbits that both windows have."""
    both = sorted(before.keys() & after.keys(), key=str)
    bands: dict[str, np.ndarray] = {}
    if not both:
        return bands
    for pol in radar.POLARISATIONS:
        # one at a time: those of four orbits are 150 MB of a tile of 2048 px
        changes = (pass_moments.change(before[orbit][pol], after[orbit][pol], side_m) for orbit in both)
        bands[f"local{pol}"], bands[f"z{pol}"] = pass_moments.combined(changes)
    looks = [pass_moments.looks(before[orbit]["VV"], after[orbit]["VV"]) for orbit in both]
    bands["change_looks"] = np.minimum(np.sum(looks, axis=0), 255).astype(np.uint8)
    return bands


def _terrain(scenes: dict[str, tuple[Scene, ...]], here: Ground, config: Config) -> Filled:
    del scenes, config
    inner = slice(here.halo_px, -here.halo_px)
    slope, _ = here.slope_aspect(0)
    return {"elevation": here.elevation_m[inner, inner].copy(), "slope": slope}, here.used, here.dropped


def _observed(bands: dict[str, np.ndarray], side_m: float) -> np.ndarray:
    def seen(*names: str) -> np.ndarray:
        return np.logical_and.reduce([np.isfinite(bands[n]) for n in names])

    is_water = water.before(bands["preVH"], bands["preG"], bands["preNIR"], bands["slope"], side_m)
    in_shade = np.logical_or.reduce(
        [(bands[f"{p}_clear_looks"] == 0) & (bands[f"{p}_shaded_looks"] > 0) for p in ("pre", "post")]
    )
    return (
        seen("dNDVI") * np.uint8(OPTICAL)
        + seen("preVV", "postVV") * np.uint8(RADAR)
        + seen("elevation", "slope") * np.uint8(DEM)
        + seen("preVV_asc", "postVV_asc") * np.uint8(ASCENDING)
        + seen("preVV_desc", "postVV_desc") * np.uint8(DESCENDING)
        + in_shade * np.uint8(SHADED)
        + is_water * np.uint8(WATER)
    ).astype(np.uint8)


def _decisions(scenes: dict[str, tuple[Scene, ...]], used: set[str]) -> dict[str, Sequence[str]]:
    """Return the decisions about the scenes that were read."""
    every = [scene for group in scenes.values() for scene in group if scene.id in used]
    radar_scenes = [s for s in every if s.sensor == "sentinel1"]
    return {
        "offsets": sorted({f"{s.offset_dn:g}: {s.offset_reason}" for s in every if s.sensor == "sentinel2"}),
        "orbits": sorted({f"{s.orbit_state} {s.relative_orbit} {s.platform}" for s in radar_scenes}),
        "radiometry": sorted({str(s.radiometry) for s in radar_scenes}),
        "elevation": [s.id for s in every if s.sensor == "dem"],
    }


STAGE = Stage(
    name="stack",
    version=4,
    apply=apply,
    settings=lambda config: config.composite.model_dump(exclude={"same_orbits"}),
    writes=lambda config: stack_layer(config.composite.bands),
    scenes=lambda config, tile: plan.tile_file(config.output, tile),
)
