"""The family disturbance beside distmetrics: our half, and how the answers of another program are read."""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from benchmarks import disturbance_inputs as inputs
from benchmarks import disturbance_measures as measures
from benchmarks import disturbance_peer as peer
from benchmarks import reality
from benchmarks import reality_scenes as scenes
from benchmarks.disturbance_inputs import Image, Place
from benchmarks.reality_measures import landslide_at
from lsbatch.models import disturbance
from lsbatch.settings import PredictSettings
from tests.benchmarks.test_reality import LAND, SEA, SIDE_PX, _burst

#: A stand-in for the peer: the change of each pass after in dB, and nothing but numpy.
STAND_IN = """
import json, sys
from pathlib import Path
import numpy as np
assert not any("lsbatch" in name for name in sys.modules)
images, answers = map(Path, sys.argv[1:])
for file in images.glob("*.npz"):
    with np.load(file) as stored:
        before, after = np.log10(stored["before"]), np.log10(stored["after"])
    np.savez(answers / file.name, change=abs(after - before.mean(axis=0))[:, 0])
(answers / "seconds.json").write_text(json.dumps({"change": 1.5}))
"""
#: Label and day of the made-up places.
PLACES = {1: ("VLmaj", "2021-06-15"), 2: ("noChange", ""), 3: ("OCmin", "2021-06-15"), 4: ("noChange", "")}


