"""The report page: correct numbers, no active content from outside, and use in a real browser."""

import base64
import gzip
import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from lsbatch.bands import probability
from lsbatch.catalog.survey import Survey
from lsbatch.inventory import evaluation
from lsbatch.report import figures as report_facts
from lsbatch.report import images as report_pictures
from lsbatch.report import overview_map as report_map
from lsbatch.report import page as report_page
from lsbatch.report import quicklooks as report_quicklooks
from lsbatch.storage import cube, receipts
from tests import browser, fake_survey
from tests.fake_survey import Fake

HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>'


def _page(survey: Survey) -> str:
    report_page.apply(survey, survey.config)
    return (survey.workspace.report / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Four tiles, twenty landslides, truth that is shifted by 4 px."""
    survey = fake_survey.make(tmp_path_factory.mktemp("plain"))
    report_page.apply(survey, survey.config)
    return survey


@pytest.fixture(scope="module")
def html(plain: Survey) -> str:
    return (plain.workspace.report / "report.html").read_text(encoding="utf-8")


def _figures(html: str) -> list[str]:
    return re.findall(r'<dd class="big">(.*?)</dd>', html)


# The numbers


def test_the_figures_are_those_of_inventory_and_scores(plain: Survey, html: str) -> None:
    inventory = gpd.read_parquet(plain.workspace.inventory / "landslides.parquet")
    scores = evaluation.summary(plain)
    surveyed_px = sum(
        receipt.tally["surveyed_pixels"] for receipt in receipts.read_stage(plain.workspace.receipts, "clean").values()
    )
    assert _figures(html) == [
        f"{len(inventory)}",
        f"{inventory.area.sum() / 1e6:.2f} km²",
        f"{surveyed_px * 100 / 1e6:.1f} km²",
        f"{scores['mcc']:.3f}",
    ]


def _records(html: str) -> dict[str, Any]:
    (packed,) = re.findall(r'<script type="text/plain" id="records">(.*?)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_every_landslide_is_in_the_page_and_every_tile_has_a_row(plain: Survey, html: str) -> None:
    inventory = gpd.read_parquet(plain.workspace.inventory / "landslides.parquet")
    found = _records(html)
    assert found["count"] == len(found["outlines"]) == len(inventory)
    assert found["columns"]["landslide_id"] == list(inventory["landslide_id"])
    for name in {*found["columns"], *found["same"]} & {*inventory.select_dtypes("number")}:
        values = found["columns"].get(name, [found["same"].get(name)] * len(inventory))
        np.testing.assert_allclose(np.array(values, float), inventory[name].astype(float), rtol=5e-5, err_msg=name)
    assert {field[0] for field in found["fields"]} == {*found["columns"], *found["same"]}
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
    assert _figures(html)[0] == report_page.MISSING


# No text from outside can run code


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ("s2_rgb", "Sentinel-2 without near infrared (s2_rgb): preR, preG, preB, postR, postG, postB"),
        (("postNIR", "dNDVI"), "postNIR, dNDVI"),
    ],
)
def test_the_inputs_are_named(tmp_path: Path, bands: Any, said: str) -> None:
    assert f"<dt>Inputs</dt><dd>{said}</dd>" in _page(fake_survey.make(tmp_path, Fake(bands=bands)))


def test_texts_from_outside_are_escaped(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path, Fake(failed=HOSTILE, dropped=(HOSTILE,), offsets=HOSTILE))
    html = _page(survey)
    assert HOSTILE not in html
    # the page's own, which alone may run, and data
    assert (
        html.count("<script")
        == html.count("</script>")
        == 1 + len(re.findall(r'<script type="(?:application/json|text/plain)" id="', html))
    )
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
    titles = {report_quicklooks.TITLES[kind] for look in _looks(html) for kind in look["kinds"]}
    assert titles == {"before, radar VV", "after, radar VV", "radar change VV", "probability"}


def _looks(html: str) -> list[dict[str, Any]]:
    return [
        json.loads(text) for text in re.findall(r'<script type="application/json" id="look\d+">(.*?)</script>', html)
    ]


def test_a_picture_is_the_window_read_on_its_own(plain: Survey, html: str) -> None:
    """Windows are read together; each must hold its own landslide. JPEG changes values by some grey levels."""
    inventory = gpd.read_parquet(plain.workspace.inventory / "landslides.parquet")
    for look, shape in zip(_looks(html), inventory.geometry, strict=True):
        where = report_quicklooks.window(plain, shape)
        stored = cube.read_window(
            plain.workspace.store, plain.grid, probability("unet"), where.rows, where.cols, ("probability",)
        )
        alone = report_pictures.reduced(stored["probability"], (look["px"],) * 2)
        expected = report_pictures.ramped(alone, report_pictures.PROBABILITY, 0, 1)
        expected = report_pictures.hatched(expected, ~np.isfinite(alone))
        strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(look["strip"]))))
        assert strip.shape == (look["px"], len(look["kinds"]) * look["px"], 3)
        mine = strip[:, look["kinds"].index(report_quicklooks.TITLES.index("probability")) * look["px"] :][
            :, : look["px"]
        ]
        assert np.abs(mine.astype(int) - expected).mean() < 12


def test_the_page_says_which_landslides_have_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "PICTURED", 7)
    survey = fake_survey.make(tmp_path)
    html = _page(survey)
    assert len(_looks(html)) == 7
    assert (
        f"images of the 7 largest landslides. <code>lsbatch view</code> shows those of the other {_count(survey) - 7}."
        in html
    )


def test_a_sample_has_its_share_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "PICTURED", 16)
    survey = fake_survey.make(tmp_path)
    whole = _looks(_page(survey))
    report_page.of_sample(survey, survey.config, 0.25)
    assert _looks((survey.workspace.report / "report.html").read_text(encoding="utf-8")) == whole[:4]


def _count(survey: Survey) -> int:
    return len(gpd.read_parquet(survey.workspace.inventory / "landslides.parquet"))


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


def _open(page: browser.Page, survey: Survey) -> None:
    page.open((survey.workspace.report / "report.html").as_uri())
    _wait_for_list(page)


def _wait_for_list(page: browser.Page) -> None:
    page.value(
        "new Promise(done => { const look = () => document.documentElement.dataset.ready === 'yes' ? done() : "
        "setTimeout(look, 10); look(); })"
    )


SHOWN = "[...document.querySelectorAll('#list tbody tr')]"
#: Landslides on the map: each has a line.
MARKS = (
    "[...document.querySelectorAll('.marks .over path')].flatMap(p => (p.getAttribute('d') || '').split('\\n')"
    ".filter(Boolean))"
)


def _click_on_map(page: browser.Page, outline: str) -> None:
    x, y = re.findall(r"-?[\d.]+", outline)[:2]
    page.value(
        f"(() => {{ const svg = document.querySelector('#map svg'); const at = new DOMPoint({x}, {y})"
        ".matrixTransform(svg.getScreenCTM()); svg.dispatchEvent(new MouseEvent('click', {clientX: at.x, clientY: "
        "at.y, bubbles: true})); })()"
    )


def _rows_after(page: browser.Page, selector: str, value: str) -> int:
    """Set a filter field and return the number of rows that are left."""
    page.value(
        f"(() => {{ const box = document.querySelector({selector!r}); box.value = {value!r}; box.dispatchEvent(new "
        f"Event('input', {{bubbles: true}})); }})()"
    )
    page.value("new Promise(done => setTimeout(done, 300))")
    return int(page.value("parseInt(document.querySelector('#count').textContent.replace(/,/g, ''))"))


def test_a_person_can_use_it(page: browser.Page, plain: Survey) -> None:
    _open(page, plain)
    width = page.value("document.querySelector('#map svg').viewBox.baseVal.width")
    page.click("#nearer")
    assert page.value("document.querySelector('#map svg').viewBox.baseVal.width") == pytest.approx(width / 2)
    page.click("#everything")
    page.click("#list tbody tr:nth-child(3) a")
    assert page.value("document.querySelectorAll('tr.picked').length") == 1
    assert page.value("document.querySelector('.marks .picked').getAttribute('d')") == page.value(f"{MARKS}[2]")
    wanted = page.value("document.querySelector('#list tbody tr:nth-child(3) a').textContent")
    assert page.value("document.querySelector('#panel-title').firstChild.textContent") == wanted
    page.click("#next")
    assert page.value("document.querySelector('#panel-title').firstChild.textContent") == page.value(
        "document.querySelector('#list tbody tr:nth-child(4) a').textContent"
    )
    found = _records((plain.workspace.report / "report.html").read_text(encoding="utf-8"))
    _click_on_map(page, found["outlines"][-1])
    smallest = found["columns"]["landslide_id"][-1]
    assert page.value("document.querySelector('#panel-title').firstChild.textContent") == smallest
    assert page.value("document.querySelectorAll('#panel-looks svg').length") == 4
    page.click("#list thead th:nth-child(2) button")
    areas = page.value(SHOWN + ".map(r => +r.cells[1].textContent.replace(/,/g, ''))")
    assert areas == sorted(areas)
    assert page.value("document.querySelector('#list th:nth-child(2)').getAttribute('aria-sort')") == "ascending"
    assert page.errors == []
    assert [a for a in page.requests if not a.startswith(("file:", "data:"))] == []


def test_every_filter_keeps_what_it_says(page: browser.Page, plain: Survey) -> None:
    """Against the inventory, counted by pandas; the map shows the same landslides as the list."""
    inventory = gpd.read_parquet(plain.workspace.inventory / "landslides.parquet")
    _open(page, plain)
    for name, value in (("status", "gone"), ("confidence", "high"), ("review_state", "rejected")):
        assert _rows_after(page, f"select[data-field={name}]", value) == (inventory[name] == value).sum() > 0
        assert page.value(f"{MARKS}.length") == (inventory[name] == value).sum()
        _rows_after(page, f"select[data-field={name}]", "")
    low, high = float(inventory["area_m2"].quantile(0.3)), float(inventory["area_m2"].quantile(0.7))
    assert _rows_after(page, "#least", repr(low)) == (inventory["area_m2"] >= low).sum()
    assert _rows_after(page, "#most", repr(high)) == inventory["area_m2"].between(low, high).sum()
    page.click("#filter button[type=reset]")
    assert _rows_after(page, "#find", inventory["landslide_id"].iloc[4]) == 1
    assert _rows_after(page, "#find", "no such thing") == 0
    assert page.value("document.querySelector('#place').textContent") == "not in the list of 0"
    assert page.errors == []


def test_the_keyboard_is_enough(page: browser.Page, plain: Survey) -> None:
    _open(page, plain)
    page.value("document.querySelector('#list thead th:nth-child(1) button').focus()")
    page.key("Enter")
    ids = page.value(SHOWN + ".map(r => r.cells[0].textContent)")
    assert ids == sorted(ids)
    page.value("document.querySelector('#list tbody tr:nth-child(2) a').focus()")
    page.key("Enter")
    assert page.value("document.activeElement.id") == "panel-title"
    assert page.value("document.querySelector('#panel-title').firstChild.textContent") == ids[1]
    assert page.value("document.querySelector('#panel-said').textContent").startswith(f"Selected {ids[1]}")
    page.key("Tab")
    page.value("document.querySelector('#to-list').focus()")
    page.key("Enter")
    assert page.value("document.activeElement.textContent") == ids[1]


@pytest.mark.slow(ci=True)
def test_fifty_thousand_landslides(page: browser.Page, crowd: Survey, capsys: pytest.CaptureFixture[str]) -> None:
    file = crowd.workspace.report / "report.html"
    assert file.stat().st_size < 30e6
    began = time.monotonic()
    page.open(file.as_uri())
    _wait_for_list(page)
    seconds = time.monotonic() - began
    html = file.read_text(encoding="utf-8")
    with capsys.disabled():
        print(
            f"\n50,000 landslides: {file.stat().st_size / 1e6:.1f} MB, ready after {seconds:.2f} s, "
            f"{len(_looks(html))} with pictures"
        )
    assert page.value("document.querySelector('#count').textContent") == "50,000 of 50,000 shown"
    assert page.value(f"{SHOWN}.length") == report_page.FIRST_ROWS
    # the map has their number in cells, until one zooms to one of them
    cells = "[...document.querySelectorAll('.cells rect')].map(r => +r.dataset.count)"
    assert sum(page.value(cells)) == 50_000
    assert page.value(f"{MARKS}.length") == 0
    page.click("#list tbody tr:nth-child(2) a")
    assert page.value(cells) == []
    assert 0 < page.value(f"{MARKS}.length") <= 2000
    assert page.value("document.querySelector('.marks .picked').getAttribute('d')") in page.value(MARKS)
    page.click("#everything")
    page.click("#list thead th:nth-child(1) button")
    assert page.value("document.querySelector('#list tbody a').textContent") == "synthetic-fake-0000000001"
    page.click("#page-after")
    assert page.value("document.querySelector('#list tbody a').textContent") == f"synthetic-fake-{201:010x}"
    page.click("#last-page")
    assert page.value(f"{SHOWN}.at(-1).cells[0].textContent") == f"synthetic-fake-{50_000:010x}"
    assert page.value("document.querySelector('#page-place').textContent") == "landslides 49,801 to 50,000 of 50,000"
    assert _rows_after(page, "#find", "synthetic-fake-0000000fff") == 1
    page.click("#list tbody tr a")
    assert page.value("document.querySelector('#panel-title').firstChild.textContent") == "synthetic-fake-0000000fff"
    # the smallest landslide has no images, and the page says so
    page.value("document.querySelector('#filter').reset()")
    page.value("location.hash = '#l49999'")
    page.value("new Promise(done => setTimeout(done, 300))")
    assert "No images" in page.value("document.querySelector('#panel-note').textContent")
    page.click("#to-list")
    assert page.value("document.activeElement.textContent") == _records(html)["columns"]["landslide_id"][-1]
    assert page.errors == []


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    survey = fake_survey.make(tmp_path_factory.mktemp("crowd"), Fake(truth=False))
    fake_survey.multiply(survey, 50_000)
    report_page.apply(survey, survey.config)
    return survey


def test_a_browser_that_cannot_unpack_says_so(page: browser.Page, plain: Survey, tmp_path: Path) -> None:
    html = (plain.workspace.report / "report.html").read_text(encoding="utf-8")
    broken = re.sub(r'(id="records">).{100}', r"\1", html)
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    page.open((tmp_path / "broken.html").as_uri())
    page.value("new Promise(done => setTimeout(done, 500))")
    assert "The files contain all landslides" in page.value("document.querySelector('#list-fault').textContent")
    assert not page.value("document.querySelector('#list-fault').hidden")


#: Each text's contrast with what is painted below it, by WCAG 2.1's relative luminance; controls that are off are
#: exempt.
CONTRAST = """(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = (c) => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const under = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c[3] > 0.8) return c.slice(0, 3); } return [255, 255, 255]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest('script, noscript, :disabled, [hidden], .map svg')
      || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), pair = [parse(e.closest('svg') ? style.fill
      : style.color).slice(0, 3), under(e)].map(light).sort((a, b) => b - a);
    found.push([(pair[0] + 0.05) / (pair[1] + 0.05), node.data.trim().slice(0, 40)]);
  }
  return found;
})()"""


def test_every_text_can_be_read(page: browser.Page, tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path / "survey", Fake(failed="cannot be read", dropped=("S2B_x: is truncated",)))
    report_page.apply(survey, survey.config)
    _open(page, survey)
    page.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = page.value(CONTRAST)
    assert len(found) > 300
    assert [(round(ratio, 2), text) for ratio, text in found if ratio < 4.5] == []
    # for screen readers, every image and every control has a name
    nameless = (
        "[...document.querySelectorAll('img, svg[role=img], button, input, select')].filter(e => "
        "!(e.getAttribute('alt') || e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && "
        "e.labels.length))).length"
    )
    assert page.value(nameless) == 0


def test_colours_of_marks_are_okabe_and_itos() -> None:
    """Eight colours that are distinct for every kind of colour blindness (Okabe and Ito 2008)."""
    palette = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}
    css = (Path(report_page.__file__).parent / "page.css").read_text(encoding="utf-8")
    named = dict(re.findall(r"--(mark|pick|law): (#[0-9a-f]{6})", css))
    assert set(named) == {"mark", "pick", "law"}
    assert {*named.values(), report_pictures.FOUND, report_pictures.FALSE, report_pictures.MISSED} <= palette


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_the_width(page: browser.Page, plain: Survey, width: int) -> None:
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
    report_page.apply(survey, survey.config)
    _open(page, survey)
    assert page.value("document.title") != "owned"
    assert page.errors == []
