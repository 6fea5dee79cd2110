"""Outlines as a mapper delivers them: shifted, generalised, incomplete, with old scars and late dates."""

from datetime import date, timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.synthetic.country import STORM, Ground, rng
from lsbatch.synthetic.weather import LARGEST_SHIFT_PX


def mapped(perfect: gpd.GeoDataFrame, scars: gpd.GeoDataFrame, ground: Ground) -> gpd.GeoDataFrame:
    """Return what a mapper delivers.

    Parameters
    ----------
    perfect : GeoDataFrame
        Landslides along pixel edges, with ``landslide_id`` and ``date`` (ISO).
    scars : GeoDataFrame
        Old scars with the same columns; some are mapped as new landslides.
    ground : Ground
        Its conditions say how far the mapper errs.

    Returns
    -------
    GeoDataFrame
        The columns of `perfect`.
    """
    of, dice = ground.conditions.mapping, rng(ground.seed, 70)
    if perfect.empty:
        return perfect
    # small ones are missed more often
    small = np.clip(np.sqrt(np.median(perfect.area_m2) / perfect.area_m2.to_numpy()), 0.3, 2)
    found = perfect[dice.random(len(perfect)) >= of.missing_share * small]
    wrong = scars[dice.random(len(scars)) < of.old_share].copy()
    wrong["date"] = STORM.isoformat()
    wrong["landslide_id"] = [name.replace("true", "old") for name in wrong.landslide_id]
    frame = gpd.GeoDataFrame(pd.concat([found if len(found) else perfect, wrong], ignore_index=True), crs=perfect.crs)
    pixel_m = ground.conditions.land.pixel_m
    whole = of.outline_shift_px * dice.standard_normal(2)
    shapes = [_drawn(shape, whole, pixel_m, ground, dice) for shape in frame.geometry]
    late = dice.random(len(frame)) < of.late_share
    lag = np.where(late, dice.integers(0, of.late_days + 1, len(frame)), 0)
    days = [_later(day, int(days)) for day, days in zip(frame["date"], lag, strict=True)]
    return frame.assign(date=days, area_m2=[s.area for s in shapes]).set_geometry(shapes, crs=perfect.crs)


def _later(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _drawn(
    shape: shapely.Geometry, whole_px: np.ndarray, pixel_m: float, ground: Ground, dice: np.random.Generator
) -> shapely.Geometry:
    """Return one outline: shifted by at most `LARGEST_SHIFT_PX`, wider or narrower, and smoothed."""
    of = ground.conditions.mapping
    shift = whole_px + of.outline_shift_px * dice.standard_normal(2)
    shift *= min(1.0, LARGEST_SHIFT_PX / max(float(np.hypot(*shift)), 1e-9)) * pixel_m
    grown = shape.buffer(of.outline_px * dice.standard_normal() * pixel_m)
    plain = shapely.simplify(grown, of.generalised_px * pixel_m)
    kept = next(s for s in (plain, grown, shape) if s.area > 0.3 * shape.area)
    moved = shapely.transform(kept, lambda points: points + shift)
    pieces = [piece for piece in shapely.get_parts(shapely.make_valid(moved)) if piece.area > 0]
    return shapely.multipolygons([p for p in pieces if p.geom_type == "Polygon"])
