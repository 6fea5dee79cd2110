"""Synthetic landslides: sources on steep slopes, downslope runout, deposits; sizes like a real inventory."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy import ndimage, stats

from lsbatch.kernels.terrain import descend
from lsbatch.synthetic import cover as covers
from lsbatch.synthetic.conditions import PLAIN, Conditions, SlideConditions
from lsbatch.synthetic.relief import Relief

#: Three-parameter inverse gamma of landslide areas (Malamud et al. 2004): exponent, scale and shift in km2.
RHO, SCALE_KM2, SHIFT_KM2 = PLAIN.slides.rho, 1.28e-3, -1.32e-4
#: Smaller ones cannot be mapped at 10 m; larger ones do not fit into these valleys.
SMALLEST_M2, LARGEST_M2 = PLAIN.slides.smallest_m2, PLAIN.slides.largest_m2
#: Slope of most sources, and of the ground where a runout ends.
SOURCE_DEG, STOP_DEG = 36.0, 9.0

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Landslides:
    """All landslides of a country.

    Attributes
    ----------
    labels : int32 (rows, cols)
        0, or the number of the landslide from 1.
    stage : float32 (rows, cols)
        0 at the source to 1 at the toe; NaN elsewhere.
    day : tuple of date
        Of landslide 1, 2, ...
    stripped : float32 (rows, cols)
        Share of the vegetation that was removed, 0..1.
    roughness_db : float32 (rows, cols)
        Change of backscatter that the debris alone would cause, positive or negative.
    quiet : bool (count + 1,)
        Landslides that do not change the backscatter.
    """

    labels: np.ndarray
    stage: np.ndarray
    day: tuple[date, ...]
    stripped: np.ndarray
    roughness_db: np.ndarray
    quiet: np.ndarray

    @property
    def count(self) -> int:
        """Return the number of landslides."""
        return len(self.day)


def areas_m2(count: int, rng: np.random.Generator, slides: SlideConditions = PLAIN.slides) -> np.ndarray:
    """Return areas from the truncated inverse gamma distribution, by its quantile function."""
    law = stats.invgamma(slides.rho, scale=SCALE_KM2, loc=SHIFT_KM2)
    low, high = law.cdf(np.array([slides.smallest_m2, slides.largest_m2]) / 1e6)
    return law.ppf(rng.uniform(low, high, count)) * 1e6


def make(
    relief: Relief, cover: np.ndarray, storm: date, rng: np.random.Generator, conditions: Conditions = PLAIN
) -> Landslides:
    """Draw landslides until they cover the required share of the land."""
    drawn, pixel_m = conditions.slides, conditions.land.pixel_m
    shape = cover.shape
    land_px = np.count_nonzero(cover != covers.WATER)
    wanted_px = drawn.land_share * land_px
    smooth = ndimage.gaussian_filter(relief.elevation_m, 1.2)
    steep_deg = _source_slope_deg(relief, cover, drawn)
    chance = _susceptibility(relief, cover, steep_deg)
    places = _sources(chance, rng)
    labels, stage = np.zeros(shape, np.int32), np.full(shape, np.nan, np.float32)
    sizes = iter(areas_m2(len(places), rng, drawn))
    count = covered = 0
    for place in places:
        row, col = divmod(int(place), shape[1])
        window, body, along = _body(smooth, row, col, next(sizes), rng, pixel_m, steep_deg)
        free = labels[window] == 0
        if (
            body.sum() < drawn.smallest_m2 / pixel_m**2
            or not free[body].all()
            or (cover[window][body] == covers.WATER).mean() > 0.1
        ):
            continue
        count += 1
        labels[window][body] = count
        stage[window][body] = along[body]
        covered += int(body.sum())
        if covered >= wanted_px:
            break
    labels[cover == covers.WATER] = 0
    stage[labels == 0] = np.nan
    # most on the day of the storm, a quarter in the weeks around it
    shifts = np.where(rng.random(count) < 0.75, 0, rng.integers(-20, 21, count))
    days = tuple(storm + timedelta(days=int(d)) for d in shifts)
    return Landslides(labels, stage, days, *_traces(labels, count, cover, stage, rng, drawn))


def _sources(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return flat indices of sources in random order; flat land has none."""
    possible = int(np.count_nonzero(chance))
    if not possible:
        return np.empty(0, np.int64)
    return rng.choice(chance.size, size=min(20_000, possible), replace=False, p=(chance / chance.sum()).ravel())


def _source_slope_deg(relief: Relief, cover: np.ndarray, slides: SlideConditions) -> float:
    """Return the slope of most sources; where the land is gentle, they lie on its steepest parts."""
    if slides.source_quantile is None:
        return SOURCE_DEG
    return min(SOURCE_DEG, float(np.quantile(relief.slope_deg[cover != covers.WATER], slides.source_quantile)))


def _susceptibility(relief: Relief, cover: np.ndarray, steep_deg: float) -> np.ndarray:
    """Return the relative probability of a source: steep ground below summits, more if vegetated than if bare."""
    scale = steep_deg / SOURCE_DEG
    slope = np.exp(-(((relief.slope_deg - steep_deg) / (6 * scale)) ** 2)) * (relief.slope_deg > 26 * scale)
    weight = np.zeros(7)
    weight[[covers.FOREST, covers.SCRUB, covers.ROCK]] = 1.0, 0.8, 0.08
    chance = slope * weight[cover]
    # room for the runout
    edge = 12
    chance[:edge] = chance[-edge:] = 0
    chance[:, :edge] = chance[:, -edge:] = 0
    return chance


