"""Training from reviews: which answers count, what they say of a pixel, and the command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from typer.testing import CliRunner

from lsbatch import settings
from lsbatch.accuracy import answers, draw
from lsbatch.accuracy.answers import Labels
from lsbatch.bands import mask
from lsbatch.catalog.survey import Survey
from lsbatch.cli.program import app
from lsbatch.commands import reviewed, train
from lsbatch.commands.reviewed import Lessons
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.inventory import identity, reviews
from lsbatch.models import base
from lsbatch.models.training.spatial_split import HARD, UNKNOWN
from lsbatch.storage import cube, journal, sample_points, vectors
from tests import surveys
from tests.surveys import BenchScreen

SMALL = {"width": 4, "depth": 2, "epochs": 1, "block_px": 128, "chip_px": 64}


def say(survey: Survey, name: str, state: str, version: int = 1) -> None:
    answer = {"at": "", "landslide_id": name, "version": version, "state": state, "reviewer": "Kari", "comment": ""}
    journal.append(survey.workspace.answers, answer)


def names(survey: Survey) -> list[str]:
    return identity.found(reviews.records(survey))["landslide_id"].tolist()


@pytest.fixture
def survey(done_survey: Survey, tmp_path: Path) -> Survey:
    """A finished survey that can be answered, without mapped landslides."""
    copy = surveys.copy_survey(done_survey, tmp_path / "s")
    return Survey(copy.config.model_copy(update={"truth": None}), copy.grid, copy.positions)


# What the answers say of a pixel


def lessons(confirmed: list[Any], rejected: list[Any], points: Labels) -> Lessons:
    return Lessons(settings.example(), np.array(confirmed, object), np.array(rejected, object), 0, points)


#: No edge goes through the centre of a pixel.
SHAPES = st.lists(
    st.tuples(*[st.integers(-20, 180)] * 2, *[st.integers(5, 60)] * 2).map(
        lambda box: shapely.box(box[0] + 0.5, box[1] + 0.5, box[0] + box[2] + 0.5, box[1] + box[3] + 0.5)
    ),
    max_size=3,
)
PIXELS = st.dictionaries(st.tuples(*[st.integers(-3, 20)] * 2), st.tuples(st.booleans(), st.floats(0.1, 9)), max_size=6)


@given(SHAPES, SHAPES, PIXELS)
def test_truth_and_weight_are_those_of_every_pixel(
    confirmed: list[Any], rejected: list[Any], pixels: dict[tuple[int, int], tuple[bool, float]]
) -> None:
    """Pixel by pixel: the point in it, else the outlines around its centre."""
    box = GeoBox.from_bbox((0, 0, 160, 120), "EPSG:25833", resolution=10)
    said = [(10 * col + 5, 120 - 10 * row - 5, *value) for (row, col), value in pixels.items()]
    x, y, slid, weights = np.array(said, float).reshape(-1, 4).T
    of = lessons(confirmed, rejected, Labels(x, y, slid.astype(bool), weights))
    truth, weight = reviewed.truth(of, box), reviewed.weight(of, box)
    for row in range(12):
        for col in range(16):
            centre = shapely.Point(10 * col + 5, 120 - 10 * row - 5)
            inside = [any(shape.contains(centre) for shape in shapes) for shapes in (confirmed, rejected)]
            expected, heavy = 1 if inside[0] else HARD if inside[1] else UNKNOWN, 1.0
            if (row, col) in pixels:
                expected = int(pixels[row, col][0])
                heavy = 1.0 if any(inside) else pixels[row, col][1]
            assert truth[row, col] == expected
            assert weight[row, col] == np.float32(heavy)


# Which answers count


def test_the_last_answer_to_the_present_outline_counts(survey: Survey) -> None:
    first, second, third, fourth, fifth = names(survey)[:5]
    with pytest.raises(NoDataError, match=r"no landslide is confirmed or rejected, .*lsbatch review"):
        reviewed.read(survey.config)
    say(survey, first, "rejected")
    say(survey, first, "confirmed")
    say(survey, second, "rejected")
    say(survey, third, "confirmed")
    say(survey, third, "unreviewed")
    say(survey, fourth, "confirmed", version=2)
    frame = reviews.records(survey).set_index("landslide_id")
    # an answer of last year that linking took over
    taken = reviews.records(survey)
    taken.loc[taken["landslide_id"] == fifth, ["review_state", "reviewed_version"]] = ["confirmed", 1]
    vectors.write_parquet(survey.workspace.inventory / "landslides.parquet", taken)
    found = reviewed.read(survey.config)
    assert [shape.equals(frame.geometry[first]) for shape in found.confirmed] == [True]
    assert [shape.equals(frame.geometry[second]) for shape in found.rejected] == [True]
    assert found.outdated == 1
    assert "1 landslides confirmed, 1 rejected, 0 sample points answered; 1 answers are about" in found.text()


def test_an_answer_follows_a_new_name(survey: Survey) -> None:
    name = names(survey)[0]
    known = vectors.read_part(survey.workspace.identities)
    known.loc[known["landslide_id"] == name, "former_ids"] = "before"
    vectors.write_parquet(survey.workspace.identities, known)
    say(survey, "before", "rejected")
    assert len(reviewed.read(survey.config).rejected) == 1


def test_landslides_of_earlier_years_do_not_count(survey: Survey) -> None:
    name = names(survey)[0]
    frame = reviews.records(survey)
    frame.loc[frame["landslide_id"] == name, "observation"] = "nothing found"
    vectors.write_parquet(survey.workspace.inventory / "landslides.parquet", frame)
    say(survey, name, "confirmed")
    with pytest.raises(NoDataError, match="no landslide is confirmed"):
        reviewed.read(survey.config)


def test_without_an_inventory_there_are_no_answers(survey: Survey) -> None:
    (survey.workspace.inventory / "landslides.parquet").unlink()
    with pytest.raises(NoDataError, match="has no inventory yet"):
        reviewed.read(survey.config)


# Sample points


def answered_sample(survey: Survey, answer: Callable[[gpd.GeoDataFrame], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw.page, "render", lambda survey, points: "")
    draw.draw(survey, draw.SampleRequest(60, "equal", seed=2))
    file = survey.workspace.accuracy / "sample.gpkg"
    points, design = sample_points.read(file, survey.config.grid.crs)
    points["reference"] = answer(points)
    sample_points.write(file, points, design)


def test_points_have_the_weight_of_their_design(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with an answer, also after the map has changed; a changed point is refused."""
    given = np.array(["landslide", "no landslide", "unsure", ""] * 15, object)
    answered_sample(survey, lambda points: given, monkeypatch)
    file = survey.workspace.accuracy / "sample.gpkg"
    points, design = sample_points.read(file, survey.config.grid.crs)
    found = reviewed.read(survey.config).points
    used = points[pd_isin(points, ("landslide", "no landslide"))]
    assert len(found.x) == 30
    assert found.weight.mean() == pytest.approx(1)
    sizes = dict(zip(design["stratum"], design["pixels"] / design["points"], strict=True))
    expected = used["stratum"].map(sizes).to_numpy()
    np.testing.assert_allclose(found.weight, expected / expected.mean())
    np.testing.assert_array_equal(found.landslide, used["reference"] == "landslide")
    np.testing.assert_array_equal(found.x, used["x"])
    tile, layer = survey.tile(survey.positions[0]), mask("unet")
    changed = cube.read(survey.workspace.store, survey.grid, layer, tile, 0, layer.names)
    cube.write(survey.workspace.store, layer, tile, {name: np.zeros_like(band) for name, band in changed.items()})
    assert len(answers.labels(survey, file).x) == 30
    points.loc[0, "x"] += 10 * survey.grid.resolution_m
    sample_points.write(file, points, design)
    with pytest.raises(ConfigError, match="was moved from its drawn position"):
        reviewed.read(survey.config)


