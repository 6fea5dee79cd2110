"""What the reviewers of a survey said: landslides confirmed, rejected, and outlined by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.errors import NoDataError, StaleStoreError
from lsbatch.inventory import identity, inventory_files, record_fields, schema, year_matching
from lsbatch.inventory.parts import Parts
from lsbatch.inventory.previous_inventory import ID
from lsbatch.pipeline import drawn_outlines
from lsbatch.settings import Config
from lsbatch.storage import files
from lsbatch.storage.documents import answer_file

CONFIRMED, REJECTED = year_matching.STATES[1:]
#: A missed landslide of which the survey found this share is left out: it is no longer missed.
FOUND_SHARE = 0.5
#: Fields that an outline does not change.
_KEPT = (
    *(ID, "survey_id", "version", "status", "observation", "parent_ids"),
    *("date_earliest", "date_latest", "date_method", "date_confidence"),
    *year_matching.REVIEW,
)


@dataclass(frozen=True)
class Reviewed:
    """Outlines that were reviewed in a survey.

    Attributes
    ----------
    confirmed, rejected : array (n,) of shapely geometries
        In the grid's CRS.
    outdated : int
        Answers about an outline that has changed since. They are not in the arrays.
    """

    confirmed: np.ndarray
    rejected: np.ndarray
    outdated: int


@dataclass(frozen=True)
class Drawing:
    """The outline of a landslide that a reviewer drew.

    Attributes
    ----------
    shape : MultiPolygon
        In the grid's CRS.
    is_missed : bool
        Whether the survey had not found the landslide; otherwise its outline was edited.
    reviewer, comment : str
    """

    shape: shapely.MultiPolygon
    is_missed: bool
    reviewer: str
    comment: str


def records(survey: Survey) -> gpd.GeoDataFrame:
    """Read the inventory of a survey.

    Raises
    ------
    NoDataError
        If the survey has no inventory yet.
    """
    file = survey.workspace.inventory / "landslides.parquet"
    if not files.exists(file):
        raise NoDataError(f"{survey.config.output}: the survey has no inventory yet; run lsbatch run first")
    return inventory_files.read(survey.workspace)


def drawings(answers: Sequence[Mapping[str, Any]]) -> dict[str, Drawing]:
    """Return the last outline drawn for each landslide, by its id at that time.

    A missed landslide whose last answer is a rejection was withdrawn, and is left out.

    Raises
    ------
    StaleStoreError
        If a line of the journal holds an outline that is no polygon.
    """
    found: dict[str, Drawing] = {}
    for one in answers:
        name = str(one.get(ID))
        if "outline" in one:
            shape = _polygon(name, one["outline"])
            is_missed = bool(one.get("missed")) or (name in found and found[name].is_missed)
            found[name] = Drawing(shape, is_missed, str(one["reviewer"]), str(one["comment"]))
    last = {str(one.get(ID)): one.get("state") for one in answers}
    return {name: one for name, one in found.items() if not (one.is_missed and last[name] == REJECTED)}


def _polygon(name: str, corners: Any) -> shapely.MultiPolygon:
    try:
        shape = shapely.MultiPolygon([shapely.Polygon(np.asarray(corners, float))])
    except (ValueError, TypeError, shapely.errors.ShapelyError):
        shape = None
    if shape is None or not shape.is_valid or not np.isfinite(shape.bounds).all():
        raise StaleStoreError(f"review/answers.jsonl: the outline of {name} is no polygon; correct or delete its line")
    return shape


def read(survey: Survey) -> Reviewed:
    """Return the outlines to which the reviewers of this survey gave an answer; the last answer of each counts.

    Answers that the inventory took over from an earlier year are left out: they are about the images of that year. An
    outline that a reviewer drew is used instead of that of the inventory.

    Raises
    ------
    NoDataError
        If the survey has no inventory yet.
    """
    answers = answer_file.read(survey.workspace.answers)
    frame = identity.found(records(survey)).assign(review_state=year_matching.STATES[0], reviewed_version=0)
    former = identity.former_ids(survey.workspace)
    frame = identity.answered(frame, answers, former)
    given = frame["review_state"] != year_matching.STATES[0]
    present = frame["reviewed_version"] == frame["version"]
    drawn = drawings(answers)
    shapes = redrawn(frame, drawn, former)
    confirmed, rejected = (shapes[present & (frame["review_state"] == state)] for state in (CONFIRMED, REJECTED))
    # those that the inventory has not yet
    new = [one.shape for name, one in drawn.items() if one.is_missed and name not in set(frame[ID])]
    return Reviewed(np.append(confirmed, new), rejected, int((given & ~present).sum()))


def redrawn(frame: gpd.GeoDataFrame, drawn: Mapping[str, Drawing], former: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Return the outlines of landslides, (n,), those of reviewers where they drew one.

    Parameters
    ----------
    frame : GeoDataFrame
        With the ids of the landslides.
    drawn : mapping of id to Drawing
    former : mapping of id to earlier ids, the oldest first
    """
    shapes = np.array(frame.geometry.values, dtype=object)
    for row, name in enumerate(frame[ID] if drawn else ()):
        for one in (*former.get(name, ()), name):
            if one in drawn:
                shapes[row] = drawn[one].shape
    return shapes


