"""Surveys in a row by one command: planted landslides are counted as planted, and nothing is lost by a kill."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
import yaml
import zarr

from lsbatch import settings, synthetic
from lsbatch.catalog.survey import settings_of_folder
from lsbatch.commands import link, run
from lsbatch.commands import years as years_command
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.imagery import scene_reading
from lsbatch.inventory.years.compared_ground import WHOLE
from lsbatch.inventory.years.year_table import CHANGES
from lsbatch.pipeline import predict, stack
from lsbatch.pipeline.types import Block
from lsbatch.settings import Config
from lsbatch.storage.geometries import rasterize
from tests import programs, servers, shared_folders, surveys
from tests.chaos.comparison import differences

YEARS = (2020, 2021, 2022)
#: A month: fewer scenes.
SEASON = ("06-20", "07-18")
SEED = 3


@pytest.fixture(scope="session")
def three_years(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settings file of a country of four tiles with three years of landslides; copy it beside itself to change it."""

    def make(folder: Path) -> None:
        folder.mkdir()
        path = synthetic.simulate(folder, seed=SEED, rows=256, cols=256, years=len(YEARS))
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        raw["grid"]["tile_px"] = 128
        raw["survey"]["season"] = list(SEASON)
        raw["cluster"] = {"kind": "serial"}
        raw["clean"] = {"mode_radius_px": 0}
        raw["inventory"] |= {"min_area_m2": 0}
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")

    return shared_folders.made_once(tmp_path_factory, "three-years", make) / "config.yaml"


@pytest.fixture(scope="session")
def stacks(three_years: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the three years with their STACK, which the settings that tests change do not change."""

    def make(folder: Path) -> None:
        configs = loaded(changed(three_years, folder), *YEARS)
        assert years_command.surveys(configs, Screen(), until="stack") == 0

    return shared_folders.made_once(tmp_path_factory, "three-stacks", make)


@pytest.fixture
def series(three_years: Path, stacks: Path, tmp_path: Path) -> Path:
    """Settings of a series in the folder `s` that goes on from these."""
    shutil.copytree(stacks, tmp_path / "s")
    return changed(three_years, tmp_path / "s")


def changed(path: Path, output: Path, **changes: Any) -> Path:
    """A settings file beside another one, for a series in another folder, with changed sections."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8")) | {"output": str(output)}
    for section, values in changes.items():
        raw[section] = raw.get(section, {}) | values
    file = path.with_name(f"{output.parent.name}-{output.name}.yaml")
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return file


def loaded(path: Path, *years: int) -> list[Config]:
    return [settings.load(path, year) for year in years]


class Screen(surveys.BenchScreen):
    """One that keeps what it is told, also of a plan."""


def planted(file: Path, year: int) -> gpd.GeoDataFrame:
    """The outline of each landslide that is bare in a year: the last one before, unless it is green again."""
    rows = pyogrio.read_dataframe(file)
    slid = rows["date"].str[:4].astype(int)
    last = rows[slid <= year].sort_values("date").drop_duplicates("landslide_id", keep="last")
    return last[(last["green"] == 0) | (last["green"] > year)]


def knowing(monkeypatch: pytest.MonkeyPatch, *, sees_all: bool) -> None:
    """A model that knows which ground is bare, so that errors of a network do not hide errors of the series.

    It sees all ground, or what Sentinel-2 saw.
    """

    def answer(block: Block, config: Config) -> Block:
        assert config.truth is not None
        bare = planted(config.truth.file, config.survey.windows.post[1].year)
        probability = rasterize(bare.union_all(), block.tile.geobox).astype(np.float32)
        halo, (rows, cols) = block.halo_px, probability.shape
        if not sees_all:
            seen = block.bands["observed"][halo : halo + rows, halo : halo + cols] & stack.OPTICAL
            probability[seen == 0] = np.nan
        return Block(block.tile, 0, {"probability": probability, "spread": np.zeros_like(probability)})

    monkeypatch.setattr(predict, "_predicted", answer)


def counted(survey: Path) -> Counter[str]:
    """What a reader of the GeoPackages counts, row by row."""
    earlier = survey / "review" / "earlier.parquet"
    was = gpd.read_parquet(earlier).set_index("landslide_id")["status"].to_dict() if earlier.exists() else None
    found: Counter[str] = Counter()
    for row in pyogrio.read_dataframe(survey / "inventory" / "landslides.gpkg", layer="landslides").itertuples():
        if row.observation == "found":
            found["not compared" if was is None else row.status] += 1
        elif was is not None and was[row.landslide_id] == "gone":
            found["gone before"] += 1
        else:
            found["gone" if row.observation == "nothing found" else "not observed"] += 1
    return found


