"""The national lattice: tiles cover it exactly once, rows first from the top left, the same for every survey."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsbatch.grid import Grid, Tile, tile_id

CRS = "EPSG:25833"
FIRST = Grid(CRS, 10.0, 128, (0.0, 6_400_000.0, 3 * 1280.0, 6_400_000.0 + 2 * 1280.0))

sides = st.sampled_from([128, 256, 2048])
resolutions = st.sampled_from([10.0, 20.0, 2.5, 30.0])
corner = st.floats(-800_000, 7_800_000)
spans = st.floats(1.0, 40_000)


@st.composite
def grids(draw: st.DrawFn) -> tuple[Grid, tuple[float, float, float, float]]:
    """A snapped grid and the bounds that were asked for."""
    left, bottom, width, height = draw(corner), draw(corner), draw(spans), draw(spans)
    bounds = (left, bottom, left + width, bottom + height)
    return Grid.snapped(CRS, draw(resolutions), draw(sides), bounds), bounds


def test_rows_come_first_and_start_at_the_top_left() -> None:
    assert FIRST.shape == (256, 384)
    assert FIRST.tile_shape == (2, 3)
    tiles = FIRST.tiles()
    assert [(t.row, t.col) for t in tiles] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert [t.id for t in tiles[:4]] == ["r000c000", "r000c001", "r000c002", "r001c000"]
    box = tiles[0].geobox.boundingbox
    assert (box.left, box.top) == (FIRST.bounds[0], FIRST.bounds[3])
    assert tiles[5].region == (slice(128, 256), slice(256, 384))
    # row numbers grow southward, columns eastward
    assert tiles[3].geobox.boundingbox.top == tiles[0].geobox.boundingbox.bottom
    assert tiles[1].geobox.boundingbox.left == tiles[0].geobox.boundingbox.right


@given(grids())
def test_tiles_cover_the_lattice_exactly_once(made: tuple[Grid, tuple[float, float, float, float]]) -> None:
    grid, _ = made
    rows, cols = grid.tile_shape
    seen = np.zeros((rows, cols), int)
    for tile in grid.tiles():
        ys, xs = tile.region
        assert (ys.stop - ys.start, xs.stop - xs.start) == tile.geobox.shape == (grid.tile_px, grid.tile_px)
        assert ys.start % grid.tile_px == xs.start % grid.tile_px == 0
        seen[ys.start // grid.tile_px, xs.start // grid.tile_px] += 1
        # the tile's own lattice is the national one, cut out
        assert tile.geobox == grid.geobox[ys, xs]
    assert (seen == 1).all()
    assert grid.shape == (rows * grid.tile_px, cols * grid.tile_px)


@given(grids())
def test_snapping_grows_outward_to_whole_tiles_and_no_further(
    made: tuple[Grid, tuple[float, float, float, float]],
) -> None:
    grid, asked = made
    side = grid.resolution_m * grid.tile_px
    slack = 1e-5 * side
    left, bottom, right, top = grid.bounds
    assert left <= asked[0] + slack
    assert bottom <= asked[1] + slack
    assert right >= asked[2] - slack
    assert top >= asked[3] - slack
    assert max(asked[0] - left, asked[1] - bottom, right - asked[2], top - asked[3]) < side + slack
    for value in grid.bounds:
        assert value / side == pytest.approx(round(value / side), abs=1e-9)
    assert Grid.snapped(CRS, grid.resolution_m, grid.tile_px, grid.bounds) == grid


@given(grids(), grids())
def test_surveys_with_other_bounds_share_their_pixels(
    one: tuple[Grid, tuple[float, float, float, float]], other: tuple[Grid, tuple[float, float, float, float]]
) -> None:
    a, b = one[0], other[0]
    b = Grid.snapped(CRS, a.resolution_m, a.tile_px, b.bounds)
    for axis, from_, to in ((0, a.bounds[0], b.bounds[0]), (1, a.bounds[3], b.bounds[3])):
        tiles = (to - from_) / (a.resolution_m * a.tile_px)
        assert tiles == pytest.approx(round(tiles), abs=1e-9), axis


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 5), st.integers(1, 5), sides, resolutions)
def test_bounds_on_the_lattice_gain_no_row(left: int, bottom: int, wide: int, high: int, px: int, size: float) -> None:
    side = px * size
    bounds = (left * side, bottom * side, (left + wide) * side, (bottom + high) * side)
    assert Grid.snapped(CRS, size, px, bounds).tile_shape == (high, wide)


@given(st.integers(0, 1), st.integers(0, 2), st.integers(0, 200))
def test_padding_adds_a_halo_on_all_four_sides(row: int, col: int, halo: int) -> None:
    tile = FIRST.tile(row, col)
    padded = tile.padded(halo)
    assert padded.shape == (128 + 2 * halo, 128 + 2 * halo)
    inner, outer = tile.geobox.boundingbox, padded.boundingbox
    assert (inner.left - outer.left, outer.right - inner.right) == (10.0 * halo, 10.0 * halo)
    assert (inner.bottom - outer.bottom, outer.top - inner.top) == (10.0 * halo, 10.0 * halo)
    # the same pixels, so what two tiles read of each other is the same
    assert padded[halo : halo + 128, halo : halo + 128] == tile.geobox


def test_neighbours_are_the_tiles_around_in_order() -> None:
    assert FIRST.neighbours(0, 0) == ((0, 1), (1, 0), (1, 1))
    assert FIRST.neighbours(1, 1) == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2))
    big = Grid(CRS, 10.0, 128, (0.0, 0.0, 5 * 1280.0, 5 * 1280.0))
    assert len(big.neighbours(2, 2)) == 8
    for tile in big.tiles():
        near = big.neighbours(tile.row, tile.col)
        expected = [(t.row, t.col) for t in big.tiles() if max(abs(t.row - tile.row), abs(t.col - tile.col)) == 1]
        assert list(near) == expected
        assert all((tile.row, tile.col) in big.neighbours(*other) for other in near)


@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_no_tile_outside_the_grid(row: int, col: int) -> None:
    with pytest.raises(IndexError, match="outside a grid of 2 x 3 tiles"):
        FIRST.tile(row, col)


def test_travels_between_processes() -> None:
    tile = FIRST.tile(1, 2)
    back = pickle.loads(pickle.dumps(tile))
    assert isinstance(back, Tile)
    assert back == tile
    assert pickle.loads(pickle.dumps(FIRST)) == FIRST
    assert hash(back) == hash(tile)


def test_ids_sort_as_tiles_do_and_stay_distinct() -> None:
    assert tile_id(12, 34) == "r012c034"
    assert tile_id(1234, 5) == "r1234c005"
    # one country of 10,000 tiles
    assert len({tile_id(r, c) for r in range(100) for c in range(100)}) == 10_000


def test_pixel_centres_are_half_a_pixel_inside() -> None:
    coordinates = FIRST.geobox.coordinates
    assert coordinates["x"].values[0] == FIRST.bounds[0] + 5
    assert coordinates["y"].values[0] == FIRST.bounds[3] - 5
    assert math.isclose(coordinates["y"].values[-1], FIRST.bounds[1] + 5)
