"""The comparison of U-Net inputs counts pixels by the exact outlines of a country, where there are any."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from benchmarks import unet_settings
from lsbatch.catalog.survey import Survey
from lsbatch.commands import compare
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.storage import vectors


def _classes(survey: Survey) -> np.ndarray:
    """A map that calls exactly the mapped landslides, with a part that nobody observed."""
    classes = np.full(survey.grid.shape, compare.TN, np.uint8)
    for position in survey.positions:
        tile = survey.tile(position)
        real = vectors.truth_mask(survey.config.truth, survey.config.survey.windows, tile.geobox)
        classes[tile.region][real] = compare.TP
    classes[:40] = UNOBSERVED
    return classes


def test_without_exact_outlines_the_mapped_ones_count(stacked_survey: Survey) -> None:
    classes = _classes(stacked_survey)
    found = unet_settings.by_exact_outlines(stacked_survey, classes)
    assert (found.tp, found.fp, found.fn) == ((classes == compare.TP).sum(), 0, 0)
    assert found.total == (classes != UNOBSERVED).sum()


def test_exact_outlines_replace_the_mapped_ones(stacked_survey: Survey, tmp_path: Path) -> None:
    """Half of the landslides exist: the others are false alarms, whatever the map says of them."""
    mapped = gpd.read_file(stacked_survey.config.truth.file)
    mapped.to_file(tmp_path / "truth.gpkg")
    mapped.iloc[::2].to_file(tmp_path / "outlines.gpkg")
    truth = stacked_survey.config.truth.model_copy(update={"file": tmp_path / "truth.gpkg"})
    config = stacked_survey.config.model_copy(update={"truth": truth})
    classes = _classes(stacked_survey)
    found = unet_settings.by_exact_outlines(Survey(config, stacked_survey.grid, stacked_survey.positions), classes)
    called = int((classes == compare.TP).sum())
    assert found.tp + found.fp == called
    assert found.tp > 0
    assert found.fp == pytest.approx(called / 2, rel=0.6)
    assert found.fn == 0
