"""Law: tile by tile equals the whole at once - bit for bit, with a stated tolerance for torch."""

import geopandas as gpd
import numpy as np
import pytest

from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from tests import surveys

#: One step of the stored probability: torch sums in another order in windows of another size.
PROBABILITY_STEPS = 1


@pytest.fixture(scope="module")
def whole(one_tile_survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """The survey as one tile, run to its inventory."""
    found = surveys.copy_survey(one_tile_survey, tmp_path_factory.mktemp("whole") / "s")
    assert execution.run(found, until="inventory") == 0
    return found


def test_tiles_equal_the_whole(done_survey: Survey, whole: Survey) -> None:
    assert len(done_survey.positions) == 4
    assert len(whole.positions) == 1
    tiled = surveys.whole(done_survey, STACK)
    for name, values in surveys.whole(whole, STACK).items():
        np.testing.assert_array_equal(values, tiled[name], err_msg=name)

    layer = probability(whole.config.model.family)
    ours, theirs = (surveys.whole(s, layer)["probability"].astype(np.int64) for s in (whole, done_survey))
    np.testing.assert_array_equal(ours == 65535, theirs == 65535)
    assert np.abs(ours - theirs).max() <= PROBABILITY_STEPS

    layer = mask(whole.config.model.family)
    np.testing.assert_array_equal(
        surveys.whole(whole, layer)["landslide"], surveys.whole(done_survey, layer)["landslide"]
    )


def test_inventory_does_not_know_of_tiles(done_survey: Survey, whole: Survey) -> None:
    ours, theirs = (
        gpd.read_parquet(s.workspace.inventory / "landslides.parquet").set_index("landslide_id").sort_index()
        for s in (whole, done_survey)
    )
    assert len(ours) > 0
    assert list(ours.index) == list(theirs.index)
    assert (ours.geometry.normalize() == theirs.geometry.normalize()).all()
    # which tiles it lies in is the one thing that a record knows of them
    skip = {"geometry", "settings", "tiles"}
    for column in set(ours.columns) - skip:
        if ours[column].dtype.kind == "f":
            np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-9, atol=2e-5, err_msg=column)
        else:
            assert (ours[column] == theirs[column]).all(), column


def test_windows_tile_edges_cut_no_landslide(done_survey: Survey) -> None:
    """The country has landslides on tile edges, or the tests above would prove nothing."""
    found = surveys.whole(done_survey, mask(done_survey.config.model.family))["landslide"] == 1
    edge = done_survey.grid.tile_px
    crossing = (found[edge - 1] & found[edge]).sum() + (found[:, edge - 1] & found[:, edge]).sum()
    assert crossing > 0
