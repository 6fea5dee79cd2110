"""Further Sentinel-2 bands: the composite, the plan and the STACK of surveys that ask for them and that do not."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsbatch import synthetic
from lsbatch.bands import INDEX_TERMS, STACK, probability, stack_layer
from lsbatch.catalog import plan, planning
from lsbatch.catalog.items.scenes import Scene, describe
from lsbatch.catalog.survey import Survey
from lsbatch.commands import train
from lsbatch.engine import execution
from lsbatch.errors import NoDataError
from lsbatch.models import base
from lsbatch.pipeline import optical, stack
from lsbatch.storage import cube, files, receipts
from tests import surveys
from tests.commands.test_train import Lines
from tests.pipeline.test_stack import ALL_PX, CRS, FLAT, INNER, config, terrain_of, written

FURTHER = ("SWIR2", "SWIR1", "NIRn")
INPUTS = ["postNIR", "dNBR", "dNDMI", "postSWIR1"]
SMALL = {"block_px": 128, "chip_px": 64, "depth": 1, "width": 4, "epochs": 1, "batch": 64}


# The composite


KEYS = {"R": "red", "G": "green", "B": "blue", "NIR": "nir", "SWIR1": "swir16", "NIRn": "nir08"}


def digital_numbers(seed: int) -> dict[str, np.ndarray]:
    """Random numbers of each band; some are no measurement."""
    dice = np.random.default_rng(seed)
    bands = {name: dice.integers(200, 6000, (ALL_PX, ALL_PX)).astype(np.uint16) for name in KEYS}
    bands["SWIR1"][dice.random((ALL_PX, ALL_PX)) < 0.1] = 0
    return bands


def look(folder: Path, day: int, bands: dict[str, np.ndarray], further: tuple[str, ...]) -> Scene:
    """A clear scene, baseline 02.14."""
    folder = folder / str(day)
    folder.mkdir()
    places = {KEYS[name]: written(folder / f"{name}.tif", values, 0) for name, values in bands.items()}
    places["scl"] = written(folder / "scl.tif", np.full((ALL_PX, ALL_PX), 4, np.uint8), 0)
    told = {"datetime": f"2020-07-0{day}T10:50:31Z", "proj:code": CRS, "s2:processing_baseline": "02.14"}
    item = {
        "type": "Feature", "id": f"day-{day}", "bbox": [14.9, 61.2, 15.2, 61.4], "properties": told,
        "assets": {key: {"href": href} for key, href in places.items()},
    }  # fmt: skip
    return describe(item, "sentinel2", further)


def asking(*further: str) -> Any:
    """The settings of `test_stack`, with further bands."""
    plain = config()
    return plain.model_copy(update={"composite": plain.composite.model_copy(update={"bands": further})})


def test_further_bands_are_those_of_the_greenest_day(tmp_path: Path) -> None:
    """Against float64, pixel by pixel: all bands from the day of the highest NDVI that is complete."""
    further = ("NIRn", "SWIR1")
    days = {day: digital_numbers(day) for day in (1, 2, 3)}
    scenes = [look(tmp_path, day, bands, further) for day, bands in days.items()]
    found = optical.greenest(scenes, terrain_of(FLAT), asking(*further))
    names = ("R", "G", "B", "NIR", *further)
    values = np.stack([[bands[name][INNER] for name in names] for bands in days.values()]).astype(np.float64)
    red, nir = values[:, 0], values[:, 3]
    green = np.where((values > 0).all(axis=1), (nir - red) / (nir + red), -np.inf)
    expected = np.take_along_axis(values, np.argmax(green, axis=0)[None, None], axis=0)[0] * 1e-4
    expected[:, np.isinf(green).all(axis=0)] = np.nan
    np.testing.assert_allclose(found.bands, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.looks, np.isfinite(green).sum(axis=0))


def test_a_scene_that_lacks_a_further_band_is_dropped_with_the_reason(tmp_path: Path) -> None:
    """As with a plan of another version; the plan itself rejects such items."""
    bands = digital_numbers(1)
    whole, lacking = look(tmp_path, 1, bands, ("SWIR1",)), look(tmp_path, 2, bands, ())
    found = optical.greenest([whole, lacking], terrain_of(FLAT), asking("SWIR1"))
    assert found.used == ("day-1",)
    assert [(one.reason, one.may_pass) for one in found.dropped] == [("day-2: has no asset for SWIR1", False)]
    assert optical.greenest([whole, lacking], terrain_of(FLAT), asking()).used == ("day-1", "day-2")


# A survey of the synthetic country


@pytest.fixture(scope="module")
def wide_country(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings file of a country whose scenes have further bands."""
    folder = tmp_path_factory.mktemp("wide")
    return synthetic.simulate(folder, seed=surveys.SEED, rows=512, cols=512, further=FURTHER)


