"""The cube: what other programs see in it, what it costs, and that pixels come back as they were stored."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives xarray its .rio
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lsbatch.bands import STACK, mask, probability
from lsbatch.errors import StaleStoreError
from lsbatch.grid import Grid
from lsbatch.storage import cube
from lsbatch.storage.band_encoding import decode, encode
from tests import programs

GRID = Grid.snapped("EPSG:25833", 10.0, 256, (300_000.0, 6_800_000.0, 307_000.0, 6_807_000.0))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "cube.zarr"
    cube.create(path, GRID, STACK)
    return path


def _noise(seed: int, shape: tuple[int, int] = (256, 256)) -> dict[str, np.ndarray]:
    """Every band of STACK: values within its range, a tenth of them missing."""
    dice = np.random.default_rng(seed)
    out = {}
    for band in STACK.bands:
        if band.scale is None:
            out[band.name] = dice.integers(0, 100, shape).astype(band.dtype)
        else:
            values = dice.uniform(-1, 1, shape) * 3000 * band.scale + band.offset
            out[band.name] = np.where(dice.random(shape) < 0.1, np.nan, values).astype(np.float32)
    return out


def test_another_program_sees_coordinates_crs_units_and_descriptions(store: Path) -> None:
    tile = GRID.tile(1, 2)
    bands = _noise(1)
    cube.write(store, STACK, tile, bands)
    seen = xr.open_zarr(store, group="stack")
    assert seen.sizes == {"y": GRID.shape[0], "x": GRID.shape[1]}
    assert seen.rio.crs.to_epsg() == 25833
    assert seen.rio.transform().almost_equals(GRID.geobox.transform)
    left, _, _, top = GRID.bounds
    assert seen.x.values[0] == left + 5
    assert seen.y.values[0] == top - 5
    for band in STACK.bands:
        # xarray turns days into dates, and keeps their unit as the encoding
        assert (seen[band.name].attrs | seen[band.name].encoding)["units"] == band.units
        assert seen[band.name].attrs["long_name"] == band.description
    here = seen.isel(y=tile.region[0], x=tile.region[1])
    np.testing.assert_allclose(here["preVV"], bands["preVV"], atol=STACK["preVV"].scale / 2 + 1e-6)
    assert np.isnan(seen["preVV"].values[:256, :256]).all()


def test_what_was_not_seen_costs_no_bytes(store: Path) -> None:
    def shards() -> list[Path]:
        return [
            path for path in (store / "stack").rglob("c/*/*") if path.is_file() and path.parts[-4] not in ("x", "y")
        ]

    empty = {band.name: np.full((256, 256), np.nan if band.scale is not None else band.fill) for band in STACK.bands}
    cube.write(store, STACK, GRID.tile(0, 0), empty)
    assert shards() == []
    cube.write(store, STACK, GRID.tile(0, 1), _noise(2))
    # one object a band and tile
    assert len(shards()) == len(STACK.bands)


def test_an_intact_shard_stays_until_the_new_one_is_there(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # another attempt at the tile may have written it, and a kill between removal and writing would lose it
    tile = GRID.tile(0, 1)
    cube.write(store, STACK, tile, _noise(2))
    monkeypatch.setattr(cube.files, "remove", lambda path: pytest.fail(f"{path} was removed"))
    sums = cube.write(store, STACK, tile, _noise(3))
    assert cube.sums(store, STACK, tile) == sums


def test_a_full_disk_leaves_the_shard_of_another_attempt(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile = GRID.tile(0, 1)
    sums = cube.write(store, STACK, tile, _noise(2))

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(OSError, match="no space left"):
        cube.write(store, STACK, tile, _noise(3))
    assert cube.sums(store, STACK, tile) == sums


@pytest.mark.parametrize("keep", [0, 3, 10, 0.5, -1])
def test_a_damaged_shard_is_replaced(store: Path, keep: float) -> None:
    tile = GRID.tile(0, 1)
    cube.write(store, STACK, tile, _noise(2))
    shard = store / "stack" / "preVV" / "c" / "0" / "1"
    data = shard.read_bytes()
    shard.write_bytes(data[: int(keep * len(data)) if keep == 0.5 else int(keep)])
    sums = cube.write(store, STACK, tile, _noise(3))
    assert cube.sums(store, STACK, tile) == sums


def test_a_tile_is_a_shard(store: Path) -> None:
    described = json.loads((store / "stack" / "preVV" / "zarr.json").read_text(encoding="utf-8"))
    assert described["zarr_format"] == 3
    assert described["chunk_grid"]["configuration"]["chunk_shape"] == [GRID.tile_px, GRID.tile_px]
    assert described["codecs"][0]["name"] == "sharding_indexed"


def test_windows_cross_tiles_and_the_edge_of_the_nation(store: Path) -> None:
    rows, cols = (2 * GRID.tile_px for _ in range(2))
    whole = _noise(3, (rows, cols))
    for row, col in np.ndindex(2, 2):
        tile = GRID.tile(row, col)
        cube.write(store, STACK, tile, {name: values[tile.region] for name, values in whole.items()})
    stored = {name: decode(encode(whole[name], STACK[name]), STACK[name]) for name in ("dNDVI", "post_date")}
    found = cube.read_window(store, GRID, STACK, slice(200, 300), slice(-7, 260), ("dNDVI", "post_date"))
    for name, values in found.items():
        np.testing.assert_array_equal(values[:, 7:], stored[name][200:300, :260])
    assert np.isnan(found["dNDVI"][:, :7]).all()
    assert (found["post_date"][:, :7] == STACK["post_date"].fill).all()
    outside = cube.read_window(store, GRID, STACK, slice(-50, -20), slice(0, 30), ("dNDVI",))["dNDVI"]
    assert outside.shape == (30, 30)
    assert np.isnan(outside).all()


@given(st.sampled_from([band for band in STACK.bands if band.scale is not None]), st.data())
def test_values_come_back_within_half_a_step(band, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    info = np.iinfo(band.dtype)
    low, high = (info.min + 1) * band.scale + band.offset, (info.max - 1) * band.scale + band.offset
    values = data.draw(arrays(np.float64, 20, elements=st.floats(low, high) | st.just(np.nan)))
    back = decode(encode(values, band), band)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    # half a step, and float32's own rounding
    assert np.nanmax(abs(back - values), initial=0) <= band.scale / 2 + 1e-6 * max(abs(low), abs(high))
    np.testing.assert_array_equal(encode(back, band), encode(values, band))


def test_beyond_the_range_is_the_end_of_the_range() -> None:
    band = STACK["preVV"]
    high, low = decode(encode(np.array([1e9, -1e9]), band), band)
    assert high > 100
    assert low < -100
    assert not np.isnan([high, low]).any()


@pytest.mark.parametrize("layer", [probability("unet"), mask("unet")])
def test_layers_stand_side_by_side(store: Path, layer) -> None:  # type: ignore[no-untyped-def]
    cube.create(store, GRID, layer)
    assert layer.names[0] in xr.open_zarr(store, group=layer.name)
    assert "preVV" in xr.open_zarr(store, group="stack")


def test_jobs_that_start_together_all_find_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "cube.zarr"
    code = (
        "import sys; from pathlib import Path; from lsbatch.storage import cube; from lsbatch.grid import Grid; from "
        "lsbatch.bands import STACK;cube.create(Path(sys.argv[1]), Grid.snapped('EPSG:25833', 10.0, 256, "
        f"{GRID.bounds}), STACK)"
    )
    jobs = [programs.start_code(code, str(path)) for _ in range(4)]
    assert [job.ended(120).stderr for job in jobs] == [""] * 4
    cube.write(path, STACK, GRID.tile(0, 0), _noise(4))
    assert not list(tmp_path.glob(".making-*"))


def test_a_cube_of_another_grid_is_not_touched(store: Path) -> None:
    other = Grid.snapped("EPSG:25833", 10.0, 512, GRID.bounds)
    before = (store / "stack" / "zarr.json").read_bytes()
    with pytest.raises(StaleStoreError, match="was made for the grid"):
        cube.create(store, other, STACK)
    assert (store / "stack" / "zarr.json").read_bytes() == before


def test_bands_that_a_cube_of_another_version_lacks_are_added(store: Path) -> None:
    pixels = _noise(2)
    cube.write(store, STACK, GRID.tile(0, 0), pixels)
    before = {path: path.read_bytes() for path in (store / "stack" / "preVV").rglob("*") if path.is_file()}
    shutil.rmtree(store / "stack" / "dNDVI")
    cube.create(store, GRID, STACK)
    assert before == {path: path.read_bytes() for path in before}
    found = cube.read(store, GRID, STACK, GRID.tile(0, 0), 0, ("dNDVI", "preVV"))
    assert np.isnan(found["dNDVI"]).all()
    assert np.isfinite(found["preVV"]).any()
    assert set(STACK.names) <= set(cube.open_layer(store, "stack").data_vars)
    listed = (store / "zarr.json").read_bytes()
    cube.create(store, GRID, STACK)
    assert (store / "zarr.json").read_bytes() == listed
