"""Sentinel-2 as Level 1C: no scene classification, and slopes as bright as they are lit."""

from pathlib import Path

import numpy as np
import pytest

from lsbatch import synthetic
from lsbatch.bands import STACK
from lsbatch.catalog.items import scenes
from lsbatch.catalog.survey import open_survey
from lsbatch.cli import terminal
from lsbatch.commands import run
from lsbatch.errors import CatalogError
from lsbatch.kernels import terrain
from lsbatch.settings import Config
from tests import surveys

LEVELS = {"1C": ["sentinel-2-l1c"], "2A": ["sentinel-2-l2a", "sentinel-2-l2a-pc"]}


def configured(path: Path, output: Path, level: str) -> Config:
    """Windows with one look each, as pictures before and after are usually chosen."""
    return surveys.configured(
        path, output, survey={"season": ["06-20", "07-02"]}, bands="s2_rgb",
        archives={"sentinel2": {"preset": "local", "url": "catalog/catalog.json", "collections": LEVELS[level]}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """STACK of the same looks from either level."""
    folder = tmp_path_factory.mktemp("levels")
    path = synthetic.simulate(folder, seed=7, rows=256, cols=256, level_1c=True)
    out = {}
    for level in LEVELS:
        config = configured(path, folder / f"survey-{level}", level)
        assert run.survey(config, terminal.Screen(), until="stack") == 0
        out[level] = surveys.whole(open_survey(config), STACK)
    return out


def test_both_levels_see_the_same_days(stacks: dict[str, dict[str, np.ndarray]]) -> None:
    one, two = stacks["1C"], stacks["2A"]
    for name in ("pre_date", "post_date"):
        seen = two[name] != STACK[name].fill
        assert seen.mean() > 0.5
        # without a classification more is called clear, and never less
        np.testing.assert_array_equal(one[name][seen], two[name][seen])
    assert one["post_clear_looks"].max() == 1


def test_level_1c_is_dark_where_the_sun_does_not_reach_and_level_2a_too_bright(
    stacks: dict[str, dict[str, np.ndarray]],
) -> None:
    two = stacks["2A"]
    elevation = two["elevation"] * STACK["elevation"].scale + STACK["elevation"].offset
    aspect, steep = terrain.aspect(elevation, 10, 10), terrain.slope(elevation, 10, 10) > 25
    ratio = {}
    for level, bands in stacks.items():
        seen = steep & (two["postR"] != STACK["postR"].fill) & (bands["postR"] != STACK["postR"].fill)
        north, south = (
            np.median(bands["postR"][seen & side])
            for side in (np.cos(np.radians(aspect)) > 0.7, np.cos(np.radians(aspect)) < -0.7)
        )
        ratio[level] = north / south
    assert ratio["1C"] < 0.95
    assert ratio["2A"] > ratio["1C"] + 0.1


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("S2A_MSIL1C_20200701T105031_N0209_R051_T32VNP", True), ("S2A_MSIL2A_20200701T105031_N0214_R051_T32VNP", False)],
)
def test_only_level_1c_may_lack_the_classification(name: str, accepted: bool) -> None:
    item = {
        "type": "Feature", "id": name, "collection": "sentinel-2", "bbox": [8, 61, 9, 62], "geometry": None,
        "properties": {"datetime": "2020-07-01T10:50:31Z"},
        "assets": {key: {"href": f"{key}.jp2"} for key in ("B02", "B03", "B04", "B08")},
    }  # fmt: skip
    if accepted:
        assert "SCL" not in scenes.describe(item, "sentinel2").assets
    else:
        with pytest.raises(CatalogError, match="has no asset for SCL"):
            scenes.describe(item, "sentinel2")
