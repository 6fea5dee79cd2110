"""The page that compares years: escaped, self-contained, readable on a telephone, and sorted by a click."""

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.inventory.years import year_table
from lsbatch.report import years_page
from lsbatch.storage import vectors
from tests import fake_survey
from tests.browser import Page

EVIL = "<script>alert(1)</script> & \"Møre\" 'x'"


@pytest.fixture(scope="module")
def years(tmp_path_factory: pytest.TempPathFactory) -> list[Survey]:
    """Two surveys, the second linked with the first: some landslides are the same, some gone, some new."""
    folder = tmp_path_factory.mktemp("years")
    first, second = (_of_year(folder / str(year), year) for year in (2020, 2021))
    # the weights of both lie in their folders
    second = replace(second, config=second.config.model_copy(update={"model": first.config.model}))
    landslides = vectors.read_part(first.workspace.inventory / "landslides.parquet")
    landslides = landslides.assign(status="new", observation="found")
    vectors.write_parquet(first.workspace.inventory / "landslides.parquet", landslides)
    vectors.write_parquet(second.workspace.earlier, landslides)
    count = len(landslides)
    kept = landslides.assign(
        status=["persisting" if i % 3 == 0 else "new" if i % 3 == 1 else "gone" for i in range(count)],
        observation=["nothing found" if i % 3 == 2 else "found" for i in range(count)],
    )
    vectors.write_parquet(second.workspace.inventory / "landslides.parquet", kept)
    return [first, second]


def _of_year(folder: Path, year: int) -> Survey:
    made = fake_survey.make(folder)
    areas = folder / "areas.gpkg"
    left, bottom, right, top = made.grid.bounds
    middle = (left + right) / 2
    shapes = [shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)]
    pyogrio.write_dataframe(gpd.GeoDataFrame({"name": [EVIL, "west"]}, geometry=shapes, crs=made.grid.crs), areas)
    config = made.config.model_copy(
        update={
            "survey": made.config.survey.model_copy(update={"year": year}),
            "inventory": made.config.inventory.model_copy(update={"areas": areas}),
        }
    )
    return replace(made, config=config)


def test_table_is_what_the_inventory_says(years: list[Survey], tmp_path: Path) -> None:
    years_page.write(years, tmp_path)
    table = pd.read_csv(tmp_path / "years.csv")
    whole = table[table["area"] == "(whole survey)"].set_index("year")
    frame = vectors.read_part(years[1].workspace.inventory / "landslides.parquet")
    assert whole.loc[2020, "not_compared"] == len(frame)
    for change, status in (("new", "new"), ("persisting", "persisting"), ("gone", "gone")):
        assert whole.loc[2021, change] == (frame["status"] == status).sum()
        assert whole.loc[2021, f"{change}_m2"] == pytest.approx(frame.loc[frame["status"] == status, "area_m2"].sum())
    # the same ground was seen in both years
    assert whole.loc[2021, "common_km2"] == whole.loc[2021, "observed_km2"] == whole.loc[2020, "observed_km2"]
    parts = table[(table["year"] == 2021) & (table["area"] != "(whole survey)")]
    assert set(parts["area"]) == {EVIL, "west"}
    assert parts["observed_km2"].sum() == pytest.approx(whole.loc[2021, "observed_km2"], abs=1e-3)
    assert parts["gone"].sum() == whole.loc[2021, "gone"]


def test_page_is_written_again_only_if_a_survey_changed(years: list[Survey], tmp_path: Path) -> None:
    page = years_page.write(years, tmp_path)
    first = page.stat().st_mtime_ns
    assert years_page.write(years, tmp_path) == page
    assert page.stat().st_mtime_ns == first
    years_page.write(years[:1], tmp_path)
    assert page.stat().st_mtime_ns != first
    assert "2021" not in page.read_text(encoding="utf-8").split("</style>")[1]


def test_remarks_name_what_makes_years_hard_to_compare(years: list[Survey], tmp_path: Path) -> None:
    assert year_table.remarks(year_table.read(years)) == []
    clean = years[1].config.clean.model_copy(update={"threshold": 0.7})
    other = replace(years[1], config=years[1].config.model_copy(update={"clean": clean}))
    assert year_table.remarks(year_table.read([years[0], other])) == [
        "2021 was made with other settings than 2020: clean."
    ]
    moved = replace(years[0], grid=replace(years[0].grid, bounds=tuple(b + 2560 for b in years[0].grid.bounds)))
    found = year_table.read([moved, years[1]])[1]
    assert found.ground.common is None
    assert "another grid" in year_table.remarks(year_table.read([moved, years[1]]))[0]
    failed = fake_survey.make(tmp_path / "failed", fake_survey.Fake(failed="no scene"))
    assert year_table.remarks(year_table.read([failed])) == [
        "2020: 1 of 4 tiles are not done or nothing was observed in them."
    ]


def test_every_text_is_escaped(years: list[Survey], tmp_path: Path) -> None:
    text = years_page.write(years, tmp_path).read_text(encoding="utf-8")
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;Møre&#34; &#39;x&#39;" in text
    assert "secret" not in text


@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_a_browser(years: list[Survey], tmp_path: Path, page: Page, width: int) -> None:
    file = years_page.write(years, tmp_path / "out")
    page.resize(width, 900)
    page.open(file.as_uri())
    assert page.errors == []
    assert page.requests == [file.as_uri()]
    assert page.value("document.documentElement.scrollWidth") <= width
    rows = "Array.from(document.querySelector('table.sortable').tBodies[0].rows)"
    assert page.value(f"{rows}.length") == 4
    column = "Array.from(document.querySelectorAll('table.sortable th')).findIndex(h => h.textContent === 'landslides')"
    page.click("table.sortable th:nth-child(4) button")
    values = json.loads(page.value(f"JSON.stringify({rows}.map(r => +r.cells[{column}].textContent))"))
    assert values == sorted(values, reverse=True)
    page.value("(() => { const y = document.getElementById('year'); y.value = '2021'; "
               "y.dispatchEvent(new Event('change')); })()")  # fmt: skip
    assert page.value(f"{rows}.filter(r => !r.hidden).length") == 2
    # each year has a map with its changes
    assert page.value("document.querySelectorAll('.maps svg').length") == 2
    assert page.value("document.querySelectorAll('.maps figure:last-child path').length") == 1 + 3
