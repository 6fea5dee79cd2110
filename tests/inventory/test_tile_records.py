"""Records made tile by tile and joined: the same as all in one, and the same as one landslide after another."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.ndimage
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.engine import tile_task, todo
from lsbatch.engine.schedule import Schedule
from lsbatch.grid import Grid
from lsbatch.inventory import dating, records, tile_records
from lsbatch.kernels import connected_regions
from lsbatch.kernels.greenest_pixel import NO_DAY
from lsbatch.pipeline import outline, radar_series
from lsbatch.pipeline.types import Block, Stage
from lsbatch.storage import files, receipts, vectors
from lsbatch.storage.documents import tile_edges
from tests import fake_survey
from tests.inventory import slow_records

SIDE, ROWS, COLS = 12, 3, 4
PIXEL_M = 10.0
DAY = 18_262


@dataclass(frozen=True)
class Made:
    """How a survey is made.

    Attributes
    ----------
    simplify_m : float
    radar_dates : bool
    days : bool
        Whether the model dates pixels.
    layer : Path or None
        Of a confounder and of another inventory.
    """

    simplify_m: float = 0.0
    radar_dates: bool = False
    days: bool = False
    layer: Path | None = None


def _survey(folder: Path, field: np.ndarray, made: Made = Made(), seed: int = 0) -> Survey:
    """A survey of ROWS x COLS tiles with the parts of a field of landslides and nothing else."""
    config = fake_survey._config(folder, fake_survey.Fake(truth=False))
    named = {} if made.layer is None else {"some": made.layer}
    changes = {"simplify_m": made.simplify_m, "radar_dates": made.radar_dates, "min_area_m2": 0.0,
               "confounders": named, "others": named}  # fmt: skip
    config = config.model_copy(update={"inventory": config.inventory.model_copy(update=changes)})
    left, top = 300_000.0, 6_800_000.0
    grid = Grid(config.grid.crs, PIXEL_M, SIDE, (left, top - ROWS * SIDE * PIXEL_M, left + COLS * SIDE * PIXEL_M, top))
    positions = tuple((row, col) for row in range(ROWS) for col in range(COLS))
    summary = {"tiles": len(positions), "region_km2": 1.0, "left_out": []}
    plan.save(plan.Plan("", grid, positions, shapely.box(*grid.bounds), {}, summary), config.output)
    survey = Survey(config, grid, positions)
    bands = _bands(field, np.random.default_rng(seed), days=made.days)
    for position in positions:
        _parts(survey, position, bands, np.random.default_rng(seed + 1))
    return survey


def _bands(field: np.ndarray, rng: np.random.Generator, *, days: bool) -> dict[str, np.ndarray]:
    """National bands with a border of one pixel and some unknown values."""
    shape = (ROWS * SIDE + 2, COLS * SIDE + 2)
    bands = {name: rng.normal(0, 1, shape).astype(np.float32) for name in outline._STACK}
    bands["slope"] = np.where(np.arange(shape[0])[:, None] % 12 < 6, 40, 10) + bands["slope"]
    # whole metres, so that highest and lowest pixels have ties
    bands["elevation"] = np.rint(500 - 9.0 * np.arange(shape[0])[:, None] + bands["elevation"]).astype(np.float32)
    bands["probability"] = rng.uniform(0.5, 1, shape).astype(np.float32)
    for name in ("dNDVI", "diffVV", "slope", "elevation", "preVV_asc"):
        bands[name] = np.where(rng.random(shape) < 0.2, np.nan, bands[name]).astype(np.float32)
    bands["observed"] = rng.integers(0, 64, shape).astype(np.uint8)
    none = np.iinfo(np.int16).min
    for name, low in (("pre_date", DAY - 200), ("post_date", DAY + 200)):
        bands[name] = np.where(rng.random(shape) < 0.2, none, low + rng.integers(0, 9, shape)).astype(np.int16)
    if days:
        known = rng.random(shape) < 0.5
        for name, low in (("before", DAY), ("after", DAY + 12)):
            bands[name] = np.where(known, low + rng.integers(0, 9, shape), NO_DAY).astype(np.int16)
    bands["landslide"] = np.where(rng.random(shape) < 0.05, 255, 0).astype(np.uint8)
    bands["landslide"][1:-1, 1:-1][field] = 1
    return bands


def _parts(survey: Survey, position: tuple[int, int], bands: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Write the parts of a tile by the stage `outline`, and passes if they are wanted."""
    tile = survey.tile(position)
    around = tuple(slice(side.start, side.stop + 2) for side in tile.region)
    found = outline.apply(Block(tile, 1, {name: values[around] for name, values in bands.items()}), survey.config)
    _commit(survey, "outline", found)
    if survey.config.inventory.radar_dates:
        table = _passes(tile.row, tile.col, found.tally["parts"], rng) if found.tally["parts"] else None
        _commit(survey, "date", Block(tile, 0, {}, {"dated_parts": found.tally["parts"]}, part=table))


