"""Reviewed surveys as training data: the answers to landslides and to sample points."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from lsbatch.accuracy import answers
from lsbatch.accuracy.answers import Labels
from lsbatch.catalog.survey import open_survey
from lsbatch.errors import NoDataError
from lsbatch.inventory import reviews
from lsbatch.models.training.spatial_split import HARD, UNKNOWN
from lsbatch.settings import Config, digest
from lsbatch.storage import files, geometries

_NO_POINTS = Labels(np.empty(0), np.empty(0), np.empty(0, bool), np.empty(0))


@dataclass(frozen=True)
class Lessons:
    """What the reviewers of a survey said.

    Attributes
    ----------
    config : Config
        Settings of the survey.
    confirmed, rejected : array (n,) of shapely geometries
        Outlines in the grid's CRS.
    outdated : int
        Answers about outlines that have changed since. They are not used.
    points : Labels
        Answered points of the accuracy assessment.
    """

    config: Config
    confirmed: np.ndarray
    rejected: np.ndarray
    outdated: int
    points: Labels

    def counts(self) -> dict[str, Any]:
        """Return the survey and the number of answers of each kind, for the card."""
        return {
            "survey": self.config.survey.id,
            "confirmed": len(self.confirmed),
            "rejected": len(self.rejected),
            "points": len(self.points.x),
        }

    def text(self) -> str:
        """Return the numbers as a line for the screen."""
        old = f"; {self.outdated} answers are about an outline that has changed since, and are not used"
        return (
            f"Reviews of {self.config.survey.id}: {len(self.confirmed)} landslides confirmed, {len(self.rejected)} "
            f"rejected, {len(self.points.x)} sample points answered{old if self.outdated else ''}"
        )

    def checksum(self) -> str:
        """Return the digest of everything that is trained on."""
        outlines = [sorted(shape.wkb_hex for shape in shapes) for shapes in (self.confirmed, self.rejected)]
        points = [
            values.tolist() for values in (self.points.x, self.points.y, self.points.landslide, self.points.weight)
        ]
        return digest([outlines, points])


def read(config: Config) -> Lessons:
    """Read the answers of a survey.

    Raises
    ------
    NoDataError
        If the survey has no inventory, or nothing in it was answered.
    ConfigError
        If its sample of points was damaged.
    """
    survey = open_survey(config)
    found = reviews.read(survey)
    sample = survey.workspace.accuracy / "sample.gpkg"
    points = answers.labels(survey, sample) if files.exists(sample) else _NO_POINTS
    lessons = Lessons(config, found.confirmed, found.rejected, found.outdated, points)
    if not (len(found.confirmed) or len(found.rejected) or len(points.x)):
        changed = f", and {found.outdated} answers are about an outline that has changed since" * bool(found.outdated)
        raise NoDataError(
            f"{config.survey.id}: no landslide is confirmed or rejected, and no sample point is answered{changed}; "
            "answer some with 'lsbatch review'"
        )
    return lessons


def truth(lessons: Lessons, geobox: GeoBox) -> np.ndarray:
    """Return what the answers say of the pixels of a geobox, uint8 (rows, cols).

    Pixels whose centre lies in a confirmed outline are 1, in a rejected one HARD. The pixel of a sample point has the
    answer to the point, also inside an outline. All other pixels are UNKNOWN.
    """
    out = np.full(geobox.shape, UNKNOWN, np.uint8)
    for shapes, value in ((lessons.rejected, HARD), (lessons.confirmed, 1)):
        out[_inside(shapes, geobox)] = value
    rows, cols, here = _pixels(lessons.points, geobox)
    out[rows, cols] = lessons.points.landslide[here]
    return out


def weight(lessons: Lessons, geobox: GeoBox) -> np.ndarray:
    """Return the weight of each pixel in the loss, float32 (rows, cols).

    The pixel of a sample point outside all outlines has the weight of the point; all other pixels have 1.
    """
    out = np.ones(geobox.shape, np.float32)
    rows, cols, here = _pixels(lessons.points, geobox)
    out[rows, cols] = lessons.points.weight[here]
    if len(rows):
        for shapes in (lessons.rejected, lessons.confirmed):
            out[_inside(shapes, geobox)] = 1
    return out


def _inside(shapes: np.ndarray, geobox: GeoBox) -> np.ndarray:
    box = shapely.box(*geobox.boundingbox.bbox)
    near = [shape for shape in shapes if shapely.intersects(shape, box)]
    return geometries.rasterize(shapely.union_all(near), geobox) if near else np.zeros(geobox.shape, bool)


def _pixels(points: Labels, geobox: GeoBox) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row and column of the points in a geobox, and their indices."""
    cols, rows = (np.floor(values).astype(np.int64) for values in ~geobox.affine @ (points.x, points.y))
    here = np.flatnonzero((rows >= 0) & (cols >= 0) & (rows < geobox.shape[0]) & (cols < geobox.shape[1]))
    return rows[here], cols[here], here