def table(folder: Path) -> pd.DataFrame:
    """The table of the page."""
    return pd.read_csv(folder / "years.csv").set_index(["year", "area"])


def listed(row: pd.Series) -> Counter[str]:
    """The changes of a row of the table."""
    return +Counter({change: int(row[change.replace(" ", "_")]) for change in CHANGES})


def expected(file: Path, year: int) -> Counter[str]:
    """What was planted, landslide by landslide."""
    now, before = (set(planted(file, one)["landslide_id"]) for one in (year, year - 1))
    if year == YEARS[0]:
        return Counter({"not compared": len(now)})
    rows = pyogrio.read_dataframe(file)
    event = rows[rows["date"].str[:4].astype(int) == year].set_index("landslide_id")["event"]
    found = Counter(event.get(one, "persisting") for one in now) + Counter({"gone": len(before - now)})
    ever = {one for earlier in range(YEARS[0], year - 1) for one in planted(file, earlier)["landslide_id"]}
    return +(found + Counter({"gone before": len(ever - before - now)}))


def slid_again(changes: Counter[str]) -> Counter[str]:
    """One number of enlarged and reactivated ones: an enlarged one that lost much NDVI is called reactivated."""
    return Counter({"slid again": changes["enlarged"] + changes["reactivated"]}) + Counter(
        {name: count for name, count in changes.items() if name not in ("enlarged", "reactivated")}
    )


