"""Planted landslides: asked sizes and strengths, real speckle kept, nothing changed outside, the same by seed."""

import numpy as np
import pytest
from scipy import ndimage

from lsbatch.errors import LsbatchError
from lsbatch.kernels import sar
from lsbatch.synthetic import planting

SHAPE, SIDE_M, LOOKS = (160, 180), 30.0, 4.4
AREAS_M2 = np.repeat([60_000.0, 20_000.0, 5_000.0], 8)
BANDS = ("R", "G", "B", "NIR")


def _drawn(seed: int, dense: np.ndarray | None = None) -> planting.Planted:
    rng = np.random.default_rng(seed)
    free = np.ones(SHAPE, bool)
    free[:, :20] = False
    return planting.draw(planting.hillside(SHAPE, SIDE_M, rng), free, AREAS_M2, rng, SIDE_M, dense)


@pytest.fixture(scope="module")
def planted() -> planting.Planted:
    return _drawn(1)


@pytest.fixture(scope="module")
def power() -> np.ndarray:
    """Five passes of speckle with pixels that are no measurements; linear power."""
    passes = np.random.default_rng(2).gamma(LOOKS, 0.1 / LOOKS, (5, *SHAPE)).astype(np.float32)
    passes[:, 40:50, 40:60] = np.nan
    passes[1, 80:90] = 0
    passes[2, 90:100] = -32768
    return passes


def _each(planted: planting.Planted) -> range:
    return range(1, planted.count + 1)


def test_landslides_are_whole_apart_and_on_free_ground(planted: planting.Planted) -> None:
    assert planted.count == len(AREAS_M2)
    assert not planted.labels[:, :20].any()
    for number in _each(planted):
        body = planted.labels == number
        assert ndimage.label(body, np.ones((3, 3)))[1] == 1
        others = (planted.labels > 0) & ~body
        assert ndimage.distance_transform_edt(~body)[others].min() > planting.GAP_PX
    np.testing.assert_array_equal(np.isfinite(planted.stage), planted.labels > 0)
    assert (planted.stripped[planted.labels == 0] == 0).all()
    assert 0.5 < planted.stripped[planted.labels > 0].mean() < 0.9


def test_sizes_are_as_asked(planted: planting.Planted) -> None:
    np.testing.assert_allclose(planted.areas_m2, AREAS_M2, rtol=planting.AREA_TOLERANCE)


def test_a_landslide_without_room_is_left_out() -> None:
    rng = np.random.default_rng(0)
    free = np.zeros((60, 60), bool)
    free[20:40, 20:40] = True
    z = planting.hillside(free.shape, 10.0, rng)
    made = planting.draw(z, free, np.array([200_000.0, 2_000.0]), rng, 10.0)
    assert made.count == 1
    assert made.areas_m2[0] == pytest.approx(2_000, rel=planting.AREA_TOLERANCE)


