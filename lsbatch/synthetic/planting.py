"""Synthetic landslides planted into real scenes: shapes, change of backscatter, loss of vegetation.

Noise, seasons, moisture, crops and terrain of the scenes stay real. Every result on planted landslides is called so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lsbatch.errors import LsbatchError
from lsbatch.synthetic import landslides, radar, spectra
from lsbatch.synthetic.relief import fractal

#: Least and greatest change of VV backscatter by a planted landslide, in dB.
WEAKEST_DB, STRONGEST_DB = 1.0, 6.0
#: Share of the landslides that become brighter. Debris is more often rough than smooth, as in the synthetic country;
#: where dense vegetation is removed, its volume scattering is lost too. The second share is an assumption.
BRIGHTER_OPEN, BRIGHTER_DENSE = 0.7, 0.5
#: Pixels between two planted landslides, so that a focal mode of 1.5 px does not join them.
GAP_PX = 4
#: Places that are tried for one landslide before it is left out.
TRIES = 200
#: Largest relative difference between the asked area and the planted one.
AREA_TOLERANCE = 0.25
#: Median slope of `hillside` in degrees, and its longest wave in metres.
HILLSIDE_DEG, HILLSIDE_WAVE_M = 27.0, 1500.0


@dataclass(frozen=True)
class Planted:
    """Landslides to plant into real scenes of one grid.

    Attributes
    ----------
    labels : int32 (rows, cols)
        0, or the number of the landslide from 1.
    stage : float32 (rows, cols)
        0 at the source to 1 at the toe; NaN elsewhere.
    stripped : float32 (rows, cols)
        Share of the vegetation that was removed, 0..1; 0 elsewhere.
    facing_deg : float64 (n,)
        Azimuth from source to toe of landslide 1, 2, ..., clockwise from north.
    strength_db : float64 (n,)
        Change of VV as the mean of all looks, positive or negative.
    resolution_m : float
        Side of a pixel.
    """

    labels: np.ndarray
    stage: np.ndarray
    stripped: np.ndarray
    facing_deg: np.ndarray
    strength_db: np.ndarray
    resolution_m: float

    @property
    def count(self) -> int:
        """Return the number of landslides."""
        return len(self.strength_db)

    @property
    def areas_m2(self) -> np.ndarray:
        """Return the area of each landslide, (n,)."""
        return np.bincount(self.labels.ravel(), minlength=self.count + 1)[1:] * self.resolution_m**2


def hillside(shape: tuple[int, int], resolution_m: float, rng: np.random.Generator) -> np.ndarray:
    """Return a synthetic elevation that gives landslides their shape where a real one is flat or missing.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    resolution_m : float
        Side of a pixel.
    rng : numpy.random.Generator

    Returns
    -------
    float32 array (rows, cols)
        Metres; half of the pixels are steeper than `HILLSIDE_DEG`.
    """
    waves = fractal(shape, rng, 4.5, HILLSIDE_WAVE_M / resolution_m)
    south, east = np.gradient(waves, resolution_m)
    return waves * np.float32(np.tan(np.radians(HILLSIDE_DEG)) / np.median(np.hypot(south, east)))


def draw(
    elevation_m: np.ndarray,
    free: np.ndarray,
    areas_m2: np.ndarray,
    rng: np.random.Generator,
    resolution_m: float,
    dense: np.ndarray | None = None,
) -> Planted:
    """Draw landslides of given areas on free ground, with random strengths.

    Parameters
    ----------
    elevation_m : array (rows, cols)
        A DEM, or `hillside`.
    free : bool array (rows, cols)
        Where a landslide may lie: observed land.
    areas_m2 : array (n,)
        Wanted areas, placed in this order. The largest should come first, because they need most room. A landslide for
        which `TRIES` places are too small is left out.
    rng : numpy.random.Generator
    resolution_m : float
        Side of a pixel.
    dense : bool array (rows, cols), optional
        Vegetation with volume scattering, such as forest. It changes the sign of some landslides.

    Returns
    -------
    Planted
        Each area is within `AREA_TOLERANCE` of the wanted one.
    """
    smooth = ndimage.gaussian_filter(np.asarray(elevation_m, np.float64), 1.2)
    free = free.copy()
    labels, stage = np.zeros(free.shape, np.int32), np.full(free.shape, np.nan, np.float32)
    count = 0
    for area in areas_m2:
        placed = _place(smooth, free, area, rng, resolution_m)
        if placed is None:
            continue
        window, body, along = placed
        count += 1
        labels[window][body] = count
        stage[window][body] = along[body]
        free &= ndimage.distance_transform_edt(labels != count) > GAP_PX
    stripped = landslides.vegetation_loss(labels, count, rng).astype(np.float32)
    mostly = _means(np.zeros(free.shape) if dense is None else dense, labels, count) > 0.5
    return Planted(labels, stage, stripped, _facing(labels, stage, count), strengths_db(mostly, rng), resolution_m)


def _place(
    z: np.ndarray, free: np.ndarray, area_m2: float, rng: np.random.Generator, resolution_m: float
) -> tuple[landslides.Window, np.ndarray, np.ndarray] | None:
    """Return window, pixels and position along one landslide on free ground; None if no place was found."""
    places = np.flatnonzero(free)
    for place in rng.choice(places, min(TRIES, len(places)), replace=False):
        row, col = divmod(int(place), free.shape[1])
        window, outside_px, along = landslides.outline(z, row, col, area_m2, rng, resolution_m)
        body = _sized(outside_px, row - window[0].start, col - window[1].start, area_m2 / resolution_m**2)
        if body is not None and free[window][body].all():
            return window, body, along
    return None


def _sized(outside_px: np.ndarray, row: int, col: int, wanted_px: float) -> np.ndarray | None:
    """Return the pixels nearest to the landslide's path until it has its area; None if there is no such landslide."""
    count = max(1, round(wanted_px))
    if count > outside_px.size:
        return None
    nearest = outside_px <= np.partition(outside_px.ravel(), count - 1)[count - 1]
    if not nearest[row, col]:
        return None
    body = landslides.connected(nearest, row, col)
    return body if abs(body.sum() / wanted_px - 1) <= AREA_TOLERANCE else None


