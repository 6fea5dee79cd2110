"""The report: its numbers are the survey's, nothing in it can act, and a person can use it in a real browser."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from lsbatch.archive import receipts
from lsbatch.archive.survey import Survey
from lsbatch.stages import evaluate, report
from lsbatch.stages.report import facts as report_facts
from lsbatch.stages.report import map as report_map
from lsbatch.stages.report import pictures as report_pictures
from tests import browser
from tests.stages import fake_survey
from tests.stages.fake_survey import Fake

HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'


def _page(survey: Survey) -> str:
    report.apply(survey, survey.config)
    return (survey.workspace.report / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Four tiles, twenty landslides, truth that is shifted by 4 px."""
    survey = fake_survey.make(tmp_path_factory.mktemp("plain"))
    report.apply(survey, survey.config)
    return survey


@pytest.fixture(scope="module")
def html(plain: Survey) -> str:
    return (plain.workspace.report / "report.html").read_text(encoding="utf-8")


def _figures(html: str) -> list[str]:
    return re.findall(r'<dd class="big">(.*?)</dd>', html)


# The numbers


def test_the_figures_are_those_of_inventory_and_scores(plain: Survey, html: str) -> None:
    inventory = gpd.read_parquet(plain.workspace.inventory / "landslides.parquet")
    scores = evaluate.summary(plain)
    surveyed_px = sum(
        receipt.tally["surveyed_pixels"] for receipt in receipts.read_stage(plain.workspace.receipts, "clean").values()
    )
    assert _figures(html) == [
        f"{len(inventory)}",
        f"{inventory.area.sum() / 1e6:.2f} km²",
        f"{surveyed_px * 100 / 1e6:.1f} km²",
        f"{scores['mcc']:.3f}",
    ]


def test_every_landslide_and_every_tile_has_a_row(plain: Survey, html: str) -> None:
    inventory = gpd.read_parquet(plain.workspace.inventory / "landslides.parquet")
    shown = re.findall(r'<tr id="l\d+".*?<td class="n">([\d,]+)</td>', html)
    assert shown == [f"{area:,.0f}" for area in inventory["area_m2"]]
    assert all(f"<td>{plain.tile(p).id}</td>" in html for p in plain.positions)


def test_time_is_the_sum_of_the_receipts(plain: Survey) -> None:
    records = report_facts.read(plain, plain.config)
    rows = {row["name"]: row for row in report_facts.stages(records)}
    for name, row in rows.items():
        seconds = [r.seconds for r in receipts.read_stage(plain.workspace.receipts, name).values()]
        assert row["seconds"] == pytest.approx(sum(seconds))
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)


def test_a_failed_tile_stands_at_the_top(tmp_path: Path) -> None:
    html = _page(fake_survey.make(tmp_path, Fake(failed="scene_7.tif: is truncated")))
    banner = html.split('role="alert">')[1].split("</div>")[0]
    assert "1 of 4 tiles failed" in banner
    assert f"{fake_survey.tile(0, 1)}: stack: scene_7.tif: is truncated" in banner
    assert "1 of 4 tiles are not in these counts" in html


def test_scenes_that_were_left_out_are_named(tmp_path: Path) -> None:
    html = _page(fake_survey.make(tmp_path, Fake(dropped=("S2B_x: B04.tif is truncated",))))
    assert f"S2B_x: B04.tif is truncated ({fake_survey.tile(0, 0)})" in html


def test_without_truth_no_score_is_made_up(tmp_path: Path) -> None:
    html = _page(fake_survey.make(tmp_path, Fake(truth=False)))
    assert len(_figures(html)) == 3
    assert "MCC" not in html.split('id="accuracy"')[1].split("</section>")[0]
    assert "Not known: " in html


def test_a_score_that_does_not_exist_is_called_undefined(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path, Fake(landslides=0))
    html = _page(survey)
    assert "No landslide of at least 500 m²" in html
    assert '<th scope="row">MCC</th><td class="n">undefined</td>' in html


def test_a_survey_without_inventory_says_so(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path)
    found = receipts.read_stage(survey.workspace.receipts, "inventory")["all"]
    receipts.write(survey.workspace.receipts, replace(found, error="disk full", tally={}))
    html = _page(survey)
    assert "There is no inventory</strong>disk full" in html
    assert _figures(html)[0] == report.MISSING


# Nothing in it can act


def test_texts_from_outside_are_escaped(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path, Fake(failed=HOSTILE, dropped=(HOSTILE,), offsets=HOSTILE))
    html = _page(survey)
    assert HOSTILE not in html
    assert html.count("<script") == 1
    assert "<img src=x" not in html
    assert html.count("&lt;script&gt;") >= 3


