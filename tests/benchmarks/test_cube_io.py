"""The benchmark of the cube, small: every way to store says the same, and the one called ours is the cube's."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from benchmarks import cube_io
from lsbatch.bands import STACK
from lsbatch.grid import Grid
from lsbatch.storage import cube
from lsbatch.storage.band_encoding import decode

SIDE = 256
VARIANTS = {variant.name: variant for variant in cube_io.variants(SIDE)}


@pytest.fixture(scope="module")
def bands(tmp_path_factory: pytest.TempPathFactory) -> cube_io.Bands:
    return cube_io.content(tmp_path_factory.mktemp("cube_io") / "country", SIDE)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_reads_back_what_was_written(name: str, bands: cube_io.Bands, tmp_path: Path) -> None:
    integers = cube_io.numbers(bands, "int16")
    stored = cube_io.numbers(bands, VARIANTS[name].dtype)
    made = cube_io.build(tmp_path, stored, VARIANTS[name])
    cube_io.write(made, stored)
    found = cube_io.read(made)
    assert list(found) == list(cube_io.NAMES)
    for band, values in found.items():
        assert values.dtype == VARIANTS[name].dtype
        np.testing.assert_array_equal(values, cube_io.padded(stored[band]))
        back = values if values.dtype == "float32" else decode(values, STACK[band])
        expected = decode(cube_io.padded(integers[band]), STACK[band])
        np.testing.assert_allclose(back, expected, rtol=0, atol=STACK[band].scale)


def test_storing_costs_half_a_step_at_most_and_less_than_the_noise(bands: cube_io.Bands) -> None:
    for name, error in cube_io.largest_errors(bands).items():
        half = STACK[name].scale / 2
        # float32 itself: 24 bits of the largest value
        rounding = 2.0**-23 * float(np.nanmax(np.abs(bands[name])))
        assert error <= half + rounding, name
        assert error < cube_io.NOISE[name], name


@pytest.mark.parametrize("side", [256, 384, 1024])
def test_ours_is_what_the_cube_makes(side: int, tmp_path: Path) -> None:
    grid = Grid("EPSG:25833", 10.0, side, (0.0, 0.0, 30.0 * side, 30.0 * side))
    cube.create(tmp_path / "cube.zarr", grid, STACK)
    theirs = zarr.open_group(tmp_path / "cube.zarr" / "stack", mode="r")
    # nothing but nodata, so that nothing is written
    blank = {name: np.full((side, side), STACK[name].fill, np.int16) for name in cube_io.NAMES}
    made = cube_io.build(tmp_path / "ours", blank, cube_io.variants(side)[0])
    assert made.variant.name == "ours"
    for name, array in made.arrays.items():
        assert (array.shape, array.chunks, array.shards) == (
            theirs[name].shape,
            theirs[name].chunks,
            theirs[name].shards,
        )
        assert array.metadata.codecs == theirs[name].metadata.codecs
        assert (array.dtype, array.fill_value) == (theirs[name].dtype, theirs[name].fill_value)
    assert cube_io.sizes(made) == {name: [] for name in cube_io.NAMES}


def test_ours_is_as_large_as_the_cubes_own_file(bands: cube_io.Bands, tmp_path: Path) -> None:
    grid = Grid("EPSG:25833", 10.0, SIDE, (0.0, 0.0, 30.0 * SIDE, 30.0 * SIDE))
    cube.create(tmp_path / "cube.zarr", grid, STACK)
    absent = {band.name: np.full((SIDE, SIDE), band.fill if band.scale is None else np.nan) for band in STACK.bands}
    cube.write(tmp_path / "cube.zarr", STACK, grid.tile(1, 1), absent | bands)
    made = cube_io.build(tmp_path / "ours", cube_io.numbers(bands, "int16"), VARIANTS["ours"])
    for name in bands:
        place = Path(name) / "c" / "1" / "1"
        assert (made.root / place).read_bytes() == (tmp_path / "cube.zarr" / "stack" / place).read_bytes(), name


@pytest.mark.slow(ci=True)
def test_the_tables_tell_every_variant_and_band(bands: cube_io.Bands, tmp_path: Path) -> None:
    found = cube_io.measure(tmp_path, bands, rounds=1)
    assert list(found) == list(VARIANTS)
    for name, row in found.items():
        # one object a band and tile: at 256 px a chunk of 256 is the tile
        assert row["objects"] == len(cube_io.NAMES), name
        assert row["bytes"] == pytest.approx(sum(row[band] for band in cube_io.NAMES))
        assert ("far read" in row) == VARIANTS[name].far
    assert found["ours"]["bytes"] < found["uncompressed"]["bytes"]
    assert found["ours"]["bytes"] < found["float32"]["bytes"]
    assert found["ours"]["bytes"] <= cube_io.TARGET
    # the tile and its eight neighbours, each in one
    assert found["ours"]["read requests"] == 9 * len(cube_io.NAMES)
    table = cube_io.variants_table(found) + cube_io.bands_table(cube_io.largest_errors(bands), found["ours"])
    assert all(f"| {name} |" in table for name in (*VARIANTS, *cube_io.NAMES))
