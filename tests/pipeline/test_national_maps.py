"""National maps: equal to GDAL's, valid COGs, from any tiles, on disk and in a bucket; damaged parts are refused."""

import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import national_maps as peer
from lsbatch import settings
from lsbatch.catalog.survey import Survey
from lsbatch.engine import tile_task
from lsbatch.engine.tile_task import Task
from lsbatch.errors import StaleStoreError
from lsbatch.grid import tile_id
from lsbatch.kernels.resampling.overviews import METHODS
from lsbatch.pipeline import map_contents, national_maps
from lsbatch.pipeline.map_contents import MAPS
from lsbatch.storage import cog, files, objects, receipts, vectors
from tests import servers, surveys

PYTHON_OF_GDAL = "/usr/bin/python3"
VALIDATOR = "osgeo_utils.samples.validate_cloud_optimized_geotiff"


def made(
    folder: Path,
    tile_px: int,
    shape: tuple[int, int],
    missing: tuple[tuple[int, int], ...] = (),
    *,
    further: bool = False,
) -> Survey:
    """A survey with filled tiles and their blocks, without the missing tiles; with `further` all maps on request."""
    every = ((row, col) for row in range(shape[0]) for col in range(shape[1]))
    positions = tuple(one for one in every if one not in missing)
    survey = peer.survey(folder, tile_px, shape, positions, further=further)
    rng = np.random.default_rng(tile_px)
    for position in survey.positions:
        peer.fill(survey, position, peer.content(tile_px, rng))
        assert blocks(survey, position)
    return survey


def blocks(survey: Survey, position: tuple[int, int]) -> receipts.Receipt:
    """Run the stage for a tile."""
    return tile_task.commit(survey.config, survey.grid, Task("map_blocks", position, "d"))


def gdal(survey: Survey, folder: Path) -> Path:
    """The maps of the tiles that have blocks, as GDAL writes them."""
    folder.mkdir()
    done = receipts.read_stage(survey.workspace.receipts, "map_blocks")
    peer.gdal_maps(survey, folder, tuple(one for one in survey.positions if done.get(tile_id(*one))))
    return folder


def pixels(raster: rasterio.DatasetReader) -> np.ndarray:
    """(rows, cols), or (rows, cols, samples) of a picture."""
    values = raster.read().transpose(1, 2, 0)
    return values[..., 0] if raster.count == 1 else values


def colours(raster: rasterio.DatasetReader) -> dict[int, tuple[int, ...]] | None:
    """The colour table, if there is one."""
    return raster.colormap(1) if raster.colorinterp[0].name == "palette" else None


def names(survey: Survey) -> tuple[str, ...]:
    return tuple(map_contents.wanted(survey.config))


def assert_equals_gdal(survey: Survey, theirs: Path, ours: Path) -> None:
    """Full resolution and metadata are those of GDAL; overviews are made from the whole map."""
    for name in names(survey):
        content = MAPS[name].content
        with rasterio.open(ours / f"{name}.tif") as found, rasterio.open(theirs / f"{name}.tif") as wanted:
            values = pixels(wanted)
            np.testing.assert_array_equal(pixels(found), values, strict=True)
            assert colours(found) == colours(wanted)
            for what in ("crs", "transform", "nodatavals", "dtypes", "scales", "offsets", "units", "descriptions",
                         "colorinterp", "compression", "interleaving", "bounds", "mask_flag_enums"):  # fmt: skip
                assert getattr(found, what) == getattr(wanted, what), what
            for space in (None, "IMAGE_STRUCTURE"):
                assert found.tags(ns=space) == wanted.tags(ns=space)
                assert found.tags(1, ns=space) == wanted.tags(1, ns=space)
            side = 256 if survey.grid.tile_px % 256 == 0 else 128
            assert found.block_shapes == [(side, side)] * content.samples
            levels = len(found.overviews(1))
        for level in range(levels):
            values = METHODS[content.overviews](values, content.nodata)
            with rasterio.open(ours / f"{name}.tif", overview_level=level) as small:
                np.testing.assert_array_equal(pixels(small), values, err_msg=f"{name} {level}", strict=True)
        assert max(values.shape[:2]) <= side


