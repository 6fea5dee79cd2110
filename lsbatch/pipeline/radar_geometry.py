"""Incidence angle and slope correction of calibrated Sentinel-1 scenes, once per relative orbit.

Passes of one relative orbit see a pixel at the same angle: the satellites stay within some 200 m of the same track,
which is 0.02 degrees of incidence. So each pixel has the angle of the first scene, in order, that has one there, and
scenes are read until every pixel of the strip has one. A pixel's angle depends on no other pixel, so tile by tile
equals the whole.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from odc.geo.geobox import GeoBox

from lsbatch.catalog.items.radar_radiometry import SIGMA0
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import prefetch, scene_reading
from lsbatch.kernels import focal, slope_correction, terrain
from lsbatch.settings import Config

#: Layover and shadow of sigma0 are grown by this radius, because the DEM is not accurate to one pixel.
BUFFER_M = 30.0
#: Slope and aspect in degrees, with the halo of the strips.
Steepness = tuple[np.ndarray, np.ndarray]
#: What the scenes of one geometry share: orbit state and relative orbit, or the id of a scene of an unknown orbit.
Orbit = tuple[str | None, int | str]


@dataclass(frozen=True)
class Geometry:
    """Geometry of one relative orbit over a strip.

    Attributes
    ----------
    incidence_deg : array (rows, cols), float32
        On the ellipsoid; NaN where no scene that was read has it.
    factor : array (rows, cols), float32
        From sigma0 to gamma0 of flat ground; NaN also in layover and shadow.
    """

    incidence_deg: np.ndarray
    factor: np.ndarray


def orbit(scene: Scene) -> Orbit:
    """Return the key of a scene's relative orbit."""
    return scene.orbit_state, scene.id if scene.relative_orbit is None else scene.relative_orbit


def of_orbits(
    scenes: Iterable[Scene], box: GeoBox, steepness: Steepness, config: Config
) -> tuple[Mapping[Orbit, Geometry], Mapping[str, SceneError]]:
    """Return the geometry of each relative orbit of calibrated scenes, and the scenes that cannot be read, by id."""
    groups: dict[Orbit, list[Scene]] = {}
    for scene in scenes:
        if scene.radiometry == SIGMA0:
            groups.setdefault(orbit(scene), []).append(scene)
    calls = [partial(_of_orbit, group, box, steepness, config) for group in groups.values()]
    found = list(prefetch.in_order(calls))
    failures = {name: error for _, failed in found for name, error in failed.items()}
    return {key: geometry for key, (geometry, _) in zip(groups, found, strict=True)}, failures


def _of_orbit(
    scenes: Sequence[Scene], box: GeoBox, steepness: Steepness, config: Config
) -> tuple[Geometry, dict[str, SceneError]]:
    geometry = Geometry(np.full(box.shape, np.nan, np.float32), np.full(box.shape, np.nan, np.float32))
    buffer_px = BUFFER_M / config.grid.resolution_m
    # at the edge of a scene the gradient is unknown, which looks like layover and is grown; the halo is wider
    edge = math.ceil(buffer_px) + 2
    failed: dict[str, SceneError] = {}
    for scene in scenes:
        is_open = np.isnan(geometry.incidence_deg)
        if not is_open[edge:-edge, edge:-edge].any():
            break
        try:
            raw = scene_reading.read(scene, ("incidence",), box, attempts=config.archives.attempts)
        except SceneError as error:
            failed[scene.id] = error
            continue
        is_new = is_open & focal.erode(~np.isnan(raw["incidence"]), edge)
        if is_new.any():
            look, model = _look_azimuth_deg(raw["incidence"], config), config.composite.slope_model
            # of the whole scene, because the look azimuth has a step where two scenes meet
            factor, _ = slope_correction.slope_factor(raw["incidence"], look, *steepness, model, buffer_px)
            np.copyto(geometry.factor, factor, where=is_new)
            np.copyto(geometry.incidence_deg, raw["incidence"], where=is_new)
    return geometry, failed


def _look_azimuth_deg(incidence_deg: np.ndarray, config: Config) -> np.ndarray:
    """Return the direction from the sensor to the ground: the incidence angle decreases towards the sensor.

    It is measured on this grid, so the meridian convergence is not needed.
    """
    side = config.grid.resolution_m
    return terrain.aspect(incidence_deg, side, side) + 180
