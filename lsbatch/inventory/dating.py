"""Date a landslide from its Sentinel-1 series, joined over its tiles."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd

from lsbatch.catalog import dating_passes
from lsbatch.catalog.survey import Survey
from lsbatch.grid import tile_id
from lsbatch.kernels import landslide_date
from lsbatch.pipeline.radar_series import PASS, POLARISATIONS, SERIES, SUMS
from lsbatch.settings import Config
from lsbatch.storage import receipts, vectors

METHOD = "Sentinel-1 series"
#: Increase it when the dates change for the same passes: inventories with these dates are then made again, without
#: reading the passes again.
VERSION = 2
#: If less than this probability lies between the images of Sentinel-2, Sentinel-1 contradicts them and is not used.
AGREES = 0.05
#: Sentinel-1 dates are used if they leave at most this share of the days between the images. Otherwise a date of 90 %
#: probability would replace a certain one for a gain of few days.
NARROWER = 0.5
#: Tables of tiles kept in memory. Landslides come tile by tile, and those that cross edges need neighbouring tables.
HELD = 8

#: First and last day, and the probability of this interval.
Narrowed = tuple[int, int, float]
Passes = Callable[[pd.DataFrame], pd.DataFrame | None]


def version(config: Config) -> dict[str, int]:
    """Return what an inventory depends on besides the passes: the version of the dates, if they are wanted."""
    return {"dating": VERSION} if dating_passes.wanted(config) else {}


def passes_of(survey: Survey, config: Config) -> Passes:
    """Return a function that reads the passes of a landslide's parts: one row a pass; None if a tile has none."""
    done = receipts.read_stage(survey.workspace.receipts, "date") if dating_passes.wanted(config) else {}

    @lru_cache(HELD)
    def table(tile: str) -> pd.DataFrame:
        path = survey.workspace.part("date", tile)
        return vectors.read_table(path) if done[tile].tally["dated_parts"] else pd.DataFrame(columns=["label"])

    def read(group: pd.DataFrame) -> pd.DataFrame | None:
        found = []
        for (row, col), labels in group.groupby(["tile_row", "tile_col"])["label"]:
            name = tile_id(row, col)
            if not done.get(name):
                return None
            rows = table(name)
            found.append(rows[rows["label"].isin(labels)])
        return joined(pd.concat(found, ignore_index=True))

    return read


def joined(rows: pd.DataFrame) -> pd.DataFrame:
    """Add up sums and pixels of the parts: one row a pass."""
    if rows.empty:
        return rows
    together = rows.groupby(list(PASS), sort=True)
    return (
        together[list(SUMS)]
        .sum()
        .join(together["time_days"].min())
        .reset_index()
        .sort_values("time_days", kind="stable")
    )


def series(passes: pd.DataFrame, looks: float) -> list[landslide_date.Series]:
    """Return one series for each relative orbit and direction."""
    out = []
    for _, orbit in passes.groupby(list(SERIES), sort=True) if len(passes) else ():
        channels = [
            landslide_date.log_ratio(  # type: ignore[call-arg]
                *(
                    orbit[f"{name}_{what}"].to_numpy(np.float64)
                    for what in ("inside_sum", "inside_px", "around_sum", "around_px")
                ),
                looks,
            )
            for name in POLARISATIONS
        ]
        ratio, speckle = (np.column_stack(values) for values in zip(*channels, strict=True))
        out.append(landslide_date.Series(orbit["time_days"].to_numpy(np.float64), ratio, speckle))
    return out


def narrowed(
    passes: pd.DataFrame | None, known: tuple[int, int], span: tuple[int, int], looks: float
) -> Narrowed | None:
    """Return first and last day since 1970, both included, and the probability of the days between.

    None if it is no improvement.

    Parameters
    ----------
    passes : DataFrame or None
        From `passes_of`.
    known : (int, int)
        Days of the images before and after.
    span : (int, int)
        First and last day of the survey's windows, the limits of the search.
    looks : float
        Equivalent number of looks of a pixel.
    """
    if passes is None or passes.empty:
        return None
    anywhere = landslide_date.date(series(passes, looks), span[0], span[1] + 1)
    if anywhere.between(known[0], known[1] + 1) < AGREES:
        return None
    found = anywhere.within(known[0], known[1] + 1)
    # whole days: the interval of 90 % rounded outwards
    first, last = (int(day) for day in found.interval())
    if found.evidence < landslide_date.EVIDENCE or last - first > NARROWER * (known[1] - known[0]):
        return None
    return first, last, found.between(first, last + 1)
