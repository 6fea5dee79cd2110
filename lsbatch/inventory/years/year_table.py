"""Landslides of annual surveys by year, area and change, with the ground that was observed.

A year with less observed ground has fewer landslides. Rates are therefore by observed ground, and new landslides are
also counted on the ground that the year before observed too: elsewhere nobody could have found them before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import areas as area_figures
from lsbatch.inventory import inventory_files, observed_ground, schema
from lsbatch.inventory.previous_inventory import ID
from lsbatch.inventory.year_matching import FOUND, NOTHING, SURVEYED_SHARE
from lsbatch.inventory.years import compared_ground
from lsbatch.inventory.years.compared_ground import WHOLE, ComparedGround
from lsbatch.storage import files, vectors

#: Changes of a landslide that was found this year; `not compared`: the survey is linked with none.
FOUND_CHANGES = ("not compared", *(status for status in schema.STATUSES if status != "gone"))
#: All changes: `gone` this year, `gone before` and not found since, or its ground was not observed this year.
CHANGES = (*FOUND_CHANGES, "gone", "gone before", "not observed")


@dataclass(frozen=True)
class Year:
    """A survey with its inventory.

    Attributes
    ----------
    survey : Survey
    landslides : GeoDataFrame
        The inventory with the landslides kept from earlier years, and the columns `change` (one of CHANGES) and `home`
        (name of the area).
    earlier : set of str or None
        Identifiers of the inventory that it is linked with; None if it is linked with none.
    ground : ComparedGround
    """

    survey: Survey
    landslides: gpd.GeoDataFrame
    earlier: frozenset[str] | None
    ground: ComparedGround

    @property
    def year(self) -> int:
        """Return the year of the images after."""
        return self.survey.config.survey.windows.year

    @property
    def found(self) -> gpd.GeoDataFrame:
        """Return the landslides that this survey found."""
        return self.landslides[self.landslides["observation"] == FOUND]


def read(surveys: Sequence[Survey]) -> list[Year]:
    """Read the inventories and the observed ground of surveys in the order of their years.

    Areas are those of the newest survey, for all years, so that they can be compared.
    """
    shapes = area_figures.outlines(surveys[-1].config)
    years = []
    for last, survey in zip((None, *surveys), surveys, strict=False):
        frame = inventory_files.read(survey.workspace)
        earlier = vectors.read_part(survey.workspace.earlier) if files.exists(survey.workspace.earlier) else None
        frame = frame.assign(change=changes(frame, earlier), home=area_figures.homes(shapes, frame))
        names = None if earlier is None else frozenset(earlier[ID])
        years.append(Year(survey, frame, names, compared_ground.measure(survey, last, shapes)))
    return years


def changes(frame: pd.DataFrame, earlier: pd.DataFrame | None) -> np.ndarray:
    """Return what happened to each landslide of an inventory this year, one of CHANGES.

    Parameters
    ----------
    frame, earlier : DataFrame
        The inventory, and the one of the year before that it is linked with; None if it is linked with none.
    """
    if "observation" not in frame:
        # an inventory of before the linking of years
        return np.full(len(frame), "not compared", object)
    found = (frame["observation"] == FOUND).to_numpy()
    gone: set[str] = set() if earlier is None else set(earlier.loc[earlier["status"] == "gone", ID])
    return np.select(
        [
            found if earlier is None else np.zeros(len(frame), bool),
            found,
            frame[ID].isin(gone).to_numpy(),
            (frame["observation"] == NOTHING).to_numpy(),
        ],
        ["not compared", frame["status"].to_numpy(object), "gone before", "gone"],
        "not observed",
    )


def table(years: Sequence[Year]) -> pd.DataFrame:
    """Return one row a year and area, the whole survey first; unknown values are NaN."""
    rows = [row for last, this in zip((None, *years), years, strict=False) for row in _rows(this, last)]
    return pd.DataFrame(rows)


def _rows(this: Year, last: Year | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a year."""
    px_km2 = (this.survey.grid.resolution_m / 1000) ** 2
    common = this.ground.common
    here = _on_ground(this.found, last.survey) if last is not None and common is not None else None
    there = _on_ground(last.found, this.survey) if last is not None and common is not None else None
    for area in dict.fromkeys([WHOLE, *this.ground.observed]):
        mine = _in(this.landslides, area)
        observed_km2 = this.ground.observed.get(area, 0) * px_km2
        common_km2 = np.nan if common is None else common.get(area, 0) * px_km2
        found = _in(this.found, area)
        if area == area_figures.ELSEWHERE and not observed_km2 and mine.empty:
            continue
        row = {
            "year": this.year,
            "area": area,
            "survey_id": this.survey.config.survey.id,
            "observed_km2": round(observed_km2, 4),
            "landslides": len(found),
            "landslide_area_m2": float(found["area_m2"].sum()),
            "landslides_per_1000_km2": _rate(len(found), observed_km2),
        }
        for change in CHANGES:
            of = mine[mine["change"] == change]
            row |= {_name(change): len(of), f"{_name(change)}_m2": float(of["area_m2"].sum())}
        counts = _common_counts(area, here, there)
        yield (
            row
            | {"common_km2": round(common_km2, 4), **counts}
            | {f"{name}_per_1000_km2": _rate(count, common_km2) for name, count in counts.items()}
        )