def _means(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of each landslide, (n,)."""
    return np.asarray(ndimage.mean(values, labels, np.arange(1, count + 1))).reshape(count)


def _facing(labels: np.ndarray, stage: np.ndarray, count: int) -> np.ndarray:
    """Return the azimuth from the upper to the lower half of each landslide in degrees, (n,)."""
    rows, cols = np.indices(labels.shape)
    weight = np.nan_to_num(stage - np.append(0, _means(stage, labels, count))[labels])
    north, east = -_means(rows * weight, labels, count), _means(cols * weight, labels, count)
    return np.degrees(np.arctan2(east, north)) % 360


def strengths_db(
    dense: np.ndarray, rng: np.random.Generator, weakest_db: float = WEAKEST_DB, strongest_db: float = STRONGEST_DB
) -> np.ndarray:
    """Draw the change of VV of each landslide; all magnitudes are equally frequent.

    Parameters
    ----------
    dense : bool array (n,)
        Whether most of the landslide lies in dense vegetation.
    rng : numpy.random.Generator
    weakest_db, strongest_db : float
        Range of the magnitude.

    Returns
    -------
    float64 array (n,)
        dB, positive where the ground becomes brighter.
    """
    brighter = rng.random(len(dense)) < np.where(dense, BRIGHTER_DENSE, BRIGHTER_OPEN)
    return np.where(brighter, 1.0, -1.0) * rng.uniform(weakest_db, strongest_db, len(dense))


def seen_db(planted: Planted, look_azimuth_deg: float | None = None) -> np.ndarray:
    """Return the change of VV of each landslide as one look shows it.

    Parameters
    ----------
    planted : Planted
    look_azimuth_deg : float, optional
        From the sensor to the ground, clockwise from north. None: the mean of all looks.

    Returns
    -------
    float64 array (n,)
        dB; the magnitude is limited to `WEAKEST_DB` and `STRONGEST_DB`.
    """
    if look_azimuth_deg is None:
        return planted.strength_db
    towards = np.cos(np.radians(look_azimuth_deg + 180 - planted.facing_deg))
    seen = planted.strength_db * radar.look_factor(planted.strength_db, towards)
    return np.sign(seen) * np.clip(np.abs(seen), WEAKEST_DB, STRONGEST_DB)


def shift_db(
    planted: Planted, look_azimuth_deg: float | None = None, dense: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the change of VV and VH in each pixel.

    VV changes most at the source and least at the toe. VH changes by a share of it, and loses volume scattering where
    dense vegetation is removed.

    Parameters
    ----------
    planted : Planted
    look_azimuth_deg : float, optional
        As in `seen_db`.
    dense : bool array (rows, cols), optional
        Vegetation with volume scattering.

    Returns
    -------
    dict of str to float32 array (rows, cols)
        VV and VH in dB; 0 outside. The median of VV in a landslide is its `seen_db`.
    """
    numbers = np.arange(1, planted.count + 1)
    middle = np.asarray(ndimage.median(planted.stage, planted.labels, numbers)).reshape(planted.count)
    strength, middle = np.append(0, seen_db(planted, look_azimuth_deg)), np.append(0, middle)
    decline = 1 + 0.25 * (middle[planted.labels] - np.nan_to_num(planted.stage))
    vv = strength[planted.labels] * decline
    lost = radar.VOLUME_VH_DB * planted.stripped * (False if dense is None else dense)
    return {"VV": vv.astype(np.float32), "VH": (radar.VH_SHARE * vv - lost).astype(np.float32)}


def shifted(power: np.ndarray, change_db: np.ndarray) -> np.ndarray:
    """Return backscatter with a change in dB; each pass keeps its own speckle.

    Parameters
    ----------
    power : float array (rows, cols) or (passes, rows, cols)
        Linear power. NaN and values of 0 and less are no measurements and stay as they are.
    change_db : array (rows, cols)
        For example one of `shift_db`.

    Returns
    -------
    array of the shape and type of `power`
        Unchanged bit for bit where the change is 0.
    """
    factor = 10 ** (np.asarray(change_db, np.float64) / 10)
    changed = (power * factor).astype(power.dtype)
    return np.where((change_db != 0) & (power > 0), changed, power)


def bared(reflectance: Mapping[str, np.ndarray], planted: Planted) -> dict[str, np.ndarray]:
    """Return reflectance mixed with that of bare debris by the share of removed vegetation.

    Parameters
    ----------
    reflectance : mapping of str to float array (rows, cols)
        Surface reflectance 0..1 by the name of the band, one of `lsbatch.synthetic.spectra.COLUMNS`. NaN stays NaN.
    planted : Planted

    Returns
    -------
    dict of str to array (rows, cols)
        Unchanged bit for bit outside the landslides.

    Raises
    ------
    LsbatchError
        If the reflectance of debris is unknown in a band.
    """
    unknown = set(reflectance) - set(spectra.COLUMNS)
    if unknown:
        raise LsbatchError(f"bands {sorted(unknown)}: no reflectance of debris is known; use {spectra.COLUMNS}")
    return {name: _mixed(values, name, planted) for name, values in reflectance.items()}


def _mixed(values: np.ndarray, name: str, planted: Planted) -> np.ndarray:
    debris = spectra.DEBRIS[spectra.COLUMNS.index(name)]
    mixed = values + planted.stripped * (debris - values)
    return np.where(planted.labels > 0, mixed.astype(values.dtype), values)
