"""What the review page shows, and the reviewer's answers that are stored."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError, printable
from lsbatch.inventory import reviews
from lsbatch.inventory.previous_inventory import ID
from lsbatch.inventory.year_matching import STATES
from lsbatch.kernels.statistics import uncertainty as kernel
from lsbatch.report.quicklooks import quicklook
from lsbatch.review import uncertainty
from lsbatch.storage import journal

LONGEST_NAME, LONGEST_COMMENT = 80, 2000
#: Number of landslides with images in memory.
KEPT_PICTURES = 32
#: Attributes on the page, in order.
SHOWN = (
    "uncertainty",
    "status",
    "observation",
    "version",
    "date_earliest",
    "date_latest",
    "date_method",
    "area_m2",
    "length_m",
    "relief_m",
    "slope_mean_deg",
    "probability_mean",
    "dndvi_mean",
    "dvv_mean_db",
    "optical_share",
    "radar_share",
    "unobserved_edge_px",
    "parent_ids",
)


class RefusedError(LsbatchError):
    """An answer that cannot be stored, with the reason."""


class Case:
    """The landslides of a survey, and the journal of answers to them.

    Parameters
    ----------
    survey : Survey
    uncertain_first : bool
        Sort the landslides: those without an answer first, the most uncertain of them at the top (see
        `lsbatch.review.uncertainty`). Otherwise they have the order of the inventory.

    Raises
    ------
    NoDataError
        If the survey has no inventory yet.
    """

    def __init__(self, survey: Survey, *, uncertain_first: bool = False) -> None:
        self.survey, self.uncertain_first = survey, uncertain_first
        self.frame: gpd.GeoDataFrame = reviews.records(survey)
        self._rows = {name: i for i, name in enumerate(self.frame[ID])}
        if uncertain_first:
            self.frame = self._sorted()
        self._rows = {name: i for i, name in enumerate(self.frame[ID])}
        self._pictures: OrderedDict[int, dict[str, Any]] = OrderedDict()
        # numba and zarr run in one thread at a time
        self._lock = threading.Lock()

    def _sorted(self) -> gpd.GeoDataFrame:
        answers = self._answers_by_id()
        done = np.array([self._answer(name, answers)["state"] != STATES[0] for name in self.frame[ID]], bool)
        found = uncertainty.of_records(self.survey, self.frame)
        return self.frame.assign(uncertainty=found).iloc[kernel.ranking(found, done)].reset_index(drop=True)

    def landslides(self) -> list[dict[str, Any]]:
        """Return all landslides with their latest answers; plain values, None if unknown."""
        table = pd.DataFrame(self.frame[[ID, *(name for name in SHOWN if name in self.frame)]]).astype(object)
        plain = [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]
        answers = self._answers_by_id()
        return [row | {"answer": self._answer(row[ID], answers)} for row in plain]

    def _answers_by_id(self) -> dict[str, list[Mapping[str, Any]]]:
        by_name: dict[str, list[Mapping[str, Any]]] = {}
        for record in journal.read(self.survey.workspace.answers):
            by_name.setdefault(str(record.get(ID)), []).append(record)
        return by_name

    def _answer(self, name: str, answers: Mapping[str, list[Mapping[str, Any]]]) -> dict[str, Any]:
        """Return the last answer and the number of answers; without answers, the state in the inventory."""
        mine = answers.get(name, [])
        if mine:
            return {key: mine[-1][key] for key in ("state", "reviewer", "comment", "at")} | {"count": len(mine)}
        row = self.frame.iloc[self._rows[name]]
        return {
            "state": row["review_state"],
            "reviewer": row["reviewer"],
            "comment": row["comment"],
            "at": "",
            "count": 0,
        }

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
            landslide_id, state, reviewer, comment; count: number of answers when the reviewer loaded the page.

        Returns
        -------
        bool, dict
            True if the answer was added; the last answer in the journal.

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
        return added, self._answer(name, self._answers_by_id())

    def _checked(self, answer: Any) -> tuple[dict[str, Any], int]:
        wanted = {ID, "state", "reviewer", "comment", "count"}
        if not isinstance(answer, dict) or set(answer) != wanted:
            raise RefusedError(f"an answer must have exactly these fields: {', '.join(sorted(wanted))}")
        if not isinstance(answer[ID], str) or answer[ID] not in self._rows:
            raise RefusedError("landslide_id: the survey has no landslide with this id")
        if answer["state"] not in STATES:
            raise RefusedError(f"state must be one of {', '.join(STATES)}")
        reviewer = _text(answer["reviewer"], "the reviewer's name", LONGEST_NAME)
        if not reviewer:
            raise RefusedError("an answer needs the reviewer's name")
        comment = _text(answer["comment"], "the comment", LONGEST_COMMENT)
        if type(answer["count"]) is not int:
            raise RefusedError("count must be a whole number")
        version = int(self.frame["version"].iat[self._rows[answer[ID]]])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {
            "at": now,
            ID: answer[ID],
            "version": version,
            "state": answer["state"],
            "reviewer": reviewer,
            "comment": comment,
        }, answer["count"]


def _text(value: Any, what: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise RefusedError(f"{what} must be a text of at most {longest} characters")
    value = value.strip()
    if printable(value) != value:
        raise RefusedError(f"{what} must be one line of printable characters")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return round(float(value), 3) if np.isfinite(value) else None
    return int(value) if isinstance(value, (int, np.integer)) else str(value)
