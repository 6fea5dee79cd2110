"""Landslides of a synthetic country of several years: which part of each is bare in which year.

The landslides of the country take one of four courses in turn: new in one of the years; enlarged the year after; active
again after a year in which it was green; or green for good the year after.
"""

from dataclasses import replace
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd

from lsbatch.synthetic import truth
from lsbatch.synthetic.country import YEAR, Ground

#: Part of a landslide, from the source, that slides before it is enlarged.
UPPER = 0.55
NEW, ENLARGED, AGAIN = "new", "enlarged", "reactivated"


def courses(count: int, years: int) -> np.ndarray:
    """Return the bare part of each landslide in each year, from its source: 0 none to 1 all; (count, years).

    A landslide that slid stays bare until its part is 0 again.
    """
    out = np.zeros((count, years))
    for number in range(count):
        course, turn = number % 4, number // 4
        begin = turn % years if course == 0 else turn % max(1, years - 1)
        if course == 2:
            begin = turn % max(1, years - 2)
        bare = {
            0: [1.0] * years,
            1: [UPPER] + [1.0] * years,
            2: [1.0, 0.0] + [1.0] * years,
            3: [1.0] + [0.0] * years,
        }[course]
        out[number, begin:] = bare[: years - begin]
    return out


def ground_of(ground: Ground, year: int, years: int) -> Ground:
    """Return the country in a year: only the parts of landslides that are bare then. Before the first, as in it."""
    bare = courses(ground.slides.count, years)[:, min(years - 1, max(0, year - YEAR))]
    slides = ground.slides
    limit = np.concatenate([[0.0], bare])[slides.labels]
    there = (slides.labels > 0) & (limit > 0) & (np.nan_to_num(slides.stage) <= limit)
    return replace(
        ground,
        slides=replace(
            slides,
            labels=np.where(there, slides.labels, 0),
            stage=np.where(there, slides.stage, np.nan).astype(np.float32),
            stripped=np.where(there, slides.stripped, 0).astype(np.float32),
            roughness_db=np.where(there, slides.roughness_db, 0).astype(np.float32),
        ),
    )


def events(ground: Ground, years: int) -> gpd.GeoDataFrame:
    """Return one row a landslide and year in which it slid: outline, day, event, and the first green year after (or 0).

    A landslide has the id ``true-0001`` in all of its rows.
    """
    bare = courses(ground.slides.count, years)
    frames = []
    for offset in range(years):
        frame = truth.landslides(ground_of(ground, YEAR + offset, years))
        number = frame["landslide_id"].str[-4:].astype(int).to_numpy() - 1
        before = bare[number, offset - 1] if offset else np.zeros(len(frame))
        has_slid = bare[number, offset] > before
        was_bare = bare[number, :offset].max(axis=1, initial=0.0) > 0
        green = [_first_green(bare[one], offset) for one in number]
        frame = frame.assign(
            date=[_in_year(day, YEAR + offset) for day in frame["date"]],
            event=np.where(before > 0, ENLARGED, np.where(was_bare, AGAIN, NEW)),
            green=green,
        )
        frames.append(frame[has_slid])
    return gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), crs=ground.geobox.crs)


def _first_green(bare: np.ndarray, offset: int) -> int:
    later = np.flatnonzero(bare[offset:] == 0)
    return YEAR + offset + int(later[0]) if later.size else 0


def _in_year(day: str, year: int) -> str:
    return date.fromisoformat(day).replace(year=year).isoformat()