def _body(
    z: np.ndarray, row: int, col: int, area_m2: float, rng: np.random.Generator, pixel_m: float, steep_deg: float
) -> tuple[Window, np.ndarray, np.ndarray]:
    """Return the window of one landslide, its pixels in the window, and their position from source to toe."""
    window, outside_px, along = outline(z, row, col, area_m2, rng, pixel_m, STOP_DEG * steep_deg / SOURCE_DEG)
    return window, connected(outside_px <= 0, row - window[0].start, col - window[1].start), along


def outline(
    z: np.ndarray, row: int, col: int, area_m2: float, rng: np.random.Generator, resolution_m: float,
    stop_deg: float = STOP_DEG,
) -> tuple[Window, np.ndarray, np.ndarray]:  # fmt: skip
    """Return the outline of one landslide: near the steepest descent, wider at the source and in the deposit.

    Parameters
    ----------
    z : array (rows, cols)
        Smoothed elevation in metres.
    row, col : int
        The source.
    area_m2 : float
    rng : numpy.random.Generator
    resolution_m : float
        Side of a pixel.
    stop_deg : float
        The runout ends where the descent is below this.

    Returns
    -------
    window : (slice, slice)
        Rows and columns around the landslide.
    outside_px : float64 array of the window's shape
        Distance from the outline in pixels, negative inside. A higher limit than 0 gives a larger landslide.
    along : float32 array of the window's shape
        0 at the source to 1 at the toe.
    """
    # length grows faster than width (Taylor et al. 2018: ellipse ratios of 2 to 7 from small to large)
    ratio = 2.2 * (area_m2 / SMALLEST_M2) ** 0.28 * rng.lognormal(0, 0.2)
    length_px = np.sqrt(area_m2 * ratio) / resolution_m
    width_px = length_px / ratio
    path = descend(z, row, col, max(3, int(length_px)), stop_deg, resolution_m)
    margin = int(width_px * 2) + 3
    r0, c0 = np.maximum(path.min(axis=0) - margin, 0)
    r1, c1 = np.minimum(path.max(axis=0) + margin + 1, z.shape)
    off_path = np.ones((r1 - r0, c1 - c0), bool)
    off_path[path[:, 0] - r0, path[:, 1] - c0] = False
    order = np.zeros(off_path.shape, np.float32)
    order[path[:, 0] - r0, path[:, 1] - c0] = np.linspace(0, 1, len(path))
    distance, (ri, ci) = ndimage.distance_transform_edt(off_path, return_indices=True)
    along = order[ri, ci]
    # a wide source, a narrower track, a lobe
    width = width_px * (0.8 + 0.35 * np.exp(-((along / 0.18) ** 2)) + 0.45 * np.exp(-(((along - 0.95) / 0.15) ** 2)))
    ragged = ndimage.gaussian_filter(rng.standard_normal(off_path.shape), 1.5) * 1.2
    return (slice(r0, r1), slice(c0, c1)), distance - np.maximum(width / 2 + ragged, 0.6), along


def connected(body: np.ndarray, row: int, col: int) -> np.ndarray:
    """Return the pixels that are connected with the source.

    Parameters
    ----------
    body : bool array (rows, cols)
        It must contain the source.
    row, col : int
        The source.

    Returns
    -------
    bool array (rows, cols)
    """
    kept, _ = ndimage.label(body, np.ones((3, 3)))
    return kept == kept[row, col]


def _traces(
    labels: np.ndarray, count: int, cover: np.ndarray, stage: np.ndarray, rng: np.random.Generator,
    slides: SlideConditions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Return the vegetation loss and backscatter change of each pixel, and which landslides are quiet."""
    inside = labels > 0
    stripped = vegetation_loss(labels, count, rng, slides)
    # debris is more often rough (brighter) than a smooth mudflow (darker); forest loses its volume scattering
    rough = np.where(
        rng.random(count) < slides.brighter_share,
        rng.normal(*slides.brighter_db, count),
        rng.normal(*slides.darker_db, count),
    )
    quiet = np.zeros(count + 1, bool)
    if slides.quiet_share:
        quiet[1:] = rng.random(count) < slides.quiet_share
        rough[quiet[1:]] = 0
    if slides.regrown_share:
        stripped *= 1 - np.concatenate([[0], rng.uniform(0, slides.regrown_share, count)])[labels]
    change = np.concatenate([[0], rough])[labels]
    change = change * (1 - 0.25 * np.nan_to_num(stage)) * inside
    change = np.where(cover == covers.ROCK, 0.35 * change, change)
    return stripped.astype(np.float32), change.astype(np.float32), quiet


def vegetation_loss(
    labels: np.ndarray, count: int, rng: np.random.Generator, slides: SlideConditions = PLAIN.slides
) -> np.ndarray:
    """Return the share of the vegetation that each pixel loses.

    Parameters
    ----------
    labels : int array (rows, cols)
        0, or the number of the landslide from 1.
    count : int
        Number of landslides.
    rng : numpy.random.Generator
    slides : SlideConditions
        With the distribution of the loss.

    Returns
    -------
    float64 array (rows, cols)
        0..1; 0 outside the landslides.
    """
    # some scars keep rafts of trees; some are old avalanche paths with little vegetation
    loss = np.concatenate([[0], rng.beta(slides.loss_a, slides.loss_b, count)])
    patchy = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 0.8)
    return np.clip(loss[labels] + 0.22 * patchy / patchy.std(), 0, 1) * (labels > 0)
