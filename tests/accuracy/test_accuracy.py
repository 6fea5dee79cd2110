"""`lsbatch sample` and `lsbatch assess` on a survey of a synthetic country.

What is drawn, what is refused, what the answers say.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import yaml
from typer.testing import CliRunner

from lsbatch.accuracy import answers, assess, draw, strata
from lsbatch.bands import mask, probability
from lsbatch.catalog.survey import Survey
from lsbatch.cli.program import app
from lsbatch.errors import ConfigError, LsbatchError, NoDataError, StaleStoreError
from lsbatch.kernels.statistics import stratified_sampling
from lsbatch.report import statistics
from lsbatch.storage import cube, receipts, sample_points, vectors
from lsbatch.storage.band_encoding import decode
from lsbatch.storage.geometries import rasterize
from lsbatch.storage.receipts import Receipt
from lsbatch.synthetic import landslides
from tests import browser, surveys

SIZE = 150


@pytest.fixture(scope="module")
def drawn(done_survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """A survey with an unanswered sample; copy its file before changing it."""
    survey = surveys.copy_survey(done_survey, tmp_path_factory.mktemp("drawn") / "s")
    draw.draw(survey, draw.SampleRequest(SIZE, seed=5))
    return survey


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the images, which take most of the time."""
    monkeypatch.setattr(draw.page, "render", lambda survey, points: "")


def sample_of(survey: Survey) -> Path:
    return survey.workspace.accuracy / "sample.gpkg"


def rewritten(
    survey: Survey,
    target: Path,
    change: Callable[[gpd.GeoDataFrame, pd.DataFrame], tuple[gpd.GeoDataFrame, pd.DataFrame]],
) -> Path:
    """The sample as another program saves it, answered by the truth, with a change."""
    points, design = sample_points.read(sample_of(survey), survey.config.grid.crs)
    points["reference"] = np.where(truth_at(survey, points), "landslide", "no landslide")
    sample_points.write(target, *change(points, design))
    return target


def truth_at(survey: Survey, points: gpd.GeoDataFrame) -> np.ndarray:
    truth = vectors.read_truth(survey.config.truth, survey.config.survey.windows, survey.config.grid.crs)
    return points.geometry.within(truth.union_all()).to_numpy()


def whole_strata(survey: Survey) -> np.ndarray:
    """The strata of the whole country at once, by distances."""
    from scipy import ndimage

    family = survey.config.model.family
    found = surveys.whole(survey, mask(family))["landslide"]
    stored = surveys.whole(survey, probability(family))["probability"]
    chance = np.where(stored == 65535, np.nan, (stored / np.float64(65534)).astype(np.float32))
    away = ndimage.distance_transform_edt(found != 1)
    near = (away <= 3) | (chance >= 0.5 * survey.config.clean.threshold)
    return np.where(found == 255, 255, np.where(found == 1, 0, np.where(near, 1, 2)))


def test_strata_equal_those_of_the_whole(drawn: Survey) -> None:
    whole = whole_strata(drawn)
    found = strata.census(drawn, 5, 10)
    assert found.pixels.tolist() == [(whole == k).sum() for k in range(3)]
    assert found.pixels.min() > 100
    for k, places in enumerate(found.candidates):
        assert (whole[tuple(places.T)] == k).all()
        assert len(places) == 10


