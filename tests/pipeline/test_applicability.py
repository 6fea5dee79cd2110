"""Where weights may be believed: the stage, the records, and the sentences before, while and after a survey runs."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from typer.testing import CliRunner

from lsbatch.bands import applicability as layer
from lsbatch.bands import mask
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.cli.program import app
from lsbatch.commands import applicability as watching
from lsbatch.commands import run
from lsbatch.engine import execution, schedule, todo
from lsbatch.engine.execution import Progress
from lsbatch.models import base, cards
from lsbatch.models.applicability import described
from lsbatch.models.cards import Applicability
from lsbatch.pipeline import applicability, applicability_messages
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.geometries import rasterize
from tests import surveys


def with_weights(survey: Survey, folder: Path, **changes: object) -> Survey:
    """The survey with a copy of its weights whose description is changed, or taken away if nothing is given."""
    packaged = base.resolve(survey.config)
    of = cards.card(packaged)
    assert of.applicability is not None
    described_as = replace(of.applicability, **changes) if changes else None  # type: ignore[arg-type]
    sample = cards.sample(packaged) if changes else None
    if described_as is not None and sample is not None:
        described_as = replace(described_as, checksum=cards.sample_checksum(sample, described_as))
    path = folder / "weights.safetensors"
    cards.save(path, cards.arrays(packaged), replace(of, applicability=described_as), sample)
    model = survey.config.model.model_copy(update={"weights": str(path)})
    return Survey(survey.config.model_copy(update={"model": model}), survey.grid, survey.positions)


def description(config: Config) -> Applicability:
    found = described(config)
    assert found is not None
    return found


def test_outside_is_an_index_above_the_limit(done_survey: Survey) -> None:
    found = surveys.whole(done_survey, layer("unet"))
    limit = description(done_survey.config).limit
    known = found["dissimilarity"] != 65535
    np.testing.assert_array_equal(found["outside"] == 255, ~known)
    # the index is stored in steps of 0.001
    clear = known & (np.abs(found["dissimilarity"] / 1000 - limit) > 0.001)
    np.testing.assert_array_equal(found["outside"][clear] == 1, found["dissimilarity"][clear] / 1000 > limit)
    tallies = [one.tally for one in receipts.read_stage(done_survey.workspace.receipts, "applicability").values()]
    assert sum(tally["known_pixels"] for tally in tallies) == known.sum()
    assert sum(tally["outside_pixels"] for tally in tallies) == (found["outside"] == 1).sum()


def test_country_of_the_training_kind_is_inside(done_survey: Survey) -> None:
    found, where = watching.done(done_survey)
    assert where == "the survey"
    print(f"unlike the training: {found.share:.1%}")
    assert found.share <= 0.1


def test_tiles_equal_the_whole(done_survey: Survey, one_tile_survey: Survey, tmp_path: Path) -> None:
    whole = surveys.copy_survey(one_tile_survey, tmp_path / "whole")
    assert execution.run(whole, until="applicability") == 0
    tiled = surveys.whole(done_survey, layer("unet"))
    for name, values in surveys.whole(whole, layer("unet")).items():
        np.testing.assert_array_equal(values, tiled[name])


def test_record_has_the_share_of_its_pixels_outside(done_survey: Survey) -> None:
    outside = surveys.whole(done_survey, layer("unet"))["outside"]
    slides = surveys.whole(done_survey, mask("unet"))["landslide"] == 1
    records = gpd.read_parquet(done_survey.workspace.inventory / "landslides.parquet")
    assert len(records) > 0
    for row in records.itertuples():
        inside = rasterize(row.geometry, done_survey.grid.geobox) & slides
        assert row.outside_share == pytest.approx((outside[inside] == 1).mean(), abs=5e-4)


def test_weights_without_description_have_no_stage_and_no_claim(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = with_weights(surveys.copy_survey(stacked_survey, tmp_path / "s"), tmp_path)
    assert "applicability" not in {step.name for step in todo.steps(survey.config)}
    heard = surveys.BenchScreen()
    heard.finished = lambda *_: None  # type: ignore[attr-defined]
    assert run.survey(survey.config, heard, until="inventory") == 0  # type: ignore[arg-type]
    assert "nlike" not in heard
    records = gpd.read_parquet(survey.workspace.inventory / "landslides.parquet")
    assert records["outside_share"].isna().all()


def test_digest_of_predictions_does_not_follow_the_description(done_survey: Survey, tmp_path: Path) -> None:
    with_other = with_weights(done_survey, tmp_path, limit=1.0)
    assert len(schedule.pending_work(with_other)["predict"].digests) == 0
    assert len(schedule.pending_work(with_other)["applicability"].digests) == len(done_survey.positions)


def test_run_ends_with_the_share(done_survey: Survey) -> None:
    heard = surveys.BenchScreen()
    heard.finished = lambda *_: heard.lines.append("finished")  # type: ignore[attr-defined]
    assert run.survey(done_survey.config, heard) == 0  # type: ignore[arg-type]
    assert heard.lines[-2] == "finished"
    assert "of the observed ground of the survey is unlike what the weights were trained on" in heard.lines[-1]


def test_scene_wide_change_is_named_with_its_size(done_survey: Survey, tmp_path: Path) -> None:
    config = with_weights(done_survey, tmp_path, changes={"VV": (-0.1, 0.1), "dNDVI": (-0.5, 0.5)}).config
    medians = {"bands": {"preVV": -11.0}, "changes": {"VV": 3.9, "dNDVI": 0.0}}
    lines = applicability_messages.of_pixels(config, applicability.Summary(100, 0, medians), "the survey")
    assert lines == [
        "Unlike the training: backscatter VV changed by +3.9 dB as a median over the survey; the training chips "
        "changed by -0.1 dB to +0.1 dB"
    ]


def test_band_outside_the_training_and_share_are_told(done_survey: Survey) -> None:
    found = applicability.Summary(100, 61, {"bands": {"preVV": 2.0}, "changes": {}})
    level, share = applicability_messages.of_pixels(done_survey.config, found, "the first 3 tiles")
    assert level.startswith("Unlike the training: preVV has a median of 2.0 dB over the first 3 tiles; 98 % of the")
    assert share == (
        "61 % of the observed ground of the first 3 tiles is unlike what the weights were trained on: do not believe "
        "the landslides there (layer applicability/unet)"
    )


@pytest.mark.parametrize(
    ("outside_px", "begins"),
    [(0, "0 % of the"), (1, "less than 1 % of the"), (9, "less than 1 % of the"), (10, "1 % of the")],
)
def test_a_small_share_is_not_nothing(done_survey: Survey, outside_px: int, begins: str) -> None:
    found = applicability_messages.share(done_survey.config, applicability.Summary(1000, outside_px, {}))
    assert found.startswith(begins)
    assert found.endswith(")") == (outside_px > 0)


def test_first_tiles_are_looked_at_while_stack_goes_on(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = with_weights(stacked_survey, tmp_path, changes={"VV": (5.0, 6.0), "dNDVI": (-0.5, 0.5)})
    lines: list[str] = []
    progress = watching.Watch(survey, Progress(), lines.append).progress
    done = list(receipts.read_stage(survey.workspace.receipts, "stack").values())
    for receipt in done[:2]:
        progress.done(receipt)
    assert lines == []
    progress.done(done[2])
    assert any(line.startswith("Unlike the training: backscatter VV changed by") for line in lines)
    assert all("the first 3 tiles" in line for line in lines)
    told = len(lines)
    progress.done(done[3])
    assert len(lines) == told


def test_plan_tells_pixel_size_scenes_and_season(done_survey: Survey) -> None:
    config = done_survey.config
    scenes = plan.load(config.output).summary["scenes"]
    assert applicability_messages.before_pixels(config, scenes) == []
    grid = config.grid.model_copy(update={"resolution_m": 30.0})
    winter = config.survey.model_copy(update={"kind": "event", "event_date": date(2023, 12, 10)})
    other = config.model_copy(update={"grid": grid, "survey": winter})
    few = {key: {**row, "least": 2, "most": 4} if key.endswith("s1") else row for key, row in scenes.items()}
    assert applicability_messages.before_pixels(other, few) == [
        "Unlike the training: pixels of 30 m; the weights were trained on pixels of 10 m",
        "Unlike the training: 2 to 4 Sentinel-1 scenes before on a tile; the weights were trained with 16",
        "Unlike the training: 2 to 4 Sentinel-1 scenes after on a tile; the weights were trained with 16",
        "Unlike the training: images of 11-10 to 12-09 and 12-11 to 01-09 (month-day); the weights were trained on "
        "images of 06-20 to 09-10",
    ]


def test_season_across_the_new_year(done_survey: Survey, tmp_path: Path) -> None:
    config = with_weights(done_survey, tmp_path, seasons=(("11-01", "02-15"),)).config
    scenes = plan.load(config.output).summary["scenes"]
    (line,) = applicability_messages.before_pixels(config, scenes)
    assert "images of 11-01 to 02-15" in line
    winter = config.survey.model_copy(update={"kind": "event", "event_date": date(2023, 12, 10)})
    assert applicability_messages.before_pixels(config.model_copy(update={"survey": winter}), scenes) == []


def test_plan_command_warns(country: Path, tmp_path: Path) -> None:
    text = country.read_text(encoding="utf-8").replace("resolution_m: 10", "resolution_m: 20")
    file = country.with_name("coarse.yaml")
    file.write_text(text.replace("output: survey", f"output: {tmp_path / 'coarse'}"), encoding="utf-8")
    done = CliRunner().invoke(app, ["plan", str(file)])
    assert done.exit_code == 0, done.output
    assert "Unlike the training: pixels of 20 m; the weights were trained on pixels of 10 m" in done.output


def test_tile_weighs_as_many_pixels_as_are_known() -> None:
    def tally(known: int, value: float) -> dict[str, object]:
        return {"known_pixels": known, "outside_pixels": known // 2,
                "medians": {"bands": {"preVV": value}, "changes": {}}}  # fmt: skip

    found = applicability.summary([tally(10, 1.0), tally(100, 2.0), tally(0, 9.0), tally(30, 3.0)])
    assert found.medians["bands"] == {"preVV": 2.0}
    assert (found.known_px, found.outside_px, found.share) == (140, 70, 0.5)
    assert applicability.summary([]).share == 0.0


def test_weights_for_other_bands_claim_nothing_before_they_are_refused(stacked_survey: Survey) -> None:
    """STACK may be done, and training may begin, while the settings name weights of other bands."""
    assert described(stacked_survey.config) is not None
    for changes in ({"bands": "s2"}, {"model": stacked_survey.config.model.model_copy(update={"family": "cart"})}):
        other = stacked_survey.config.model_copy(update=changes)
        assert described(other) is None
        assert not applicability.STAGE.wanted(other)


@pytest.mark.parametrize(
    ("name", "shown"), [("preVV", "2.0 dB"), ("localVH", "2.0 dB"), ("VV", "2.0 dB"), ("zVV", "2"), ("dNDVI", "2")]
)
def test_only_decibels_are_called_so(name: str, shown: str) -> None:
    assert applicability_messages._value(2.0, name) == shown