def _common_counts(area: str, here: gpd.GeoDataFrame | None, there: gpd.GeoDataFrame | None) -> dict[str, float]:
    """Return the landslides on ground that both years observed: this year's, the new ones of these, last year's."""
    if here is None or there is None:
        return dict.fromkeys(("common_landslides", "common_new", "common_last_year"), np.nan)
    mine = _in(here, area)
    return {
        "common_landslides": len(mine),
        "common_new": int((mine["change"] == "new").sum()),
        "common_last_year": len(_in(there, area)),
    }


def _on_ground(landslides: gpd.GeoDataFrame, other: Survey) -> gpd.GeoDataFrame:
    """Return the landslides whose ground another survey observed, by the share that decides whether one is gone."""
    share = observed_ground.share(other, np.asarray(landslides.geometry.values))
    return landslides[share >= SURVEYED_SHARE]


def _in(landslides: gpd.GeoDataFrame, area: str) -> gpd.GeoDataFrame:
    return landslides if area == WHOLE else landslides[landslides["home"] == area]


def _rate(count: float, km2: float) -> float:
    """Return a number per 1,000 km2; NaN where nothing was observed, or it is unknown."""
    return round(1000 * count / km2, 2) if km2 > 0 else np.nan


def _name(change: str) -> str:
    return change.replace(" ", "_")


def remarks(years: Sequence[Year]) -> list[str]:
    """Return sentences about what makes years hard to compare."""
    return [line for last, this in pairwise(years) for line in _remarks(last, this)] + [
        f"{year.year}: {missing} of {len(year.ground.tiles)} tiles are not done or nothing was observed in them."
        for year in years
        if (missing := sum(not share for share in year.ground.tiles.values()))
    ]


def _remarks(last: Year, this: Year) -> Iterator[str]:
    if this.earlier is None:
        yield (
            f"{this.year} is not linked with {last.year}, so its landslides are not compared. Link them with lsbatch "
            "link or lsbatch run --years."
        )
    elif this.earlier != frozenset(last.landslides[ID]):
        yield (
            f"{this.year} is linked with another inventory than that of {last.year} on this page, or that was written "
            "again since. Link them again."
        )
    if this.ground.common is None:
        yield f"{this.year} has another grid than {last.year}; ground that both observed is not counted."
    other = _other_settings(last, this)
    if other:
        yield f"{this.year} was made with other settings than {last.year}: {', '.join(other)}."


def _other_settings(last: Year, this: Year) -> list[str]:
    """Return the names of settings that change which landslides are found."""
    ours, theirs = this.survey.config, last.survey.config
    names = ("bands", "model", "composite", "clean")
    other = [name for name in names if getattr(ours, name) != getattr(theirs, name)]
    if ours.survey.season != theirs.survey.season:
        other.append("survey.season")
    if ours.inventory.min_area_m2 != theirs.inventory.min_area_m2:
        other.append("inventory.min_area_m2")
    return other
