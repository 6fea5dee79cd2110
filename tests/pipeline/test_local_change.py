"""Change against the surroundings and water, from files to STACK, probability and mask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsbatch import settings
from lsbatch.errors import ConfigError
from lsbatch.grid import Grid
from lsbatch.kernels.local_change import pass_moments
from lsbatch.pipeline import clean, predict, stack
from lsbatch.pipeline.types import Block
from lsbatch.settings import Config

SIDE_PX = 128
GRID = Grid.snapped("EPSG:25833", 10.0, SIDE_PX, (0, 0, SIDE_PX * 10, SIDE_PX * 10))


def config(**changes: Any) -> Config:
    raw: dict[str, Any] = {
        "survey": {"year": 2020}, "region": {"bounds": [0, 0, 1, 1]}, "bands": "s1vv",
        "grid": {"crs": "EPSG:25833", "resolution_m": 10, "tile_px": SIDE_PX},
        "archives": {"sentinel1": {"preset": "planetary-computer"}, "dem": {"preset": "planetary-computer"}},
    }  # fmt: skip
    return settings.parse(raw | changes, Path("/nowhere"))


def moments(seed: int, passes: int) -> dict[str, pass_moments.Moments]:
    dice = np.random.default_rng(seed)
    made = {}
    for name in ("VV", "VH"):
        made[name] = pass_moments.empty((SIDE_PX, SIDE_PX), 8)
        dates = dice.gamma(4.4, 0.02, (passes, SIDE_PX, SIDE_PX)).astype(np.float32)
        pass_moments.fill(made[name], slice(0, SIDE_PX), list(dates), 8)
    return made


def test_only_orbits_of_both_windows_count() -> None:
    before = {("ascending", 44): moments(1, 3), ("descending", 66): moments(2, 3)}
    after = {("ascending", 44): moments(3, 2), ("ascending", 117): moments(4, 2)}
    found = stack._local_change(before, after, 10)  # type: ignore[arg-type]
    assert (found["change_looks"] == 5).all()
    alone = stack._local_change({("ascending", 44): before["ascending", 44]}, after, 10)  # type: ignore[arg-type]
    for name, values in alone.items():
        np.testing.assert_array_equal(found[name], values)
    assert stack._local_change({("descending", 66): moments(2, 3)}, after, 10) == {}  # type: ignore[arg-type]


def test_water_is_never_a_landslide_and_unobserved_water_stays_unknown() -> None:
    made = config(model={"family": "disturbance"})
    halo = predict.STAGE.halo_px(made)
    shape = (SIDE_PX + 2 * halo, SIDE_PX + 2 * halo)
    bands = {name: np.random.default_rng(0).normal(0, 8, shape).astype(np.float32) for name in ("zVV", "zVH")}
    observed = np.zeros(shape, np.uint8)
    observed[:, : halo + 40] = stack.RADAR | stack.WATER
    bands["zVV"][halo : halo + 10, halo : halo + 10] = np.nan
    found = predict.apply(Block(GRID.tile(0, 0), halo, bands | {"observed": observed}), made)
    probability = found.bands["probability"]
    assert np.isnan(probability[:10, :10]).all()
    assert (probability[10:, :40] == 0).all()
    assert (probability[:, 40:] > 0).all()
    assert found.tally["water_pixels"] == SIDE_PX * 40 - 100


@pytest.mark.parametrize(("least", "kept"), [(0.0, True), (5.0, False)])
def test_flat_ground_is_no_landslide_if_the_settings_say_so(least: float, kept: bool) -> None:
    made = config(clean={"min_slope_deg": least})
    shape = (SIDE_PX + 4, SIDE_PX + 4)
    bands = {"probability": np.full(shape, 0.9, np.float32), "slope": np.full(shape, 2, np.float32)}
    bands["slope"][:, 66:] = 20
    # an unknown slope counts
    bands["slope"][:30, :30] = np.nan
    landslide = clean.apply(Block(GRID.tile(0, 0), 2, bands), made).bands["landslide"] == 1
    assert landslide[:, 66:].all()
    assert landslide[:25, :25].all()
    assert landslide[40:, :60].all() == kept
    assert landslide[40:, :60].any() == kept
    assert ("stack" in clean.STAGE.reads(made)) == (least > 0)


def test_the_default_leaves_the_digest_of_older_surveys() -> None:
    assert "min_slope_deg" not in clean.STAGE.settings(config())
    assert clean.STAGE.settings(config(clean={"min_slope_deg": 4}))["min_slope_deg"] == 4


def test_a_slope_limit_needs_a_dem() -> None:
    only_radar = {"sentinel1": {"preset": "planetary-computer"}}
    with pytest.raises(ConfigError, match=r"clean\.min_slope_deg needs archives\.dem"):
        config(clean={"min_slope_deg": 5}, archives=only_radar)


def test_one_pass_on_each_side_is_refused() -> None:
    event = {"kind": "event", "event_date": "2023-08-07", "newest_passes": 1}
    with pytest.raises(ConfigError, match=r"newest_passes = 1: zVV needs the variance"):
        config(survey=event, model={"family": "disturbance"})
    assert config(survey=event).survey.newest_passes == 1
