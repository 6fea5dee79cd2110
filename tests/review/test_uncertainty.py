"""The order of the review page by uncertainty: the measure against loops over pixels, the page in a browser."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from lsbatch.bands import probability
from lsbatch.catalog.survey import Survey
from lsbatch.review import Case, listing, uncertainty
from lsbatch.storage import cube, journal, vectors
from tests import browser, fake_survey
from tests.fake_survey import Fake
from tests.review.page_server import ID, serving, until


def _bits(p: float, threshold: float) -> float:
    yes, no = p * (1 - threshold), (1 - p) * threshold
    q = yes / (yes + no)
    return -sum(x * math.log2(x) for x in (q, 1 - q) if x > 0)


def listed(case: Case) -> dict[str, list[Any]]:
    """The columns of the list of the page."""
    return listing.of_case(case, None)["columns"]


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Landslides, some across tiles, on random probabilities; without a value in some places."""
    made = fake_survey.make(tmp_path_factory.mktemp("uncertain"), Fake(landslides=24, truth=False))
    dice, layer = np.random.default_rng(3), probability("unet")
    for position in made.positions:
        tile = made.tile(position)
        values = dice.uniform(size=(256, 256)).astype(np.float32)
        values[dice.uniform(size=values.shape) < 0.1] = np.nan
        cube.write(
            made.workspace.store, layer, tile, {"probability": values, "spread": (0.5 * values).astype(np.float32)}
        )
    file = made.workspace.inventory / "landslides.parquet"
    frame = vectors.read_part(file).assign(review_state="unreviewed", reviewer="", comment="")
    frame["outside_share"] = dice.uniform(size=len(frame))
    frame.loc[frame.index[::3], "outside_share"] = np.nan
    vectors.write_parquet(file, frame)
    return made


