"""Conditions of a synthetic country: what differs from country to country, and the distributions it is drawn from.

`docs/synthetic-country.md` lists the distributions and their sources.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

#: Number of land covers; see `lsbatch.synthetic.cover.NAMES`.
COVERS = 7
NONE = (0.0,) * COVERS
ONE = (1.0,) * COVERS


@dataclass(frozen=True)
class LandConditions:
    """Relief and land cover.

    `pixel_m` is the side of a pixel of all images. `relief_factor` multiplies heights, and `hills_m` is the deviation
    of hills that are added. `cover_shift_m` moves the tree line down. `forest_limit` is the deviation above which
    forest is replaced by grass and scrub; `forest_beta` is
    the exponent of that field: larger gives smoother borders. `field_scale` multiplies the sides of fields.
    """

    pixel_m: float = 10.0
    relief_factor: float = 1.0
    hills_m: float = 0.0
    sea_share: float = 0.0
    cover_shift_m: float = 0.0
    forest_limit: float = 1.7
    forest_beta: float = 2.8
    farm_slope_deg: float = 7.0
    farm_valley_m: float = 650.0
    field_scale: float = 1.0


@dataclass(frozen=True)
class SlideConditions:
    """Landslides, old scars and other changes.

    Landslides cover `land_share` of the land; the paper's prevalence is below one per cent.

    `rho` is the exponent of the size distribution. `source_quantile` is the quantile of the land's slope around which
    sources lie, at most 36 degrees; None: 36 degrees. `loss_a` and `loss_b` are of the beta distribution of the lost
    vegetation, and `regrown_share` the largest share of it that has grown again. `quiet_share` of the landslides does
    not change the backscatter. `scar_times` is the area of old scars relative to that of the landslides. The other
    changes (`clearcut` to `damage`) are areas relative to the landslides' area, too.
    """

    land_share: float = 0.0075
    rho: float = 1.4
    smallest_m2: float = 1000.0
    largest_m2: float = 60_000.0
    source_quantile: float | None = None
    loss_a: float = 5.0
    loss_b: float = 1.6
    regrown_share: float = 0.0
    brighter_share: float = 0.7
    brighter_db: tuple[float, float] = (2.5, 0.6)
    darker_db: tuple[float, float] = (-2.6, 0.7)
    quiet_share: float = 0.0
    scar_times: float = 0.0
    clearcut: float = 1.0
    clearcut_slope_deg: float = 27.0
    harvest: float = 0.9
    flood: float = 0.3
    late_snow: float = 0.4
    fire: float = 0.0
    damage: float = 0.0


@dataclass(frozen=True)
class RadarConditions:
    """Sentinel-1.

    `cover_db` and `cover_vh_db` are added to VV and VH of each cover. `texture_order` is the order of a gamma
    distributed texture of `texture_m` at most; 0: a Gaussian one in dB. All `_db` are decibels: of the slope effect
    that remains, of wind on water, between the two years, between passes, of smooth moisture over `moist_m`, of crops,
    of wet snow above a quantile of elevation, of frozen ground. `orbits` are numbers in `radar.ORBITS`.
    """

    cover_db: tuple[float, ...] = NONE
    cover_vh_db: tuple[float, ...] = NONE
    texture_order: float = 0.0
    texture_m: float = 0.0
    own_vh_share: float = 0.0
    left_over_db: float = 2.0
    looks: float = 4.4
    wind_db: float = 1.5
    orbits: tuple[int, ...] = (0, 1, 2, 3)
    incidence_shift_deg: float = 0.0
    passes: int = 4
    between_years_db: float = 0.0
    between_passes_db: float = 0.0
    moist_db: float = 0.0
    moist_m: float = 3000.0
    crop_db: float = 0.0
    wet_snow_share: float = 0.0
    wet_snow_db: float = 0.0
    frozen_share: float = 0.0
    frozen_db: float = 0.0


@dataclass(frozen=True)
class OpticalConditions:
    """Sentinel-2.

    `cover_gain` and `debris_gain` multiply reflectance. `green_debris` is the share of vegetation in debris. Browning
    is 0 for full vegetation and 1 for none: `dry` by the end of the season, `between_years` in the second summer,
    `patchy` from place to place, `crop` after a harvest, `year_to_year` locally. `gain` and `haze` are deviations from
    date to date. `snow_share` is the share of days with snow,
    `blur_px` the deviation of the point spread function.
    """

    days: int = 6
    cloud_factor: float = 1.0
    thin_share: float = 0.03
    cover_gain: tuple[float, ...] = ONE
    debris_gain: float = 1.0
    green_debris: float = 0.0
    texture: float = 0.10
    year_to_year: float = 0.045
    dry: float = 0.0
    between_years: float = 0.0
    patchy: float = 0.0
    crop: float = 0.0
    gain: float = 0.0
    haze: float = 0.0
    snow_share: float = 0.0
    blur_px: float = 0.0


@dataclass(frozen=True)
class MappingConditions:
    """Geolocation of images, and what a mapper delivers as truth.

    Shifts and outlines are in pixels. `missing_share` of the landslides is not mapped, `old_share` of the old scars is
    mapped as new, and `late_share` has a date that is up to `late_days` too late.
    """

    image_shift_px: float = 0.0
    outline_shift_px: float = 0.0
    outline_px: float = 0.0
    generalised_px: float = 0.0
    missing_share: float = 0.0
    old_share: float = 0.0
    late_share: float = 0.0
    late_days: int = 0


@dataclass(frozen=True)
class Conditions:
    """All conditions of a country; the defaults are those of the plain country.

    `varied` also selects what has no number: crops by field, old scars, geolocation errors and a mapper's outlines.
    `snow_line` is the quantile of elevation above which snow falls.
    """

    varied: bool = False
    snow_line: float = 1.0
    land: LandConditions = LandConditions()
    slides: SlideConditions = SlideConditions()
    radar: RadarConditions = RadarConditions()
    optical: OpticalConditions = OpticalConditions()
    mapping: MappingConditions = MappingConditions()


#: The country of the demo and of most tests.
PLAIN = Conditions()


def drawn(seed: int) -> Conditions:
    """Return the conditions of a varied country; they depend on the seed alone."""
    dice = np.random.default_rng([seed, 50])
    land = _land(dice)
    return Conditions(
        True, float(dice.uniform(0.5, 0.95)), land, _slides(dice, land.pixel_m), _radar(dice), _optical(dice),
        _mapping(dice),
    )  # fmt: skip


def _spread(dice: np.random.Generator, median: float, sigma: float, low: float, high: float) -> float:
    """Return a lognormal number within bounds."""
    return float(np.clip(median * dice.lognormal(0, sigma), low, high))


def _sometimes(dice: np.random.Generator, chance: float, low: float, high: float) -> float:
    """Return 0, or with a chance a uniform number."""
    value = float(dice.uniform(low, high))
    return value if dice.random() < chance else 0.0


def _land(dice: np.random.Generator) -> LandConditions:
    grass = dice.uniform(0.02, 0.9)
    return LandConditions(
        pixel_m=float(dice.choice([10.0, 20.0, 30.0], p=[0.7, 0.15, 0.15])),
        relief_factor=_spread(dice, 0.4, 0.55, 0.1, 1.1),
        hills_m=float(dice.uniform(0, 25)),
        sea_share=_sometimes(dice, 0.35, 0.05, 0.45),
        cover_shift_m=float(np.clip(dice.normal(-150, 300), -700, 400)),
        forest_limit=float(special.ndtri(1 - grass)),
        forest_beta=float(dice.uniform(3.2, 4.2)),
        farm_slope_deg=float(dice.uniform(4, 11)),
        farm_valley_m=float(dice.uniform(400, 3000)),
        field_scale=_spread(dice, 1.0, 0.3, 0.5, 2.0),
    )


def _slides(dice: np.random.Generator, pixel_m: float) -> SlideConditions:
    # a landslide of fewer than twelve pixels is hardly mapped
    smallest = max(1000.0, 12 * pixel_m**2)
    loss, certain = dice.uniform(0.7, 0.92), dice.uniform(4, 8)
    return SlideConditions(
        land_share=_spread(dice, 0.012, 0.5, 0.004, 0.035),
        rho=float(dice.uniform(1.0, 1.6)),
        smallest_m2=smallest,
        largest_m2=smallest * _spread(dice, 120, 0.6, 40, 300),
        source_quantile=float(dice.uniform(0.85, 0.97)),
        loss_a=float(loss * certain),
        loss_b=float((1 - loss) * certain),
        regrown_share=_sometimes(dice, 0.3, 0.1, 0.35),
        brighter_share=float(dice.uniform(0.3, 0.8)),
        brighter_db=(float(dice.uniform(2, 5)), float(dice.uniform(0.5, 1.5))),
        darker_db=(float(-dice.uniform(2, 5)), float(dice.uniform(0.5, 1.5))),
        quiet_share=float(dice.uniform(0.05, 0.2)),
        scar_times=_spread(dice, 0.3, 0.7, 0.1, 2),
        clearcut=_spread(dice, 0.3, 0.7, 0.05, 2),
        clearcut_slope_deg=float(dice.uniform(27, 45)),
        harvest=_spread(dice, 0.7, 0.7, 0.1, 4),
        flood=_spread(dice, 0.3, 0.7, 0.0, 2),
        late_snow=_spread(dice, 0.3, 0.7, 0.0, 2),
        fire=_sometimes(dice, 0.2, 0.5, 3),
        damage=_sometimes(dice, 0.4, 0.1, 0.5),
    )


def _radar(dice: np.random.Generator) -> RadarConditions:
    level = dice.normal(2.0, 1.1)
    share = dice.normal(0.2, 0.5)
    count = int(dice.choice([1, 2, 3, 4], p=[0.15, 0.35, 0.2, 0.3]))
    return RadarConditions(
        cover_db=tuple((level + dice.normal(0, 0.8, COVERS)).tolist()),
        cover_vh_db=tuple((level + share + dice.normal(0, 0.8, COVERS)).tolist()),
        texture_order=float(np.exp(dice.uniform(np.log(2.2), np.log(40)))),
        texture_m=float(np.exp(dice.uniform(np.log(50), np.log(800)))),
        own_vh_share=float(dice.uniform(0, 0.5)),
        left_over_db=float(dice.uniform(0.5, 3.5)),
        looks=float(np.exp(dice.uniform(np.log(3), np.log(20)))),
        wind_db=float(dice.uniform(1, 4)),
        orbits=tuple(sorted(dice.permutation(4)[:count].tolist())),
        incidence_shift_deg=float(dice.uniform(-3, 3)),
        passes=int(dice.integers(2, 11)),
        between_years_db=float(dice.normal(3.9, 0.5) if dice.random() < 0.1 else dice.normal(0, 1.5)),
        between_passes_db=float(dice.uniform(0.2, 1.2)),
        moist_db=float(dice.uniform(0.2, 1.0)),
        moist_m=float(np.exp(dice.uniform(np.log(1000), np.log(10_000)))),
        crop_db=float(dice.uniform(1, 3.5)),
        wet_snow_share=_sometimes(dice, 0.4, 0.1, 0.5),
        wet_snow_db=float(-dice.uniform(3, 6)),
        frozen_share=_sometimes(dice, 0.3, 0.1, 0.4),
        frozen_db=float(-dice.uniform(1.5, 4)),
    )


def _optical(dice: np.random.Generator) -> OpticalConditions:
    return OpticalConditions(
        days=int(dice.integers(4, 9)),
        cloud_factor=float(dice.uniform(0.3, 1.3)),
        thin_share=float(dice.uniform(0.01, 0.06)),
        cover_gain=tuple(dice.lognormal(0, 0.15, COVERS).tolist()),
        debris_gain=_spread(dice, 1.0, 0.2, 0.6, 1.6),
        green_debris=float(dice.uniform(0, 0.1)),
        texture=float(dice.uniform(0.06, 0.18)),
        year_to_year=float(dice.uniform(0.015, 0.04)),
        dry=_sometimes(dice, 0.35, 0.2, 0.7),
        between_years=float(dice.normal(0, 0.05)),
        patchy=float(dice.uniform(0, 0.1)),
        crop=float(dice.uniform(0.05, 0.4)),
        gain=float(dice.uniform(0, 0.02)),
        haze=float(dice.uniform(0, 0.006)),
        snow_share=_sometimes(dice, 0.3, 0.1, 0.4),
        blur_px=float(dice.uniform(0.35, 0.7)),
    )


def _mapping(dice: np.random.Generator) -> MappingConditions:
    return MappingConditions(
        image_shift_px=_spread(dice, 0.1, 0.8, 0.02, 0.7),
        outline_shift_px=float(dice.uniform(0, 0.5)),
        outline_px=float(dice.uniform(0.1, 0.5)),
        generalised_px=float(dice.uniform(0.2, 1.0)),
        missing_share=float(dice.uniform(0, 0.2)),
        old_share=float(dice.uniform(0, 0.1)),
        late_share=float(dice.uniform(0, 0.4)),
        late_days=int(dice.integers(1, 60)),
    )