@pytest.fixture(scope="module")
def wide_survey(wide_country: Path, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Its STACK, for a model on a list of bands."""
    chosen = surveys.configured(
        wide_country, tmp_path_factory.mktemp("wide-s") / "s", bands=INPUTS, model={"weights": None}, train=SMALL
    )
    survey = surveys.ready(chosen)
    assert chosen.composite.bands == FURTHER
    assert execution.run(survey, until="stack") == 0
    return survey


def test_stored_indices_are_those_of_the_stored_composites(wide_survey: Survey) -> None:
    layer = stack_layer(FURTHER)
    read = [
        cube.read(wide_survey.workspace.store, wide_survey.grid, layer, wide_survey.tile(position), 0, layer.names)
        for position in wide_survey.positions
    ]
    bands = {name: np.stack([tile[name] for tile in read]).astype(np.float64) for name in layer.names}
    plus = {"dNBR": 1, "dNDMI": 1, "dBSI": 2}
    for name, terms in INDEX_TERMS.items():
        of = {}
        for period in ("pre", "post"):
            # the bare soil index has its positive terms first
            first = terms[: plus[name]]
            more, less = (sum(bands[period + term] for term in part) for part in (first, terms[len(first) :]))
            of[period] = (more - less) / (more + less), more + less
        expected = of["post"][0] - of["pre"][0]
        assert 0.5 < np.isfinite(bands[name]).mean() < 1
        np.testing.assert_array_equal(np.isfinite(bands[name]), np.isfinite(expected))
        # four stored terms are off by half a step each
        allowed = 1e-4 + sum(plus[name] * 2e-4 / total for _, total in of.values())
        assert np.nanmax(np.abs(bands[name] - expected) / allowed) <= 1


def test_all_other_bands_are_those_of_a_survey_that_does_not_ask(
    wide_survey: Survey, stacked_survey: Survey, wide_country: Path, tmp_path: Path
) -> None:
    """Every pixel of these scenes is measured in all bands, so asking changes no other band."""
    ours, theirs = surveys.whole(wide_survey, STACK), surveys.whole(stacked_survey, STACK)
    for name in STACK.names:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_survey_that_does_not_ask_has_the_plan_and_the_stack_of_before(
    wide_country: Path, planned_survey: Survey, stacked_survey: Survey, tmp_path: Path
) -> None:
    """On the same archive: no asset of a further band is in its plan, no array in its store, no setting in a digest."""
    plain = surveys.ready(surveys.configured(wide_country, tmp_path / "s", composite={"bands": []}))
    assert plan.settings_digest(plain.config) != plan.settings_digest(surveys.configured(wide_country, tmp_path / "s"))
    for position in plain.positions:
        scenes = plan.tile_scenes(plain.config.output, plain.tile(position).id)
        named = {band for key in ("pre_s2", "post_s2") for scene in scenes[key] for band in scene.assets}
        # SWIR is for ccdc, which reads it where an archive has it
        assert named == {"R", "G", "B", "NIR", "SCL", "SWIR"}
    assert "bands" not in stack.STAGE.settings(plain.config)
    assert set(stack.STAGE.settings(planned_survey.config)) == {
        "cloud_dilate_px", "speckle", "speckle_size_px", "speckle_looks", "slope_model",
    }  # fmt: skip
    stored = {path.name for path in (stacked_survey.workspace.store / "stack").iterdir() if path.is_dir()}
    assert stored == {*STACK.names, "x", "y", "spatial_ref"}


def test_asking_later_adds_the_bands_and_composes_again(stacked_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    cube.create(survey.workspace.store, survey.grid, stack_layer(("RE1",)))
    tile = survey.tile(survey.positions[0])
    found = cube.read(survey.workspace.store, survey.grid, stack_layer(("RE1",)), tile, 0, ("preRE1", "preR"))
    assert np.isnan(found["preRE1"]).all()
    assert np.isfinite(found["preR"]).any()
    asked = survey.config.composite.model_copy(update={"bands": ("RE1",)})
    assert stack.STAGE.settings(survey.config.model_copy(update={"composite": asked}))["bands"] == ("RE1",)


def test_an_item_without_the_band_is_rejected_by_the_plan(wide_country: Path, tmp_path: Path) -> None:
    """One of the items loses an asset; then an archive that has the band nowhere."""
    shutil.copytree(wide_country.parent, tmp_path / "country")
    path = tmp_path / "country" / wide_country.name
    items = sorted((tmp_path / "country" / "catalog").rglob("S2*.json"))
    _without(items[0], "swir22", "B12")
    made = planning.make(surveys.configured(path, tmp_path / "s"))
    (reason,) = made.summary["left_out"]
    assert reason.startswith(f"{items[0].stem}: has no asset for SWIR2, which composite.bands asks for; it has ")
    assert not any(
        scene.id == items[0].stem for tile in made.by_tile.values() for group in tile.scenes.values() for scene in group
    )
    with pytest.raises(NoDataError, match=r"no usable scene .* has no asset for RE1, which composite\.bands asks for"):
        planning.make(surveys.configured(path, tmp_path / "s", composite={"bands": ["RE1"]}))


def _without(item: Path, *keys: str) -> None:
    content = json.loads(item.read_text(encoding="utf-8"))
    content["assets"] = {key: asset for key, asset in content["assets"].items() if key not in keys}
    item.write_text(json.dumps(content), encoding="utf-8")


def test_a_tile_with_an_unreadable_further_band_says_so(wide_survey: Survey, tmp_path: Path) -> None:
    """All scenes of Sentinel-2 lose SWIR2 after the plan; the tile is done with the others, and the receipt tells."""
    survey = surveys.copy_survey(wide_survey, tmp_path / "s")
    position = survey.positions[0]
    place = plan.tile_file(survey.config.output, survey.tile(position).id)
    content = json.loads(place.read_text(encoding="utf-8"))
    for key in ("pre_s2", "post_s2"):
        for scene in content["scenes"][key]:
            del scene["assets"]["SWIR2"]
    files.write_text(place, json.dumps(content))
    assert execution.run(survey, until="stack") == 0
    receipt = receipts.read_stage(survey.workspace.receipts, "stack")[survey.tile(position).id]
    assert receipt.dropped
    assert all(reason.endswith(": has no asset for SWIR2") for reason in receipt.dropped)
    assert not any(name.startswith("S2") for name in receipt.scenes)


def test_a_network_is_trained_on_a_list_and_predicts(wide_survey: Survey, tmp_path: Path) -> None:
    """Hardly trained: this shows the path and not how good it is."""
    survey = surveys.copy_survey(wide_survey, tmp_path / "s")
    train.train([survey.config], Lines(), out=None, fresh=False)
    weights = base.default_path(survey.config)
    card = base.card(weights)
    assert card.bands == tuple(INPUTS)
    assert execution.run(survey) == 0
    found = surveys.whole(survey, probability("unet"))["probability"]
    assert 0.5 < (found != 65535).mean() < 1
    page = (survey.workspace.report / "report.html").read_text(encoding="utf-8")
    assert "<dt>Inputs</dt><dd>postNIR, dNBR, dNDMI, postSWIR1</dd>" in page
    (item,) = survey.workspace.catalog.rglob(f"{survey.config.survey.id}-r000c000.json")
    listed = item.read_text(encoding="utf-8")
    assert all(f'"{name}"' in listed for name in ("preSWIR2", "postNIRn", "dNBR", "dBSI"))