def test_uncertainty_is_that_of_the_pixels_one_by_one(survey: Survey) -> None:
    """Of every pixel of the country: is its centre in the outline, or one of its eight neighbours'?"""
    frame = Case(survey).frame
    found = uncertainty.of_records(survey, frame)
    rows, cols = (slice(0, 512),) * 2
    bands = cube.read_window(
        survey.workspace.store, survey.grid, probability("unet"), rows, cols, ("probability", "spread")
    )
    x, y = survey.grid.geobox.affine @ tuple(axis + 0.5 for axis in np.mgrid[:512, :512][::-1])
    crossing = 0
    for i, shape in enumerate(frame.geometry):
        inside = np.argwhere(shapely.contains_xy(shape, x, y))
        near = {(r + down, c + right) for r, c in inside.tolist() for down in (-1, 0, 1) for right in (-1, 0, 1)}
        values = [(float(bands["probability"][at]), float(bands["spread"][at])) for at in near]
        known = [(p, s) for p, s in values if p == p]
        parts = [
            np.mean([_bits(p, survey.config.clean.threshold) for p, _ in known]),
            np.mean([s for _, s in known]) / 0.5,
        ]
        outside = frame["outside_share"].iat[i]
        parts += [outside] if outside == outside else []
        assert found[i] == pytest.approx(np.mean(parts), abs=1e-5)
        crossing += len({(r // 256, c // 256) for r, c in near}) > 1
    assert crossing > 0


def test_without_a_probability_nothing_is_known(survey: Survey) -> None:
    frame = Case(survey).frame.drop(columns="outside_share")
    frame.geometry = frame.geometry.translate(xoff=1e6)
    assert np.isnan(uncertainty.of_records(survey, frame)).all()


def test_landslides_of_earlier_years_are_not_offered_first(survey: Survey) -> None:
    frame = Case(survey).frame
    kept = frame.assign(observation=["nothing found", *frame["observation"][1:]])
    assert np.isnan(uncertainty.of_records(survey, kept)).tolist() == [True] + [False] * (len(frame) - 1)


def test_open_and_uncertain_landslides_are_first(survey: Survey) -> None:
    survey.workspace.answers.unlink(missing_ok=True)
    plain = Case(survey)
    assert "uncertainty" not in listed(plain)
    values = uncertainty.of_records(survey, plain.frame) * plain.frame["area_m2"]
    found = dict(zip(plain.frame[ID], values, strict=True))
    most = max(found, key=lambda name: found[name])
    assert listed(Case(survey, uncertain_first=True))["id"] == sorted(found, key=lambda name: -found[name])
    answer = {ID: most, "version": 1, "state": "confirmed", "reviewer": "Kari", "comment": "", "at": ""}
    journal.append(survey.workspace.answers, answer)
    case = Case(survey, uncertain_first=True)
    columns = listed(case)
    assert columns["id"][-1] == most
    assert columns["uncertainty"][0] * columns["area"][0] == pytest.approx(sorted(found.values())[-2], rel=2e-3)
    # a picture belongs to the landslide of its row
    first = case.frame.geometry.iloc[0]
    assert first.equals(plain.frame.set_index(ID).geometry[columns["id"][0]])


def test_a_reviewer_is_led_from_one_uncertain_landslide_to_the_next(survey: Survey, tmp_path: Path) -> None:
    if browser.program() is None:
        pytest.skip("no Chromium is installed")
    survey.workspace.answers.unlink(missing_ok=True)
    case = Case(survey, uncertain_first=True)
    names, values, areas = (listed(case)[key] for key in ("id", "uncertainty", "area"))
    with serving(survey, uncertain_first=True) as running, browser.Page(tmp_path) as page:
        page.open(running.address)
        until(page, "document.querySelectorAll('#pictures img').length > 0")
        assert page.value("document.getElementById('name').textContent") == names[0]
        reason = f"uncertain: {values[0]:.2f}"
        assert page.value("document.getElementById('verdict').textContent").endswith(f"{reason} of {areas[0]} m²")
        assert page.value("document.querySelector('#list button').textContent").endswith(reason)
        # the number is beside the id, not instead of it
        assert page.value("document.querySelector('#list button span').getBoundingClientRect().height") < 70
        assert "largest uncertain area" in page.value("document.getElementById('count').textContent")
        page.value("document.getElementById('reviewer').value = 'Kari'")
        page.value("document.getElementById('name').focus()")
        for i, key in enumerate(("c", "r")):
            until(page, f"document.getElementById('name').textContent === {json.dumps(names[i])}")
            page.key(key)
            until(page, f"document.getElementById('message').textContent.startsWith('Saved: {names[i]}')")
        until(page, f"document.getElementById('name').textContent === {json.dumps(names[2])}")
        # a landslide that stays open keeps the reviewer where he is
        page.key("u")
        until(page, f"document.getElementById('message').textContent.startsWith('Saved: {names[2]}')")
        assert page.value("document.getElementById('name').textContent") == names[2]
        assert page.errors == []
    said = [(one[ID], one["state"]) for one in journal.read(survey.workspace.answers)]
    assert said == [(names[0], "confirmed"), (names[1], "rejected"), (names[2], "unreviewed")]


def test_the_last_open_landslide_is_said_to_be_the_last(survey: Survey, tmp_path: Path) -> None:
    if browser.program() is None:
        pytest.skip("no Chromium is installed")
    survey.workspace.answers.unlink(missing_ok=True)
    names = Case(survey).frame[ID].tolist()
    for name in names[1:]:
        answer = {ID: name, "version": 1, "state": "rejected", "reviewer": "Kari", "comment": "", "at": ""}
        journal.append(survey.workspace.answers, answer)
    with serving(survey, uncertain_first=True) as running, browser.Page(tmp_path) as page:
        page.open(running.address)
        until(page, "document.querySelectorAll('#pictures img').length > 0")
        page.value("document.getElementById('reviewer').value = 'Kari'")
        page.click("[data-state=confirmed]")
        wanted = f"Saved: {names[0]} confirmed. No landslide of the list is open."
        until(page, f"document.getElementById('message').textContent === {json.dumps(wanted)}")