def test_nothing_planted_changes_nothing(power: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    made = planting.draw(np.zeros(SHAPE), np.zeros(SHAPE, bool), AREAS_M2, rng, SIDE_M)
    assert made.count == 0
    for change in planting.shift_db(made, 78.0).values():
        np.testing.assert_array_equal(planting.shifted(power, change), power)


def test_the_seed_decides(planted: planting.Planted) -> None:
    again, other = _drawn(1), _drawn(3)
    for name in ("labels", "stage", "stripped", "facing_deg", "strength_db"):
        np.testing.assert_array_equal(getattr(again, name), getattr(planted, name))
    assert (other.labels != planted.labels).any()


def test_facing_is_downhill() -> None:
    """On a plane that falls to the south-east all landslides run that way."""
    rows, cols = np.indices(SHAPE)
    z = -(rows + cols) * SIDE_M * np.tan(np.radians(30))
    made = planting.draw(z, np.ones(SHAPE, bool), AREAS_M2[:16], np.random.default_rng(0), SIDE_M)
    # along the lower and right edge a landslide has to turn
    assert np.median(made.facing_deg) == pytest.approx(135, abs=3)
    assert (abs(made.facing_deg - 135) < 15).mean() > 0.7


@pytest.mark.parametrize("look_deg", [None, 78.0, 282.0])
def test_strengths_are_within_the_range(planted: planting.Planted, look_deg: float | None) -> None:
    seen = planting.seen_db(planted, look_deg)
    assert (abs(seen) >= planting.WEAKEST_DB).all()
    assert (abs(seen) <= planting.STRONGEST_DB).all()
    assert (np.sign(seen) == np.sign(planted.strength_db)).all()
    if look_deg is None:
        np.testing.assert_array_equal(seen, planted.strength_db)


def test_strengths_are_spread_over_the_range_and_depend_on_cover() -> None:
    rng = np.random.default_rng(0)
    dense = np.arange(4000) < 2000
    strengths = planting.strengths_db(dense, rng)
    assert np.percentile(abs(strengths), [0, 50, 100]) == pytest.approx([1, 3.5, 6], abs=0.1)
    brighter = [(strengths[dense] > 0).mean(), (strengths[~dense] > 0).mean()]
    assert brighter == pytest.approx([planting.BRIGHTER_DENSE, planting.BRIGHTER_OPEN], abs=0.04)
    assert (abs(planting.strengths_db(dense, rng, 3, 4)) >= 3).all()


def test_a_darker_scar_shows_most_on_the_side_that_faces_the_sensor() -> None:
    one = np.zeros((3, 3), np.int32)
    made = planting.Planted(one, one * np.nan, one * 0.0, np.array([258.0, 78.0]), np.array([-3.0, -3.0]), 10.0)
    # the sensor looks east at 78 degrees: a slope that falls to the west faces it
    facing, away = planting.seen_db(made, 78.0)
    assert facing == pytest.approx(-3 * 1.75)
    assert away == pytest.approx(-planting.WEAKEST_DB)


@pytest.mark.parametrize("look_deg", [None, 78.0])
def test_the_median_shift_is_as_asked(planted: planting.Planted, power: np.ndarray, look_deg: float | None) -> None:
    asked = planting.seen_db(planted, look_deg)
    vv = planting.shift_db(planted, look_deg)["VV"]
    changed = planting.shifted(power, vv)
    for number in _each(planted):
        body = (planted.labels == number) & (power > 0).all(axis=0)
        if not body.any():
            continue
        assert np.median(vv[planted.labels == number]) == pytest.approx(asked[number - 1], abs=1e-5)
        # every pass is shifted by the same dB
        shift = 10 * np.log10(changed[:, body].astype(float) / power[:, body])
        np.testing.assert_allclose(shift, np.broadcast_to(vv[body], shift.shape), atol=1e-5)


def test_outside_nothing_changes_bit_for_bit(planted: planting.Planted, power: np.ndarray) -> None:
    outside = planted.labels == 0
    dense = np.random.default_rng(0).random(SHAPE) < 0.5
    for change in planting.shift_db(planted, 78.0, dense).values():
        assert (change[outside] == 0).all()
        changed = planting.shifted(power, change)
        assert changed.dtype == power.dtype
        assert changed[:, outside].tobytes() == power[:, outside].tobytes()
        # what is no measurement stays as it was inside, too
        np.testing.assert_array_equal(changed[~(power > 0)], power[~(power > 0)])


def test_dense_vegetation_loses_volume_scattering_in_vh_alone(planted: planting.Planted) -> None:
    bare, dense = planting.shift_db(planted), planting.shift_db(planted, dense=np.ones(SHAPE, bool))
    np.testing.assert_array_equal(bare["VV"], dense["VV"])
    lost = bare["VH"] - dense["VH"]
    np.testing.assert_allclose(lost, 1.8 * planted.stripped, atol=1e-5)


def test_speckle_keeps_its_looks(planted: planting.Planted, power: np.ndarray) -> None:
    """The ENL of each large landslide in each pass is as before, and that of all is the scene's."""
    vv = planting.shift_db(planted)["VV"]
    changed = planting.shifted(power, vv)
    ratios, looks = [], []
    for number in np.flatnonzero(planted.areas_m2 > 40_000) + 1:
        body = (planted.labels == number) & (power > 0).all(axis=0)
        for before, after in zip(power[:, body], changed[:, body], strict=True):
            if before.size >= 50:
                ratios.append(sar.enl(after) / sar.enl(before))
                looks.append(sar.enl(after))
    assert len(ratios) >= 15
    assert ratios == pytest.approx([1] * len(ratios), abs=0.25)
    assert np.median(ratios) == pytest.approx(1, abs=0.08)
    assert np.median(looks) == pytest.approx(LOOKS, rel=0.15)


def test_greenness_is_lowered_inside_alone(planted: planting.Planted) -> None:
    rng = np.random.default_rng(4)
    forest = dict(zip(BANDS, (0.025, 0.04, 0.025, 0.26), strict=True))
    before = {name: (r * rng.uniform(0.9, 1.1, SHAPE)).astype(np.float32) for name, r in forest.items()}
    before["R"][100:110, 100:110] = np.nan
    after = planting.bared(before, planted)
    outside = planted.labels == 0
    assert tuple(after) == BANDS
    for name in BANDS:
        assert after[name].dtype == np.float32
        assert after[name][outside].tobytes() == before[name][outside].tobytes()
        np.testing.assert_array_equal(np.isnan(after[name]), np.isnan(before[name]))
    ndvi = [(b["NIR"] - b["R"]) / (b["NIR"] + b["R"]) for b in (before, after)]
    change = (ndvi[1] - ndvi[0])[(planted.stripped > 0.3) & np.isfinite(ndvi[0])]
    assert (change < 0).all()
    assert np.median(change) < -0.3


def test_an_unknown_band_is_refused(planted: planting.Planted) -> None:
    with pytest.raises(LsbatchError, match="thermal"):
        planting.bared({"thermal": np.ones(SHAPE, np.float32)}, planted)
