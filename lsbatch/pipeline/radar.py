"""Median of the Sentinel-1 scenes of a date window in linear power, by strips of rows.

The order of operations is: border noise, speckle filter, slope correction, median, all in linear power.
Terrain-corrected gamma0 needs neither the first nor the third, and includes its mask of layover and shadow.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.catalog.items.radar_radiometry import SIGMA0
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import prefetch, scene_reading
from lsbatch.kernels import sar, speckle, time_median
from lsbatch.kernels.local_change import pass_moments, surroundings
from lsbatch.kernels.local_change.pass_moments import Moments
from lsbatch.pipeline import radar_geometry
from lsbatch.pipeline.radar_geometry import Geometry, Orbit, Steepness
from lsbatch.pipeline.terrain import Ground
from lsbatch.pipeline.types import Dropped
from lsbatch.settings import CompositeSettings, Config

POLARISATIONS = ("VV", "VH")
DIRECTIONS = ("ascending", "descending")

#: Bytes of the buffer that holds all passes of a strip. A median needs all values of a pixel at once. With more passes
#: the strip has fewer rows, so the memory of a tile stays the same. Blocks of a COG on the edge of two strips are
#: decoded twice.
STRIP_BYTES = 192 * 2**20
#: Strips are whole cells of the surroundings.
CELL_ROWS = surroundings.LARGEST_CELL_PX
#: Width of the border of a GRD that is searched for noise.
FRINGE_PX = 50
#: Power above which a pixel may be a point target (Lee sigma): the 98th percentile over hills in California
#: (../shared/data/s1_opera_california, 105 bursts). One value for all tiles, so that they agree.
BRIGHT = {"VV": 0.60, "VH": 0.10}
FROST_DAMPING = 2.0
#: The speckle filter that uses all dates of a relative orbit together, not a single scene.
ACROSS_DATES = "multitemporal"


#: Direction of flight and number of the relative orbit; None where unknown.
RelativeOrbit = tuple[str | None, int | None]
#: Mean and variance of the passes of each relative orbit, by polarisation.
Orbits = dict[RelativeOrbit, dict[str, Moments]]


@dataclass(frozen=True)
class Median:
    """Median composites of linear power.

    Attributes
    ----------
    power : dict of polarisation to array (rows, cols), float32
        gamma0 of all passes; NaN where never observed.
    apart : dict of direction to array (rows, cols), float32
        gamma0 VV of ascending and of descending passes alone.
    looks : dict of direction to array (rows, cols), uint8
        Passes that observed the pixel, at most 255.
    all_looks : array (rows, cols), uint8
        Passes of both and of unknown directions.
    orbits : Orbits
    used : tuple of str
    dropped : tuple of Dropped
        Scenes read, and scenes that could not be read, with the reason.
    """

    power: dict[str, np.ndarray]
    apart: dict[str, np.ndarray]
    looks: dict[str, np.ndarray]
    all_looks: np.ndarray
    orbits: Orbits
    used: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def median(scenes: Sequence[Scene], ground: Ground, config: Config) -> Median:
    """Return medians over passes, all together and by direction.

    Frames of one pass (same platform, orbit and day) are joined before the median, so that their overlap counts once.
    """
    shape = rows, cols = ground.geobox.shape
    power = {p: np.full(shape, np.nan, np.float32) for p in POLARISATIONS}
    apart = {d: np.full(shape, np.nan, np.float32) for d in DIRECTIONS}
    looks = {d: np.zeros(shape, np.uint8) for d in DIRECTIONS}
    all_looks = np.zeros(shape, np.uint8)
    passes = _by_pass(scenes)
    cell_px, _ = surroundings.sizes(ground.side_m)
    members = _by_orbit(passes)
    orbits = {orbit: {p: pass_moments.empty((rows, cols), cell_px) for p in POLARISATIONS} for orbit in members}
    dropped: dict[str, Dropped] = {}
    if passes:
        has_sigma0 = any(s.radiometry == SIGMA0 for s in scenes)
        halo = halo_px(config.composite, has_sigma0, ground.side_m)
        steepness = ground.slope_aspect(halo) if has_sigma0 else None
        by_direction = {d: [i for i, group in enumerate(passes) if group[0].orbit_state == d] for d in DIRECTIONS}
        height = strip_rows(rows, len(passes), cols, halo)
        for top in range(0, rows, height):
            here = slice(top, min(rows, top + height))
            strip = _strip(passes, ground.geobox, here, halo, steepness, config, dropped)
            calls = [
                partial(_compose, power["VV"][here], all_looks[here], strip[0], range(len(passes))),
                partial(_compose, power["VH"][here], None, strip[1], range(len(passes))),
            ]
            # passes of an unknown direction are only in the median of all passes
            calls += [
                partial(_compose, apart[d][here], looks[d][here], strip[0], chosen)
                for d, chosen in by_direction.items()
                if len(chosen) < len(passes)
            ]
            calls += [
                partial(pass_moments.fill, orbits[orbit][name], here, [strip[p, date] for date in dates], cell_px)
                for orbit, dates in members.items()
                for p, name in enumerate(POLARISATIONS)
            ]
            for _ in prefetch.in_order(calls):
                pass
            # free the strip before the next one is filled, else two are held: 216 MB more with 40 passes than with 10
            del strip, calls
        for d, chosen in by_direction.items():
            if len(chosen) == len(passes):
                apart[d], looks[d] = power["VV"], all_looks
    used = tuple(s.id for group in passes for s in group if s.id not in dropped)
    return Median(power, apart, looks, all_looks, orbits, used, tuple(dropped.values()))


def _compose(power: np.ndarray, looks: np.ndarray | None, strip: np.ndarray, dates: Sequence[int]) -> None:
    """Write the median of some passes over a strip, and their number."""
    power[:], count = time_median.masked_median_and_count(strip, dates)
    if looks is not None:
        looks[:] = count


def halo_px(settings: CompositeSettings, has_sigma0: bool, side_m: float) -> int:
    """Return the pixels around a window that its result depends on."""
    reach = {"none": 0, "refined_lee": 3}.get(settings.speckle, settings.speckle_size_px // 2)
    if has_sigma0:
        # the fringe lies next to a solid area of nodata (see sar.border_noise); the buffer next to layover and shadow
        reach += max(FRINGE_PX + 4, math.ceil(radar_geometry.BUFFER_M / side_m))
    return reach


def strip_rows(rows: int, passes: int, cols: int, halo: int) -> int:
    """Return the rows of a strip, in whole cells: as few strips of one height as fit in `STRIP_BYTES`."""
    row_bytes = passes * len(POLARISATIONS) * (cols + 2 * halo) * 4
    cells = math.ceil(rows / CELL_ROWS)
    most = max(1, (STRIP_BYTES // row_bytes - 2 * halo) // CELL_ROWS)
    return math.ceil(cells / math.ceil(cells / most)) * CELL_ROWS


def _by_pass(scenes: Sequence[Scene]) -> list[list[Scene]]:
    def key(scene: Scene) -> tuple[str, str, int]:
        return scene.time[:10], scene.platform or "", scene.relative_orbit or 0

    ordered = sorted(scenes, key=lambda s: (*key(s), s.id))
    return [list(group) for _, group in groupby(ordered, key=key)]


def _by_orbit(passes: list[list[Scene]]) -> dict[RelativeOrbit, list[int]]:
    """Return the numbers of the passes of each relative orbit."""
    orbits: defaultdict[RelativeOrbit, list[int]] = defaultdict(list)
    for i, group in enumerate(passes):
        orbits[group[0].orbit_state, group[0].relative_orbit].append(i)
    return dict(orbits)


def _strip(
    passes: list[list[Scene]],
    geobox: GeoBox,
    rows: slice,
    halo: int,
    steepness: Steepness | None,
    config: Config,
    dropped: dict[str, Dropped],
) -> np.ndarray:
    """Return all passes over a strip of rows, (polarisations, passes, rows, cols), corrected and without halo.

    A scene that fails in one strip is also left out of later strips. Earlier strips keep it, and the receipt names it.
    """
    height, cols = rows.stop - rows.start, geobox.shape[1]
    wide = slice(rows.start, rows.stop + 2 * halo)
    box = geobox.pad(halo)[wide, :]
    around = steepness and (steepness[0][wide], steepness[1][wide])
    together = config.composite.speckle == ACROSS_DATES
    # a filter over all dates also needs their halo
    edge = halo if together else 0
    out = np.full((len(POLARISATIONS), len(passes), height + 2 * edge, cols + 2 * edge), np.nan, np.float32)
    geometries: Mapping[Orbit, Geometry] = {}
    if around is not None:
        every = [frame for group in passes for frame in group if frame.id not in dropped]
        geometries, failed = radar_geometry.of_orbits(every, box, around, config)
        dropped |= {name: Dropped.of(error) for name, error in failed.items()}
    frames = [(i, frame) for i, group in enumerate(passes) for frame in group if frame.id not in dropped]
    begun: set[int] = set()
    calls = [partial(_frame, frame, box, geometries, config) for _, frame in frames]
    for (i, frame), power in zip(frames, prefetch.in_order(calls), strict=True):
        if isinstance(power, SceneError):
            dropped[frame.id] = Dropped.of(power)
            continue
        cut = slice(halo - edge, edge - halo or None)
        for p, name in enumerate(POLARISATIONS):
            np.copyto(out[p, i], power[name][cut, cut], where=np.isnan(out[p, i]) if i in begun else True)
        begun.add(i)
    if together:
        _across_dates_into(out, passes, config.composite.speckle_size_px)
        out = out[:, :, edge : edge + height, edge : edge + cols]
    return out


def _frame(
    scene: Scene, box: GeoBox, geometries: Mapping[Orbit, Geometry], config: Config
) -> dict[str, np.ndarray] | SceneError:
    """Read one scene over a strip and its halo, filtered, as gamma0; return the error if it fails."""
    extras = ("mask",) if "mask" in scene.assets and scene.radiometry != SIGMA0 else ()
    try:
        # without power that is not positive, which results from noise subtraction: see `valid_values`
        raw = scene_reading.read(scene, (*POLARISATIONS, *extras), box, attempts=config.archives.attempts)
    except SceneError as error:
        return error
    power = {name: raw[name] for name in POLARISATIONS}
    if scene.radiometry == SIGMA0:
        return _flattened(power, geometries[radar_geometry.orbit(scene)], config)
    if "mask" in raw:
        for values in power.values():
            values[raw["mask"] != 0] = np.nan
    return {name: _filtered(values, name, config.composite) for name, values in power.items()}


def _flattened(sigma0: dict[str, np.ndarray], geometry: Geometry, config: Config) -> dict[str, np.ndarray]:
    """Correct border noise, speckle and slope of a calibrated GRD; NaN where the elevation is unknown."""
    vv = sar.border_noise(sigma0["VV"], geometry.incidence_deg, depth_px=FRINGE_PX)
    out = {}
    for name, values in sigma0.items():
        values[np.isnan(vv)] = np.nan
        out[name] = _filtered(values, name, config.composite) * geometry.factor
    return out


def _filtered(power: np.ndarray, polarisation: str, settings: CompositeSettings) -> np.ndarray:
    if settings.speckle == ACROSS_DATES:
        # needs all dates of an orbit: see `_across_dates_into`
        return power
    by = speckle.FilterSettings(
        settings.speckle_size_px, settings.speckle_looks, damping=FROST_DAMPING, bright=BRIGHT[polarisation]
    )
    return speckle.FILTERS[settings.speckle](power, by)


def _across_dates_into(strip: np.ndarray, passes: list[list[Scene]], size: int) -> None:
    """Apply Quegan and Yu's filter to one relative orbit at a time, because orbits have different backscatter."""
    orbits = _by_orbit(passes)
    for polarisation in strip:
        for dates in orbits.values():
            polarisation[dates] = speckle.multitemporal(polarisation[dates], size)
