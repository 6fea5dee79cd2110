"""The setting truth.mapped_area: ground outside is neither learned from nor scored."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.commands import train
from lsbatch.engine import execution
from lsbatch.inventory import evaluation, identity
from lsbatch.models.training.spatial_split import UNKNOWN
from lsbatch.pipeline import score
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.storage import vectors
from tests import surveys


@pytest.fixture
def partly_mapped(done_survey: Survey, tmp_path: Path) -> tuple[Survey, shapely.Polygon]:
    """The west of the country is mapped; an oblique border crosses tiles and pixels."""
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    left, bottom, right, top = survey.grid.bounds
    middle = (left + right) / 2
    area = shapely.Polygon([(left, bottom), (middle + 300, bottom), (middle - 300, top), (left, top)])
    file = tmp_path / "area.gpkg"
    gpd.GeoDataFrame(geometry=[area], crs=survey.config.grid.crs).to_crs("EPSG:4326").to_file(file)
    assert survey.config.truth is not None
    truth = survey.config.truth.model_copy(update={"mapped_area": file})
    return Survey(survey.config.model_copy(update={"truth": truth}), survey.grid, survey.positions), area


def _inside(survey: Survey, area: shapely.Polygon) -> np.ndarray:
    """Whether the centre of each pixel of the grid lies in the area, point by point."""
    rows, cols = np.indices(survey.grid.shape)
    x, y = survey.grid.geobox.transform * (cols + 0.5, rows + 0.5)
    return shapely.contains_xy(area, x, y)


def test_labels_are_unknown_outside(partly_mapped: tuple[Survey, shapely.Polygon]) -> None:
    survey, area = partly_mapped
    inside = _inside(survey, area)
    source = train.source(survey.config)
    whole = np.full(survey.grid.shape, 99, np.uint8)
    slid = np.zeros(survey.grid.shape, bool)
    for tile in source.tiles:
        whole[tile.region] = source.truth(tile)
        slid[tile.region] = vectors.truth_mask(survey.config.truth, survey.config.survey.windows, tile.geobox)
    # the area went through degrees, so a centre on its border may move
    differ = (whole == UNKNOWN) == inside
    assert differ.mean() < 1e-4
    known = (whole != UNKNOWN) & ~differ
    np.testing.assert_array_equal(whole[known] == 1, slid[known])
    assert 0 < (whole == 1).sum() < slid.sum()


def test_only_the_mapped_area_is_scored(partly_mapped: tuple[Survey, shapely.Polygon], done_survey: Survey) -> None:
    survey, area = partly_mapped
    assert execution.run(survey, until="inventory") == 0
    found, everything = evaluation.summary(survey), evaluation.summary(done_survey)
    mask = surveys.whole(survey, score_layer(survey))["landslide"]
    inside = _inside(survey, area)
    slid = np.zeros(survey.grid.shape, bool)
    for position in survey.positions:
        tile = survey.tile(position)
        slid[tile.region] = vectors.truth_mask(survey.config.truth, survey.config.survey.windows, tile.geobox)
    counted = inside & (mask != UNOBSERVED)
    expected = {
        "tp": (counted & (mask == 1) & slid).sum(),
        "fp": (counted & (mask == 1) & ~slid).sum(),
        "fn": (counted & (mask == 0) & slid).sum(),
        "tn": (counted & (mask == 0) & ~slid).sum(),
    }
    for name, count in expected.items():
        assert found[name] == pytest.approx(count, abs=5), name
        assert found[name] < everything[name]
    records = identity.found(vectors.read_part(survey.workspace.inventory / "landslides.parquet"))
    west = [shape.intersection(area).area >= shape.area / 2 for shape in records.geometry]
    assert found["landslides"] == sum(west) < everything["landslides"] == len(records)


def score_layer(survey: Survey):  # type: ignore[no-untyped-def]
    """Layer of the mask."""
    from lsbatch.bands import mask

    return mask(survey.config.model.family)


def test_surveys_without_the_setting_keep_their_scores(done_survey: Survey) -> None:
    """The setting enters neither the digest of the stage nor the settings that are stored, unless it is there."""
    assert "mapped_area" not in score.STAGE.settings(done_survey.config)
    assert "mapped_area" not in done_survey.config.model_dump(mode="json")["truth"]
