"""Comparing models: a table like the paper's, on regions that were not learned from or on test blocks."""

import csv
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from sklearn.metrics import confusion_matrix

from lsbatch import synthetic
from lsbatch.bands import mask
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands import compare, run
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.inventory import evaluation
from lsbatch.kernels.statistics.confusion import Confusion
from lsbatch.models import base
from lsbatch.settings import Config
from lsbatch.storage import cube, receipts, vectors
from tests import surveys

SMALL = {"block_px": 128, "chip_px": 64, "depth": 1, "width": 4, "epochs": 1, "batch": 64}


class Lines:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def text(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return lambda *args: None


@pytest.fixture(scope="module")
def learned(stacked_survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A survey to learn from, in tiles of 256 px and blocks of 128 px."""
    copy = surveys.copy_survey(stacked_survey, tmp_path_factory.mktemp("learn") / "s")
    return copy.config.model_copy(update={"train": copy.config.train.model_copy(update=SMALL)})


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Another country, which nothing is learned from."""
    folder = tmp_path_factory.mktemp("other")
    return surveys.configured(synthetic.simulate(folder, seed=8, rows=256, cols=256), folder / "s")


@pytest.fixture(scope="module")
def rows(learned: Config, other: Config) -> list[dict[str, object]]:
    asked = compare.Contest((learned,), (other,), ("cart", "unet"), ("s1vv_s2", "s1vv"))
    return compare.compare(asked, Lines())


def whole(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of whole surveys."""
    return [row for row in rows if "/" not in str(row["region"])]


def test_every_pair_has_a_row_with_its_counts(rows: list[dict[str, object]], learned: Config, other: Config) -> None:
    assert [(r["model"], r["bands"]) for r in whole(rows)] == [
        (m, b) for m in ("cart", "unet") for b in ("s1vv_s2", "s1vv")
    ]
    home = learned.output / "compare"
    assert json.loads((home / "compare.json").read_text(encoding="utf-8")) == rows
    with (home / "compare.csv").open(encoding="utf-8", newline="") as file:
        assert [r["tp"] for r in csv.DictReader(file)] == [str(r["tp"]) for r in rows]
    for row in whole(rows):
        assert row["region"] == other.survey.id
        exact = Confusion(*(row[key] for key in ("tp", "fp", "fn", "tn")))  # type: ignore[arg-type]
        assert 0 < exact.total <= 256**2
        assert row["mcc"] == exact.mcc
        assert row["found_0_to_1000_m2"] <= row["mapped_0_to_1000_m2"]  # type: ignore[operator]
        if row["mcc_low"] is not None:
            assert row["mcc_low"] <= row["mcc_high"]  # type: ignore[operator]


def test_the_map_is_the_counts(rows: list[dict[str, object]], learned: Config, other: Config) -> None:
    for row in whole(rows):
        folder = learned.output / "compare" / f"{row['model']}-{row['bands']}" / other.survey.id
        with rasterio.open(folder / "confusion.tif") as file:
            values, colours = file.read(1), file.colormap(1)
            assert file.profile["driver"] == "GTiff"
            assert file.overviews(1) or max(file.shape) <= 512
        for key, value in (("tp", compare.TP), ("fp", compare.FP), ("fn", compare.FN), ("tn", compare.TN)):
            assert np.count_nonzero(values == value) == row[key]
            assert colours[value] == compare.COLOURS[value]


def test_plots_are_counted_pixel_by_pixel(rows: list[dict[str, object]], learned: Config, other: Config) -> None:
    """Against scikit-learn, on the pixels of each quarter, cut from the map by hand."""
    folder = learned.output / "compare" / "cart-s1vv" / other.survey.id
    with rasterio.open(folder / "confusion.tif") as file:
        classes = file.read(1)[:256, :256]
    quarters = {"north-west": (0, 0), "north-east": (0, 128), "south-west": (128, 0), "south-east": (128, 128)}
    found = {
        str(r["region"]).split("/")[1]: r
        for r in rows
        if "/" in str(r["region"]) and (r["model"], r["bands"]) == ("cart", "s1vv")
    }
    assert set(found) == set(quarters)
    for name, (top, left) in quarters.items():
        part = classes[top : top + 128, left : left + 128]
        part = part[part != 255]
        real, said = np.isin(part, (compare.TP, compare.FN)), np.isin(part, (compare.TP, compare.FP))
        tn, fp, fn, tp = confusion_matrix(real, said, labels=[False, True]).ravel()
        assert tuple(found[name][key] for key in ("tp", "fp", "fn", "tn")) == (tp, fp, fn, tn)
    (total,) = (r for r in whole(rows) if (r["model"], r["bands"]) == ("cart", "s1vv"))
    for key in ("tp", "fp", "fn", "tn"):
        assert sum(row[key] for row in found.values()) == total[key]  # type: ignore[misc]


def test_a_plot_that_crosses_tiles_and_cells_is_counted_once(
    rows: list[dict[str, object]], learned: Config, other: Config, tmp_path: Path
) -> None:
    """A ragged polygon over all tiles: its pixels are those whose centres it holds."""
    del rows
    variant = learned.output / "compare" / "cart-s1vv" / other.survey.id
    grid = open_survey(other).grid
    left, top = grid.bounds[0], grid.bounds[3]
    shape = shapely.Polygon(
        [(left + 203, top - 117), (left + 2391, top - 404), (left + 1711, top - 2333), (left + 90, top - 1800)]
    )
    gpd.GeoDataFrame({"place": ["ragged"]}, geometry=[shape], crs=grid.crs).to_file(tmp_path / "plots.gpkg")
    assert other.truth is not None
    truth = other.truth.model_copy(update={"plots": tmp_path / "plots.gpkg", "plot_field": "place"})
    weights = learned.output / "compare" / "cart-s1vv" / "model" / "cart-s1vv.safetensors"
    model = other.model.model_copy(update={"family": "cart", "weights": str(weights)})
    config = other.model_copy(update={"truth": truth, "output": variant, "bands": "s1vv", "model": model})
    assert run.survey(config, Lines(), until="score") == 0
    rows_px, cols_px = np.mgrid[0:256, 0:256] + 0.5
    inside = shapely.contains_xy(shape, left + 10 * cols_px, top - 10 * rows_px)
    with rasterio.open(variant / "confusion.tif") as file:
        classes = file.read(1)[:256, :256][inside]
    (counted,) = evaluation.plots(open_survey(config)).values()
    assert [counted[key] for key in ("tp", "fp", "fn", "tn")] == [
        np.count_nonzero(classes == value) for value in (compare.TP, compare.FP, compare.FN, compare.TN)
    ]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ({"name": ["a", "a"]}, "has 'a' twice"),
        ({"other": ["a", "b"]}, r"truth\.plot_field = 'name': is not a column"),
        (None, "must hold polygons"),
    ],
)
def test_plots_that_are_none(frame: dict[str, list[str]] | None, sentence: str, other: Config, tmp_path: Path) -> None:
    shapes = [shapely.box(0, 0, 1, 1)] * 2 if frame else [shapely.Point(0, 0)] * 2
    gpd.GeoDataFrame(frame or {"name": ["a", "b"]}, geometry=shapes, crs="EPSG:25833").to_file(tmp_path / "plots.gpkg")
    assert other.truth is not None
    with pytest.raises(ConfigError, match=sentence):
        vectors.read_plots(other.truth.model_copy(update={"plots": tmp_path / "plots.gpkg"}), "EPSG:25833")


def test_the_survey_itself_is_not_touched(rows: list[dict[str, object]], learned: Config, other: Config) -> None:
    del rows
    for config in (learned, other):
        folder = open_survey(config).workspace
        assert {path.name for path in folder.store.iterdir() if path.is_dir()} == {"stack"}
        assert not receipts.read_stage(folder.receipts, "predict")
    variant = learned.output / "compare" / "cart-s1vv" / other.survey.id
    assert (variant / "cube.zarr" / "stack").is_symlink()
    layer = mask("cart")
    found = cube.read_window(
        variant / "cube.zarr", open_survey(other).grid, layer, slice(0, 256), slice(0, 256), layer.names
    )
    assert set(np.unique(found["landslide"])) <= {0, 1, 255}


def test_what_was_trained_is_not_trained_again(rows: list[dict[str, object]], learned: Config, other: Config) -> None:
    weights = learned.output / "compare" / "unet-s1vv" / "model" / "unet-s1vv.safetensors"
    before = weights.stat().st_mtime_ns
    asked = compare.Contest((learned,), (other,), ("unet",), ("s1vv",))
    again = compare.compare(asked, Lines())
    assert weights.stat().st_mtime_ns == before
    assert again == [row for row in rows if (row["model"], row["bands"]) == ("unet", "s1vv")]
    longer = learned.model_copy(update={"train": learned.train.model_copy(update={"seed": 3})})
    compare.compare(compare.Contest((longer,), (other,), ("unet",), ("s1vv",)), Lines())
    assert weights.stat().st_mtime_ns != before


def test_on_its_own_region_only_test_blocks_count(learned: Config) -> None:
    # blocks of 256 px hold a cell of 128 px farther than the network's reach from their rim
    large = learned.model_copy(update={"train": learned.train.model_copy(update={"block_px": 256})})
    try:
        row, *plots = compare.compare(compare.Contest((large,), (), ("cart",), ("s1vv_s2",)), Lines())
    except NoDataError as error:
        pytest.fail(str(error))
    # the test block is one of the quarters, or none of them has anything to count there
    assert [plot["tn"] for plot in plots] == [row["tn"]]
    # one test block of four, and for a tree, which sees its own pixel alone, all of it
    assert row["tp"] + row["fp"] + row["fn"] + row["tn"] <= 256**2  # type: ignore[operator]
    card = base.card(large.output / "compare" / "cart-s1vv_s2" / "model" / "cart-s1vv_s2.safetensors")
    everywhere = compare.compare(compare.Contest((large,), (large,), ("cart",), ("s1vv_s2",)), Lines())
    assert (
        base.card(large.output / "compare" / "cart-s1vv_s2" / "model" / "cart-s1vv_s2.safetensors").settings["points"]
        > card.settings["points"]
    )
    assert everywhere[0]["tn"] > row["tn"]  # type: ignore[operator]


def test_a_rim_that_swallows_the_block_is_said(learned: Config) -> None:
    with pytest.raises(NoDataError, match=r"set a larger train\.block_px or score on other surveys"):
        compare.compare(compare.Contest((learned,), (), ("unet",), ("s1vv",)), Lines())


def test_a_list_of_bands_is_written_with_plus_signs(learned: Config) -> None:
    (named, listed, own) = (
        compare._variant(learned, family, bands, learned.output, None)
        for family, bands in (("unet", "s2"), ("cart", "postNIR+dNDVI"), ("prakash", "own"))
    )
    assert (named.bands, listed.bands, own.bands) == ("s2", ("postNIR", "dNDVI"), learned.bands)
    assert listed.inputs == ("postNIR", "dNDVI")
    with pytest.raises(ConfigError, match=r"bands: dNBR needs SWIR2 in composite\.bands"):
        compare.compare(compare.Contest((learned,), (), ("cart",), ("postNIR+dNBR",)), Lines())


def test_what_is_no_model_and_no_truth(learned: Config) -> None:
    with pytest.raises(ConfigError, match="bands"):
        compare.compare(compare.Contest((learned,), (), ("cart",), ("s9",)), Lines())
    with pytest.raises(ConfigError, match="has no mapped landslides"):
        compare.compare(
            compare.Contest((learned.model_copy(update={"truth": None}),), (), ("cart",), ("s1vv",)), Lines()
        )
