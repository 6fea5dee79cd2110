"""The resampling kernels against slow float64 loops over exact coordinates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.kernels import resampling
from lsbatch.kernels.resampling import Nodes

STEP = 8
ANY = (-np.inf, np.inf)


def affine_nodes(shape, matrix, shift, first=(0, 0)):
    """Return nodes of an affine mapping of target pixels to source coordinates, and the exact coordinates."""
    i = np.arange(0, -(-(first[0] + shape[0]) // STEP) * STEP + 1, STEP)
    j = np.arange(0, -(-(first[1] + shape[1]) // STEP) * STEP + 1, STEP)
    i, j = np.meshgrid(i, j, indexing="ij")
    (a, b), (c, d) = matrix
    nodes = Nodes(a * i + b * j + shift[0], c * i + d * j + shift[1], STEP, *first)
    i, j = np.indices(shape)
    i, j = i + first[0], j + first[1]
    return nodes, (a * i + b * j + shift[0], c * i + d * j + shift[1])


def slow(kind, source, coordinates, valid, origin=(0, 0), matrix=None):
    """Return the resampled image by loops in float64, NaN where invalid."""
    out = np.full(coordinates[0].shape, np.nan)
    height, width = source.shape
    for place in np.ndindex(out.shape):
        r, c = coordinates[0][place] - origin[0], coordinates[1][place] - origin[1]
        if not (0 <= r < height and 0 <= c < width and valid[int(r), int(c)]):
            continue
        if kind == "nearest":
            out[place] = source[int(r), int(c)]
        elif kind == "bilinear":
            total = weights = 0.0
            for y in range(max(0, int(r) - 1), min(height, int(r) + 2)):
                for x in range(max(0, int(c) - 1), min(width, int(c) + 2)):
                    weight = max(0, 1 - abs(y + 0.5 - r)) * max(0, 1 - abs(x + 0.5 - c))
                    if valid[y, x]:
                        total, weights = total + weight * float(source[y, x]), weights + weight
            out[place] = total / weights
        else:
            inverse = np.linalg.inv(np.array(matrix))
            y, x = np.indices(source.shape)
            u, v = (inverse @ np.stack([y.ravel() + 0.5 - r, x.ravel() + 0.5 - c])).reshape(2, height, width)
            covered = (u >= -0.5) & (u < 0.5) & (v >= -0.5) & (v < 0.5) & valid
            if covered.any():
                out[place] = source[covered].astype(float).mean()
    return out


TURNED = ((0.97031, 0.21377), (-0.20913, 0.98171))
MATRICES = {
    "turned": TURNED,
    "south up": ((-1.0, 0.0), (0.0, 1.0)),
    "mirrored": ((1.0, 0.0), (0.0, -1.0)),
    "half a pixel": ((1.0, 0.0), (0.0, 1.0)),
    "coarser source": ((0.33391, 0.0213), (-0.0197, 0.33117)),
    "quarter turn": ((0.0, 1.0), (-1.0, 0.0)),
}


SHIFTS = {
    "south up": (38.2, -1.3),
    "mirrored": (-0.7, 37.9),
    "quarter turn": (1.2, 36.6),
    "coarser source": (1.1371, 2.2153),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
def test_equal_to_slow_loops_with_holes(name, dtype, kind):
    rng = np.random.default_rng(3)
    source = (rng.random((40, 37)) * 200 + 1).astype(dtype)
    limits = (1.5, 180.0)
    if dtype == "float32":
        source[rng.random(source.shape) < 0.1] = np.nan
    source[rng.random(source.shape) < 0.1] = 0
    valid = (source >= 1.5) & (source <= 180)
    nodes, exact = affine_nodes((41, 43), MATRICES[name], SHIFTS.get(name, (-1.5, 4.0)), first=(3, 5))
    out = np.full((41, 43), np.nan if dtype == "float32" else 0, dtype)
    getattr(resampling, kind)(out, source, nodes, (0, 0), limits)
    expected = slow(kind, source, exact, valid)
    assert np.isfinite(expected).sum() > 300
    missing = np.isnan(out) if dtype == "float32" else out == 0
    np.testing.assert_array_equal(missing, np.isnan(expected))
    there = ~missing
    if dtype == "float32":
        np.testing.assert_allclose(out[there], expected[there], rtol=1e-5)
    else:
        assert np.abs(out[there] - expected[there]).max() <= 0.501


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_mean_of_the_covered_pixels(dtype):
    rng = np.random.default_rng(4)
    source = (rng.random((60, 60)) * 200 + 1).astype(dtype)
    source[rng.random(source.shape) < 0.2] = 0
    matrix = ((3.1, 0.4), (-0.37, 2.9))
    nodes, exact = affine_nodes((17, 19), matrix, (4.2, 6.1))
    out = np.zeros((17, 19), dtype)
    resampling.mean(out, source, nodes, (0, 0), (1, 1000))
    expected = slow("mean", source, exact, source >= 1, matrix=matrix)
    assert np.isfinite(expected).sum() > 150
    np.testing.assert_array_equal(out == 0, np.isnan(expected))
    there = out != 0
    np.testing.assert_allclose(out[there], expected[there], atol=0.501 if dtype == "uint16" else 0, rtol=1e-5)


@given(
    st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20),
    st.sampled_from(["nearest", "bilinear", "mean"]), st.sampled_from(["uint16", "float32"]), st.integers(0, 6),
)  # fmt: skip
def test_a_part_equals_the_whole_bit_for_bit(top, left, rows, cols, kind, dtype, margin):
    """Of another target window, and of another window of the source."""
    rng = np.random.default_rng(5)
    source = (rng.random((60, 60)) * 3000).astype(dtype)
    source[rng.random(source.shape) < 0.1] = 0
    matrix = ((2.0, 0.3), (-0.3, 2.1)) if kind == "mean" else TURNED
    nodes, exact = affine_nodes((40, 40), matrix, (9.3, 12.6))
    whole = np.zeros((40, 40), dtype)
    resample = getattr(resampling, kind)
    resample(whole, source, nodes, (0, 0), (1, 1e6))
    here = np.s_[top : top + rows, left : left + cols]
    r, c = exact[0][here], exact[1][here]
    reach = 3 + margin
    y0, x0 = max(0, int(r.min()) - reach), max(0, int(c.min()) - reach)
    window = source[y0 : int(r.max()) + reach + 1, x0 : int(c.max()) + reach + 1].copy()
    part = np.zeros(whole[here].shape, dtype)
    if window.size:
        resample(part, window, nodes._replace(row=top, col=left), (y0, x0), (1, 1e6))
    np.testing.assert_array_equal(part, whole[here])


def test_a_constant_beside_holes_stays_constant():
    source = np.full((50, 50), 0.08, np.float32)
    source[:, :25] = 0
    nodes, _ = affine_nodes((40, 40), ((1.0, 0.0), (0.0, 1.0)), (3.0, 4.0))
    out = np.full((40, 40), np.nan, np.float32)
    resampling.bilinear(out, source, nodes, (0, 0), (1e-12, np.inf))
    seen = np.isfinite(out)
    assert seen.any()
    assert not seen.all()
    assert (out[seen] == np.float32(0.08)).all()


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "mean"])
def test_nodes_at_every_pixel_give_the_same_pixels(kind):
    """As near poles, where coordinates are not linear over a few pixels."""
    rng = np.random.default_rng(6)
    source = (rng.random((60, 60)) * 200 + 1).astype(np.float32)
    source[rng.random(source.shape) < 0.1] = 0
    matrix = ((2.03, 0.31), (-0.3, 2.11)) if kind == "mean" else TURNED
    nodes, exact = affine_nodes((24, 24), matrix, (5.3, 8.6))
    i, j = np.indices((25, 25))
    (a, b), (c, d) = matrix
    every = Nodes(a * i + b * j + 5.3, c * i + d * j + 8.6, 1, 0, 0)
    few, all_ = np.zeros((2, 24, 24), np.float32)
    getattr(resampling, kind)(few, source, nodes, (0, 0), (1, 1000))
    getattr(resampling, kind)(all_, source, every, (0, 0), (1, 1000))
    assert (few != 0).sum() > 300
    np.testing.assert_allclose(all_, few, rtol=1e-4)
    assert exact[0].shape == few.shape


def test_coordinates_that_are_not_finite_are_outside():
    nodes, _ = affine_nodes((16, 16), ((1.0, 0.0), (0.0, 1.0)), (0.5, 0.5))
    rows = nodes.rows.copy()
    rows[0, 0] = np.inf
    for kind in ("nearest", "bilinear", "mean"):
        out = np.zeros((16, 16), np.float32)
        getattr(resampling, kind)(out, np.ones((20, 20), np.float32), nodes._replace(rows=rows), (0, 0), ANY)
        assert (out[:8, :8] == 0).all()
        assert (out[8:, 8:] == 1).all()


def test_bounds_hold_all_coordinates():
    nodes, exact = affine_nodes((23, 31), TURNED, (5.0, 6.0), first=(2, 7))
    expected = exact[0].min(), exact[0].max(), exact[1].min(), exact[1].max()
    np.testing.assert_allclose(resampling.bounds(nodes, (23, 31)), expected, atol=1e-9)


def test_values_outside_the_limits_become_fill():
    values = np.array([[0, 1, 5, 9]], np.uint16)
    resampling.keep_valid(values, (1, 5.5), 0)
    assert values.tolist() == [[0, 1, 5, 0]]
