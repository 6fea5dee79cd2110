"""STACK bands from the looks of a patch, with the kernels that the pipeline uses."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lsbatch.bands import INDEX_TERMS, LOCAL_CHANGE, further_bands
from lsbatch.kernels import greenest_pixel, optical, sar, terrain, time_median
from lsbatch.kernels.local_change import pass_moments, surroundings
from lsbatch.models.training.public_sets.chip_folder import SIDE_M, UnusablePatchError
from lsbatch.settings import CompositeSettings

COLOURS = ("R", "G", "B", "NIR")
POLARISATIONS = ("VV", "VH")
#: Days after which a satellite repeats its orbit, and after which the other one of the pair has the same orbit.
REPEAT_DAYS, PAIR_DAYS = 12, 6


@dataclass(frozen=True)
class Images:
    """Sentinel-2 looks of a patch before and after.

    Attributes
    ----------
    reflectance : mapping of colour to array (looks, rows, cols) float32
        NaN as nodata.
    scl : array (looks, rows, cols) uint8
        Scene classification.
    days : int array (looks,)
        Days since 1970-01-01.
    is_after : bool array (looks,)
    """

    reflectance: Mapping[str, np.ndarray]
    scl: np.ndarray
    days: np.ndarray
    is_after: np.ndarray


@dataclass(frozen=True)
class Pass:
    """A Sentinel-1 pass over a patch.

    Attributes
    ----------
    direction : str
        asc or desc.
    day : int
        Days since 1970-01-01.
    is_after : bool
    power : mapping of polarisation to array (rows, cols) float32
        Linear gamma0; NaN as nodata.
    """

    direction: str
    day: int
    is_after: bool
    power: Mapping[str, np.ndarray]


def optical_bands(images: Images, settings: CompositeSettings) -> dict[str, np.ndarray]:
    """Return the bands of the greenest-pixel composites before and after, and the changes of their indices."""
    colours = (*COLOURS, *settings.bands)
    values = np.stack([images.reflectance[name] for name in colours], axis=1)
    clear = np.stack([optical.clear(scl, settings.cloud_dilate_px) for scl in images.scl])
    clear &= np.isfinite(values).all(axis=1)
    bands: dict[str, np.ndarray] = {}
    ndvi = {}
    for period, chosen in (("pre", ~images.is_after), ("post", images.is_after)):
        best, ndvi[period], _, _ = greenest_pixel.greenest(
            values[chosen], clear[chosen], images.days[chosen], nir=COLOURS.index("NIR"), red=COLOURS.index("R")
        )
        bands |= {f"{period}{name}": band for name, band in zip(colours, best, strict=True)}
    bands["dNDVI"] = optical.dndvi(ndvi["pre"], ndvi["post"])
    bands["localNDVI"] = bands["dNDVI"] - surroundings.shared(bands["dNDVI"], SIDE_M)
    for name, terms in INDEX_TERMS.items():
        if set(further_bands(name)) <= set(settings.bands):
            before, after = (optical.INDICES[name](*(bands[f"{p}{t}"] for t in terms)) for p in ("pre", "post"))
            bands[name] = after - before
    return bands


def radar_bands(passes: Sequence[Pass], names: Iterable[str], same_orbits: bool) -> dict[str, np.ndarray]:
    """Return the medians of linear power in dB, their changes, and the change against the surroundings.

    Parameters
    ----------
    passes : sequence of Pass
    names : iterable of str
        Bands that are wanted. The change against the surroundings is computed only if it is among them.
    same_orbits : bool
        Use only passes of relative orbits that were flown before and after.

    Raises
    ------
    UnusablePatchError
        If no pass is left before or after.
    """
    chosen = _same_orbits(passes) if same_orbits else list(passes)
    if {one.is_after for one in chosen} != {False, True}:
        raise UnusablePatchError("no relative orbit of Sentinel-1 has passes before and after")
    bands: dict[str, np.ndarray] = {}
    for period, is_after in (("pre", False), ("post", True)):
        here = [one for one in chosen if one.is_after == is_after]
        bands |= {f"{period}{pol}": _median_db(here, pol) for pol in POLARISATIONS}
        for direction in ("asc", "desc"):
            along = [one for one in here if one.direction == direction]
            bands[f"{period}VV_{direction}"] = (
                _median_db(along, "VV") if along else np.full_like(bands["preVV"], np.nan)
            )
    for pol in POLARISATIONS:
        bands[f"diff{pol}"] = bands[f"post{pol}"] - bands[f"pre{pol}"]
    return bands | (_local_change(chosen) if set(LOCAL_CHANGE) & set(names) else {})


def terrain_bands(elevation_m: np.ndarray) -> dict[str, np.ndarray]:
    """Return elevation and slope; the slope of the outermost pixels is NaN."""
    return {"elevation": elevation_m, "slope": terrain.slope(elevation_m, SIDE_M, SIDE_M)}


def _median_db(passes: Sequence[Pass], pol: str) -> np.ndarray:
    return sar.to_db(time_median.masked_median(np.stack([one.power[pol] for one in passes])))


def _orbit(one: Pass, days: int) -> tuple[str, int]:
    """Return the relative orbit of a pass: passes of one direction that are whole repeats apart have the same."""
    return one.direction, one.day % days


def _same_orbits(passes: Sequence[Pass]) -> list[Pass]:
    """Select passes of the same orbit and satellite before and after; if there are none, of the same orbit."""
    for days in (REPEAT_DAYS, PAIR_DAYS):
        before, after = ({_orbit(one, days) for one in passes if one.is_after == period} for period in (False, True))
        if before & after:
            return [one for one in passes if _orbit(one, days) in before & after]
    return []


def _local_change(passes: Sequence[Pass]) -> dict[str, np.ndarray]:
    """Return the change of each polarisation against the surroundings, from the orbits that both periods have."""
    orbits: dict[tuple[str, int], list[Pass]] = defaultdict(list)
    for one in passes:
        orbits[_orbit(one, PAIR_DAYS)].append(one)
    both = [group for group in orbits.values() if len({one.is_after for one in group}) > 1]
    bands: dict[str, np.ndarray] = {}
    for pol in POLARISATIONS:
        if not both:
            bands |= {
                f"{name}{pol}": np.full(passes[0].power[pol].shape, np.nan, np.float32) for name in ("local", "z")
            }
            continue
        changes = [
            pass_moments.change(_moments(group, pol, False), _moments(group, pol, True), SIDE_M) for group in both
        ]
        bands[f"local{pol}"], bands[f"z{pol}"] = pass_moments.combined(changes)
    return bands


def _moments(passes: Sequence[Pass], pol: str, is_after: bool) -> pass_moments.Moments:
    powers = [one.power[pol] for one in passes if one.is_after == is_after]
    cell_px, _ = surroundings.sizes(SIDE_M)
    moments = pass_moments.empty(powers[0].shape, cell_px)
    pass_moments.fill(moments, slice(0, len(powers[0])), powers, cell_px)
    return moments
