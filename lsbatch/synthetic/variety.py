"""What a varied country has besides its plain ground: radar texture, crops, old scars, and surfaces of its own."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from scipy import special

from lsbatch.synthetic import landslides
from lsbatch.synthetic.conditions import Conditions
from lsbatch.synthetic.landslides import Landslides
from lsbatch.synthetic.relief import Relief, fractal


@dataclass(frozen=True)
class Variety:
    """Fields of a varied country that do not change between dates.

    Attributes
    ----------
    texture_db : float32 (2, rows, cols)
        Texture of VV and VH.
    crop : int32 (rows, cols)
        Number of the field from 1, without gaps; 0 elsewhere.
    patchy : float32 (rows, cols)
        Deviation of vegetation from place to place.
    scars : Landslides
        Old scars: bare before and after.
    scar_share, scar_db : float32 (rows, cols)
        Share of bare ground in them, and their backscatter relative to their surroundings.
    snow : bool (rows, cols)
        Where snow falls.
    """

    texture_db: np.ndarray
    crop: np.ndarray
    patchy: np.ndarray
    scars: Landslides
    scar_share: np.ndarray
    scar_db: np.ndarray
    snow: np.ndarray


def make(
    relief: Relief, cover: np.ndarray, fields: np.ndarray, conditions: Conditions, rng: np.random.Generator
) -> Variety:
    """Return the variety of a country."""
    shape = cover.shape
    scars = _scars(relief, cover, conditions, rng)
    bare = np.concatenate([[0], rng.uniform(0.1, 0.7, scars.count)])[scars.labels]
    height = relief.elevation_m + 40 * fractal(shape, rng, 3, 60)
    return Variety(
        _texture(shape, conditions, rng),
        np.unique(fields, return_inverse=True)[1].reshape(shape).astype(np.int32) + (0 if (fields == 0).any() else 1),
        fractal(shape, rng, 2.4, 80),
        scars,
        (bare * scars.stripped).astype(np.float32),
        (0.8 * scars.roughness_db).astype(np.float32),
        height > np.quantile(height, conditions.snow_line),
    )


def _scars(relief: Relief, cover: np.ndarray, conditions: Conditions, rng: np.random.Generator) -> Landslides:
    share = conditions.slides.land_share * conditions.slides.scar_times
    there = replace(conditions, slides=replace(conditions.slides, land_share=share))
    return landslides.make(relief, cover, date(2000, 1, 1), rng, there)


def _texture(shape: tuple[int, int], conditions: Conditions, rng: np.random.Generator) -> np.ndarray:
    """Return the logarithm of gamma distributed fields, whose mean power is 1, in dB.

    A correlated Gaussian field is transformed by the quantiles of the gamma distribution. Speckle of gamma distributed
    texture is K distributed (Oliver and Quegan 2004, Understanding Synthetic Aperture Radar Images, section 5.5).
    """
    of = conditions.radar
    largest_px = max(2.0, of.texture_m / conditions.land.pixel_m)
    common, own = (fractal(shape, rng, 2.2, largest_px) for _ in range(2))
    share = of.own_vh_share
    fields = (common, np.sqrt(1 - share) * common + np.sqrt(share) * own)
    order = of.texture_order
    power = [special.gammaincinv(order, special.ndtr(field.astype(np.float64))) / order for field in fields]
    return np.stack([10 * np.log10(np.maximum(p, 1e-3)) for p in power]).astype(np.float32)