def _series(folder: Path) -> None:
    """Four places with 12 days between passes; the power of changed ones is 2 dB less from their day on."""
    folder.mkdir()
    pd.DataFrame(
        [(site, label, day) for site, (label, day) in PLACES.items()],
        columns=["site_id", "change_label", "change_time"],
    ).to_csv(folder / "labels.csv", index=False)
    dice, days = np.random.default_rng(1), pd.date_range("2021-01-01", periods=28, freq="12D")
    for site, (_, day) in PLACES.items():
        table = {"datetime": days, "site_id": site}
        for pol, mean in (("vv", 0.1), ("vh", 0.02)):
            power = dice.gamma(20, mean / 20, (len(days), 9))
            power[days >= pd.Timestamp(day or "2030-01-01")] *= 10**-0.2
            table[pol] = [str(list(map(float, one))) for one in power]
        pd.DataFrame(table).to_csv(folder / f"rtc_summary_site_{site}_burst_T001-000001-IW1.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    bursts = folder / scenes.CALIFORNIA
    bursts.mkdir()
    # an odd number of pixels from the origin: the cells of the grid begin one pixel outside
    _burst(bursts, LAND, 300_030, -9.0, 1)
    _burst(bursts, SEA, 310_000, -20.0, 2)
    _series(folder / peer.SERIES)
    return folder


@pytest.fixture(scope="module")
def case(data: Path) -> scenes.Case:
    (only,) = scenes.cases(data, data / "work", ("california",), (SEA,))
    return only


# Our half


@pytest.mark.slow(ci=True)
def test_our_distance_is_that_of_a_survey(case: scenes.Case, tmp_path: Path) -> None:
    (answer,) = reality._surveyed(case, [reality.METHODS[0]], tmp_path / "s", None)
    land = case.patches[0]
    wanted = disturbance.score(inputs.distance(inputs.scene(case, land), land), PredictSettings().false_alarm_rate)
    assert wanted.std() > 0.05
    # a survey stores the score as a whole number of hundredths or less
    np.testing.assert_allclose(answer[LAND].probability, wanted, atol=0.006)


def test_planted_images_are_the_planted_files(case: scenes.Case, tmp_path: Path) -> None:
    land = case.patches[0]
    planted = scenes.plant(case, land, 0, 0)
    scenes.copy(case, tmp_path / "scenes", {LAND: planted})
    image = inputs.scene(case, land, planted)
    for p, pol in enumerate(inputs.POLARISATIONS):
        files = sorted(file for file in land.files if scenes.band_of(file) == pol)
        for file, power in zip(files, [*image.before[:, p], *image.after[:, p]], strict=True):
            with rasterio.open(tmp_path / "scenes" / file.name) as opened:
                np.testing.assert_array_equal(opened.read(1), power)


def _place(seed: int, orbits: tuple[tuple[int, int], ...]) -> Place:
    dice = np.random.default_rng(seed)
    images = [
        Image(*(dice.gamma(4, 0.02, (n, 2, 3, 3)).astype(np.float32) for n in passes)) for passes in orbits
    ]  # fmt: skip
    return Place(1, True, tuple(images))


def _slow_distance(place: Place) -> float:
    """One pixel and one orbit at a time."""
    total = 0.0
    for pol in range(2):
        parts = []
        for image in place.images:
            db = [10 * np.log10(passes[:, pol].astype(np.float64)) for passes in (image.before, image.after)]
            squares = sum(((one - one.mean(axis=0)) ** 2).sum() for one in db)
            variance = squares / sum(9 * (len(one) - 1) for one in db) * sum(1 / len(one) for one in db)
            parts.append((db[1].mean(axis=0) - db[0].mean(axis=0), variance))
        for i in range(9):
            weighted = sum(change.flat[i] / variance for change, variance in parts)
            total += weighted / np.sqrt(sum(1 / variance for _, variance in parts))
    return abs(total) / np.sqrt(2) / 3


@pytest.mark.parametrize("orbits", [((4, 2),), ((8, 7), (3, 3)), ((2, 1), (5, 4), (1, 2))])
@pytest.mark.parametrize("seed", range(3))
def test_the_distance_of_a_place(seed: int, orbits: tuple[tuple[int, int], ...]) -> None:
    place = _place(seed, orbits)
    assert inputs.place_distance(place) == pytest.approx(_slow_distance(place), rel=1e-4)


def test_a_place_without_a_second_pass_has_no_distance() -> None:
    assert np.isnan(inputs.place_distance(_place(0, ((1, 1),))))
    assert np.isnan(inputs.place_distance(Place(1, True, ())))


def test_passes_around_the_labelled_day(data: Path) -> None:
    places = {place.site: place for place in inputs.places(data / peer.SERIES, 30)}
    assert [place.changed for place in places.values()] == [True, False, True, False]
    for place in places.values():
        (image,) = place.images
        assert image.before.shape[1:] == image.after.shape[1:] == (2, 3, 3)
    # passes of 25 May, 6, 18 and 30 June and 12 July; the middle of the series is 12 June, so 13 May counts there too
    assert [(len(p.images[0].before), len(p.images[0].after)) for p in places.values()] == [(2, 3), (3, 3)] * 2


def test_passes_that_are_not_whole_are_left_out(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    _series(folder)
    file = next(folder.glob("rtc_summary_site_1_*.csv"))
    table = pd.read_csv(file)
    table.loc[table["datetime"] < "2021-06-15", "vh"] = str([float("nan")] * 9)
    table.to_csv(file)
    first, *others = inputs.places(folder, 30)
    assert first.images == ()
    assert all(place.images for place in others)


# Figures


def test_separation_is_the_share_of_ordered_pairs() -> None:
    dice = np.random.default_rng(0)
    changed, unchanged = dice.normal(1, 1, 40), dice.normal(0, 1, 30)
    pairs = np.mean(changed[:, None] > unchanged)
    assert measures.separation(np.append(changed, np.nan), unchanged) == pytest.approx(pairs)
    assert np.isnan(measures.separation(changed, np.array([np.nan])))
    low, high = measures.interval(changed, unchanged, 200)
    assert low < pairs < high


@pytest.fixture(scope="module")
def outcome(case: scenes.Case) -> measures.Outcome:
    land = case.patches[0]
    drawn = (scenes.plant(case, land, draw, 0) for draw in range(20))
    planted = next(one for one in drawn if measures.is_aim(one, case.look_azimuth_deg).any())
    distances = [{LAND: inputs.distance(inputs.scene(case, land, one), land)} for one in (None, planted)]
    return measures.outcome(case, "ours", distances[0], [({LAND: planted}, distances[1])])


@pytest.mark.parametrize("share", measures.SHARES)
def test_a_threshold_calls_no_more_than_its_share(outcome: measures.Outcome, share: float) -> None:
    threshold = measures.threshold_for(outcome, share)
    called = landslide_at(outcome.quiet[LAND].probability, threshold)
    assert measures.land_called(outcome, threshold) == called.mean() <= share
    assert measures.land_called(outcome, threshold - 1e-3) >= called.mean()


def test_distances_that_know_the_answer_are_perfect(outcome: measures.Outcome) -> None:
    ((landslides, _),) = outcome.planted
    quiet = np.linspace(0, 0.5, SIDE_PX**2).reshape(SIDE_PX, SIDE_PX)
    known = measures.outcome(
        outcome.case, "known", {LAND: quiet}, [(landslides, {LAND: quiet + (landslides[LAND].labels > 0)})]
    )
    row = measures.row("known", [known, known])
    assert row["auc"] == [1, 1]
    for share in measures.SHARES:
        assert row[f"own {share}"]["recall"] == [1, 1]
        assert row[f"fixed {share}"]["recall"] == [1]
        assert row[f"fixed {share}"]["land_called"][0] <= share


# The other program


def test_answers_are_read_by_metric_and_reduction(tmp_path: Path) -> None:
    file = tmp_path / "one.npz"
    values = np.arange(18.0).reshape(2, 3, 3)
    np.savez(file, d=values)
    found = peer.read_answer(file, (3, 3))
    np.testing.assert_array_equal(found["d, mean"], values.mean(axis=0))
    np.testing.assert_array_equal(found["d, least"], values[0])
    with pytest.raises(peer.PeerError, match=r"one.npz, d: shape \(2, 3, 3\); must be \(passes, 4, 3\)"):
        peer.read_answer(file, (4, 3))
    with pytest.raises(peer.PeerError, match="has not answered"):
        peer.read_answer(tmp_path / "two.npz", (3, 3))


@pytest.mark.slow(ci=True)
def test_the_whole_path_with_a_stand_in(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN, encoding="utf-8")
    printed = peer.measured(peer.arguments_of(["--data", str(data), "--sea", SEA, "--draws", "1"]), script)
    head, _, *rows = printed.split("\n\n")[0].splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| lsbatch disturbance", "| change, mean", "| change, least"]
    assert {row.count("|") for row in rows} == {head.count("|")}
    assert all(row.endswith("| 1.5 |") for row in rows[1:])
    assert "4 of 4 places have passes before and after, 2 of them changed" in printed


def test_a_failing_program_is_told_by_its_last_line(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise ValueError('no such metric')", encoding="utf-8")
    with pytest.raises(peer.PeerError, match=r"^broken.py failed: ValueError: no such metric$"):
        peer.peers(sys.executable, [], [], tmp_path, script)


@pytest.mark.parametrize(("python", "said"), [(sys.executable, "is not installed"), ("/no/python", "cannot be run")])
def test_without_the_peer_it_says_so(data: Path, capsys: pytest.CaptureFixture[str], python: str, said: str) -> None:
    assert peer.main(["--data", str(data), "--peer-python", python]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert "--peer-python" in captured.err


def test_without_the_data_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert peer.main(["--data", str(tmp_path)]) == 2
    assert "real data are not at" in capsys.readouterr().err


def test_the_real_peer_measures_what_its_paper_says(tmp_path: Path) -> None:
    """The middle of a window of 3 x 3 px sees exactly its pixels: mean and deviation of their logits."""
    python = os.environ.get("DISTMETRICS_PYTHON", sys.executable)
    try:
        peer.require_peer(python)
    except peer.PeerError as error:
        pytest.skip(f"{error}, here with DISTMETRICS_PYTHON")
    place = _place(0, ((4, 2),))
    answers = peer.peers(python, [], [place], tmp_path)
    assert answers.places.keys() >= {"Mahalanobis 2d, mean", "log ratio VV, least"}
    with np.load(tmp_path / "answers" / "site-1-0.npz") as stored:
        found = stored["Mahalanobis 1d VH, logit"][:, 1, 1]
    before, after = (np.log(power / (1 - power))[:, 1] for power in (place.images[0].before, place.images[0].after))
    wanted = abs(after[:, 1, 1] - before.mean()) / before.std(ddof=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_the_real_series(shared_data: Path) -> None:
    places = list(inputs.places(shared_data / peer.SERIES, scenes.WINDOW_DAYS))
    assert [sum(place.changed == truth for place in places) for truth in (True, False)] == [25, 13]
    assert sum(bool(place.images) for place in places) == 37
    assert sum(np.isfinite(inputs.place_distance(place)) for place in places) == 37
