"""The simulated years of review: the reviewer, the aim, and one year from training to scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import review_rounds
from lsbatch.catalog.survey import Survey
from lsbatch.inventory import reviews
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.storage import journal, vectors
from lsbatch.storage.geometries import rasterize
from tests import surveys

SMALL = {"width": 8, "depth": 2, "epochs": 5, "block_px": 128, "chip_px": 64, "stride_px": 64, "batch": 8}


def test_the_reviewer_knows_the_truth(done_survey: Survey, tmp_path: Path) -> None:
    """Each answer against the pixels whose centres lie in mapped landslides; once more, nothing is answered again."""
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    config = survey.config
    for _ in range(2):
        review_rounds.review(config, "uncertain", 12, 0)
    said = {one["landslide_id"]: one["state"] for one in journal.read(survey.workspace.answers)}
    assert len(said) == len(journal.read(survey.workspace.answers)) == 12
    real = vectors.truth_mask(config.truth, config.survey.windows, survey.grid.geobox)
    shapes = reviews.records(survey).set_index("landslide_id").geometry
    shares = {name: real[rasterize(shapes[name], survey.grid.geobox)].mean() for name in said}
    for name, state in said.items():
        assert state == ("confirmed" if shares[name] > 0.5 else "rejected") or abs(shares[name] - 0.5) < 0.05
    assert review_rounds.answers(config) == (
        sum(state == "confirmed" for state in said.values()),
        sum(state == "rejected" for state in said.values()),
    )


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ((0.1, 0.6, 0.6), "after 10; at most 10: met"),
        ((0.1, 0.4, 0.5), "after 20; at most 10: missed"),
        ((np.nan, 0.4, 0.4), "never; at most 10: missed"),
    ],
)
def test_the_aim_is_met_with_half_of_the_answers(first: tuple[float, ...], words: str) -> None:
    counts = np.array([[0, 0, 0], [10, 5, 5], [20, 9, 11]])
    rows = {"random": (0.1, 0.3, 0.5), "uncertain": first}
    results = {order: (counts, [(value, 0.5, value, 0.5) for value in values]) for order, values in rows.items()}
    assert review_rounds.verdict(0, results).endswith(words)


def test_without_progress_there_is_no_verdict() -> None:
    counts = np.array([[0, 0, 0], [10, 5, 5]])
    rows = [(0.5, 0.5, 0.5, 0.5), (0.4, 0.5, 0.4, 0.5)]
    results = dict.fromkeys(review_rounds.ORDERS, (counts, rows))
    assert review_rounds.verdict(0, results).endswith("the aim cannot be judged")


def test_scores_add_up_over_seeds() -> None:
    one = review_rounds.Score(Confusion(3, 1, 2, 10), 4, 3, 5, 2)
    counts, rows = review_rounds.added(lambda seed: ([(seed, 0, 0)], [one]), (2, 4))
    assert counts.tolist() == [[3, 0, 0]]
    assert rows == [(3 / 4, 3 / 5, 3 / 4, 2 / 5)]
    assert np.isnan(review_rounds.Score().measures()).all()


@pytest.mark.slow
def test_one_year_from_training_to_scores(stacked_survey: Survey, tmp_path: Path) -> None:
    """In a country that is all of them; the second time everything is there."""
    config = stacked_survey.config
    config = config.model_copy(update={"train": config.train.model_copy(update=SMALL)})
    simulation = review_rounds.Simulation((config,), (config,), (config,), tmp_path, 6, 0)
    counts, scores = simulation.rounds("uncertain")
    assert counts[0] == (0, 0, 0)
    assert 0 < counts[1][0] == sum(counts[1][1:]) <= 6
    assert all(score.pixels.total > 0.5 * 512 * 512 for score in scores)
    made = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert len(made) == 2
    assert replace(simulation).rounds("uncertain") == (counts, scores)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")} == made
