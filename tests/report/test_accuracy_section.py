"""The accuracy section of the report; texts from records, samples and counties are escaped."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from markupsafe import escape

from lsbatch.accuracy import answers, assess
from lsbatch.catalog.survey import Survey
from lsbatch.engine import todo
from lsbatch.inventory import areas, map_checksum
from lsbatch.report import accuracy_section, landslide_table, size_chart, statistics
from lsbatch.report import page as report_page
from lsbatch.storage import files, receipts, vectors
from lsbatch.storage.receipts import Receipt
from tests import browser, fake_survey
from tests.fake_survey import Fake

#: Ends a script, opens a comment in one, and breaks a line in JavaScript before 2019.
HOSTILE = "</script><script>document.title='owned'</script><!--<script>\u2028\"'&<img src=x onerror=alert(1)>"


def _page(survey: Survey) -> str:
    report_page.apply(survey, survey.config)
    return (survey.workspace.report / "report.html").read_text(encoding="utf-8")


def _assessed(survey: Survey, **changes: Any) -> dict[str, Any]:
    """What `assess` writes for 200 answered points, of which some are wrong and two unsure."""
    stratum = np.repeat([0, 1, 2], [60, 60, 80])
    answer = np.where(stratum == 0, 1, 0)
    answer[[0, 1, 2, 61, 62, 130]] = 1 - answer[[0, 1, 2, 61, 62, 130]]
    answer[[5, 140]] = -1
    design = {
        "size": 200,
        "allocation": "equal",
        "seed": 1,
        "min_distance_m": 0.0,
        "inclusion_exact": 1,
        "map_digest": map_checksum.digest(survey),
        "tiles": 4,
        "tiles_missing": 1,
        "drawn": "2020-11-01T00:00:00+00:00",
    }
    found = answers.Answers(stratum, answer, np.array([9000, 4000, 200_000]), np.array([60, 60, 80]), design)
    result = {
        "survey_id": survey.config.survey.id,
        "sample": "sample.gpkg",
        "design": design,
        **assess.figures(found, 100.0),
        "assessed": "2020-11-03T00:00:00+00:00",
        **changes,
    }
    files.write_json(survey.workspace.accuracy / "accuracy.json", result)
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return fake_survey.make(tmp_path_factory.mktemp("made"), Fake(truth=False))


@pytest.fixture
def plain(made: Survey) -> Iterator[Survey]:
    """A survey without an assessment and without figures by area; additions of a test are removed afterwards."""
    yield made
    files.remove(made.workspace.accuracy / "accuracy.json")
    receipts.remove(made.workspace.receipts, "figures", "all")


# The reviewed sample


def test_an_assessment_is_shown_with_its_warnings(plain: Survey) -> None:
    found = _assessed(plain)
    html = _page(plain)
    for key, name in statistics.FIGURES:
        row = found["figures"][key]
        expected = [
            f"{100 * row[one]:.3f} %" if key == "area" else f"{row[one]:.3f}"
            for one in ("value", "standard_error", "low", "high")
        ]
        cells = html.split(f'<th scope="row">{escape(name)}</th>')[1].split("</tr>")[0]
        assert re.findall(r"[\d.]+(?: %)?", re.sub(r"<[^>]*>", " ", cells))[:4] == expected
    assert len(found["warnings"]) >= 2
    assert all(str(escape(text)) in html for text in found["warnings"])
    assert "These figures are for another map" not in html


def test_an_assessment_of_another_map_is_called_that(plain: Survey) -> None:
    found = _assessed(plain)
    _assessed(plain, design={**found["design"], "map_digest": "0" * 16})
    assert "These figures are for another map" in _page(plain)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"design": {}}',
        '{"design": {"map_digest": "x"}}',
        '{"design": {"map_digest": "x"}, "figures": {"users": 3}}',
    ],
)
def test_a_damaged_assessment_is_one_sentence_in_the_page(plain: Survey, text: str) -> None:
    files.write_text(plain.workspace.accuracy / "accuracy.json", text)
    section = _page(plain).split('id="accuracy"')[1].split("</section>")[0]
    assert "accuracy.json: damaged" in section


def test_figures_that_do_not_exist_are_called_undefined(plain: Survey) -> None:
    """A map without a landslide has no user's accuracy."""
    found = _assessed(plain)
    empty = dict.fromkeys(found["figures"]["users"])
    _assessed(plain, figures={**found["figures"], "users": empty})
    assert '<td class="n">undefined</td>' in _page(plain).split("user&#39;s accuracy, landslide")[1].split("</tr>")[0]


def test_an_assessment_makes_the_report_stale(plain: Survey) -> None:
    before = todo.reduction_digest(plain, report_page.REDUCTION)
    assert todo.reduction_digest(plain, report_page.REDUCTION) == before
    _assessed(plain)
    assert todo.reduction_digest(plain, report_page.REDUCTION) != before


# Frequency and size


def test_the_plot_is_what_was_counted(plain: Survey) -> None:
    """From the points' places back to the densities."""
    areas_m2 = np.random.default_rng(3).pareto(1.4, 800) * 2000 + 600
    found = statistics.frequency(areas_m2, 500.0)
    drawn = size_chart.frequency(found)
    assert drawn is not None
    decades = len(drawn["y"]) - 1
    lowest = min(round(np.log10(one["density_low"]) - 0.5) for one in drawn["bins"])
    for point, one in zip(drawn["points"], drawn["bins"], strict=True):
        back = 10 ** (lowest + decades * (1 - point["y"] / size_chart.HEIGHT))
        assert back == pytest.approx(one["density_per_m2"], rel=0.02)
        assert point["high"] <= point["y"] <= point["low"]
    assert sum(one["count"] for one in drawn["bins"]) == 800
    # a power law is a straight line on these axes: both ends of the tail's curve are there
    assert len(drawn["tail_line"].split()) == 2