def pd_isin(points: gpd.GeoDataFrame, allowed: tuple[str, ...]) -> np.ndarray:
    return points["reference"].isin(allowed).to_numpy()


def test_an_unanswered_sample_teaches_nothing(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    answered_sample(survey, lambda points: "", monkeypatch)
    with pytest.raises(NoDataError, match="no sample point is answered"):
        reviewed.read(survey.config)
    say(survey, names(survey)[0], "confirmed")
    assert len(reviewed.read(survey.config).points.x) == 0


# The command


def test_the_digest_is_that_of_the_answers(survey: Survey, stacked_survey: Survey) -> None:
    first, second = names(survey)[:2]
    say(survey, first, "confirmed")
    config = stacked_survey.config
    once = train.learned([config], False, lessons=[reviewed.read(survey.config)])
    assert once != train.learned([config], False)
    # a comment that changes nothing
    say(survey, first, "confirmed")
    assert train.learned([config], False, lessons=[reviewed.read(survey.config)]) == once
    say(survey, second, "rejected")
    assert train.learned([config], False, lessons=[reviewed.read(survey.config)]) != once


@pytest.mark.parametrize("family", ["cart", "tehrani"])
def test_only_networks_are_trained_on_reviews(survey: Survey, stacked_survey: Survey, family: str) -> None:
    config = stacked_survey.config
    config = config.model_copy(update={"model": config.model.model_copy(update={"family": family, "weights": None})})
    with pytest.raises(ConfigError, match=rf"{family}.*cannot be trained on reviews"):
        train.train([config], BenchScreen(), out=None, fresh=False, extras=train.Extras(reviewed=(survey.config,)))


def test_reviews_of_other_bands_are_refused(survey: Survey, stacked_survey: Survey) -> None:
    other = survey.config.model_copy(update={"bands": "s2"})
    with pytest.raises(ConfigError, match="train on the same bands"):
        train.train(
            [stacked_survey.config], BenchScreen(), out=None, fresh=False, extras=train.Extras(reviewed=(other,))
        )


def test_the_command_trains_on_mapped_and_on_reviewed_landslides(
    survey: Survey, stacked_survey: Survey, tmp_path: Path
) -> None:
    """The card says on what; the reviewed survey has no truth.file."""
    files = []
    for name, config in (("a", stacked_survey.config), ("b", survey.config)):
        files.append(tmp_path / f"{name}.yaml")
        small = config.model_copy(update={"train": config.train.model_copy(update=SMALL)})
        files[-1].write_text(settings.to_yaml(small), encoding="utf-8")
    run = CliRunner()
    command = ["train", str(files[0]), "--reviewed", str(files[1]), "--out", str(tmp_path / "w.safetensors")]
    with pytest.raises(NoDataError, match="answer some with 'lsbatch review'"):
        run.invoke(app, command, catch_exceptions=False)
    for name, state in zip(names(survey), ("confirmed", "confirmed", "rejected"), strict=False):
        say(survey, name, state)
    done = run.invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "2 landslides confirmed, 1 rejected, 0 sample points answered" in " ".join(done.stdout.split())
    made_by = base.card(tmp_path / "w.safetensors").made_by
    name = survey.config.survey.id
    assert made_by["reviewed"] == [{"survey": name, "confirmed": 2, "rejected": 1, "points": 0}]
    assert made_by["surveys"] == [stacked_survey.config.survey.id, name]
    assert not list((tmp_path / "w-training").glob("*.npy"))


def test_a_survey_that_is_mapped_and_reviewed_is_trained_on_its_reviews(done_survey: Survey, tmp_path: Path) -> None:
    """Alone: all landslides of the inventory are confirmed, so training and validation have some."""
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    config = survey.config.model_copy(update={"train": survey.config.train.model_copy(update=SMALL)})
    for name in names(survey):
        say(survey, name, "confirmed")
    extras = train.Extras(reviewed=(config,))
    train.train([config], BenchScreen(), out=tmp_path / "w.safetensors", fresh=False, extras=extras)
    card = base.card(tmp_path / "w.safetensors")
    assert card.made_by["surveys"] == [config.survey.id]
    # nothing else is known, so nothing else is scored
    assert [card.scores["validation"][key] for key in ("fp", "tn")] == [0, 0]
    assert sum(card.scores["validation"][key] for key in ("tp", "fn")) > 0