def test_the_sample_is_what_its_design_says(drawn: Survey) -> None:
    points, design = sample_points.read(sample_of(drawn), drawn.config.grid.crs)
    assert len(points) == SIZE
    assert points["id"].tolist() == list(range(1, SIZE + 1))
    assert design["points"].sum() == SIZE
    assert design["points"].min() >= SIZE // 6
    whole = whole_strata(drawn)
    cols, rows = (
        np.floor(v).astype(int) for v in ~drawn.grid.geobox.transform @ (points["x"].to_numpy(), points["y"].to_numpy())
    )
    assert len(set(zip(rows, cols, strict=True))) == SIZE
    assert [list(strata.STRATA)[k] for k in whole[rows, cols]] == points["stratum"].tolist()
    assert ((points["map_class"] == "landslide") == (points["stratum"] == "landslide")).all()
    # weights add up to the surveyed ground
    assert points["weight"].sum() == pytest.approx((whole != 255).sum())
    np.testing.assert_allclose(points["inclusion"] * points["weight"], 1)
    assert (points["reference"].fillna("") == "").all()
    side = drawn.grid.tile_px
    assert points["tile"].tolist() == [f"r{r // side:03d}c{c // side:03d}" for r, c in zip(rows, cols, strict=True)]
    # the order tells nothing: strata are as frequent in the first half as in the second
    first = (points["stratum"][: SIZE // 2] == "landslide").sum()
    assert abs(2 * first - (points["stratum"] == "landslide").sum()) < 0.5 * (points["stratum"] == "landslide").sum()


def in_one_tile(survey: Survey, country: Path, output: Path) -> Survey:
    """The same maps in one tile of 512 px instead of four of 256, with a matching receipt."""
    config = surveys.configured(country, output, grid={"tile_px": 512})
    one = surveys.ready(config)
    tile = one.tile((0, 0))
    for layer in (surveys.STACK, mask(config.model.family), probability(config.model.family)):
        stored = surveys.whole(survey, layer)
        cube.create(one.workspace.store, one.grid, layer)
        sums = cube.write(
            one.workspace.store, layer, tile, {band.name: decode(stored[band.name], band) for band in layer.bands}
        )
        if layer.name.startswith("mask"):
            receipts.write(one.workspace.receipts, Receipt("clean", tile.id, "", 1.0, 1, 1.0, "", "", sums=sums))
    return one


def test_the_same_seed_draws_the_same_points_whatever_the_tiles(
    drawn: Survey, country: Path, tmp_path: Path, no_page: None
) -> None:
    one = in_one_tile(drawn, country, tmp_path / "one")
    assert len(one.positions) == 1
    assert len(drawn.positions) == 4
    draw.draw(one, draw.SampleRequest(SIZE, seed=5))
    first, other = (sample_points.read(sample_of(s), s.config.grid.crs)[0] for s in (drawn, one))
    columns = ["id", "stratum", "x", "y", "inclusion"]
    pd.testing.assert_frame_equal(pd.DataFrame(first[columns]), pd.DataFrame(other[columns]))


def test_no_points_are_drawn_in_a_failed_tile(drawn: Survey, tmp_path: Path) -> None:
    """Nor does what an earlier run left in it make the ground beside it 'near'."""
    survey = surveys.copy_survey(drawn, tmp_path / "s")
    whole = whole_strata(survey)
    receipts.remove(survey.workspace.receipts, "clean", survey.tile((0, 1)).id)
    side = survey.grid.tile_px
    family = survey.config.model.family
    found, chance = (
        surveys.whole(survey, layer(family))[band]
        for layer, band in ((mask, "landslide"), (probability, "probability"))
    )
    found[:side, side:] = 255
    padded = np.pad(found, strata.NEAR_PX, constant_values=255)
    expected = strata.classify(
        padded,
        np.where(chance == 65535, np.nan, chance / np.float64(65534)).astype(np.float32),
        survey.config.clean.threshold,
    )
    assert strata.census(survey, 0, 5).pixels.tolist() == [(expected == k).sum() for k in range(3)]
    assert (expected != 255).sum() < (whole != 255).sum()
    assert strata.census(survey, 0, 5).tiles == 3


def test_another_seed_and_allocation(drawn: Survey, tmp_path: Path, no_page: None) -> None:
    survey = surveys.copy_survey(drawn, tmp_path / "s")
    first = sample_points.read(sample_of(drawn), survey.config.grid.crs)[0]
    draw.draw(survey, draw.SampleRequest(SIZE, seed=6, allocation="equal"))
    points, design = sample_points.read(sample_of(survey), survey.config.grid.crs)
    assert design["points"].tolist() == [50, 50, 50]
    assert (
        len(set(zip(points["x"], points["y"], strict=True)) & set(zip(first["x"], first["y"], strict=True))) < SIZE / 4
    )


def test_points_keep_their_distance(drawn: Survey, tmp_path: Path, no_page: None) -> None:
    survey = surveys.copy_survey(drawn, tmp_path / "s")
    draw.draw(survey, draw.SampleRequest(60, min_distance_m=150))
    points, design = sample_points.read(sample_of(survey), survey.config.grid.crs)
    x, y = points["x"].to_numpy(), points["y"].to_numpy()
    away = np.hypot(x[:, None] - x, y[:, None] - y) + np.eye(60) * 1e9
    assert away.min() >= 150
    assert design["inclusion_exact"].tolist() == [0, 0, 0]
    with pytest.raises(ConfigError, match=r"--min-distance 2000: only .* of .* points of the stratum"):
        draw.draw(survey, draw.SampleRequest(60, min_distance_m=2000))


def test_the_page_shows_every_point_and_no_answer(drawn: Survey) -> None:
    page = (drawn.workspace.accuracy / "sample.html").read_text(encoding="utf-8")
    assert page.count("<section") == SIZE
    assert page.count("<image") >= 4 * SIZE * 0.9
    text = re.sub(r'href="data:[^"]*"', "", page)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "<script" not in text
    # the words stand once, in the instruction, and no point carries a stratum, a class, or a probability
    body = text[text.index("<section") :]
    for word in ("landslide", "near", "elsewhere", "probability", "change", "stratum"):
        assert word not in body, word


def test_a_sample_with_answers_is_not_overwritten(drawn: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(drawn, tmp_path / "s")
    rewritten(drawn, sample_of(survey), lambda points, design: (points, design))
    before = sample_of(survey).read_bytes()
    with pytest.raises(ConfigError, match=f"the sample already has {SIZE} answers; move it away before"):
        draw.draw(survey, draw.SampleRequest())
    assert sample_of(survey).read_bytes() == before
    sample_of(survey).write_text("nonsense")
    with pytest.raises(ConfigError, match="the file exists and cannot be read as a sample"):
        draw.draw(survey, draw.SampleRequest())


def test_a_map_that_is_not_the_receipts_is_not_sampled(drawn: Survey, tmp_path: Path, planned_survey: Survey) -> None:
    with pytest.raises(NoDataError, match="no landslide map of the model unet yet"):
        strata.census(planned_survey, 0, 10)
    survey = surveys.copy_survey(drawn, tmp_path / "s")
    receipt = survey.workspace.receipts / "clean" / "r000c000.json"
    raw = json.loads(receipt.read_text())
    names = sorted(path.stem for path in receipt.parent.glob("*.json"))
    path = receipt.with_name(f"{names[0]}.json")
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"sums": {"landslide": "0" * 16}}))
    with pytest.raises(StaleStoreError, match="does not match its receipt"):
        strata.census(survey, 0, 10)


