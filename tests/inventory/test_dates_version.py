"""Inventories with dates from Sentinel-1 are made again when the method changes; others, and the passes, are kept."""

import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.engine import todo
from lsbatch.inventory import dating, records
from lsbatch.pipeline import radar_series


@pytest.mark.parametrize("wanted", [True, False])
def test_a_new_version_makes_only_dated_inventories_again(
    planned_survey: Survey, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    inventory = planned_survey.config.inventory.model_copy(update={"radar_dates": wanted})
    config = planned_survey.config.model_copy(update={"inventory": inventory})
    survey = Survey(config, planned_survey.grid, planned_survey.positions)
    digests = []
    for version in (dating.VERSION, dating.VERSION + 1):
        monkeypatch.setattr(dating, "VERSION", version)
        digests.append([todo.base_digest(survey, step) for step in (records.REDUCTION, radar_series.STAGE)])
    (before, passes), (after, same) = digests
    assert (before != after) == wanted
    assert passes == same