def _passes(row: int, col: int, parts: int, rng: np.random.Generator) -> pd.DataFrame:
    """Passes with a step in the middle that all parts share."""
    rows = [
        {
            "tile_row": row, "tile_col": col, "label": label, "day": f"day {day:03d}", "platform": "S1A",
            "relative_orbit": orbit, "orbit_state": "ascending", "time_days": DAY + day + orbit / 100,
            **{name: 5000 if "px" in name else rng.gamma(50, 50.0 if day > 0 and "inside" in name else 10.0)
               for name in radar_series.SUMS},
        }
        for day in range(-180, 181, 24) for orbit in (44, 66) for label in range(1, parts + 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _commit(survey: Survey, stage: str, block: Block) -> None:
    sums = tile_task._write(survey.workspace, None, stage, block)
    task = tile_task.Task(stage, (block.tile.row, block.tile.col), "d")
    receipts.write(survey.workspace.receipts, tile_task.make_receipt(task, 0.0, block=block, sums=sums))


def _make_records(survey: Survey) -> int:
    """Run the stage over all tiles; return the number of records."""
    stage = todo.step_named("records")
    assert isinstance(stage, Stage)
    # its inputs are there without the stages before them
    work = Schedule(survey, (replace(stage, after=()),)).todo()["records"]
    found = [
        tile_task.commit(survey.config, survey.grid, tile_task.Task("records", position, key))
        for position, key in work.digests.items()
    ]
    assert [one.trace or one.error for one in found if not one] == []
    return sum(one.tally["records"] for one in found)


def _one_by_one(survey: Survey) -> pd.DataFrame:
    """The records by the slow way, sorted as in the inventory."""
    done = receipts.read_stage(survey.workspace.receipts, "outline")
    frames, edges, counts = [], {}, {}
    for position in survey.positions:
        tile = survey.tile(position).id
        if tile in done and done[tile].tally["parts"]:
            path = survey.workspace.part("outline", tile)
            frames.append(vectors.read_part(path))
            edges[position], counts[position] = tile_edges.read(path.with_suffix(".npy")), len(frames[-1])
    parts = pd.concat(frames, ignore_index=True)
    of = connected_regions.join(edges, counts)
    keys = zip(parts["tile_row"], parts["tile_col"], parts["label"], strict=True)
    component = np.array([of[row, col][label - 1] for row, col, label in keys])
    frame = slow_records.landslides(parts, component, survey.grid, survey.config, _passes_of(survey))
    return frame.sort_values(["area_m2", "landslide_id"], ascending=[False, True]).reset_index(drop=True)


def _passes_of(survey: Survey) -> Callable[[pd.DataFrame], pd.DataFrame | None]:
    done = receipts.read_stage(survey.workspace.receipts, "date") if survey.config.inventory.radar_dates else {}

    def read(group: pd.DataFrame) -> pd.DataFrame | None:
        found = []
        for (row, col), labels in group.groupby(["tile_row", "tile_col"])["label"]:
            name = survey.tile((row, col)).id
            if not done.get(name):
                return None
            rows = vectors.read_table(survey.workspace.part("date", name))
            found.append(rows[rows["label"].isin(labels)])
        return dating.joined(pd.concat(found, ignore_index=True))

    return read


def _assert_same(ours: pd.DataFrame, slow: pd.DataFrame) -> None:
    assert len(ours) == len(slow) > 0
    assert list(ours.geometry.to_wkb()) == list(slow.geometry.to_wkb())
    for name in slow.columns.drop("geometry"):
        if slow[name].dtype.kind == "f":
            # pandas adds more than eight parts in another order
            np.testing.assert_allclose(ours[name], slow[name], rtol=1e-12, atol=0, err_msg=name)
        else:
            assert list(ours[name]) == list(slow[name]), name
        assert ours[name].dtype == slow[name].dtype


def _assert_identical(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame) -> None:
    pd.testing.assert_frame_equal(ours.drop(columns="geometry"), theirs.drop(columns="geometry"), check_exact=True)
    assert list(ours.geometry.to_wkb()) == list(theirs.geometry.to_wkb())


def _field(rng: np.random.Generator) -> np.ndarray:
    """Blobs of all sizes: some span several tiles, some are one pixel; one tile is empty."""
    smooth = scipy.ndimage.gaussian_filter(rng.standard_normal((ROWS * SIDE, COLS * SIDE)), rng.uniform(0.4, 3))
    field = smooth > np.quantile(smooth, rng.uniform(0.7, 0.95))
    row, col = rng.integers(ROWS), rng.integers(COLS)
    field[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE] = False
    return field


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), simplify_m=st.sampled_from([0.0, 15.0]), days=st.booleans())
def test_split_all_in_one_and_one_by_one_agree(seed: int, simplify_m: float, days: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        survey = _survey(Path(folder), _field(np.random.default_rng(seed)), Made(simplify_m, days=days), seed)
        together = records.landslides(survey, survey.config)
        _make_records(survey)
        _assert_identical(records.landslides(survey, survey.config), together)
        _assert_same(together, _one_by_one(survey))


def _planted() -> np.ndarray:
    """A landslide over three tiles, one that touches only at a corner, one pixel inside a tile and one on its edge."""
    field = np.zeros((ROWS * SIDE, COLS * SIDE), bool)
    field[3:5, SIDE - 4 : 2 * SIDE + 5] = True
    field[2 * SIDE - 2 : 2 * SIDE, SIDE - 2 : SIDE] = True
    field[2 * SIDE : 2 * SIDE + 3, SIDE : SIDE + 2] = True
    field[SIDE + 5, 5] = True
    field[SIDE + 5, 3 * SIDE] = True
    field[2 * SIDE + 4 : 2 * SIDE + 8, 2 * SIDE + 3 : 2 * SIDE + 9] = True
    return field


def test_landslides_that_may_continue_in_another_tile_are_left_to_the_reduction(tmp_path: Path) -> None:
    survey = _survey(tmp_path, _planted())
    together = records.landslides(survey, survey.config)
    assert _make_records(survey) == 2
    frame = records.landslides(survey, survey.config)
    _assert_identical(frame, together)
    assert sorted(frame["tiles"].str.count(";") + 1) == [1, 1, 1, 2, 3]
    done = receipts.read_stage(survey.workspace.receipts, "records")
    assert {tile for tile, one in done.items() if one.tally["records"]} == {"r001c000", "r002c002"}
    assert [path.stem for path in files.in_folder(survey.workspace.root / "parts" / "records", ".parquet")] == [
        "r001c000", "r002c002",
    ]  # fmt: skip


@pytest.mark.parametrize("lost", ["outline", "records"])
def test_a_failed_neighbour(tmp_path: Path, lost: str) -> None:
    survey = _survey(tmp_path, _planted())
    _make_records(survey)
    receipts.remove(survey.workspace.receipts, lost, "r000c001")
    receipts.remove(survey.workspace.receipts, lost, "r002c002")
    frame = records.landslides(survey, survey.config)
    # without the parts the landslide over three tiles is two, and the one inside the other tile is absent
    assert len(frame) == 5
    assert (frame["tiles"].str.count(";").max() == 2) == (lost == "records")
    _assert_same(frame, _one_by_one(survey))


def test_records_of_other_settings_or_parts_are_not_used(tmp_path: Path) -> None:
    survey = _survey(tmp_path, _planted())
    _make_records(survey)
    simpler = survey.config.inventory.model_copy(update={"simplify_m": 15.0})
    config = survey.config.model_copy(update={"inventory": simpler})
    assert set(records.landslides(survey, config)["outline"]) == {"simplified"}
    # only the reduction depends on the least area
    small = survey.config.inventory.model_copy(update={"min_area_m2": 300.0})
    assert tile_records.settings(survey.config.model_copy(update={"inventory": small})) == tile_records.settings(
        survey.config
    )
    # the tile is outlined again, and its records are not made yet
    field = _planted()
    field[2 * SIDE + 4 : 2 * SIDE + 8, 2 * SIDE + 3 : 2 * SIDE + 9] = False
    _parts(survey, (2, 2), _bands(field, np.random.default_rng(0), days=False), np.random.default_rng(1))
    assert len(records.landslides(survey, survey.config)) == 4


def test_layers_and_passes(tmp_path: Path) -> None:
    layer = tmp_path / "layer.gpkg"
    field = _planted()
    field[SIDE + 2 : SIDE + 4, 2 * SIDE + 2 : 2 * SIDE + 6] = True
    left, top = 300_000.0, 6_800_000.0
    gpd.GeoDataFrame(geometry=[shapely.box(left, top - 300, left + 260, top)], crs="EPSG:25833").to_file(layer)
    survey = _survey(tmp_path, field, Made(radar_dates=True, layer=layer))
    together = records.landslides(survey, survey.config)
    assert dating.METHOD in set(together["date_method"])
    assert {"some", ""} == set(together["models_agree"])
    _make_records(survey)
    _assert_identical(records.landslides(survey, survey.config), together)
    _assert_same(together, _one_by_one(survey))
    # without the passes of one of its tiles a landslide has the days of Sentinel-2
    receipts.remove(survey.workspace.receipts, "date", "r000c001")
    frame = records.landslides(survey, survey.config)
    _assert_same(frame, _one_by_one(survey))
    across = frame["tiles"].str.contains("r000c001")
    assert across.any()
    assert dating.METHOD not in set(frame.loc[across, "date_method"])


@pytest.mark.parametrize("group", [1, 2, 64])
def test_records_that_an_older_version_wrote_through_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    # its texts are of another type in the file, and only some tiles are of the older version
    monkeypatch.setattr(records, "TOGETHER", group)
    field = _planted()
    field[4:8, 3 * SIDE + 3 : 3 * SIDE + 6] = True
    survey = _survey(tmp_path, field)
    together = records.landslides(survey, survey.config)
    assert _make_records(survey) == 3
    old, new = (survey.workspace.part("records", tile) for tile in ("r001c000", "r002c002"))
    pd.read_parquet(old).to_parquet(old, index=False)
    assert pq.read_schema(old).remove_metadata() != pq.read_schema(new).remove_metadata()
    _assert_identical(records.landslides(survey, survey.config), together)