def true_of(survey: Survey) -> np.ndarray:
    truth = vectors.read_truth(survey.config.truth, survey.config.survey.windows, survey.config.grid.crs)
    return rasterize(truth.union_all(), survey.grid.geobox)


def test_the_assessment_follows_from_the_weights(drawn: Survey, tmp_path: Path) -> None:
    """Values against sums of weights; of a file that another program stored in degrees and another order."""
    file = rewritten(
        drawn,
        tmp_path / "answered.gpkg",
        lambda points, design: (points.to_crs("EPSG:4326").sample(frac=1, random_state=1), design),
    )
    found = assess.assess(drawn, file)
    assert json.loads((drawn.workspace.accuracy / "accuracy.json").read_text())["figures"] == found["figures"]
    points, _ = sample_points.read(file, drawn.config.grid.crs)
    weight, true, says = points["weight"], points["reference"] == "landslide", points["map_class"] == "landslide"
    expected = {
        "users": weight[true & says].sum() / weight[says].sum(),
        "producers": weight[true & says].sum() / weight[true].sum(),
        "users_not": weight[~true & ~says].sum() / weight[~says].sum(),
        "producers_not": weight[~true & ~says].sum() / weight[~true].sum(),
        "area": weight[true].sum() / weight.sum(),
        "overall": weight[true == says].sum() / weight.sum(),
    }
    for name, value in expected.items():
        row = found["figures"][name]
        assert row["value"] == pytest.approx(value), name
        assert row["low"] <= row["value"] <= row["high"]
        assert row["low_normal"] <= row["value"] <= row["high_normal"]
    said = whole_strata(drawn)
    assert found["mapped_m2"] == (said == 0).sum() * 100
    assert found["surveyed_m2"] == (said != 255).sum() * 100
    assert found["landslide_m2"]["value"] == pytest.approx(expected["area"] * (said != 255).sum() * 100)
    assert sum(row["points"] for row in found["counts"]) == SIZE
    shares = {said: row["landslide"] + row["no landslide"] for said, row in found["matrix_share"].items()}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["landslide"] == pytest.approx((said == 0).sum() / (said != 255).sum())