def with_drawings(
    survey: Survey, config: Config, frame: gpd.GeoDataFrame, provenance: Mapping[str, str]
) -> gpd.GeoDataFrame:
    """Return the landslides with the outlines that reviewers drew, measured as all others are.

    An edited outline replaces that of its landslide; identifier, version, status and dates stay. A missed landslide is
    added, unless the survey has found at least `FOUND_SHARE` of it by now.

    Parameters
    ----------
    survey : Survey
    config : Config
    frame : GeoDataFrame
        With identifiers and reviews.
    provenance : mapping of name to str
        Fields of the added records.
    """
    answers = answer_file.read(survey.workspace.answers)
    drawn = {name: one for name, one in drawings(answers).items() if drawn_outlines.is_inside(survey, one.shape)}
    if not drawn:
        return frame
    former = identity.former_ids(survey.workspace)
    shapes = redrawn(frame, drawn, former)
    edited = [row for row, shape in enumerate(shapes) if shape is not frame.geometry.iat[row]]
    here = frame["observation"] == year_matching.FOUND
    missed = _still_missed(drawn, shapes[here])
    table = _measured(survey, config, [*shapes[edited], *(drawn[name].shape for name in missed)])
    out = frame.copy()
    for name in table.columns.difference(_KEPT):
        out.iloc[edited, out.columns.get_loc(name)] = table[name].to_numpy()[: len(edited)]
    out.iloc[edited, out.columns.get_loc("outline")] = schema.EDITED
    new = table.iloc[len(edited) :].assign(**{ID: missed, "outline": schema.DRAWN})
    new = gpd.GeoDataFrame(identity.answered(new, answers, {}), geometry="geometry", crs=frame.crs)
    whole = pd.concat([out, new.assign(**provenance)[list(frame.columns)]], ignore_index=True)
    return year_matching.ordered(whole)


def _still_missed(drawn: Mapping[str, Drawing], found: np.ndarray) -> list[str]:
    """Return the ids of the missed landslides of which the outlines found cover less than `FOUND_SHARE`."""
    tree = shapely.STRtree(found)
    missed = []
    for name, one in drawn.items():
        near = found[tree.query(one.shape, predicate="intersects")]
        covered = shapely.area(shapely.intersection(shapely.union_all(near), one.shape)) if len(near) else 0.0
        if one.is_missed and covered < FOUND_SHARE * one.shape.area:
            missed.append(name)
    return missed


def _measured(survey: Survey, config: Config, shapes: list[shapely.Geometry]) -> pd.DataFrame:
    """Return the records of outlines, in their order; their dates are the windows of the survey or of Sentinel-2."""
    drawn = np.array(shapes, dtype=object)
    parts = drawn_outlines.parts(survey, config, drawn)
    columns = {str(name): values.to_numpy() for name, values in parts.items()}
    grouped = Parts.grouped(columns, columns["drawn"].astype(int))
    # neither normalised nor simplified
    return record_fields.table(record_fields.of_parts(grouped, survey.grid, config) | {"geometry": drawn}, config)