def test_no_secret_of_the_settings_is_shown(html: str) -> None:
    assert "example.org/stac" in html
    assert "secret" not in html


def test_no_address_leaves_the_page(html: str) -> None:
    addresses = set(re.findall(r'(?:href|src)="([^"]*)"', html))
    outside = {a for a in addresses if not a.startswith(("#", "data:", "../inventory/"))}
    assert outside == set()


# Pictures


def test_radar_is_shown_where_there_is_no_optical_picture(tmp_path: Path) -> None:
    html = _page(fake_survey.make(tmp_path, Fake(bands="s1vv", archives=("sentinel1",))))
    assert "before, radar VV" in html
    assert "true colour" not in html.split('id="largest"')[1]


def test_before_and_after_share_a_stretch() -> None:
    dark, bright = np.full((4, 4), 0.1), np.full((4, 4), 0.3)
    how = report_pictures.stretch(dark, bright)
    assert report_pictures.grey(dark, how).max() < report_pictures.grey(bright, how).min()


def test_reduction_is_the_mean_of_what_is_known() -> None:
    values = np.array([[1, 3, np.nan, np.nan], [1, 3, np.nan, 8]], np.float32)
    np.testing.assert_array_equal(report_pictures.reduced(values, (1, 2)), [[2, np.nan]])


def test_hatching_changes_nothing_elsewhere() -> None:
    picture = np.full((8, 8, 3), 9, np.uint8)
    hole = np.zeros((8, 8), bool)
    hole[:4] = True
    out = report_pictures.hatched(picture, hole)
    assert (out[4:] == 9).all()
    assert (out[:4] != 9).all()


def test_a_picture_of_noise_can_be_written() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), dtype=np.uint8)
    assert report_pictures.jpeg_uri(noise).startswith("data:image/jpeg;base64,")


def test_the_path_of_a_polygon_has_its_holes() -> None:
    ring = shapely.box(0, 0, 10, 10).difference(shapely.box(2, 2, 4, 4))
    assert report_map.path(ring).count("Z") == 2


# In a browser


@pytest.fixture
def page(tmp_path: Path) -> Iterator[browser.Page]:
    if browser.program() is None:
        pytest.skip("no Chromium on this machine; make system-packages installs it")
    with browser.Page(tmp_path) as page:
        yield page


def _open(page: browser.Page, survey: Survey) -> None:
    page.open((survey.workspace.report / "report.html").as_uri())


def test_a_person_can_use_it(page: browser.Page, plain: Survey) -> None:
    _open(page, plain)
    width = page.value("document.querySelector('#map svg').viewBox.baseVal.width")
    page.click("#nearer")
    assert page.value("document.querySelector('#map svg').viewBox.baseVal.width") == pytest.approx(width / 2)
    page.click("#everything")
    page.click("#list tbody tr:nth-child(3) a")
    assert page.value("document.querySelectorAll('.picked').length") == 3
    page.click("#list thead th:nth-child(2) button")
    areas = page.value("[...document.querySelectorAll('#list tbody tr')].map(r => +r.cells[1].textContent.replace(/,/g, ''))")
    assert areas in (sorted(areas), sorted(areas, reverse=True))
    page.value("(() => { const box = document.getElementById('find'); box.value = document.querySelector('#list tbody a').textContent;"
        " box.dispatchEvent(new Event('input')); })()")
    assert page.value("document.querySelectorAll('#list tbody tr:not([hidden])').length") == 1
    assert page.errors == []
    assert [a for a in page.requests if not a.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out(page: browser.Page, plain: Survey, width: int) -> None:
    page.resize(width, 900)
    _open(page, plain)
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_pictures_are_really_drawn(page: browser.Page, plain: Survey, tmp_path: Path) -> None:
    """The map's middle is not one colour: pictures came through the content security policy."""
    _open(page, plain)
    page.value("document.querySelector('#map').scrollIntoView({behavior: 'instant'})")
    page.picture(tmp_path / "view.png", whole=False)
    seen = np.asarray(Image.open(tmp_path / "view.png").convert("L"))[200:600, 400:900]
    assert seen.std() > 10


def test_hostile_texts_do_nothing(page: browser.Page, tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path / "survey", Fake(failed=HOSTILE, dropped=(HOSTILE,), offsets=HOSTILE))
    report.apply(survey, survey.config)
    _open(page, survey)
    assert page.value("document.title") != "owned"
    assert page.errors == []