def _validator_is_here() -> bool:
    command = [PYTHON_OF_GDAL, "-c", f"import {VALIDATOR}"]
    return Path(PYTHON_OF_GDAL).exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("tile_px", "shape", "missing"),
    [
        (128, (1, 1), ()),
        (128, (5, 3), ((0, 0), (2, 1))),
        (256, (3, 3), ((1, 0), (1, 1), (1, 2))),
        (384, (1, 2), ()),
        (512, (2, 1), ()),
        (640, (1, 1), ()),
        (768, (1, 1), ()),
    ],
)
def test_maps_equal_those_of_gdal(
    tmp_path: Path, tile_px: int, shape: tuple[int, int], missing: tuple[tuple[int, int], ...]
) -> None:
    survey = made(tmp_path / "s", tile_px, shape, missing, further=tile_px in (384, 512))
    counts = national_maps.apply(survey, survey.config)
    assert counts == {"maps": 7 if tile_px in (384, 512) else 4, "tiles": len(survey.positions)}
    assert sorted(path.name for path in survey.workspace.maps.iterdir()) == sorted(
        f"{name}.tif" for name in names(survey)
    )
    assert_equals_gdal(survey, gdal(survey, tmp_path / "gdal"), survey.workspace.maps)


def test_averages_are_those_of_gdal_too(tmp_path: Path) -> None:
    """Where sides are even, no pixel is nodata, and GDAL's blocks of 512 px are larger than the map."""
    survey = peer.survey(tmp_path / "s", 1024, (1, 1))
    bands = peer.content(1024, np.random.default_rng(3))
    peer.fill(survey, (0, 0), {**bands, "probability": np.nan_to_num(bands["probability"], nan=0.2)})
    assert blocks(survey, (0, 0))
    national_maps.apply(survey, survey.config)
    with (
        rasterio.open(survey.workspace.maps / "probability.tif", overview_level=0) as ours,
        rasterio.open(gdal(survey, tmp_path / "gdal") / "probability.tif", overview_level=0) as theirs,
    ):
        assert ours.shape == theirs.shape == (512, 512)
        np.testing.assert_array_equal(ours.read(1), theirs.read(1))


def test_large_maps_are_big_tiffs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = made(tmp_path / "s", 128, (3, 2))
    theirs = gdal(survey, tmp_path / "gdal")
    monkeypatch.setattr(cog, "BIG_BYTES", 1000)
    national_maps.apply(survey, survey.config)
    for name in names(survey):
        path = survey.workspace.maps / f"{name}.tif"
        assert path.read_bytes()[:4] == struct.pack("<2sH", b"II", 43)
    assert_equals_gdal(survey, theirs, survey.workspace.maps)


@pytest.mark.skipif(not _validator_is_here(), reason="python3-gdal is not installed")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("tile_px", "shape", "missing"), [(128, (5, 3), ((2, 1),)), (512, (2, 1), ()), (256, (1, 1), ())]
)
def test_gdal_calls_them_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile_px: int, shape: tuple[int, int], missing: tuple, big: bool
) -> None:
    """By its own script, which also looks at the leader and trailer of every block."""
    if big:
        monkeypatch.setattr(cog, "BIG_BYTES", 1000)
    survey = made(tmp_path / "s", tile_px, shape, missing, further=tile_px == 512)
    national_maps.apply(survey, survey.config)
    for name in names(survey):
        command = [PYTHON_OF_GDAL, "-m", VALIDATOR, "--full-check=yes", str(survey.workspace.maps / f"{name}.tif")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "is a valid cloud optimized GeoTIFF" in done.stdout


@given(sizes=st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4))
def test_offsets_of_many_gigabytes(sizes: list[int]) -> None:
    """Blocks follow each other with room for leader and trailer, in 64 bits; what is left out takes nothing."""
    levels = [np.array(sizes[:3], np.uint32).reshape(1, 3), np.array([[sizes[3]]], np.uint32)]
    offsets, end = cog._offsets(levels, 100)
    at = 100
    for size, offset in zip((sizes[3], *sizes[:3]), (*offsets[1].ravel(), *offsets[0].ravel()), strict=True):
        assert int(offset) == (at + 4 if size else 0)
        at += size + 8 if size else 0
    assert end == at


