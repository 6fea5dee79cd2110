"""Law of resuming, across versions: a survey that an older version made is found fresh and is continued.

`tests/data/survey-made-by-df90880.tar.xz` is the folder of a small synthetic survey (96 x 384 pixels in two tiles of
256, seven landslides) that commit df90880 made, the last one before the modules were moved. Its archive does not exist
any more, so a run that wanted to search or to read scenes again would fail.

STACK has changed since (version 3: scenes are resampled by our own kernel; version 4: change against the surroundings)
and so have predictions (version 2: water). So both are outdated, and the other tests here take the versions that made
it. The cube gets the arrays of the new bands. Maps and report are made again, from parts that only newer versions
have; their pixels are the same. No other file changes. The packaged weights describe their training
since; the tests take the weights as they were, and one test takes those of today.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import zarr

import lsbatch
from lsbatch import settings
from lsbatch.catalog.survey import open_survey
from lsbatch.engine import execution, schedule, todo
from lsbatch.errors import ConfigError
from lsbatch.inventory import inventory_files, schema
from lsbatch.models import base, cards
from lsbatch.pipeline import predict, stack
from lsbatch.pipeline.types import Stage
from lsbatch.storage import receipts
from tests import surveys

ARCHIVE = Path(__file__).parents[1] / "data" / "survey-made-by-df90880.tar.xz"
TILES = ("r000c000", "r000c001")
STACK_VERSION, PREDICT_VERSION = 2, 1
#: Stages that the older version did not have.
NEW_STAGES = ("records", "provenance", "map_blocks", "thumbnails")


@pytest.fixture
def outdated(tmp_path: Path) -> Path:
    """Settings file of the older survey, beside its folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "survey.yaml"