@pytest.mark.slow(ci=True)
def test_planted_landslides_are_counted_as_planted(
    three_years: Path, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, enlarged, active again, gone: by year, against the truth and against rows of the GeoPackages."""
    knowing(monkeypatch, sees_all=True)
    assert years_command.surveys(loaded(series, *YEARS), Screen()) == 0
    truth = three_years.with_name("truth.gpkg")
    rows = table(tmp_path / "s")
    for year in YEARS:
        row = rows.loc[year, WHOLE]
        assert listed(row) == counted(tmp_path / "s" / str(year)), year
        assert slid_again(listed(row)) == slid_again(expected(truth, year)), year
        bare = planted(truth, year)
        # geodesic areas, whose scale differs from that of the projection by less than 0.1 %
        assert row["landslide_area_m2"] == pytest.approx(bare.area.sum(), rel=2e-3)
        assert row["landslides"] == len(bare)
        # the whole country is observed, in both years
        assert row["observed_km2"] == pytest.approx(2.56**2)
        assert row["landslides_per_1000_km2"] == pytest.approx(1000 * len(bare) / 2.56**2, abs=0.01)
        if year > YEARS[0]:
            assert row["common_km2"] == row["observed_km2"]
            assert row["common_new"] == row["new"]
            assert row["common_landslides"] == row["landslides"]
            assert row["common_last_year"] == rows.loc[(year - 1, WHOLE), "landslides"]
        parts = rows.loc[year].drop(WHOLE)
        for name in ("landslides", "new", "gone", "gone_before", "persisting", "enlarged", "reactivated"):
            assert parts[name].sum() == row[name], name
    # each of the courses was planted, and found
    assert sum((listed(rows.loc[year, WHOLE]) for year in YEARS), Counter[str]()).keys() == {*CHANGES} - {
        "not observed"
    }


@pytest.mark.slow(ci=True)
def test_ground_that_nobody_saw_is_not_read_as_ground_without_landslides(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observed and common ground against pixels; landslides on it against a slow loop."""
    knowing(monkeypatch, sees_all=False)
    assert years_command.surveys(loaded(series, *YEARS), Screen()) == 0
    rows = table(tmp_path / "s")
    seen = {}
    for year in YEARS:
        survey = tmp_path / "s" / str(year)
        mask = zarr.open_array(survey / "cube.zarr" / "mask" / "unet" / "landslide", mode="r")[...]
        seen[year] = mask != 255
        row = rows.loc[year, WHOLE]
        assert listed(row) == counted(survey)
        assert row["observed_km2"] == pytest.approx(seen[year].sum() * 1e-4)
        assert 0 < seen[year].sum() < seen[year].size
        if year == YEARS[0]:
            assert np.isnan(row["common_km2"])
            continue
        assert row["common_km2"] == pytest.approx((seen[year] & seen[year - 1]).sum() * 1e-4)
        frames = {one: found_in(tmp_path / "s" / str(one)) for one in (year, year - 1)}
        here = frames[year][[share(shape, seen[year - 1]) >= 0.8 for shape in frames[year].geometry]]
        there = frames[year - 1][[share(shape, seen[year]) >= 0.8 for shape in frames[year - 1].geometry]]
        assert (row["common_landslides"], row["common_last_year"]) == (len(here), len(there))
        assert row["common_new"] == (here["status"] == "new").sum()
    # some landslide is not observed in some year, or the test shows little
    assert rows.xs(WHOLE, level="area")["not_observed"].sum() > 0


def found_in(survey: Path) -> gpd.GeoDataFrame:
    frame = pyogrio.read_dataframe(survey / "inventory" / "landslides.gpkg", layer="landslides")
    return frame[frame["observation"] == "found"]


def share(shape: Any, seen: np.ndarray) -> float:
    """Observed share of the pixels whose centre is inside."""
    left, top = 337_920.0, 6_830_080.0
    rows, cols = np.indices(seen.shape)
    inside = shapely.contains_xy(shape, left + 10 * cols + 5, top - 10 * rows - 5)
    return float(seen[inside].mean())


@pytest.mark.slow
def test_sharing_changes_no_byte_and_saves_reading(three_years: Path, tmp_path: Path) -> None:
    """Against each year run alone from its own settings file, and linked by hand."""
    configs = loaded(changed(three_years, tmp_path / "s"), *YEARS[:2])
    apart = [settings.load(changed(three_years, tmp_path / "a"), year) for year in YEARS[:2]]
    reads = Counter[str]()
    with counting(reads, "shared"):
        assert years_command.surveys(configs, Screen()) == 0
    with counting(reads, "apart"):
        for config in apart:
            assert run.survey(config, Screen()) == 0
    link.survey(apart[1], apart[0], Screen())
    assert run.survey(apart[1], Screen()) == 0
    for year in map(str, YEARS[:2]):
        assert differences(tmp_path / "s" / year, tmp_path / "a" / year) == []
        ours, theirs = ((tmp_path / each / year / "review" / "earlier.parquet") for each in "sa")
        assert ours.exists() == theirs.exists() == (year == "2021")
        assert not ours.exists() or ours.read_bytes() == theirs.read_bytes()
    # three seasons instead of four; the DEM is read in each year
    assert reads["shared"] < 0.8 * reads["apart"]
    assert not (tmp_path / "s" / "seasons").exists()


@contextmanager
def counting(reads: Counter[str], name: str) -> Iterator[None]:
    """Count the scenes that are read."""
    before = scene_reading.read

    def read(*args: Any, **options: Any) -> Any:
        reads[name] += 1
        return before(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_reading, "read", read)
        yield


@pytest.mark.slow
def test_a_second_run_does_nothing_and_a_year_of_a_series_opens_by_its_folder(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing(monkeypatch, sees_all=True)
    assert years_command.surveys(loaded(series, *YEARS), Screen()) == 0
    before = state(tmp_path / "s")
    screen = Screen()
    assert years_command.surveys(loaded(series, *YEARS), screen) == 0
    assert state(tmp_path / "s") == before
    assert "planned" not in screen.lines
    own = settings_of_folder(str(tmp_path / "s" / "2021"))
    assert own.survey.id == "synthetic-3-2021"
    assert own.output == tmp_path / "s" / "2021"
    assert own.cluster.season_before is None
    assert run.survey(own, Screen()) == 0
    assert state(tmp_path / "s") == before
    done = programs.run("status", str(tmp_path / "s" / "2021"))
    assert done.returncode == 0, done.stderr


def state(folder: Path) -> dict[str, bytes]:
    """All files but those that name a run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and "lease" not in path.parts
    }


@pytest.mark.slow
def test_a_removed_year_and_a_year_that_comes_later(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year is linked with the latest earlier one of the folder, also if the command does not name it."""
    knowing(monkeypatch, sees_all=True)
    folder = tmp_path / "s"
    shutil.rmtree(folder / "2022")
    assert years_command.surveys(loaded(series, 2020, 2021), Screen()) == 0
    screen = Screen()
    assert years_command.surveys(loaded(series, 2022), screen) == 0
    assert "Linked with 2021" in screen
    whole = state(folder)
    assert set(table(folder).index.get_level_values("year")) == set(YEARS)
    shutil.rmtree(folder / "2021")
    screen = Screen()
    assert years_command.surveys(loaded(series, 2020, 2022), screen) == 0
    assert "Linked with 2020" in screen
    assert set(table(folder).index.get_level_values("year")) == {2020, 2022}
    # back again: the same as before
    assert years_command.surveys(loaded(series, *YEARS), Screen()) == 0
    again = state(folder)
    assert [name for name in whole if name.endswith("landslides.csv") and whole[name] != again[name]] == []
    assert whole["years.csv"] == again["years.csv"]


@pytest.mark.slow(ci=True)
def test_other_settings_reach_every_year(
    three_years: Path, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smaller minimum area is in all inventories and on the page; one year alone gives a remark."""
    knowing(monkeypatch, sees_all=True)
    folder = tmp_path / "s"
    assert years_command.surveys(loaded(series, *YEARS), Screen()) == 0
    all_of_them = table(folder)
    larger = changed(three_years, folder, inventory={"min_area_m2": 3000})
    assert years_command.surveys(loaded(larger, 2022), Screen()) == 0
    page = (folder / "years.html").read_text(encoding="utf-8")
    assert "2022 was made with other settings than 2021: inventory.min_area_m2" in page
    assert years_command.surveys(loaded(larger, *YEARS), Screen()) == 0
    assert "other settings" not in (folder / "years.html").read_text(encoding="utf-8")
    for year in YEARS:
        assert listed(table(folder).loc[year, WHOLE]) == counted(folder / str(year))
        assert table(folder).loc[(year, WHOLE), "landslides"] < all_of_them.loc[(year, WHOLE), "landslides"]


@pytest.mark.slow
def test_the_year_after_a_failed_one_waits(
    three_years: Path, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tiles are computed, its inventory is not; after the failure is mended both are the same as undisturbed."""
    knowing(monkeypatch, sees_all=True)
    right = changed(three_years, tmp_path / "right")
    shutil.copytree(tmp_path / "s", tmp_path / "right")
    assert years_command.surveys(loaded(right, *YEARS), Screen()) == 0
    path, folder = series, tmp_path / "s"
    answer = predict._predicted

    def failing(block: Block, config: Config) -> Block:
        if config.survey.year == 2021 and block.tile.id == tile_id(0, 1):
            raise LsbatchError("a fault for the test")
        return answer(block, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "_predicted", failing)
        screen = Screen()
        assert years_command.surveys(loaded(path, *YEARS), screen) > 0
    assert "The inventory of 2022 waits for that of 2021" in screen
    assert (folder / "2020" / "inventory" / "landslides.gpkg").exists()
    assert (folder / "2021" / "inventory" / "landslides.gpkg").exists()
    assert not (folder / "2022" / "inventory").exists()
    assert len(list((folder / "2022" / "receipts" / "records").glob("*.json"))) == 4
    assert not (folder / "years.html").exists()
    # a later command does not overlook it either
    screen = Screen()
    assert years_command.surveys(loaded(path, 2022), screen) == 1
    assert "The inventory of 2022 waits for that of 2021" in screen
    assert not (folder / "2022" / "inventory").exists()
    run.retry(settings.load(path, 2021), Screen(), None)
    assert years_command.surveys(loaded(path, *YEARS), Screen()) == 0
    for year in map(str, YEARS):
        assert differences(folder / year, tmp_path / "right" / year) == []
    assert (folder / "years.csv").read_bytes() == (tmp_path / "right" / "years.csv").read_bytes()


def test_a_year_without_scenes_is_named_before_anything_is_computed(three_years: Path, tmp_path: Path) -> None:
    path = changed(three_years, tmp_path / "s")
    done = programs.run("run", str(path), "--years", "2020-2023")
    assert done.returncode == 2
    assert done.stderr.startswith("lsbatch: year 2023: archives.sentinel2: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "s" / "2020" / "cube.zarr").exists()


def test_stages_and_parts_are_those_of_a_single_run(three_years: Path, tmp_path: Path) -> None:
    """`--until stack` in parts: no year is linked, and composites stay for the parts that need them."""
    path = changed(three_years, tmp_path / "s")
    for part in ((1, 2), (2, 2)):
        screen = Screen()
        assert years_command.surveys(loaded(path, 2020, 2021), screen, until="stack", part=part) == 0
        assert not any("Linked" in line for line in screen.lines)
    receipts = sorted((tmp_path / "s").glob("*/receipts/stack/*.json"))
    assert len(receipts) == 8
    assert (tmp_path / "s" / "seasons" / "2020").exists()
    assert years_command.surveys(loaded(path, 2020, 2021), Screen(), until="stack") == 0
    assert not (tmp_path / "s" / "seasons").exists()


@pytest.mark.slow(ci=True)
def test_surveys_that_were_run_apart_are_compared(
    three_years: Path, stacks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lsbatch years FOLDER FOLDER`: the same numbers as of a series; what is missing is said."""
    knowing(monkeypatch, sees_all=True)
    apart = [settings.load(changed(three_years, tmp_path / f"x{year}"), year) for year in YEARS[:2]]
    for year, config in zip(YEARS, apart, strict=False):
        shutil.copytree(stacks / str(year), config.output)
        assert run.survey(config, Screen()) == 0
    roots = [str(config.output) for config in apart]
    done = programs.run("years", *reversed(roots), "--out", str(tmp_path / "page"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "years.html").read_text(encoding="utf-8")
    assert "2021 is not linked with 2020" in page
    assert listed(table(tmp_path / "page").loc[2021, WHOLE]).keys() == {"not compared"}
    linked = programs.run("link", roots[1], roots[0])
    assert linked.returncode == 0, linked.stderr
    assert programs.run("years", *roots, "--out", str(tmp_path / "page")).returncode == 0
    assert "not linked" not in (tmp_path / "page" / "years.html").read_text(encoding="utf-8")
    assert listed(table(tmp_path / "page").loc[2021, WHOLE]) == expected(three_years.with_name("truth.gpkg"), 2021)


def test_folders_that_cannot_be_compared_are_refused(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing(monkeypatch, sees_all=True)
    (tmp_path / "empty").mkdir()
    for words in (["empty"], ["missing"]):
        done = programs.run("years", *[str(tmp_path / word) for word in words])
        assert done.returncode == 2
        assert "is no survey" in done.stderr
    config = settings.load(series, 2020)
    assert run.survey(config, Screen(), until="clean") == 0
    with pytest.raises(LsbatchError, match="has no inventory yet"):
        years_command.compare([config.output], Screen())
    assert run.survey(config, Screen()) == 0
    with pytest.raises(LsbatchError, match="are both of 2020"):
        years_command.compare([config.output, config.output], Screen())
    with pytest.raises(LsbatchError, match="is no survey"):
        years_command.folders([str(tmp_path / "empty")])
    assert years_command.folders([str(tmp_path / "s")]) == [config.output]


#: What is on the disk when a run is killed: in the middle of the first and second year, and between the years.
MOMENTS = {
    "plans": "2021/plan/plan.json",
    "first year": "2020/receipts/clean/*.json",
    "seam": "2020/receipts/report/all.json",
    "linked": "2021/review/earlier.parquet",
    "second year": "2021/receipts/stack/*.json",
    "inventory": "2021/inventory/landslides.gpkg",
    "end": "2021/receipts/report/all.json",
}


@pytest.mark.slow
def test_kills_lose_nothing(three_years: Path, tmp_path: Path) -> None:
    """Killed by SIGKILL at each moment of one series, and run again: the same bytes as without a kill."""
    right = changed(three_years, tmp_path / "right")
    assert programs.run("run", str(right), "--years", "2020-2021").returncode == 0
    path, folder = changed(three_years, tmp_path / "s"), tmp_path / "s"
    for name, pattern in MOMENTS.items():
        program = programs.start("run", str(path), "--years", "2020,2021")
        until = time.monotonic() + 300
        while program.poll() is None and not list(folder.glob(pattern)):
            assert time.monotonic() < until, name
            time.sleep(0.002)
        program.kill()
        assert list(folder.glob(pattern)), name
    done = programs.run("run", str(path), "--years", "2020-2021")
    assert done.returncode == 0, done.stderr
    for year in ("2020", "2021"):
        assert differences(folder / year, tmp_path / "right" / year) == []
    for name in ("years.csv",):
        assert (folder / name).read_bytes() == (tmp_path / "right" / name).read_bytes()
    assert not (folder / "seasons").exists()


@pytest.mark.slow
def test_years_in_a_bucket(three_years: Path, tmp_path: Path) -> None:
    """The same table as on disk, from composites that went through the bucket; none of them is left."""
    here = changed(three_years, tmp_path / "s")
    assert years_command.surveys(loaded(here, 2020, 2021), Screen()) == 0
    raw = yaml.safe_load(here.read_text(encoding="utf-8")) | {"output": "s3://surveys/n"}
    path = here.with_name(f"{tmp_path.name}-bucket.yaml")
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with servers.s3() as bucket:
        environment = os.environ | bucket.environment
        done = programs.run("run", str(path), "--years", "2020-2021", env=environment)
        assert done.returncode == 0, done.stderr
        assert "Linked with 2020" in done.stdout
        objects = bucket.objects()
        assert objects["n/years.csv"] == (tmp_path / "s" / "years.csv").read_bytes()
        assert [name for name in objects if "/seasons/" in name] == []
        again = programs.run("years", "s3://surveys/n", "--out", str(tmp_path / "page"), env=environment)
        assert again.returncode == 0, again.stderr
    assert (tmp_path / "page" / "years.csv").read_bytes() == objects["n/years.csv"]
