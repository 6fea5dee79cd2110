"""Date a landslide from its Sentinel-1 series, joined over its tiles."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd

from lsbatch.catalog import dating_passes
from lsbatch.grid import tile_id
from lsbatch.inventory.parts import Parts
from lsbatch.kernels import landslide_date
from lsbatch.pipeline.radar_series import PASS, POLARISATIONS, SERIES, SUMS
from lsbatch.settings import Config

METHOD = "Sentinel-1 series"
#: Table of a tile whose landslides no pass observed.
NO_PASSES = pd.DataFrame(columns=["label"])
#: Increase it when the dates change for the same passes: inventories with these dates are then made again, without
#: reading the passes again.
VERSION = 2
#: If less than this probability lies between the images of Sentinel-2, Sentinel-1 contradicts them and is not used.
AGREES = 0.05
#: Sentinel-1 dates are used if they leave at most this share of the days between the images. Otherwise a date of 90 %
#: probability would replace a certain one for a gain of few days.
NARROWER = 0.5
#: First and last day, and the probability of this interval.
Narrowed = tuple[int, int, float]
#: Passes of the parts of a tile, by the name of the tile; None if the stage `date` is not done there.
PassesOfTile = Callable[[str], pd.DataFrame | None]


def version(config: Config) -> dict[str, int]:
    """Return what an inventory depends on besides the passes: the version of the dates, if they are wanted."""
    return {"dating": VERSION} if dating_passes.wanted(config) else {}


def passes(parts: Parts, passes_of_tile: PassesOfTile) -> list[pd.DataFrame | None]:
    """Return the passes of each landslide, one row a pass by time; None if the passes of one of its tiles are unknown.

    Each table of a tile is read once, also if a landslide of another tile needs it.
    """
    owners = pd.DataFrame({name: parts.columns[name] for name in ("tile_row", "tile_col", "label")})
    owners["landslide"] = parts.owner
    known, found = np.ones(len(parts), bool), []
    for (row, col), mine in owners.groupby(["tile_row", "tile_col"]):
        rows = passes_of_tile(tile_id(row, col))
        if rows is None:
            known[mine["landslide"]] = False
        elif not rows.empty:
            owner = mine.set_index("label")["landslide"]
            here = rows[rows["label"].isin(owner.index)]
            found.append(here.assign(landslide=here["label"].map(owner)))
    together = joined(pd.concat(found, ignore_index=True), "landslide") if found else pd.DataFrame({"landslide": []})
    cuts = np.searchsorted(together["landslide"], np.arange(len(parts) + 1))
    slices = [together.iloc[first:last] for first, last in pairwise(cuts)]
    return [rows if there else None for rows, there in zip(slices, known, strict=True)]


def joined(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Add up sums and pixels of the parts: one row a pass, by time, for each value of the columns `by`."""
    if rows.empty:
        return rows
    together = rows.groupby([*by, *PASS], sort=True)
    return (
        together[list(SUMS)]
        .sum()
        .join(together["time_days"].min())
        .reset_index()
        .sort_values([*by, "time_days"], kind="stable")
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
        Of one landslide, from `passes`.
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
