"""Features, distances and limit of the dissimilarity index, against slow and obvious functions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from lsbatch.kernels.statistics import dissimilarity as kernels

FLOORS = np.array([0.01, 0.1])


def field(seed: int, rows: int = 40, cols: int = 32, holes: float = 0.2) -> np.ndarray:
    """Two channels with holes, one of them a whole cell and its neighbours."""
    dice = np.random.default_rng(seed)
    channels = dice.normal(-11, 3, (2, rows, cols)).astype(np.float32)
    channels[0][dice.random((rows, cols)) < holes] = np.nan
    channels[:, :24, :24] = np.where(dice.random() < 0.3, np.nan, channels[:, :24, :24])
    return channels


def slow(channels: np.ndarray, floors: np.ndarray, row: int, col: int) -> list[float]:
    """Features of one cell, pixel by pixel."""
    side = kernels.CELL_PX
    tall, wide = (size // side for size in channels.shape[1:])
    pixels, pairs = [], []
    for r in range(max(row - 1, 0), min(row + 2, tall)):
        for c in range(max(col - 1, 0), min(col + 2, wide)):
            cell = channels[:, r * side : (r + 1) * side, c * side : (c + 1) * side].astype(np.float64)
            for i in range(side):
                for j in range(side):
                    pixels.append(cell[:, i, j])
                    pairs += [cell[:, i, j] - cell[:, i + 1, j]] if i + 1 < side else []
                    pairs += [cell[:, i, j] - cell[:, i, j + 1]] if j + 1 < side else []
    known = np.array([p for p in pixels if np.isfinite(p).all()])
    steps = np.array([p for p in pairs if np.isfinite(p).all()])
    if not len(steps):
        return [np.nan] * (2 * kernels.FEATURES)
    texture = [known.std(axis=0), np.sqrt((steps**2).mean(axis=0))]
    logs = [np.log(np.maximum(one, floors)) for one in texture]
    return np.stack([known.mean(axis=0), *logs], axis=-1).ravel().tolist()


# each example takes 0.15 s
@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_features_are_those_of_a_slow_loop(seed: int) -> None:
    channels = field(seed)
    found = kernels.features(channels, FLOORS)
    assert found.shape == (5, 4, 2 * kernels.FEATURES)
    for row in range(5):
        for col in range(4):
            np.testing.assert_allclose(found[row, col], slow(channels, FLOORS, row, col), rtol=1e-9, atol=1e-9)


def test_a_pair_counts_only_if_both_pixels_are_known() -> None:
    channels = np.full((1, 8, 8), np.nan, np.float32)
    channels[0, 3, 3], channels[0, 5, 5] = 1.0, 9.0
    assert np.isnan(kernels.features(channels, FLOORS[:1])).all()
    channels[0, 3, 4] = 4.0
    mean, spread, step = kernels.features(channels, FLOORS[:1])[0, 0]
    assert mean == 14 / 3
    np.testing.assert_allclose([np.exp(spread), np.exp(step)], [np.std([1, 9, 4]), 3.0])


def test_no_texture_is_the_floor() -> None:
    _, spread, step = kernels.features(np.full((1, 8, 8), 5.0, np.float32), FLOORS[1:])[0, 0]
    assert spread == step == np.log(0.1)


@given(st.integers(0, 1000))
def test_tiles_equal_the_whole_bit_by_bit(seed: int) -> None:
    whole = field(seed, 96, 96)
    features = kernels.features(whole, FLOORS)
    padded = np.pad(whole, ((0, 0), (kernels.HALO_PX,) * 2, (kernels.HALO_PX,) * 2), constant_values=np.nan)
    for row in range(0, 96, 32):
        for col in range(0, 96, 32):
            block = padded[:, row : row + 32 + 2 * kernels.HALO_PX, col : col + 32 + 2 * kernels.HALO_PX]
            cells = kernels.features(block, FLOORS)[1:-1, 1:-1]
            np.testing.assert_array_equal(cells, features[row // 8 : row // 8 + 4, col // 8 : col // 8 + 4])


@given(st.integers(0, 1000), st.integers(2, 5))
def test_distances_are_those_of_a_slow_loop(seed: int, folds: int) -> None:
    dice = np.random.default_rng(seed)
    points, fold = dice.normal(size=(30, 4)), np.arange(30) % folds
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    expected = [apart[i, fold != fold[i]].min() for i in range(30)]
    np.testing.assert_allclose(kernels.held_out_distances(points, fold), expected)
    pairs = [apart[i, j] for i in range(30) for j in range(i)]
    np.testing.assert_allclose(kernels.mean_distance(points), np.mean(pairs))
    others = dice.normal(size=(3, 5, 4))
    others[1, 2, 3] = np.nan
    near = kernels.nearest(cKDTree(points), others)
    assert near[1, 2] == np.inf
    near[1, 2] = np.nan
    np.testing.assert_allclose(near, np.linalg.norm(others[..., None, :] - points, axis=-1).min(axis=-1))


def test_limit_is_the_upper_quartile_and_one_and_a_half_ranges() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert kernels.outlier_limit(values) == 4.0 + 1.5 * 2.0
    # without an outlier it is the maximum
    assert kernels.outlier_limit(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == 5.0


def test_every_pixel_has_the_value_of_its_cell() -> None:
    spread = kernels.spread(np.array([[1.0, 2.0]]))
    assert spread.shape == (8, 16)
    assert (spread[:, :8] == 1).all()
    assert (spread[:, 8:] == 2).all()
