"""Outlines that reviewers draw: refused or stored, shown on the page, and taken up by the inventory."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from lsbatch.catalog.survey import Survey
from lsbatch.errors import StaleStoreError
from lsbatch.inventory import records, reviews, schema, year_matching
from lsbatch.review import Case, listing
from lsbatch.review.answers import RefusedError
from lsbatch.storage import cube, journal
from tests import browser, fake_survey
from tests.fake_survey import Fake
from tests.review.page_server import ID, drawn, serving, until

PROVENANCE = {"model": "unet", "weights": "w", "settings": "s", "software": "lsbatch"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return fake_survey.make(tmp_path_factory.mktemp("drawing"), Fake(landslides=8, truth=False))


@pytest.fixture
def survey(made: Survey) -> Iterator[Survey]:
    made.workspace.answers.unlink(missing_ok=True)
    yield made
    made.workspace.answers.unlink(missing_ok=True)


def lonlat(survey: Survey, shape: shapely.Geometry) -> list[list[float]]:
    """Corners of a polygon in degrees, the first one not repeated."""
    to_lonlat = Transformer.from_crs(survey.grid.crs, "EPSG:4326", always_xy=True)
    return [list(to_lonlat.transform(*xy)) for xy in shapely.get_coordinates(shape)[:-1].tolist()]


def free(survey: Survey, width: float = 120.0, height: float = 80.0) -> shapely.Polygon:
    """A box that no landslide touches."""
    taken = shapely.union_all(reviews.records(survey).geometry.values)
    for x in np.arange(300500, 304000, 50):
        box = shapely.box(x, 6801000, x + width, 6801000 + height)
        if not taken.intersects(box):
            return box
    raise AssertionError("no free place")


def answer(name: str, corners: Any, **changes: Any) -> dict[str, Any]:
    said = {ID: name, "state": "confirmed", "reviewer": "Kari", "comment": "seen on foot", "count": 0}
    return said | {"corners": corners} | changes


def test_a_missed_landslide_is_stored_and_shown(survey: Survey) -> None:
    case, box = Case(survey), free(survey)
    count = len(case.frame)
    added, said = case.keep(answer("", lonlat(survey, box)))
    assert added
    assert said["state"] == "confirmed"
    assert case.rows[said[ID]] == count
    assert case.edition == 1
    assert (
        case.frame.geometry.iat[count].equals_exact(box, 0.02)
        or case.frame.geometry.iat[count].symmetric_difference(box).area < 1
    )
    (line,) = journal.read(survey.workspace.answers)
    assert line["missed"] is True
    assert (line["version"], line["reviewer"], line["comment"]) == (1, "Kari", "seen on foot")
    # another page, and the list
    columns = listing.of_case(Case(survey), None)["columns"]
    assert columns["id"][count] == said[ID]
    assert columns["area"][count] == round(box.area)
    # withdrawn
    case.keep({ID: said[ID], "state": "rejected", "reviewer": "Ola", "comment": "", "count": 1})
    assert reviews.drawings(journal.read(survey.workspace.answers)) == {}
    assert len(Case(survey).frame) == count
    # and drawn again, under an id of its own
    assert Case(survey).keep(answer("", lonlat(survey, box)))[1][ID] != said[ID]


def test_an_edited_outline_replaces_the_old_one(survey: Survey) -> None:
    case = Case(survey)
    name, old = case.frame[ID].iat[2], case.frame.geometry.iat[2]
    new = shapely.box(*old.bounds).buffer(15, join_style="mitre")
    assert case.keep(answer(name, lonlat(survey, new)))[0]
    assert case.frame.geometry.iat[2].symmetric_difference(new).area < 2
    assert Case(survey).frame.geometry.iat[2].symmetric_difference(new).area < 2
    # a second reviewer who has not seen it
    added, said = case.keep(answer(name, lonlat(survey, new), reviewer="Ola"))
    assert (added, said["reviewer"]) == (False, "Kari")
    found = reviews.read(survey)
    assert [one.symmetric_difference(new).area < 2 for one in found.confirmed] == [True]


@pytest.mark.parametrize(
    ("corners", "words"),
    [
        ([], "3 to 2,000 corners"),
        ([[10, 60], [10.1, 60]], "3 to 2,000 corners"),
        ([[10, 60]] * 2001, "3 to 2,000 corners"),
        ("x", "3 to 2,000 corners"),
        ([[10, 60], [10, "61"], [11, 60]], "longitude and latitude"),
        ([[10, 60], [10, True], [11, 60]], "longitude and latitude"),
        ([[10, 60], [10, float("nan")], [11, 60]], "longitude and latitude"),
        ([[10, 60], [10, 90], [11, 60]], "longitude and latitude"),
        ([[10, 60], [10, 61, 5], [11, 60]], "longitude and latitude"),
        ([[10, 60], [10, 61], [11, 60]], "must lie in the survey"),
        ([[-179, -80], [179, 80], [0, 0]], "must lie in the survey"),
    ],
)
def test_what_is_no_outline_is_refused(survey: Survey, corners: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        Case(survey).keep(answer("", corners))
    assert journal.read(survey.workspace.answers) == []


def test_outlines_that_make_no_sense_are_refused(survey: Survey) -> None:
    case, box = Case(survey), free(survey)
    x, y = box.bounds[:2]
    bow = shapely.Polygon([(x, y), (x + 100, y + 100), (x + 100, y), (x, y + 100)])
    name, shape = case.frame[ID].iat[0], case.frame.geometry.iat[0]
    for one, corners, changes, words in (
        ("", lonlat(survey, bow), {}, "crosses or touches itself"),
        ("", lonlat(survey, shapely.box(x, y, x + 5, y + 5)), {}, "at least the area of a pixel"),
        ("", lonlat(survey, shapely.box(*shape.bounds)), {}, f"{name} covers most of the outline"),
        (name, lonlat(survey, box), {}, "does not touch the landslide"),
        (name, lonlat(survey, shape.convex_hull), {"state": "rejected"}, "state must be confirmed with an outline"),
        ("no such", lonlat(survey, box), {}, "no landslide with this id"),
    ):
        with pytest.raises(RefusedError, match=words):
            case.keep(answer(one, corners, **changes))
    # without corners, an id is needed
    said = answer("", [])
    del said["corners"]
    with pytest.raises(RefusedError, match="no landslide with this id"):
        case.keep(said)
    assert journal.read(survey.workspace.answers) == []


def test_a_line_that_is_no_polygon_is_named(survey: Survey) -> None:
    line = {
        ID: "x-1",
        "version": 1,
        "outline": [[0, 0], [1, 1]],
        "missed": True,
        "state": "confirmed",
        "reviewer": "K",
        "comment": "",
    }
    journal.append(survey.workspace.answers, line)
    with pytest.raises(StaleStoreError, match="outline of x-1 is no polygon"):
        Case(survey)


def test_the_inventory_takes_them_up(survey: Survey) -> None:
    """An edited and two missed outlines; the fields against the pixels inside, one of the outlines across tiles."""
    case = Case(survey)
    frame = case.frame
    name, old = frame[ID].iat[1], frame.geometry.iat[1]
    edited, missed = old.buffer(12).simplify(3), free(survey)
    # across the four tiles of the survey
    left, bottom, right, top = survey.grid.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    cross = shapely.box(x - 33, y - 47, x + 51, y + 29) - shapely.union_all(frame.geometry.values)
    cross = max(shapely.get_parts(cross), key=shapely.area)
    cross = shapely.Polygon(cross.exterior)
    for one, shape in ((name, edited), ("", missed), ("", cross)):
        assert case.keep(answer(one, lonlat(survey, shape)))[0]
    found = reviews.with_drawings(survey, survey.config, frame, PROVENANCE)
    assert len(found) == len(frame) + 2
    assert list(found.columns) == list(frame.columns)
    assert (found.dtypes == frame.dtypes).all()
    by_kind = {kind: found[found["outline"] == kind] for kind in (schema.DRAWN, schema.EDITED)}
    assert [len(one) for one in by_kind.values()] == [2, 1]
    added = by_kind[schema.DRAWN].drop(columns="geometry")
    schema.check({column: values.tolist() for column, values in added.items()})
    bands = cube.read_window(
        survey.workspace.store, survey.grid, fake_survey.STACK, slice(0, 512), slice(0, 512), ("elevation", "diffVV")
    )
    px, py = np.meshgrid(np.arange(512) + 0.5, np.arange(512) + 0.5)
    gx, gy = survey.grid.geobox.transform @ (px, py)
    for _, row in found[found["outline"].isin((schema.DRAWN, schema.EDITED))].iterrows():
        inside = shapely.contains_xy(row.geometry, gx, gy)
        assert row["elevation_max_m"] == pytest.approx(bands["elevation"][inside].max(), abs=0.2)
        assert row["dvv_mean_db"] == pytest.approx(np.nanmean(bands["diffVV"][inside]), abs=1e-3)
        assert row["area_m2"] == pytest.approx(row.geometry.area, rel=2e-3)
        assert (row["review_state"], row["reviewer"], row["comment"]) in (
            ("confirmed", "Kari", "seen on foot"), ("unreviewed", "", ""), ("confirmed", "", ""), ("rejected", "", ""),
        )  # fmt: skip
    new = by_kind[schema.DRAWN]
    assert (new["review_state"] == "confirmed").all()
    assert (new[list(PROVENANCE)] == list(PROVENANCE.values())).all(axis=None)
    assert set(";".join(new["tiles"]).split(";")) >= {"r000c000", "r001c001"}
    assert by_kind[schema.EDITED][ID].tolist() == [name]
    # all others are as before
    same = found.set_index(ID).loc[[one for one in frame[ID] if one != name]]
    before = frame.set_index(ID).loc[same.index]
    assert same.drop(columns="geometry").equals(before.drop(columns="geometry"))
    # the same again
    again = reviews.with_drawings(survey, survey.config, frame, PROVENANCE)
    assert again.equals(found)
    # a landslide that the survey finds by now is not missed any more
    more = frame.copy()
    more.loc[0, "geometry"] = shapely.MultiPolygon([missed.buffer(5)])
    assert len(reviews.with_drawings(survey, survey.config, more, PROVENANCE)) == len(frame) + 1


def test_without_drawings_nothing_is_read(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = reviews.records(survey)
    monkeypatch.setattr(cube, "read", lambda *_: pytest.fail("the cube was read"))
    assert reviews.with_drawings(survey, survey.config, frame, PROVENANCE) is frame


@pytest.mark.slow
def test_the_same_outline_gives_the_same_record(done_survey: Survey, tmp_path: Path) -> None:
    """Outlines of found landslides, drawn by a reviewer, are measured as the pipeline measured them."""
    shutil.copytree(done_survey.config.output, tmp_path / "survey")
    config = done_survey.config.model_copy(update={"output": tmp_path / "survey"})
    survey = Survey(config, done_survey.grid, done_survey.positions)
    frame = reviews.records(survey)
    whole = frame[shapely.get_num_geometries(frame.geometry.values) == 1]
    whole = whole[[not len(one.geoms[0].interiors) for one in whole.geometry]]
    for name, shape in zip(whole[ID], whole.geometry, strict=True):
        line = {ID: name, "version": 1, "state": "confirmed", "reviewer": "Kari", "comment": "", "at": ""}
        journal.append(survey.workspace.answers, line | {"outline": shapely.get_coordinates(shape)[:-1].tolist()})
    assert len(whole) > 5
    records.apply(survey, config)
    after = reviews.records(survey).set_index(ID).loc[whole[ID]]
    before = whole.set_index(ID)
    assert (after["outline"] == schema.EDITED).all()
    changing = ["outline", *year_matching.REVIEW, "geometry", "review_state"]
    for name in before.columns.drop(changing, errors="ignore"):
        if before[name].dtype.kind == "f":
            np.testing.assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            assert (after[name] == before[name]).all(), name


def test_a_person_can_draw_and_edit(survey: Survey, tmp_path: Path) -> None:
    """By keyboard alone: a missed landslide at the cross of the map; then an edited corner."""
    if browser.program() is None:
        pytest.skip("no Chromium is installed")
    box = free(survey)
    lon, lat = lonlat(survey, box)[0]
    with serving(survey, is_review=False) as running, browser.Page(tmp_path) as page:
        page.open(running.address)
        drawn(page)
        count = len(running.site.case.frame)
        page.value("document.getElementById('reviewer').value = 'Kari'")
        page.value(f"lsbatchMap.jumpTo({{center: [{lon}, {lat}], zoom: 16}}); document.getElementById('name').focus()")
        page.key("d")
        for x, y in ((0, 0), (50, 0), (0, 50)):
            page.value(f"lsbatchMap.panBy([{x}, {y}], {{animate: false}}); lsbatchMap.getCanvas().focus()")
            page.key("Enter")
        assert page.value("document.querySelectorAll('.corner').length") == 3
        page.click("#draw-save")
        until(page, "document.getElementById('message').textContent.startsWith('Saved: outline')")
        assert len(running.site.case.frame) == count + 1
        assert page.value("document.getElementById('drawing').hidden")
        (line,) = journal.read(survey.workspace.answers)
        assert line["missed"]
        assert page.value("document.getElementById('name').textContent") == line[ID]
        page.value("document.getElementById('name').focus()")
        page.key("e")
        until(page, "document.querySelectorAll('.corner').length === 3")
        page.value("document.querySelector('.corner').focus()")
        for _ in range(5):
            page.key("ArrowLeft")
        page.click("#draw-save")
        until(page, "document.getElementById('drawing').hidden")
        edited = journal.read(survey.workspace.answers)[1]
        moved = [a != b for a, b in zip(edited["outline"], line["outline"], strict=True)]
        assert edited[ID] == line[ID]
        assert sum(moved) == 1
        # Escape leaves everything as it was
        page.value("document.getElementById('name').focus()")
        page.key("d")
        page.key("Escape")
        assert page.value("document.getElementById('drawing').hidden")
        assert len(journal.read(survey.workspace.answers)) == 2
        assert json.dumps(page.errors) == "[]"
