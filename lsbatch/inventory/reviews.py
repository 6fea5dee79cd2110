"""Landslides that the reviewers of a survey confirmed or rejected."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np

from lsbatch.catalog.survey import Survey
from lsbatch.errors import NoDataError
from lsbatch.inventory import identity, inventory_files, year_matching
from lsbatch.storage import files, journal

CONFIRMED, REJECTED = year_matching.STATES[1:]


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


def read(survey: Survey) -> Reviewed:
    """Return the outlines to which the reviewers of this survey gave an answer; the last answer of each counts.

    Answers that the inventory took over from an earlier year are left out: they are about the images of that year.

    Raises
    ------
    NoDataError
        If the survey has no inventory yet.
    """
    frame = identity.found(records(survey)).assign(review_state=year_matching.STATES[0], reviewed_version=0)
    places = survey.workspace
    frame = identity.answered(frame, journal.read(places.answers), identity.former_ids(places))
    given = frame["review_state"] != year_matching.STATES[0]
    present = frame["reviewed_version"] == frame["version"]
    confirmed, rejected = (
        np.asarray(frame.geometry[present & (frame["review_state"] == state)].values) for state in (CONFIRMED, REJECTED)
    )
    return Reviewed(confirmed, rejected, int((given & ~present).sum()))
