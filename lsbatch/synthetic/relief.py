"""Synthetic glacial relief: plateaus cut by U-shaped valleys, with lakes, rivers and cirques."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lsbatch.synthetic.conditions import PLAIN, LandConditions

RESOLUTION_M = 10.0
#: Square kilometres drained by a main valley.
KM2_A_VALLEY = 70.0


@dataclass(frozen=True)
class Relief:
    """The relief of a country; all arrays are (rows, cols).

    Attributes
    ----------
    elevation_m : float32
    slope_deg, aspect_deg : float32
        Aspect is the downhill azimuth, clockwise from north.
    lake, river : bool
    valley_m : float32
        Distance to the nearest valley axis.
    """

    elevation_m: np.ndarray
    slope_deg: np.ndarray
    aspect_deg: np.ndarray
    lake: np.ndarray
    river: np.ndarray
    valley_m: np.ndarray


def fractal(shape: tuple[int, int], rng: np.random.Generator, beta: float, largest_px: float) -> np.ndarray:
    """Return a Gaussian field with a power-law spectrum k^-beta below `largest_px`; mean 0, deviation 1."""
    rows, cols = shape
    k = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :])
    noise = rng.standard_normal((rows, k.shape[1])) + 1j * rng.standard_normal((rows, k.shape[1]))
    field = np.fft.irfft2(noise / (1 / largest_px**2 + k**2) ** (beta / 4), s=shape)
    return ((field - field.mean()) / field.std()).astype(np.float32)


def make(shape: tuple[int, int], rng: np.random.Generator, land: LandConditions = PLAIN.land) -> Relief:
    """Return the relief of a country of `shape` pixels."""
    area_km2 = shape[0] * shape[1] * land.pixel_m**2 / 1e6
    plateau = 1050 + 190 * fractal(shape, rng, 5.0, 500)
    z, lake, river, nearest = plateau, np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, np.inf)
    for i in range(max(1, round(area_km2 / KM2_A_VALLEY)) * 2):
        main = i % 2 == 0
        path = _axis(shape, rng)
        z, lake_here, river_here, distance = _carve(z, path, rng, main, land.pixel_m)
        lake = (lake & (distance > 60)) | lake_here
        river |= river_here
        nearest = np.minimum(nearest, distance)
    z = _cirques(z, rng, round(area_km2 / 15))
    rough = 1 - np.exp(-((nearest / 500) ** 2)) + 0.04
    z = z + rough * (10 * fractal(shape, rng, 4.2, 40))
    z = land.relief_factor * z
    if land.hills_m:
        z = z + land.hills_m * fractal(shape, rng, 4.0, 100)
    if land.sea_share:
        z, sea = _sea(z, land.sea_share, rng)
        lake |= sea
    # a lake is flat, at the level of its lowest shore
    z = _level(z, lake)
    slope, aspect = _gradient(z, land.pixel_m)
    return Relief(z.astype(np.float32), slope, aspect, lake, river & ~lake, nearest.astype(np.float32))


def _axis(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a winding line across the country, (n, 2) rows and columns, one pixel a step."""
    rows, cols = shape
    heading = rng.uniform(0, 2 * np.pi)
    middle = np.array([rows, cols]) * rng.uniform(0.25, 0.75, 2)
    length = int(1.6 * max(shape))
    bend = ndimage.gaussian_filter1d(rng.standard_normal(length), 90)
    # bends of about 30 degrees around one heading, so that a valley crosses the country
    angle = heading + 0.5 * bend / bend.std()
    steps = np.stack([np.sin(angle), np.cos(angle)], axis=1).cumsum(axis=0)
    path = steps - steps[length // 2] + middle
    inside = ((path >= 0) & (path < np.array(shape))).all(axis=1)
    # the longest stretch inside that holds the middle
    first = length // 2 - np.argmin(np.append(inside[: length // 2 + 1][::-1], False)) + 1
    last = length // 2 + np.argmin(np.append(inside[length // 2 :], False))
    return path[first:last].astype(int)


def _carve(
    z: np.ndarray, path: np.ndarray, rng: np.random.Generator, main: bool, pixel_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cut a U-shaped valley; return the ground, its lakes, its river and the distance to its axis in metres."""
    on_axis = np.ones(z.shape, bool)
    on_axis[path[:, 0], path[:, 1]] = False
    order = np.zeros(z.shape, np.int32)
    order[path[:, 0], path[:, 1]] = np.arange(len(path))
    distance, (r, c) = ndimage.distance_transform_edt(on_axis, return_indices=True)
    distance *= pixel_m
    along = ndimage.gaussian_filter(order[r, c].astype(np.float32), 4)
    fall = rng.uniform(0.004, 0.012)
    floor = (rng.uniform(180, 330) if main else rng.uniform(420, 620)) + fall * pixel_m * along
    half = rng.uniform(260, 420) if main else rng.uniform(60, 140)
    wall = rng.uniform(1300, 1900) if main else rng.uniform(900, 1300)
    t = np.clip((distance - half * (1 + 0.3 * np.sin(along / 45))) / wall, 0, 1)
    profile = t**1.4 * (1 + 0.8 * (1 - t))
    carved = np.where(z > floor, floor + (z - floor) * np.clip(profile, 0, 1), z)
    lake = np.zeros(z.shape, bool)
    if main:
        start, size = rng.uniform(0.1, 0.6) * len(path), rng.uniform(0.12, 0.3) * len(path)
        lake = (distance < half * 0.75) & (along > start) & (along < start + size)
    river = distance < (25 if main else 12)
    return carved, lake, river, distance


def _cirques(z: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Cut high bowls with steep back walls."""
    rows, cols = np.indices(z.shape, sparse=True)  # type: ignore[misc]
    high = np.argwhere(z > np.quantile(z, 0.7))
    for row, col in high[rng.integers(0, len(high), count)]:
        radius = rng.uniform(22, 45)
        r2 = ((rows - row) ** 2 + (cols - col) ** 2) / radius**2
        z = z - rng.uniform(70, 160) * np.exp(-(r2**2))
    return z


def _sea(z: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Flood one side; the land falls to sea level at a winding coast. Return the ground and the sea."""
    rows, cols = np.indices(z.shape, sparse=True)  # type: ignore[misc]
    turn = rng.uniform(0, 2 * np.pi)
    inland = rows * np.cos(turn) + cols * np.sin(turn) + 0.05 * max(z.shape) * fractal(z.shape, rng, 3.0, 150)
    inland -= np.quantile(inland, share)
    return z * np.clip(inland / (0.25 * max(z.shape)), 0, 1), inland <= 0


def _level(z: np.ndarray, lake: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(lake)
    z = z.copy()
    if count:
        levels = ndimage.minimum(z, labels, np.arange(1, count + 1))
        z[lake] = np.asarray(levels)[labels[lake] - 1]
    return z


def _gradient(z: np.ndarray, pixel_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and downhill azimuth in degrees, by central differences."""
    south, east = np.gradient(z, pixel_m)
    slope = np.degrees(np.arctan(np.hypot(south, east)))
    aspect = np.degrees(np.arctan2(-east, south)) % 360
    return slope.astype(np.float32), aspect.astype(np.float32)
