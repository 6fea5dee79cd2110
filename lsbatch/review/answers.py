"""The landslides of a survey under review, and the reviewers' answers that are stored."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError, printable
from lsbatch.inventory import reviews
from lsbatch.inventory.previous_inventory import ID
from lsbatch.inventory.year_matching import STATES
from lsbatch.kernels.statistics import uncertainty as kernel
from lsbatch.report.quicklooks import quicklook
from lsbatch.review import drawn, uncertainty
from lsbatch.storage import journal
from lsbatch.storage.documents import answer_file

LONGEST_NAME, LONGEST_COMMENT = 80, 2000
#: Number of landslides with images in memory.
KEPT_PICTURES = 32

Answers = Mapping[str, list[Mapping[str, Any]]]


class RefusedError(LsbatchError):
    """An answer that cannot be stored, with the reason."""


class Case:
    """The landslides of a survey, and the journal of answers to them.

    Landslides that a reviewer draws are added at the end, so that the number of a landslide stays the same.

    Parameters
    ----------
    survey : Survey
    uncertain_first : bool
        Sort the landslides: those without an answer first, and of these the largest uncertainty times area at the top
        (see `lsbatch.review.uncertainty`). Otherwise they have the order of the inventory.

    Raises
    ------
    NoDataError
        If the survey has no inventory yet.
    """

    def __init__(self, survey: Survey, *, uncertain_first: bool = False) -> None:
        self.survey, self.uncertain_first = survey, uncertain_first
        self.frame: gpd.GeoDataFrame = reviews.records(survey)
        if uncertain_first:
            self.frame = self._sorted()
        self.rows = {name: i for i, name in enumerate(self.frame[ID])}
        self._pictures: OrderedDict[int, dict[str, Any]] = OrderedDict()
        # numba and zarr run in one thread at a time
        self._lock = threading.Lock()
        #: Increased whenever an outline is drawn.
        self.edition = 0
        self.answers()

    def _sorted(self) -> gpd.GeoDataFrame:
        answers = _by_id(answer_file.read(self.survey.workspace.answers))
        done = np.array(
            [
                (answers[name][-1]["state"] if name in answers else state) != STATES[0]
                for name, state in zip(self.frame[ID], self.frame["review_state"], strict=True)
            ],
            bool,
        )
        found = uncertainty.of_records(self.survey, self.frame)
        # an answer is about all pixels of a landslide, so it teaches more about a large one
        order = kernel.ranking(found * self.frame["area_m2"].to_numpy(float), done)
        return self.frame.assign(uncertainty=found).iloc[order].reset_index(drop=True)

    def answers(self) -> Answers:
        """Read the journal; return all answers by landslide, and take up the outlines drawn since the last time."""
        records = answer_file.read(self.survey.workspace.answers)
        with self._lock:
            self._take_up(reviews.drawings(records))
        return _by_id(records)

    def _take_up(self, drawings: Mapping[str, reviews.Drawing]) -> None:
        changed, added = drawn.changes(self.frame, drawings)
        if not changed and not added:
            return
        shapes = np.array(self.frame.geometry.values, dtype=object)
        for row, shape in changed.items():
            shapes[row] = shape
            self._pictures.pop(row, None)
        frame = self.frame.set_geometry(gpd.GeoSeries(shapes, index=self.frame.index, crs=self.frame.crs))
        if added:
            frame = pd.concat([frame, drawn.rows(self.survey, frame, added)], ignore_index=True)
        self.frame, self.rows = frame, {name: i for i, name in enumerate(frame[ID])}
        self.edition += 1

    def answer(self, name: str, answers: Answers) -> dict[str, Any]:
        """Return the last answer and the number of answers; without answers, the state in the inventory."""
        if mine := answers.get(name, []):
            last = {key: mine[-1][key] for key in ("state", "reviewer", "comment")}
            # the time may be missing in a journal that somebody wrote by hand
            return last | {"at": mine[-1].get("at", ""), "count": len(mine)}
        row = self.frame.iloc[self.rows[name]]
        kept = {key: row[column] for key, column in (("state", "review_state"), ("reviewer",) * 2, ("comment",) * 2)}
        return kept | {"at": "", "count": 0}

    def pictures(self, index: int) -> dict[str, Any]:
        """Return before, after and evidence of the landslide side by side."""
        with self._lock:
            if index not in self._pictures:
                self._pictures[index] = quicklook(self.survey, self.survey.config, self.frame.geometry.iloc[index])
                while len(self._pictures) > KEPT_PICTURES:
                    self._pictures.popitem(last=False)
            self._pictures.move_to_end(index)
            return self._pictures[index]

    def keep(self, answer: Any) -> tuple[bool, dict[str, Any]]:
        """Add an answer, unless another one was added since the reviewer loaded the page.

        Parameters
        ----------
        answer : mapping
            landslide_id, state, reviewer, comment; count: number of answers when the reviewer loaded the page. With
            `corners` (longitude and latitude of each corner), the answer is an outline that the reviewer drew; then
            landslide_id is empty for a landslide that the survey missed, and state is "confirmed".

        Returns
        -------
        bool, dict
            True if the answer was added; the last answer in the journal, with the id of the landslide.

        Raises
        ------
        RefusedError
            If the answer is not valid.
        """
        record, count = self._checked(answer)
        name = record[ID]
        added = journal.append(
            self.survey.workspace.answers,
            record,
            lambda records: sum(entry.get(ID) == name for entry in records) == count,
        )
        return added, {ID: name} | self.answer(name, self.answers())

    def _checked(self, answer: Any) -> tuple[dict[str, Any], int]:
        wanted = {ID, "state", "reviewer", "comment", "count"}
        if not isinstance(answer, dict) or set(answer) - {"corners"} != wanted:
            raise RefusedError(f"an answer must have exactly these fields: {', '.join(sorted(wanted))}")
        has_outline = "corners" in answer
        name, state = answer[ID], answer["state"]
        if not isinstance(name, str) or (name not in self.rows and (name or not has_outline)):
            raise RefusedError("landslide_id: the survey has no landslide with this id")
        if state not in STATES:
            raise RefusedError(f"state must be one of {', '.join(STATES)}")
        if has_outline and state != reviews.CONFIRMED:
            raise RefusedError(f"state must be {reviews.CONFIRMED} with an outline")
        reviewer = _text(answer["reviewer"], "the reviewer's name", LONGEST_NAME)
        if not reviewer:
            raise RefusedError("an answer needs the reviewer's name")
        comment = _text(answer["comment"], "the comment", LONGEST_COMMENT)
        if type(answer["count"]) is not int:
            raise RefusedError("count must be a whole number")
        outline = self._outline(name, answer["corners"]) if has_outline else {}
        row = self.rows.get(name)
        record = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            ID: name,
            "version": 1 if row is None else int(self.frame["version"].iat[row]),
            "state": state,
            "reviewer": reviewer,
            "comment": comment,
        }
        return record | outline, answer["count"]

    def _outline(self, name: str, corners: Any) -> dict[str, Any]:
        """Return the fields of a record that describe an outline; also the id of a missed landslide."""
        try:
            shape = drawn.polygon(self.survey, corners)
            here = self.frame.geometry.iat[self.rows[name]] if name else None
            if here is not None and not shapely.intersects(shape, here):
                raise LsbatchError("the outline does not touch the landslide; draw a missed landslide instead")
            taken = {*self.rows, *self.answers()}
            new = {} if name else {ID: drawn.new_id(self.survey, self.frame, shape, taken), "missed": True}
        except LsbatchError as error:
            raise RefusedError(str(error)) from None
        return {**new, "outline": drawn.corners(shape)}


def _by_id(records: journal.Records) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        found.setdefault(str(record.get(ID)), []).append(record)
    return found


def _text(value: Any, what: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise RefusedError(f"{what} must be a text of at most {longest} characters")
    value = value.strip()
    if printable(value) != value:
        raise RefusedError(f"{what} must be one line of printable characters")
    return value