@pytest.fixture
def older(described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with the packaged weights that made it: they had no description of their training."""
    for path in base.PACKAGED.glob("*.safetensors"):
        cards.save(tmp_path / "weights" / path.name, cards.arrays(path), replace(cards.card(path), applicability=None))
    monkeypatch.setattr(base, "PACKAGED", tmp_path / "weights")
    return described


@pytest.fixture
def described(outdated: Path) -> Iterator[Path]:
    """The same, with the versions of the stages that made it, and the packaged weights of today."""
    now = stack.STAGE.version, predict.STAGE.version
    # frozen, and held by the registry
    object.__setattr__(stack.STAGE, "version", STACK_VERSION)
    object.__setattr__(predict.STAGE, "version", PREDICT_VERSION)
    yield outdated
    object.__setattr__(stack.STAGE, "version", now[0])
    object.__setattr__(predict.STAGE, "version", now[1])


def test_a_changed_stage_makes_the_older_survey_outdated(outdated: Path) -> None:
    survey = open_survey(settings.load(outdated))
    assert stack.STAGE.version > STACK_VERSION
    assert len(schedule.pending_work(survey)["stack"].digests) == len(TILES)
    assert lsbatch.open_survey(outdated).tiles["status"].tolist() == ["pending", "pending"]
    assert len(lsbatch.open_survey(outdated).landslides) == 7


def run(path: Path) -> set[tuple[str, str]]:
    """Run the survey; return the (step, tile) that were done."""
    count = surveys.Count()
    survey = open_survey(settings.load(path))
    assert execution.run(survey, progress=count.progress) == 0, count.failed
    return set(count.tiles)


def inventory(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(path.parent / "survey" / "inventory" / "landslides.parquet")


def test_older_survey_is_fresh(older: Path) -> None:
    """Only the parts that the reductions are made from are new, and so are the results of the reductions."""
    folder = older.parent / "survey"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert len(before) > 60
    maps = {name: pixels(folder, name) for name in ("probability", "mask", "date", "observed")}
    records = inventory(older)
    assert run(older) == {(stage, tile) for stage in NEW_STAGES for tile in TILES} | {
        (name, "all") for name in ("inventory", "rasters", "project", "catalog", "report")
    }
    after = {path: path.stat().st_mtime_ns for path in before if path.exists()}
    changed = {path.relative_to(folder).as_posix() for path in before if after.get(path) != before[path]}
    reductions = ("inventory", "rasters", "project", "catalog", "report")
    again = (
        "inventory/",
        "review/identities.parquet",
        "maps/",
        "stac/",
        "report/",
        *(f"receipts/{name}/" for name in reductions),
    )
    # the list of all arrays
    assert {name for name in changed if not name.startswith(again)} == {"cube.zarr/zarr.json"}
    for name, values in maps.items():
        np.testing.assert_array_equal(pixels(folder, name), values)
    same = [name for name in records.columns if name not in ("software", "settings")]
    # the older version wrote days as texts, and all digits
    assert isinstance(records["date_latest"].iloc[0], str)
    wanted = inventory_files.rounded(records[same], [field for field in schema.FIELDS if field.name in same])
    found = inventory_files.with_texts(inventory(older)[same])
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(wanted))
    assert lsbatch.run(older) == 0
    assert run(older) == set()


def pixels(folder: Path, name: str) -> np.ndarray:
    """A national map."""
    with rasterio.open(folder / "maps" / f"{name}.tif") as raster:
        return raster.read(1)


def test_every_receipt_of_the_older_survey_is_understood(older: Path) -> None:
    survey = open_survey(settings.load(older))
    for step in todo.steps(survey.config):
        if step.name in (*NEW_STAGES, "project"):
            continue
        found = receipts.read_stage(survey.workspace.receipts, step.name)
        assert sorted(found) == (sorted(TILES) if isinstance(step, Stage) else ["all"]), step.name
        assert all(found.values())


def test_older_survey_is_continued(older: Path) -> None:
    """Only the tile whose receipt is missing is done again, and what follows from it, with the same result."""
    assert run(older)
    folder, first = older.parent / "survey", inventory(older)
    mask = zarr.open_array(folder / "cube.zarr" / "mask" / "unet" / "landslide", mode="r")[:]
    for stage in ("clean", "outline"):
        (folder / "receipts" / stage / f"{TILES[0]}.json").unlink()
    shutil.rmtree(folder / "inventory")
    (folder / "receipts" / "inventory" / "all.json").unlink()
    done = run(older)
    assert done >= {("clean", TILES[0]), ("outline", TILES[0]), ("inventory", "all")}
    assert {stage for stage, _ in done} <= {"clean", "outline", "records", "inventory"}
    assert not any(tile == TILES[1] for _, tile in done)
    again = zarr.open_array(folder / "cube.zarr" / "mask" / "unet" / "landslide", mode="r")[:]
    np.testing.assert_array_equal(again, mask)
    second = inventory(older)
    assert second["landslide_id"].tolist() == first["landslide_id"].tolist()
    assert second.geometry.equals(first.geometry)
    assert second["area_m2"].tolist() == first["area_m2"].tolist()


def test_description_of_the_training_adds_to_the_older_survey(described: Path) -> None:
    """STACK, predictions and mask are fresh; the layer is new, and the records get their share of it."""
    before = inventory(described)
    assert "outside_share" not in before
    done = run(described)
    assert {(stage, tile) for stage, tile in done if tile != "all"} == {
        (stage, tile) for stage in ("applicability", "outline", *NEW_STAGES) for tile in TILES
    }
    after = inventory(described)
    assert after["outside_share"].notna().all()
    assert after["landslide_id"].tolist() == before["landslide_id"].tolist()
    assert after.geometry.equals(before.geometry)


def test_a_changed_setting_is_seen_in_the_older_survey(older: Path) -> None:
    """The law can fail: with another threshold, cleaning and what follows are done again."""
    raw = json.loads(json.dumps(settings.load(older).model_dump(mode="json")))
    raw["clean"]["threshold"] = 0.6
    survey = open_survey(settings.parse(raw, older.parent))
    assert len(schedule.pending_work(survey)["clean"].digests) == len(TILES)
    assert len(schedule.pending_work(survey)["predict"].digests) == 0


def test_older_survey_opens_in_a_notebook(older: Path) -> None:
    assert lsbatch.open_survey(older).tiles["status"].tolist() == ["pending", "pending"]
    assert run(older)
    survey = lsbatch.open_survey(older)
    assert survey.tiles["status"].tolist() == ["done", "done"]
    assert len(survey.landslides) == 7
    with pytest.raises(ConfigError, match=r"holds no settings\.yaml"):
        lsbatch.open_survey(older.parent / "survey")