def test_intervals_of_a_survey_hold_the_truth(drawn: Survey) -> None:
    """A hundred samples of the survey, answered by the truth.

    95 % intervals hold the figures of the whole country in 88 or more.
    """
    said, true = whole_strata(drawn), true_of(drawn)
    seen, says = said != 255, said == 0
    exact = {
        "users": (true & says).sum() / says.sum(),
        "producers": (true & says).sum() / (true & seen).sum(),
        "area": (true & seen).sum() / seen.sum(),
        "overall": ((true == says) & seen).sum() / seen.sum(),
    }
    pixels = np.array([(said == k).sum() for k in range(3)])
    points = draw._allocate(draw.SampleRequest(400), pixels)
    stratum = np.repeat(np.arange(3), points)
    held = dict.fromkeys(exact, 0)
    for seed in range(100):
        ranks = stratified_sampling.ranks(*np.ogrid[: said.shape[0], : said.shape[1]], seed)
        answer = np.concatenate(
            [true[said == k][np.argsort(ranks[said == k])[:n]] for k, n in enumerate(points)]
        ).astype(int)
        found = assess.figures(
            answers.Answers(stratum, answer, pixels, points, {"inclusion_exact": 1, "tiles_missing": 0}), 100.0
        )
        for name, value in exact.items():
            held[name] += found["figures"][name]["low"] - 1e-12 <= value <= found["figures"][name]["high"] + 1e-12
    print(pixels, points, exact, held)
    assert min(held.values()) >= 88, held


def test_unsure_counts_against_the_map(drawn: Survey, tmp_path: Path) -> None:
    def some(points: gpd.GeoDataFrame, design: pd.DataFrame) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
        points.loc[points.groupby("stratum").head(4).index, "reference"] = " Unsure "
        return points, design

    found = assess.assess(drawn, rewritten(drawn, tmp_path / "unsure.gpkg", some))
    sure = assess.assess(drawn, rewritten(drawn, tmp_path / "sure.gpkg", lambda points, design: (points, design)))
    for key, row in found["figures"].items():
        if key != "area":
            assert row["value"] < row["value_if_unsure_agree"], key
            assert row["value"] <= sure["figures"][key]["value"]
    area, same = found["landslide_m2"], sure["landslide_m2"]
    assert area["low"] < same["low"]
    assert area["high"] > same["high"]
    assert any("12 of 150 points were answered 'unsure'" in line for line in found["warnings"])
    assert not any("unsure" in line for line in sure["warnings"])


Change = Callable[[gpd.GeoDataFrame, pd.DataFrame], tuple[gpd.GeoDataFrame, pd.DataFrame]]


def put(column: str, value: object, row: int = 7) -> Change:
    def change(points: gpd.GeoDataFrame, design: pd.DataFrame) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
        points[column] = points[column].astype(object)
        points.loc[row, column] = value
        points[column] = points[column].infer_objects()
        return points, design

    return change


def planned(column: str, value: object) -> Change:
    return lambda points, design: (points, design.assign(**{column: value}))