def test_tiles_that_failed_or_are_empty_are_nodata(tmp_path: Path) -> None:
    survey = made(tmp_path / "s", 256, (2, 2))
    places = survey.workspace
    failed = receipts.read_stage(places.receipts, "map_blocks")[tile_id(0, 1)]
    receipts.write(places.receipts, replace(failed, error="made to fail", sums={}))
    nothing = {
        "probability": np.full((256, 256), np.nan, np.float32),
        "landslide": np.full((256, 256), 255, np.uint8),
        "post_date": np.full((256, 256), -32768, np.int16),
        "observed": np.zeros((256, 256), np.uint8),
    }
    peer.fill(survey, (1, 0), nothing)
    receipts.remove(places.receipts, "map_blocks", tile_id(1, 0))
    empty = blocks(survey, (1, 0))
    assert (bool(empty), empty.sums) == (True, {})
    assert not national_maps._part(survey, (1, 0)).exists()
    assert national_maps.apply(survey, survey.config) == {"maps": 4, "tiles": 3}
    assert_equals_gdal(survey, gdal(survey, tmp_path / "gdal"), places.maps)
    with rasterio.open(places.maps / "mask.tif") as raster:
        values = raster.read(1)
    assert (values[:256, 256:] == 255).all()
    assert (values[256:, :256] == 255).all()
    assert (values[:256, :256] == 1).any()


def test_pictures_and_changes_are_what_they_say(tmp_path: Path) -> None:
    """The numbers of the maps on request, by their formulas; a map that is not asked for any more is removed."""
    survey = made(tmp_path / "s", 128, (1, 1), further=True)
    national_maps.apply(survey, survey.config)
    bands = surveys.whole(survey, peer.FURTHER)
    red = np.where(bands["postR"] == -32768, np.nan, bands["postR"] * 1e-4)
    assert np.isnan(red).any()
    with rasterio.open(survey.workspace.maps / "true_colour_after.tif") as raster:
        values = raster.read(1)
    np.testing.assert_array_equal(values == 0, np.isnan(red))
    known = values > 0
    told = 0.3 * ((values[known] - 1.0) / 254) ** 2
    np.testing.assert_allclose(told, np.minimum(red[known], 0.3), atol=0.3 / 254)
    with rasterio.open(survey.workspace.maps / "radar_change.tif") as raster:
        change = raster.read(1) * raster.scales[0]
    known = bands["diffVV"] != -32768
    np.testing.assert_allclose(change[known], bands["diffVV"][known] * 0.01, atol=0.0501)
    assert (change[known] < 0).any()
    less = survey.config.model_copy(update={"maps": settings.MapsSettings(radar_change=True)})
    fewer = Survey(less, survey.grid, survey.positions)
    receipts.remove(survey.workspace.receipts, "map_blocks", tile_id(0, 0))
    assert blocks(fewer, (0, 0))
    assert national_maps.apply(fewer, less) == {"maps": 5, "tiles": 1}
    assert "true_colour_after.tif" not in {path.name for path in survey.workspace.maps.iterdir()}


def test_class_maps_have_colours(tmp_path: Path) -> None:
    """A viewer that knows nothing of lsbatch shows landslides, and not a black map."""
    survey = made(tmp_path / "s", 128, (3, 2))
    national_maps.apply(survey, survey.config)
    for level in ({}, {"overview_level": 0}):
        with rasterio.open(survey.workspace.maps / "mask.tif", **level) as raster:
            table = raster.colormap(1)
            assert (table[1], table[0]) == ((213, 94, 0, 255), (235, 235, 235, 255))
    with rasterio.open(survey.workspace.maps / "observed.tif") as raster:
        assert raster.colormap(1)[1 + 4][:3] == map_contents.OBSERVED["optical"][:3]
        assert raster.colormap(1)[3 + 4 + 64][:3] == map_contents.OBSERVED["water"][:3]


def test_no_tile_at_all(tmp_path: Path) -> None:
    survey = peer.survey(tmp_path / "s", 256, (2, 3))
    assert national_maps.apply(survey, survey.config) == {"maps": 4, "tiles": 0}
    with rasterio.open(survey.workspace.maps / "date.tif") as raster:
        assert (raster.read(1) == map_contents.NO_DAY).all()


def test_bytes_do_not_depend_on_the_run(tmp_path: Path) -> None:
    survey = made(tmp_path / "s", 128, (3, 2))
    found = []
    for _ in range(2):
        national_maps.apply(survey, survey.config)
        found.append([path.read_bytes() for path in sorted(survey.workspace.maps.iterdir())])
    assert found[0] == found[1]


