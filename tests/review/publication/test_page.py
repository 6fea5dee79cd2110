"""The page of a published folder in a browser: files from a server with ranges, and nothing else."""

import http.server
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd
import pytest

from lsbatch.review.publication import publish
from lsbatch.settings import PublishSettings
from tests import browser, servers
from tests.review.page_server import drawn, until
from tests.review.publication import finished_survey
from tests.review.publication.finished_survey import HOSTILE, ID, REMARK, REVIEWER

WIDTHS = (1280, 390)
SETTINGS = PublishSettings(
    title=f"Skred {HOSTILE}", citation=HOSTILE, contact=HOSTILE, disclaimer=f"No warranty {HOSTILE}"
)
COUNT = "document.getElementById('count').textContent"
FACTS = "document.querySelectorAll('#facts dd').length > 10 && document.querySelectorAll('#pictures img').length > 0"
#: Ids of the landslides that the map draws.
ON_MAP = (
    "[...new Set(window.lsbatchMap.queryRenderedFeatures({layers: ['points', 'outline']})"
    ".filter(one => !one.state.hidden).map(one => one.id))].sort((a, b) => a - b)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("page")
    publish(finished_survey.make(home, publish=SETTINGS), home / "site", lambda line: None)
    return home / "site"


@pytest.fixture(scope="module")
def frame(folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(folder / "inventory" / "landslides.parquet")


@pytest.fixture(params=WIDTHS)
def page(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[browser.Page]:
    """The page at both widths; at the end nothing came from elsewhere, and no fault was told."""
    if browser.program() is None:
        pytest.skip("no Chromium is installed")
    with servers.serve(folder) as served, browser.Page(tmp_path, request.param) as opened:
        opened.open(f"{served.url}/index.html")
        drawn(opened)
        yield opened
        # a browser completes a cached part of a file with a compressed rest, if the server compresses whole files
        both = [path for path, count in served.ranged.items() if served.asked[path] > count]
        assert both == []
        assert served.ranged
        elsewhere = [one for one in opened.requests if not one.startswith((f"{served.url}/", "blob:", "data:"))]
        assert elsewhere == []
        assert opened.errors == []
        assert opened.value("document.title") == SETTINGS.title


def shown(page: browser.Page) -> list[str]:
    return page.value("[...document.querySelectorAll('#list button span:first-child')].map(e => e.textContent)")


def choose(page: browser.Page, name: str, value: str) -> None:
    page.value(
        f"(() => {{ const e = document.getElementById({json.dumps(name)}); e.value = {json.dumps(value)}; "
        "e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); })()"
    )
    page.value("new Promise(done => setTimeout(done, 250))")


def test_every_landslide_is_in_the_list_and_on_the_map(page: browser.Page, frame: gpd.GeoDataFrame) -> None:
    assert shown(page) == frame[ID].tolist()
    assert page.value(ON_MAP) == list(range(len(frame)))
    page.value("window.lsbatchMap.jumpTo({zoom: 8}); 0")
    drawn(page)
    assert page.value(ON_MAP) == list(range(len(frame)))
    assert f"{len(frame)} landslides" in page.value(COUNT)


def test_the_map_does_not_wait_for_tiles_that_an_archive_lacks(page: browser.Page) -> None:
    """Inside of a survey's bounds too: tiles without a value are not in the archives."""
    page.value(
        "(() => { const map = window.lsbatchMap, {tiles, maxzoom} = map.getStyle().sources.image; "
        "map.addSource('around', {type: 'raster', tiles, maxzoom, tileSize: 512}); "
        "map.addLayer({id: 'around', type: 'raster', source: 'around'}); map.jumpTo({zoom: 7}); })()"
    )
    drawn(page)


def test_a_click_on_the_map_shows_the_record(page: browser.Page, frame: gpd.GeoDataFrame) -> None:
    place = frame.to_crs("EPSG:4326").geometry.iat[2].representative_point()
    page.value(f"window.lsbatchMap.jumpTo({{center: [{place.x}, {place.y}], zoom: 15}}); 0")
    drawn(page)
    page.click("#map canvas")
    until(page, FACTS)
    assert page.value("document.getElementById('name').textContent") == frame[ID].iat[2]
    facts = page.value("document.getElementById('facts').textContent")
    assert f"{frame['area_m2'].iat[2]:.0f}" in facts
    assert "2020-06-29" in facts
    titles = page.value("[...document.querySelectorAll('#pictures figcaption')].map(e => e.textContent)")
    assert [one.split(",")[0] for one in titles] == ["before", "after", "radar change VV", "probability"]
    assert page.value("[...document.querySelectorAll('#pictures img')].every(e => e.naturalWidth > 0)")


def test_filters_hold_for_list_and_map(page: browser.Page, frame: gpd.GeoDataFrame) -> None:
    choose(page, "filter", "confirmed")
    wanted = [i for i, state in enumerate(frame["review_state"]) if state == "confirmed"]
    assert 0 < len(wanted) < len(frame)
    assert shown(page) == frame[ID].iloc[wanted].tolist()
    until(page, f"{ON_MAP}.length === {len(wanted)}")
    assert page.value(ON_MAP) == wanted
    choose(page, "filter", "")
    choose(page, "search", "east")
    found = shown(page)
    assert 0 < len(found) < len(frame)
    choose(page, "search", frame[ID].iat[1])
    assert shown(page) == [frame[ID].iat[1]]


def test_hostile_texts_stay_texts(page: browser.Page, frame: gpd.GeoDataFrame) -> None:
    assert page.value("document.querySelector('h1').textContent") == SETTINGS.title
    assert HOSTILE in page.value("document.getElementById('about').textContent")
    assert page.value("document.querySelectorAll('script').length") == 3
    assert any(
        "<script>" in one for one in page.value("[...document.querySelectorAll('#county option')].map(e => e.text)")
    )
    page.click("#list li:nth-child(2) button")
    until(page, FACTS)
    assert HOSTILE in page.value("document.getElementById('facts').textContent")
    whole = page.value("document.documentElement.outerHTML")
    assert REVIEWER not in whole
    assert REMARK not in whole
    assert page.value("document.querySelectorAll('img[src=x]').length") == 0


def test_keys(page: browser.Page, frame: gpd.GeoDataFrame) -> None:
    page.click("#list li:first-child button")
    until(page, FACTS)
    page.key("j")
    until(page, f"document.getElementById('name').textContent === '{frame[ID].iat[1]}'")
    page.key("k")
    until(page, f"document.getElementById('name').textContent === '{frame[ID].iat[0]}'")
    # keys of answers do nothing
    for key in "crued":
        page.key(key)
    page.key("f")
    drawn(page)
    assert page.value(ON_MAP) == list(range(len(frame)))
    page.key("/")
    assert page.value("document.activeElement.id") == "search"
    page.value("window.lsbatchMap.getCanvas().focus()")
    before = page.value("window.lsbatchMap.getCenter().lng")
    page.key("ArrowRight")
    until(page, f"window.lsbatchMap.getCenter().lng > {before}")


def test_it_is_read_only_and_fits_its_width(page: browser.Page) -> None:
    assert page.value("document.querySelectorAll('form, #reviewer, #draw, #edit, [data-state]').length") == 0
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    assert not any("answers" in one or "draw.js" in one for one in page.requests)


def test_images_are_compared(page: browser.Page) -> None:
    for image in ("probability", "mask", "before"):
        choose(page, "image", image)
        drawn(page)
        assert page.value("window.lsbatchMap.getLayer('image') !== undefined")
    choose(page, "beside", "after")
    until(page, "window.lsbatchMaps.length === 2 && window.lsbatchMaps[1].loaded()")
    assert any("/tiles/after.pmtiles" in one for one in page.requests)


def test_a_server_without_ranges_is_told(folder: Path, tmp_path: Path) -> None:
    """`python -m http.server` sends whole files: the page says so."""
    if browser.program() is None:
        pytest.skip("no Chromium is installed")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with (
        servers.answering(partial(Quiet, directory=str(folder))) as address,
        browser.Page(tmp_path) as opened,
    ):
        opened.open(f"{address}/index.html")
        until(opened, f"{COUNT}.includes('this web server does not answer ranges of files')")