def test_no_landslide_has_no_plot(tmp_path: Path) -> None:
    html = _page(fake_survey.make(tmp_path, Fake(landslides=0, truth=False)))
    assert 'id="sizes"' not in html


def test_too_few_for_a_fit_is_said(plain: Survey) -> None:
    assert "too few or too similar in area for a fit" in _page(plain)


@pytest.mark.parametrize("areas_m2", [[500.0], [500.0] * 60, [500.0, 5e7]])
def test_odd_inventories_can_be_drawn(areas_m2: list[float]) -> None:
    drawn = size_chart.frequency(statistics.frequency(np.array(areas_m2), 400.0))
    assert drawn is not None
    assert all(np.isfinite(list(point.values())).all() for point in drawn["points"])


# Areas


def _counties(survey: Survey, error: str | None = None) -> Survey:
    names = {"NA": (0, 0.4), "007": (0.4, 0.7), HOSTILE: (0.7, 1)}
    left, bottom, right, top = survey.grid.bounds
    shapes = {
        name: shapely.box(left + a * (right - left), bottom, left + b * (right - left), top)
        for name, (a, b) in names.items()
    }
    found = vectors.read_part(survey.workspace.inventory / "landslides.parquet")
    table = areas.figures(shapes, [{"NA": [90_000, 4000], "007": [0, 0]}], found, 1e-4)
    vectors.write_csv(survey.workspace.inventory / "areas.csv", table.drop(columns="geometry"))
    receipts.write(
        survey.workspace.receipts,
        Receipt("figures", "all", "d", 0.1, 0, 1.0, "host:1", "2020-10-01T00:00:00+00:00", error=error),
    )
    inventory = survey.config.inventory.model_copy(update={"areas": survey.config.output / "counties.gpkg"})
    return replace(survey, config=survey.config.model_copy(update={"inventory": inventory}))


def test_areas_are_those_of_the_file(plain: Survey) -> None:
    survey = _counties(plain)
    found = accuracy_section.counties(survey)
    assert found is not None
    assert [row["area"] for row in found["rows"]] == ["NA", "007", HOSTILE]
    assert sum(row["landslides"] for row in found["rows"]) == len(
        vectors.read_part(plain.workspace.inventory / "landslides.parquet")
    )
    # without a surveyed pixel there is no share
    assert found["rows"][0]["landslide_share"] == pytest.approx(4000 / 90_000, abs=5e-7)
    assert found["rows"][1]["landslide_share"] is None
    assert '<th scope="row">007</th>' in _page(survey)


def test_areas_of_an_older_run_are_not_shown(plain: Survey) -> None:
    survey = _counties(plain, error="the county layer has a hole")
    assert accuracy_section.counties(survey) == {"rows": [], "fault": "the county layer has a hole"}
    assert 'id="areas"' not in _page(plain)


# Texts from outside


def test_records_come_back_as_they_were(plain: Survey) -> None:
    found = vectors.read_part(plain.workspace.inventory / "landslides.parquet")
    data = json.loads(json.dumps(landslide_table.records(found, ())))
    assert {*data["same"], *data["columns"]} == set(found.columns) - {"geometry"}
    for name in found.columns.drop("geometry"):
        back = data["columns"].get(name, [data["same"].get(name)] * len(found))
        digits = 1e-8 if name in landslide_table.PLACES else 1e-4
        for shown, value in zip(back, found[name], strict=True):
            assert (shown is None and pd.isna(value)) or shown == (
                pytest.approx(value, rel=digits) if isinstance(value, float) else value
            )


def test_hostile_records_samples_and_counties_do_nothing(page: browser.Page, tmp_path: Path) -> None:
    plain = fake_survey.make(tmp_path / "survey", Fake(truth=False))
    file = plain.workspace.inventory / "landslides.parquet"
    found = gpd.read_parquet(file)
    found["comment"], found["reviewer"] = HOSTILE, HOSTILE
    found.loc[found.index[1:], "status"] = HOSTILE
    vectors.write_parquet(file, found)
    _assessed(plain, warnings=[HOSTILE], sample=HOSTILE)
    survey = _counties(plain)
    html = _page(survey)
    assert HOSTILE not in html
    assert "owned'</script>" not in html
    assert "\u2028" not in "".join(re.findall(r"<script.*?</script>", html, re.S))
    page.open((survey.workspace.report / "report.html").as_uri())
    assert page.value("document.title") != "owned"
    assert page.value("document.images.length") == 0
    # the text itself is readable, also in the selection
    assert page.value("document.querySelector('#panel-facts').textContent").count("onerror=alert(1)") == 2
    page.value("document.querySelector('#panel-more').open = true")
    page.value("new Promise(done => setTimeout(done, 100))")
    assert page.value("document.querySelector('#panel-fields').textContent").count("onerror=alert(1)") >= 2
    assert page.errors == []
    assert [a for a in page.requests if not a.startswith(("file:", "data:"))] == []
