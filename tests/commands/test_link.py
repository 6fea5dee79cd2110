"""From year to year: every outline accounted for, names that last, nothing called gone that nobody looked at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import scipy.ndimage
import shapely
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given, settings
from hypothesis import strategies as st

from lsbatch.bands import mask
from lsbatch.catalog.survey import Survey
from lsbatch.commands import link
from lsbatch.engine import execution
from lsbatch.errors import LsbatchError
from lsbatch.grid import Grid
from lsbatch.inventory import identity, observed_ground, schema, year_matching
from lsbatch.kernels import polygon_matching as kernel
from lsbatch.settings import to_yaml
from lsbatch.storage import geometries, journal, receipts, vectors
from tests import fake_survey, programs, surveys
from tests.surveys import Heard

GRID = Grid("EPSG:25833", 10.0, 128, (0.0, 6400000.0, 1280.0, 6401280.0))
ID = "landslide_id"


def table(shapes: Sequence[shapely.Geometry], names: Sequence[str], **columns: Any) -> gpd.GeoDataFrame:
    """An inventory of outlines and names."""
    whole = [shapely.multipolygons([one]) if one.geom_type == "Polygon" else one for one in shapes]
    frame = gpd.GeoDataFrame({ID: list(names), **columns}, geometry=whole, crs="EPSG:25833")
    frame = year_matching.complete(frame, schema.dtypes())
    return frame.assign(area_m2=frame.area, perimeter_m=frame.length)


def box(left: float, bottom: float, right: float, top: float) -> shapely.Polygon:
    return shapely.box(left, bottom, right, top)


def field(rng: np.random.Generator, density: float) -> list[shapely.Geometry]:
    labels, count = scipy.ndimage.label(rng.random((14, 14)) < density)
    return list(
        geometries.polygonize(np.pad(labels, ((0, 114), (0, 114))).astype(np.int32), count, GRID.tile(0, 0).geobox)
    )


# The pure matching


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.1, 0.6))
def test_partners_are_as_defined(seed: int, density: float) -> None:
    """Against pixel sets: a quarter shared is a match, each polygon matches once, the largest free overlap first."""
    rng = np.random.default_rng(seed)
    fields = [scipy.ndimage.label(rng.random((12, 12)) < density)[0] for _ in range(2)]
    sets = [[frozenset(np.flatnonzero(one == k)) for k in range(1, one.max() + 1)] for one in fields]
    shared = {(i, j): len(a & b) for i, a in enumerate(sets[0]) for j, b in enumerate(sets[1]) if a & b}
    pairs = np.array(list(shared), np.int64).reshape(-1, 2)
    sizes = [np.array([len(one) for one in each], float) for each in sets]
    found = kernel.links(pairs[:, 0], pairs[:, 1], np.array(list(shared.values()), float), *sizes)
    alike = {(i, j) for i, j in shared if sets[0][i] == sets[1][j]}
    close = {(i, j) for (i, j), n in shared.items() if 4 * n >= min(len(sets[0][i]), len(sets[1][j]))}
    # labels of one year are disjoint, so an outline that is the same has no other partner
    assert set(zip(found.earlier.tolist(), found.later.tolist(), strict=True)) == close
    given = {(int(i), j) for j, i in enumerate(found.keeper) if i >= 0}
    assert given <= close
    assert alike <= given
    assert len({i for i, _ in given}) == len(given)
    for i, j in close - given:
        # one of the two has a partner with at least as large an overlap
        assert any((a == i or b == j) and shared[a, b] >= shared[i, j] for a, b in given)


def test_nothing_overlaps_nothing() -> None:
    none = np.zeros(0)
    found = kernel.links(none.astype(int), none.astype(int), none, none, np.ones(2))
    assert found.keeper.tolist() == [-1, -1]


# Two years as tables


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_outline_is_accounted_for_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = field(rng, 0.3), field(rng, 0.35)
    two += one[: len(one) // 3]
    last, this = (
        table(one, [f"a-{i}" for i in range(len(one))]),
        table(two, [f"b-{i}" for i in range(len(two))], survey_id="b"),
    )
    found = year_matching.link(this, last, 10.0, lambda shapes: np.linspace(0, 1, len(shapes)))
    assert sum(found.last.values()) == len(last)
    assert sum(found.this.values()) == len(this) == (found.frame["observation"] == "found").sum()
    assert found.frame[ID].is_unique
    ended = found.last.get("merged into another", 0)
    names = set(found.frame[ID]) | {one for text in found.frame["parent_ids"] for one in year_matching.split(text)}
    assert set(last[ID]) <= names, "a name of last year is nowhere"
    assert len(found.frame) == len(this) + sum(found.last.get(key, 0) for key in ("gone", "not observed"))
    assert ended <= len(last)
    order = rng.permutation(len(last)), rng.permutation(len(this))
    again = year_matching.link(
        this.iloc[order[1]].reset_index(drop=True),
        last.iloc[order[0]],
        10.0,
        lambda shapes: np.linspace(0, 1, len(shapes)),
    )
    assert_geodataframe_equal(found.frame, again.frame)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_linking_a_year_with_itself_changes_nothing(seed: int) -> None:
    """Also where outlines of one year lie over each other, or twice, and where years were linked before."""
    rng = np.random.default_rng(seed)
    shapes = field(rng, 0.3)
    shapes += [shapely.affinity.translate(one, 10, 0) for one in shapes[:5]] + shapes[:2]
    last = table(shapes[::2], [f"a-{i}" for i in range(len(shapes[::2]))])
    this = table(shapes, [f"b-{i}" for i in range(len(shapes))], survey_id="b")
    first = year_matching.link(this, last, 10.0).frame
    again = year_matching.link(first, first, 10.0)
    assert_geodataframe_equal(first, again.frame)
    assert sum(again.last.values()) == len(first)


OLD = box(0, 0, 100, 100)


@pytest.mark.parametrize(
    ("new", "status", "version", "origin"),
    [
        (OLD, "persisting", 1, "same outline"),
        (box(0, 0, 100, 95), "persisting", 2, "outline changed"),
        # 9 % more, then a fifth more but less than half a pixel all around, then truly more
        (box(0, 0, 100, 109), "persisting", 2, "outline changed"),
        (box(0, 0, 100, 119), "persisting", 2, "outline changed"),
        (box(0, 0, 100, 125), "enlarged", 2, "outline changed"),
        (box(90, 90, 400, 400), "new", 1, "new"),
    ],
)
def test_status_by_growth(new: shapely.Polygon, status: str, version: int, origin: str) -> None:
    found = year_matching.link(table([new], ["b-1"], survey_id="b"), table([OLD], ["a-1"]), 10.0)
    row = found.frame.iloc[0]
    assert (row["status"], row["version"]) == (status, version)
    assert found.this == {origin: 1}
    assert row[ID] == ("b-1" if status == "new" else "a-1")


def test_split_and_merged() -> None:
    parts = [box(0, 0, 60, 100), box(70, 0, 100, 100)]
    found = year_matching.link(
        table(parts, ["b-1", "b-2"]), table([OLD], ["a-1"], review_state="confirmed", reviewer="Kari"), 10.0
    )
    rows = found.frame.set_index(ID)
    assert found.last == {"split": 1}
    assert rows.loc["a-1", ["parent_ids", "review_state", "reviewer"]].tolist() == ["", "confirmed", "Kari"]
    assert rows.loc["b-2", ["parent_ids", "review_state", "status"]].tolist() == ["a-1", "unreviewed", "persisting"]
    back = year_matching.link(table([OLD], ["c-1"]), found.frame, 10.0)
    assert back.frame[[ID, "parent_ids", "status"]].to_numpy().tolist() == [["a-1", "b-2", "persisting"]]
    assert back.last == {"kept, others merged into it": 1, "merged into another": 1}


def test_gone_only_where_somebody_looked() -> None:
    last = table([OLD, box(200, 0, 300, 100)], ["a-1", "a-2"], review_state="confirmed")
    nothing = table([], [])
    found = year_matching.link(
        nothing, last, 10.0, lambda shapes: np.where(shapely.get_x(shapely.centroid(shapes)) < 100, 0.8, 0.79)
    )
    rows = found.frame.set_index(ID)
    assert rows["status"].to_dict() == {"a-1": "gone", "a-2": "new"}
    assert rows["observation"].to_dict() == {"a-1": "nothing found", "a-2": "not observed"}
    assert rows["version"].to_dict() == {"a-1": 2, "a-2": 1}
    assert (rows["review_state"] == "confirmed").all()
    later = year_matching.link(nothing, found.frame, 10.0, lambda shapes: np.ones(len(shapes)))
    assert later.last == {"still gone": 1, "gone": 1}
    assert year_matching.link(nothing, last, 10.0).last == {"not observed": 2}


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ({"status": "gone"}, {}, "reactivated"),
        ({"date_latest": "2023-08-01"}, {"date_earliest": "2023-08-01", "dndvi_mean": -0.3}, "reactivated"),
        # a scar that only stays bare
        ({"date_latest": "2023-08-01"}, {"date_earliest": "2023-08-01", "dndvi_mean": -0.02}, "persisting"),
        ({"date_latest": "2023-08-01"}, {"date_earliest": "2023-08-01"}, "persisting"),
        # dated by a series of its own
        (
            {"date_latest": "2023-08-01"},
            {"date_earliest": "2024-05-01", "date_method": "breaks in the series"},
            "reactivated",
        ),
        # perhaps the same movement
        ({"date_latest": "2023-08-01"}, {"date_earliest": "2023-07-01", "dndvi_mean": -0.3}, "persisting"),
        ({}, {"date_earliest": "2023-07-01", "dndvi_mean": -0.3}, "persisting"),
    ],
)
def test_slid_again(old: dict[str, Any], new: dict[str, Any], status: str) -> None:
    new = {"date_method": "greenest looks", "survey_id": "b"} | new
    found = year_matching.link(table([box(0, 0, 100, 105)], ["b-1"], **new), table([OLD], ["a-1"], **old), 10.0)
    assert found.frame["status"].tolist() == [status]


# What was seen


def test_share_of_ground_seen_is_that_of_the_whole_mask(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path)
    whole = surveys.whole(survey, mask("unet"))["landslide"]
    rng = np.random.default_rng(3)
    left, bottom, right, top = survey.grid.bounds
    middles = rng.uniform((left, bottom), (right, top), (60, 2))
    shapes = shapely.buffer(shapely.points(middles), rng.uniform(3, 900, 60))
    shapes = np.append(shapes, [box(right + 1000, top, right + 2000, top + 500)])
    found = observed_ground.share(survey, shapes)
    for shape, share in zip(shapes[:-1], found[:-1], strict=True):
        # padded, because a polygon may reach beyond the grid
        wide = survey.grid.geobox.pad(100)
        inside = vectors.rasterize(shape, wide)
        seen = np.pad(whole != 255, 100)
        if inside.any():
            assert share == pytest.approx(np.count_nonzero(inside & seen) / np.count_nonzero(inside))
    assert found[-1] == 0
    assert ((found > 0) & (found < 1)).sum() > 10
    receipts.remove(survey.workspace.receipts, "clean", "r000c000")
    assert (observed_ground.share(survey, shapes) <= found).all()
    assert (observed_ground.share(survey, shapes) < found).any()


# A survey


def read(survey: Survey) -> gpd.GeoDataFrame:
    return gpd.read_parquet(survey.workspace.inventory / "landslides.parquet")


def with_threshold(survey: Survey, threshold: float) -> Survey:
    clean = survey.config.clean.model_copy(update={"threshold": threshold})
    return Survey(survey.config.model_copy(update={"clean": clean}), survey.grid, survey.positions)


@pytest.fixture
def mine(done_survey: Survey, tmp_path: Path) -> Survey:
    return surveys.copy_survey(done_survey, tmp_path / "mine")


def test_running_again_keeps_names_and_answers(mine: Survey) -> None:
    """Another threshold changes outlines; names follow the ground, and so does what a reviewer said."""
    first = read(mine)
    said = first[ID].iloc[0]
    answer = {ID: said, "version": 1, "state": "confirmed", "reviewer": "Åse", "comment": "fresh scar; <b>road</b> cut"}
    journal.append(mine.workspace.answers, answer)
    assert execution.run(mine, until="inventory") == 0
    reviewed = read(mine)
    row = reviewed.set_index(ID).loc[said]
    assert row[["review_state", "reviewer", "comment", "reviewed_version"]].tolist() == [
        "confirmed",
        "Åse",
        answer["comment"],
        1,
    ]
    assert_geodataframe_equal(
        reviewed.drop(columns=list(year_matching.REVIEW)), first.drop(columns=list(year_matching.REVIEW))
    )
    other = with_threshold(mine, 0.3)
    assert execution.run(other, until="inventory") == 0
    changed = read(other)
    kept = changed.merge(first, on=ID, suffixes=("", "_first"))
    assert len(kept) > 0.8 * len(first)
    assert (changed.set_index(ID).loc[said, "review_state"]) == "confirmed"
    moved = kept["geometry"] != kept["geometry_first"]
    assert moved.any()
    assert (kept["version"] == 1 + moved).all()
    assert kept.geometry.intersects(gpd.GeoSeries(kept["geometry_first"], crs=kept.crs)).all()
    count = surveys.Count()
    assert execution.run(other, until="inventory", progress=count.progress) == 0
    assert count.tiles == []


def test_names_of_outlines_that_a_missing_tile_cut_do_not_stay(done_survey: Survey, tmp_path: Path) -> None:
    cut = surveys.copy_survey(done_survey, tmp_path / "cut")
    cut.workspace.identities.unlink()
    for stage in ("outline", "inventory"):
        for one in receipts.read_stage(cut.workspace.receipts, stage).values():
            if one.tile in ("all", "r001c001"):
                receipts.remove(cut.workspace.receipts, stage, one.tile)
    execution.run_reduction(cut, execution.step_named("inventory"))
    assert len(read(cut)) < len(read(done_survey))
    assert execution.run(cut, until="inventory") == 0
    assert_geodataframe_equal(read(cut), read(done_survey))


def test_survey_takes_last_year_over(mine: Survey, done_survey: Survey, tmp_path: Path) -> None:
    """Last year knew half of the landslides, one of them larger, one that nobody saw since, and reviewed them."""
    first = read(done_survey)
    old = first.iloc[::2].copy()
    old[ID] = [f"norway-2019-{i}" for i in range(len(old))]
    old = old.assign(
        survey_id="norway-2019",
        review_state="confirmed",
        reviewer="Ola",
        date_earliest="2018-06-20",
        date_latest="2018-08-01",
    )
    far = old.iloc[[0]].assign(landslide_id="abroad", geometry=old.geometry.iloc[[0]].translate(1e6, 0))
    last = tmp_path / "last.gpkg"
    both = gpd.GeoDataFrame(pd.concat([old, far]), crs=old.crs).to_crs("EPSG:32632")
    pyogrio.write_dataframe(both, last, layer="landslides")
    heard = Heard()
    link.survey(mine.config, last, heard)
    assert "transformed from EPSG:32632" in heard
    found = read(mine)
    here = identity.found(found).set_index(ID)
    assert len(here) == len(first)
    assert set(old[ID]) <= set(here.index)
    assert (here.loc[list(old[ID]), "review_state"] == "confirmed").all()
    assert (here.drop(index=list(old[ID]))["status"] == "new").all()
    kept = found.set_index(ID).loc["abroad"]
    assert (kept["status"], kept["observation"]) == ("new", "not observed")
    before = found
    # the inventory is made again: by a run that has nothing else to do, and from nothing
    receipts.remove(mine.workspace.receipts, "inventory", "all")
    assert execution.run(mine) == 0
    assert_geodataframe_equal(read(mine), before)
    report = (mine.workspace.report / "report.html").read_text(encoding="utf-8")
    assert f'<dd class="big">{len(first)}</dd>' in report, "the report counts what was found this year"
    heard = Heard()
    link.survey(mine.config, mine.config, heard)
    assert "the same survey" in heard
    assert_geodataframe_equal(read(mine), before)


def test_two_surveys_of_one_place_into_a_folder(mine: Survey, done_survey: Survey, tmp_path: Path) -> None:
    """A survey beside itself under another name, as a copy: all the same, and neither is touched."""
    before = {path: path.read_bytes() for path in sorted(mine.workspace.root.rglob("*")) if path.is_file()}
    heard = Heard()
    link.survey(mine.config, done_survey.config, heard, out=tmp_path / "linked")
    assert_geodataframe_equal(gpd.read_parquet(tmp_path / "linked" / "landslides.parquet"), read(done_survey))
    assert {path: path.read_bytes() for path in before} == before
    assert f"kept, same outline {len(read(mine))}" in heard


def test_export_that_breaks_off_leaves_the_old_one(
    mine: Survey, done_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mine.workspace.inventory
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    last = read(done_survey).assign(landslide_id=lambda frame: [f"x-{i}" for i in range(len(frame))], survey_id="x")
    pyogrio.write_dataframe(last, tmp_path / "last.gpkg")
    real = pyogrio.write_dataframe

    def killed(frame: Any, path: Path, **how: Any) -> None:
        real(frame, path, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(pyogrio, "write_dataframe", killed)
    with pytest.raises(KeyboardInterrupt):
        link.survey(mine.config, tmp_path / "last.gpkg", Heard())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    assert execution.run(mine, until="inventory") == 0
    assert set(read(mine)[ID]) == set(last[ID])


# What people hand in


def saved(
    path: Path, shapes: Sequence[shapely.Geometry], names: Sequence[Any], column: str = ID, crs: str = "EPSG:25833"
) -> Path:
    gpd.GeoDataFrame({column: list(names)}, geometry=list(shapes), crs=crs).to_file(path)
    return path


def _without_crs(path: Path) -> Path:
    saved(path, [OLD], ["a-1"], "id")
    path.with_suffix(".prj").unlink()
    return path


def test_the_command_accounts_for_broken_outlines(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    last = saved(
        tmp_path / "last.gpkg",
        [bow, box(300, 0, 400, 100), box(350, 0, 450, 100), shapely.Polygon()],
        [1, 2, 3, 4],
        "ID",
    )
    this = saved(tmp_path / "this.gpkg", [box(300, 0, 400, 100)], ["t-1"])
    done = programs.run("link", str(this), str(last), "--id", "ID", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    for words in (
        "4 features, 3 landslides",
        "1 outlines were invalid and were repaired",
        "1 features have no area",
        "1 pairs of outlines overlap, 5000.0 m²",
    ):
        assert words in done.stdout
    found = gpd.read_file(tmp_path / "out" / "landslides.gpkg", layer="landslides").set_index(ID)
    assert found.geometry.is_valid.all()
    assert found["status"].to_dict() == {"1": "new", "2": "persisting", "3": "new"}
    assert found.loc["1", "area_m2"] == pytest.approx(5000, rel=1e-2)


def test_an_empty_year_is_a_year(tmp_path: Path) -> None:
    some = saved(tmp_path / "some.gpkg", [OLD], ["a-1"])
    none = tmp_path / "none.gpkg"
    vectors.write_geopackage(none, table([], []), "landslides")
    for this, last, count in ((none, some, 1), (some, none, 1), (none, none, 0)):
        heard = Heard()
        link.inventory_file(this, last, heard, out=tmp_path / "out")
        assert len(gpd.read_parquet(tmp_path / "out" / "landslides.parquet")) == count


def test_refusals_are_one_sentence(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.gpkg", [OLD], ["a-1"])
    (tmp_path / "text.gpkg").write_text("no vector file", encoding="utf-8")
    vectors.write_csv(tmp_path / "table.csv", pd.DataFrame({"a": [1]}))
    cases = [
        (
            saved(tmp_path / "twice.gpkg", [OLD, box(0, 0, 1, 1)], ["a-1", "a-1"]),
            "landslide_id has values that occur more than once: a-1",
        ),
        (
            saved(tmp_path / "none.gpkg", [OLD, OLD], ["a-1", None]),
            "1 landslides have no landslide_id, the first is feature 2",
        ),
        (
            saved(tmp_path / "column.gpkg", [OLD], [1], "number"),
            "give the column of ids with --id; the columns are number",
        ),
        (saved(tmp_path / "odd.gpkg", [OLD], ["a;b"]), "without ';'"),
        (saved(tmp_path / "bell.gpkg", [OLD], ["a\x07b"]), "printable"),
        (_without_crs(tmp_path / "crs.shp"), "has no CRS"),
        (tmp_path / "text.gpkg", "cannot be read as a vector file"),
        (tmp_path / "absent.gpkg", "cannot be read as a vector file"),
        (tmp_path / "table.csv", "has no CRS"),
        (tmp_path / "absent.parquet", "cannot be read as GeoParquet"),
    ]
    for last, words in cases:
        with pytest.raises(LsbatchError) as caught:
            link.inventory_file(good, last, Heard(), out=tmp_path / "out")
        assert words in str(caught.value), str(caught.value)
        assert str(last) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    degrees = saved(tmp_path / "degrees.gpkg", [OLD], ["a-1"], crs="EPSG:4326")
    with pytest.raises(LsbatchError, match="projected CRS in metres"):
        link.inventory_file(degrees, good, Heard(), out=tmp_path / "out")
    with pytest.raises(LsbatchError, match="--out"):
        link.inventory_file(good, good, Heard())


def test_a_survey_that_was_not_run_is_refused(planned_survey: Survey, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(planned_survey.config), encoding="utf-8")
    done = programs.run("link", str(path), str(saved(tmp_path / "good.gpkg", [OLD], ["a-1"])))
    assert done.returncode == 2
    assert done.stderr.startswith("lsbatch: ")
    assert "has no inventory yet" in done.stderr
    assert len(done.stderr.splitlines()) == 1