def exchanged(points: gpd.GeoDataFrame, design: pd.DataFrame) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Replace a point by another point of its stratum with a valid seal."""
    row = points.index[points["stratum"] == "elsewhere"][0]
    points.loc[row, ["x", "y"]] += 10
    points.loc[[row], "geometry"] = gpd.points_from_xy(points.loc[[row], "x"], points.loc[[row], "y"], crs=points.crs)
    fixed = next(points.loc[[row], list(sample_points.FIXED)].itertuples(index=False))
    points.loc[row, "seal"] = sample_points.seal((design["map_digest"].iloc[0], *fixed))
    return points, design


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("reference", "maybe\x1b[31m"), r"point 8 has the answer 'maybe.*allowed answers are "
                                            r"'landslide', 'no landslide', 'unsure'"),
        (put("reference", None), r"1 of 150 points are not answered yet \(the first: 8\)"),
        (lambda p, d: (p.assign(reference=""), d), r"150 of 150 points are not answered yet"),
        (put("id", 3), r"the id 3 occurs twice"),
        (put("stratum", "forest"), r"point 8 has the unknown stratum 'forest'; the strata are landslide"),
        (put("weight", 1.0), r"point 8 was changed after drawing: one of id, stratum,"),
        (put("id", 1000), r"point 1000 was changed after drawing"),
        (lambda p, d: (p.drop(index=5), d), r"\d+ points in the stratum .* points were removed"),
        (lambda p, d: (pd.concat([p, p.iloc[[5]].assign(id=999)]), d), r"points were added"),
        (lambda p, d: (p.set_geometry(p.translate(30, 0)), d), r"point 1 was moved"),
        (lambda p, d: (p.drop(columns="stratum"), d), r"lacks the column 'stratum'"),
        (exchanged, r"points were exchanged"),
        (planned("map_digest", "0" * 16), r"drawn from another map"),
        (planned("survey_id", "elsewhere"), r"drawn from the survey 'elsewhere'"),
        (planned("pixels", 999_999), r"gives 999999 pixels for the stratum .* which does not fit"),
        (planned("pixels", -5), r"contains invalid numbers"),
        (planned("points", 80.5), r"contains invalid numbers"),
        (planned("pixels", "many"), r"contains invalid numbers"),
        (lambda p, d: (p, d.iloc[:2]), r"must have one row for each of the strata"),
        (lambda p, d: (p, d.drop(columns="checksum")), r"column 'checksum' is missing"),
    ],
)  # fmt: skip
def test_what_is_no_probability_sample_is_refused(drawn: Survey, tmp_path: Path, change: Change, words: str) -> None:
    file = rewritten(drawn, tmp_path / "changed.gpkg", change)
    with pytest.raises(ConfigError, match=words) as caught:
        answers.read(drawn, file)
    assert str(caught.value).isprintable()


def test_files_that_are_no_sample(drawn: Survey, tmp_path: Path) -> None:
    points, _ = sample_points.read(sample_of(drawn), drawn.config.grid.crs)
    with pytest.raises(ConfigError, match="file not found"):
        answers.read(drawn, tmp_path / "none.gpkg")
    (tmp_path / "text.gpkg").write_text("x")
    with pytest.raises(ConfigError, match="cannot be read as a sample"):
        answers.read(drawn, tmp_path / "text.gpkg")
    pyogrio.write_dataframe(points, tmp_path / "one.gpkg", layer="sample")
    with pytest.raises(ConfigError, match="lacks the layer 'design'"):
        answers.read(drawn, tmp_path / "one.gpkg")


def test_the_warnings_of_a_small_sample() -> None:
    """A map that is right at every sample point still needs warnings."""
    design = {"inclusion_exact": 0, "min_distance_m": 50.0, "tiles_missing": 2}
    stratum = np.repeat([0, 1, 2], [10, 40, 60])
    found = assess.figures(
        answers.Answers(
            stratum, (stratum == 0).astype(int), np.array([500, 900, 90_000]), np.array([10, 40, 60]), design
        ),
        100.0,
    )
    text = "\n".join(found["warnings"])
    for words in (
        "Only 10 points are in the stratum 'landslide'",
        "No false landslide",
        "No missed landslide",
        "at least 50 m apart",
        "2 tiles of the region",
    ):
        assert words in text
    assert found["figures"]["users"]["standard_error"] == 0
    assert found["figures"]["users"]["low"] < 0.8
    assert found["figures"]["producers"]["low"] < 0.5


def test_a_map_without_a_landslide_can_be_assessed() -> None:
    design = {"inclusion_exact": 1, "min_distance_m": 0.0, "tiles_missing": 0}
    stratum = np.full(100, 2)
    found = assess.figures(
        answers.Answers(stratum, np.zeros(100, int), np.array([0, 0, 10_000]), np.array([0, 0, 100]), design), 100.0
    )
    assert found["figures"]["users"]["value"] is None
    assert found["figures"]["producers"]["value"] is None
    assert found["figures"]["overall"]["value"] == 1
    assert found["landslide_m2"]["value"] == 0
    assert found["landslide_m2"]["high"] > 0
    assert any("no landslide, so user's accuracy" in line for line in found["warnings"])


def test_the_commands(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    settings = tmp_path / "config.yaml"
    settings.write_text(yaml.safe_dump(json.loads(survey.config.model_dump_json())))
    runner = CliRunner()
    done = runner.invoke(app, ["sample", str(settings), "--size", "30", "--seed", "1", "--allocation", "equal"])
    assert done.exit_code == 0, done.output
    assert re.search(r"landslide +[\d,]+ +10\n", done.output)
    assert "sample.gpkg" in done.output.replace("\n", "")
    refused = runner.invoke(app, ["assess", str(settings)])
    assert isinstance(refused.exception, LsbatchError)
    assert "30 of 30 points are not answered" in str(refused.exception)
    rewritten(survey, tmp_path / "answered.gpkg", lambda points, design: (points, design))
    done = runner.invoke(app, ["assess", str(settings), "--sample", str(tmp_path / "answered.gpkg")])
    assert done.exit_code == 0, done.output
    assert "producer's accuracy, landslide" in done.output
    assert "95 % from" in done.output
    assert "area of landslides, ha" in done.output
    assert runner.invoke(app, ["sample", str(settings), "--size", "3"]).exit_code == 2
    shutil.rmtree(survey.workspace.root)


def test_numbers_for_the_report(done_survey: Survey, drawn: Survey, tmp_path: Path) -> None:
    assert statistics.assessed(done_survey) is None
    survey = surveys.copy_survey(drawn, tmp_path / "s")
    assess.assess(survey, rewritten(drawn, tmp_path / "answered.gpkg", lambda points, design: (points, design)))
    assert statistics.assessed(survey)["fits_the_map"] is True
    receipts.remove(survey.workspace.receipts, "clean", survey.tile((0, 1)).id)
    assert statistics.assessed(survey)["fits_the_map"] is False
    (survey.workspace.accuracy / "accuracy.json").write_text("{}")
    with pytest.raises(StaleStoreError, match="damaged, or not written by lsbatch"):
        statistics.assessed(survey)
    found = statistics.frequencies(done_survey)
    assert found["count"] == sum(one["count"] for one in found["bins"]) > 0
    complete = statistics.completeness(done_survey)
    assert len(complete) == 4
    assert sum(one["mapped"] for one in complete) > 0
    assert all(one["share"] is None or one["low"] <= one["share"] <= one["high"] for one in complete)
    json.dumps([found, complete], allow_nan=False)


def test_frequencies_of_a_known_law() -> None:
    areas = landslides.areas_m2(3000, np.random.default_rng(8))
    found = statistics.frequency(areas, 1000.0)
    json.dumps(found, allow_nan=False)
    assert found["tail"]["curve"]
    assert len(found["inverse_gamma"]["curve"]) == statistics.CURVE_POINTS
    # each curve runs through the bins: within a fifth of every bin of a hundred or more landslides that the law reaches
    for law in ("tail", "inverse_gamma"):
        at, density = np.log(np.array(found[law]["curve"])).T
        large = [one for one in found["bins"] if one["count"] >= 100 and one["from_m2"] >= np.exp(at[0]) * 0.999]
        assert large
        for one in large:
            # a bin's density is that of its mean; the logarithmic middle lies near
            assert np.exp(np.interp(np.log(one["from_m2"] * one["to_m2"]) / 2, at, density)) == pytest.approx(
                one["density_per_m2"], rel=0.2
            )
    assert any("rollover is not visible" in line for line in found["notes"])
    assert statistics.frequency(np.empty(0), 500.0) == {
        "count": 0,
        "bins": [],
        "tail": None,
        "inverse_gamma": None,
        "notes": ["0 landslides are too few or too similar in area for a fit; 50 are needed."],
    }


@pytest.mark.skipif(browser.program() is None, reason="no Chromium")
def test_the_page_opens_in_a_browser_and_asks_for_nothing(drawn: Survey, tmp_path: Path) -> None:
    with browser.Page(tmp_path) as page:
        page.open((drawn.workspace.accuracy / "sample.html").as_uri())
        assert page.errors == []
        assert all(one.startswith(("file:", "data:")) for one in page.requests)
        assert page.value("document.querySelectorAll('section').length") == SIZE
        assert page.value("[...document.querySelectorAll('svg')].every(one => one.getAttribute('aria-label'))") is True
        page.picture(tmp_path / "page.png", whole=False)