def test_same_bytes_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = made(tmp_path / "s", 256, (2, 3))
    national_maps.apply(here, here.config)
    root = here.workspace.root
    with servers.s3() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        there = Survey(
            here.config.model_copy(update={"output": objects.path_of("s3://surveys/s")}), here.grid, here.positions
        )
        for path in root.rglob("*"):
            if path.is_file() and "maps" not in path.relative_to(root).parts:
                files.write_bytes(there.workspace.root / path.relative_to(root).as_posix(), path.read_bytes())
        # a worker's part, too
        assert blocks(there, (0, 0)).sums == blocks(here, (0, 0)).sums
        assert national_maps.apply(there, there.config) == {"maps": 4, "tiles": 6}
        for name in names(here):
            assert (
                files.read_bytes(there.workspace.maps / f"{name}.tif")
                == (here.workspace.maps / f"{name}.tif").read_bytes()
            )
        # what is not wanted is not transferred
        part = national_maps._part(there, (0, 0))
        with files.opened(part) as file:
            assert file.read(4) == b"PAR1"
        with pytest.raises(FileNotFoundError):
            files.opened(part.with_name("none.parquet"))


Change = Callable[[pd.DataFrame], pd.DataFrame]


def _set(column: str, value: object, where: str = "size > 0") -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        row = table.query(where).index[0]
        table.at[row, column] = value
        return table

    return change


def _twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[[0]]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("map", "elevation"), "an unknown map, level or size"),
        (_set("level", 7), "an unknown map, level or size"),
        (_set("level", -1), "an unknown map, level or size"),
        (_set("size", -5), "an unknown map, level or size"),
        (_set("size", 0), "an unknown map, level or size"),
        (_set("size", 12), "another size than the table says"),
        (_set("row", 2), "blocks of another tile"),
        (_set("col", -1), "blocks of another tile"),
        (_set("col", 1, "size == 0"), "blocks of another tile"),
        (_set("share", b"", "size == 0"), "does not have the 16384 bytes"),
        (_set("share", b"no", "size == 0"), "a block cannot be decompressed"),
        (_set("share", cog.compress(np.zeros((4096, 4096), np.uint8)), "size == 0"), "does not have the 16384 bytes"),
        (_twice, "a block twice"),
        (lambda table: table.drop(columns="block"), "block"),
        (lambda table: table.drop(columns="row"), "row"),
    ],
)
def test_damaged_parts_are_refused_and_leave_the_last_maps(tmp_path: Path, change: Change, reason: str) -> None:
    survey = made(tmp_path / "s", 256, (2, 2))
    national_maps.apply(survey, survey.config)
    before = {path.name: path.read_bytes() for path in survey.workspace.maps.iterdir()}
    part = national_maps._part(survey, (0, 0))
    vectors.write_table(part, change(vectors.read_table(part)))
    with pytest.raises(StaleStoreError, match=r"r000c000\.parquet: is damaged, or was not made by lsbatch: ") as error:
        national_maps.apply(survey, survey.config)
    assert reason in str(error.value)
    assert {path.name: path.read_bytes() for path in survey.workspace.maps.iterdir()} == before


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_cut_parts_are_refused(tmp_path: Path, keep: float) -> None:
    survey = made(tmp_path / "s", 128, (1, 1))
    part = national_maps._part(survey, (0, 0))
    data = part.read_bytes()
    part.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(StaleStoreError, match="is damaged"):
        national_maps.apply(survey, survey.config)


def test_merging_holds_neither_maps_nor_parts(tmp_path: Path) -> None:
    """What numpy and Python hold at most does not grow with the rows of tiles, but for the table of blocks."""

    def peak(rows: int) -> int:
        survey = made(tmp_path / str(rows), 256, (rows, 2))
        tracemalloc.start()
        try:
            national_maps.apply(survey, survey.config)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    few, many = peak(6), peak(20)
    # A part has 60,000 bytes, and its pixels in four maps 330,000. Parts read in advance change the peak by some 40,000
    # from run to run.
    assert many - few < 14 * 2 * 30_000, (few, many)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdal-bin is not installed")
def test_another_gdal_reads_them(tmp_path: Path) -> None:
    survey = made(tmp_path / "s", 256, (2, 2))
    national_maps.apply(survey, survey.config)
    for name in names(survey):
        done = subprocess.run(
            ["gdalinfo", "-checksum", str(survey.workspace.maps / f"{name}.tif")], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "LAYOUT=COG" in done.stdout
