"""Laws that hold for every kernel from a field to a field, whatever the field."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.kernels import focal, greenest_pixel, optical, sar, slope_correction, speckle, terrain, time_median

Kernel = Callable[[np.ndarray], np.ndarray]

LOOKS = 4.4
#: Linear power to linear power, and how far a pixel is seen.
SPECKLE: dict[str, tuple[Kernel, int]] = {
    "boxcar": (lambda z: speckle.boxcar(z, 5), 2),
    "lee": (lambda z: speckle.lee(z, 7, LOOKS), 3),
    "kuan": (lambda z: speckle.kuan(z, 7, LOOKS), 3),
    "gamma_map": (lambda z: speckle.gamma_map(z, 7, LOOKS), 3),
    "frost": (lambda z: speckle.frost(z, 5, 2.0), 2),
    "refined_lee": (lambda z: speckle.refined_lee(z, LOOKS), 3),
    "lee_sigma": (lambda z: speckle.lee_sigma(z, LOOKS, bright=1e30), 4),
    "multitemporal": (lambda z: speckle.multitemporal(z[None], 5)[0], 2),
    "focal median": (lambda z: focal.median(z, 2.3), 2),
}
#: Further kernels that take a plane and give one.
OTHERS: dict[str, tuple[Kernel, int]] = {
    "slope": (lambda z: terrain.slope(z, 10, 20), 1),
    "aspect": (lambda z: terrain.aspect(z, 10, 20), 1),
    "hillshade": (lambda z: terrain.hillshade(z, 10, 20), 1),
    "to_db": (sar.to_db, 0),
    "from_db": (sar.from_db, 0),
    "border_noise": (lambda z: sar.border_noise(z, depth_px=6), 10),
    "ndvi": (lambda z: optical.ndvi(z, z[::-1]), 0),
    "slope_correction": (
        lambda z: slope_correction.slope_correction(z, 38.0, 78.0, np.full(z.shape, 9.0), np.full(z.shape, 45.0))[0],
        0,
    ),
}
EVERY = SPECKLE | OTHERS
SHAPES = [(1, 1), (1, 2), (1, 17), (17, 1), (2, 3), (13, 600), (40, 30)]


def speckled(shape: tuple[int, int], holes: float, seed: int) -> np.ndarray:
    """Gamma speckle with holes."""
    dice = np.random.default_rng(seed)
    power = dice.gamma(LOOKS, 1 / LOOKS, shape)
    return np.where(dice.random(shape) < holes, np.nan, power).astype(np.float32)


fields = st.builds(
    speckled,
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_gives_that_shape(name: str, shape: tuple[int, int]) -> None:
    out = EVERY[name][0](speckled(shape, 0.1, 0))
    assert out.shape == shape
    assert out.dtype == np.float32


@pytest.mark.parametrize("name", EVERY)
def test_a_wide_field_equals_its_parts(name: str) -> None:
    """Wider and higher than the strips and blocks in which a kernel works."""
    kernel, reach = EVERY[name]
    wide = speckled((50, 2200), 0.02, 1)
    whole = kernel(wide)
    for left in (0, 230, 490, 1000, 2080):
        part = kernel(wide[:, left : left + 120])
        inner = slice(reach, 120 - reach)
        np.testing.assert_array_equal(part[:, inner], whole[:, left : left + 120][:, inner])


@pytest.mark.parametrize("name", SPECKLE)
@given(field=fields)
def test_holes_stay_and_the_rest_is_within_the_range_of_its_window(name: str, field: np.ndarray) -> None:
    """Of all filters here the answer lies between the smallest and the largest value of the window."""
    kernel, reach = SPECKLE[name]
    out = kernel(field)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(field))
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(field, reach, constant_values=np.nan), (2 * reach + 1,) * 2
    )
    seen = ~np.isnan(field)
    values = windows[seen].reshape(seen.sum(), (2 * reach + 1) ** 2)
    if len(values):
        assert (out[seen] >= np.nanmin(values, axis=1) * (1 - 1e-5)).all()
        assert (out[seen] <= np.nanmax(values, axis=1) * (1 + 1e-5)).all()


@pytest.mark.parametrize("name", SPECKLE)
@given(level=st.floats(1e-6, 1e6), rows=st.integers(1, 12), cols=st.integers(1, 12), holes=st.sampled_from([0.0, 0.3]))
def test_a_constant_stays(name: str, level: float, rows: int, cols: int, holes: float) -> None:
    field = np.where(np.isnan(speckled((rows, cols), holes, 1)), np.nan, level).astype(np.float32)
    np.testing.assert_allclose(SPECKLE[name][0](field), field, rtol=2e-6)


@pytest.mark.parametrize("name", SPECKLE)
@given(field=fields, power_of_two=st.integers(-20, 20))
def test_units_do_not_matter(name: str, field: np.ndarray, power_of_two: int) -> None:
    """Scaling by a power of two is exact in floating point, so the answers are the same bit for bit."""
    kernel, scale = SPECKLE[name][0], np.float32(2.0**power_of_two)
    np.testing.assert_array_equal(kernel(field * scale), kernel(field) * scale)


@pytest.mark.parametrize("name", EVERY)
@given(field=fields)
def test_layout_type_and_input(name: str, field: np.ndarray) -> None:
    """Transposed, strided, mirrored, big-endian, double and read-only input give the same.

    The input stays as it was.
    """
    kernel = EVERY[name][0]
    frozen = field.copy()
    frozen.flags.writeable = False
    expected = kernel(frozen)
    strided = np.zeros((field.shape[0] * 2, field.shape[1] * 3), np.float32)
    strided[::2, ::3] = field
    layouts = {
        "Fortran": np.asfortranarray(field),
        "strided": strided[::2, ::3],
        "mirrored": field[::-1, ::-1].copy()[::-1, ::-1],
        "big-endian": field.astype(">f4"),
    }
    for label, values in layouts.items():
        np.testing.assert_array_equal(kernel(values), expected, err_msg=label)
    # elevation is taken in double precision where it comes so
    np.testing.assert_allclose(kernel(field.astype(np.float64)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EVERY)
@given(field=fields, row=st.integers(0, 23), col=st.integers(0, 23))
def test_a_hole_is_felt_in_its_window_only(name: str, field: np.ndarray, row: int, col: int) -> None:
    kernel, reach = EVERY[name]
    row, col = row % field.shape[0], col % field.shape[1]
    holed = field.copy()
    holed[row, col] = np.nan
    rows, cols = np.indices(field.shape)
    far = (abs(rows - row) > reach) | (abs(cols - col) > reach)
    if name == "ndvi":
        far = (rows != row) & (rows != field.shape[0] - 1 - row)
    np.testing.assert_array_equal(kernel(holed)[far], kernel(field)[far])


@pytest.mark.parametrize("shape", SHAPES)
def test_no_dates_at_all(shape: tuple[int, int]) -> None:
    none = np.empty((0, *shape), np.float32)
    assert np.isnan(time_median.masked_median(none)).all()
    assert time_median.masked_median(none).shape == shape
    assert speckle.multitemporal(none, 5).shape == (0, *shape)
    best, ndvi, day, looks = greenest_pixel.greenest(
        np.empty((0, 4, *shape)), np.empty((0, *shape), bool), np.empty(0, int), 3, 0
    )
    assert best.shape == (4, *shape)
    assert np.isnan(best).all()
    assert np.isnan(ndvi).all()
    assert (day == greenest_pixel.NO_DAY).all()
    assert not looks.any()


@given(
    times=st.integers(1, 7),
    rows=st.integers(1, 6),
    cols=st.integers(1, 9),
    holes=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 999),
)
def test_folds_over_time_do_not_care_for_order_or_layout(
    times: int, rows: int, cols: int, holes: float, seed: int
) -> None:
    stack = speckled((times * rows, cols), holes, seed).reshape(times, rows, cols)
    order = np.random.default_rng(seed).permutation(times)
    one = time_median.masked_median(stack)
    np.testing.assert_array_equal(one, time_median.masked_median(stack[order]))
    np.testing.assert_array_equal(one, time_median.masked_median(np.asfortranarray(stack.astype(np.float64))))
    filtered = speckle.multitemporal(stack, 3)
    np.testing.assert_array_equal(np.isnan(filtered), np.isnan(stack))
    np.testing.assert_allclose(filtered[order], speckle.multitemporal(stack[order], 3), rtol=1e-6)
    clear, days = np.ones(stack.shape, bool), np.arange(times)
    bands = np.stack([stack, stack[::-1]], axis=1)
    for first, second in zip(
        greenest_pixel.greenest(bands, clear, days, 0, 1),
        greenest_pixel.greenest(bands[order], clear, days[order], 0, 1),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


@given(rows=st.integers(1, 9), cols=st.integers(1, 9), level=st.floats(-400, 8000, width=32))
def test_flat_ground(rows: int, cols: int, level: float) -> None:
    """The outermost pixels have no slope; inside it is none, faces nowhere and is lit as the sun stands high."""
    dem = np.full((rows, cols), level, np.float32)
    frame = np.pad(np.zeros((max(rows - 2, 0), max(cols - 2, 0)), np.float32), 1, constant_values=np.nan)[:rows, :cols]
    if min(rows, cols) < 3:
        frame[:] = np.nan
    np.testing.assert_array_equal(terrain.slope(dem, 10, 10), frame)
    assert np.isnan(terrain.aspect(dem, 10, 10)).all()
    np.testing.assert_allclose(terrain.hillshade(dem, 10, 10), frame + 1 + 254 * np.sqrt(0.5), rtol=1e-6)
    assert not terrain.shadow(dem, 10, 10, 200, 10).any()


@given(labels=st.integers(0, 2**32 - 1), rows=st.integers(1, 12), cols=st.integers(1, 12), radius=st.floats(1, 3))
def test_mode_and_masks_keep_what_is_uniform(labels: int, rows: int, cols: int, radius: float) -> None:
    value = labels % 255
    plane = np.full((rows, cols), value, np.uint8)
    np.testing.assert_array_equal(focal.mode(plane, radius), plane)
    mask = np.random.default_rng(labels).random((rows, cols)) < 0.3
    np.testing.assert_array_equal(focal.dilate(mask.T, radius).T, focal.dilate(mask, radius))
    # closing never removes, opening never adds
    assert (focal.erode(focal.dilate(mask, radius), radius) >= mask).all()
    assert (focal.dilate(focal.erode(mask, radius), radius) <= mask).all()
