"""The project `survey.qgz`: opened, filtered by time and drawn by QGIS itself; hostile names stay text."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml

from benchmarks import qgis_screenshots
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.inventory import aliases, inventory_files, schema
from lsbatch.inventory.qgis import export, landslide_styles, project, raster_styles, words
from lsbatch.pipeline import map_contents
from lsbatch.settings import MapsSettings
from tests import surveys

in_qgis = pytest.mark.skipif(not qgis_screenshots.is_here(), reason="python3-qgis is not installed")


def text_of(path: Path) -> str:
    """The project inside a `.qgz`."""
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["survey.qgs"]
        return archive.read("survey.qgs").decode()


@pytest.fixture(scope="module")
def mapped(done_survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """The survey with all maps, in German."""
    copy = surveys.copy_survey(done_survey, tmp_path_factory.mktemp("mapped") / "s")
    inventory = copy.config.inventory.model_copy(update={"language": "de"})
    maps = MapsSettings(true_colour=True, radar_change=True)
    survey = replace(copy, config=copy.config.model_copy(update={"inventory": inventory, "maps": maps}))
    assert execution.run(survey, until="project") == 0
    return survey


@cache
def told(survey: Path) -> dict[str, Any]:
    """What QGIS tells of a survey."""
    ranges = [("2019-01-01", "2020-06-30"), ("2020-07-01", "2020-07-10"), ("2015-01-01", "2030-01-01"),
              ("2015-01-01", "2015-12-31")]  # fmt: skip
    alone = [str(path) for path in sorted((survey / "maps").glob("*.tif"))]
    return {"ranges": ranges} | qgis_screenshots.ask(survey / "survey.qgz", ranges=ranges, alone=alone)


@in_qgis
def test_qgis_opens_every_layer(mapped: Survey) -> None:
    found = told(mapped.workspace.root)
    assert (found["opened"], found["crs"]) == (True, mapped.config.grid.crs)
    assert found["title"] == words.word("title", "de").format(mapped.config.survey.id, 2020)
    layers = {layer["id"].removeprefix("lsbatch_"): layer for layer in found["layers"]}
    assert set(layers) == {"landslides", *map_contents.MAPS}
    assert all(layer["valid"] for layer in layers.values())
    assert {layer["crs"] for layer in layers.values()} == {mapped.config.grid.crs}
    assert all(str(mapped.workspace.root) in layer["source"] for layer in layers.values())
    assert set(found["themes"]) <= set(found["groups"])
    assert found["groups"] == ["Rutschungen", "Hinweise", "Beobachtetes Gelände", "Bilder"]
    assert found["days"] == [
        str(day) for day in (mapped.config.survey.windows.pre[0], mapped.config.survey.windows.post[1])
    ]


@in_qgis
def test_qgis_knows_types_and_titles(mapped: Survey) -> None:
    layer = told(mapped.workspace.root)["layers"][0]
    kinds = {"str": "String", "date": "Date", "float64": "Real", "int64": "Integer64"}
    assert {name: tuple(told) for name, told in layer["fields"].items() if name != "fid"} == {
        field.name: (kinds[field.dtype], aliases.title(field, "de")) for field in schema.FIELDS
    }
    assert layer["features"] == len(inventory_files.read(mapped.workspace))
    assert layer["labels"]
    assert layer["style"] == "nach Sicherheit"
    assert sorted(layer["styles"]) == sorted(words.word(f"style {name}", "de") for name in landslide_styles.FIELDS)


@in_qgis
def test_temporal_controller_filters(mapped: Survey) -> None:
    """A landslide is shown in a range of days if it may have occurred in it."""
    frame = inventory_files.read(mapped.workspace)
    earliest, latest = pd.to_datetime(frame["date_earliest"]), pd.to_datetime(frame["date_latest"])
    found = told(mapped.workspace.root)
    wanted = [int(((latest >= first) & (earliest <= last)).sum()) for first, last in found["ranges"]]
    assert found["counts"] == wanted
    assert len(set(wanted)) > 2


@in_qgis
def test_legends_show_each_class_once(mapped: Survey) -> None:
    layers = {layer["id"].removeprefix("lsbatch_"): layer["legend"] for layer in told(mapped.workspace.root)["layers"]}
    assert layers["observed"] == [words.word(name, "de") for name in map_contents.OBSERVED]
    assert layers["mask"] == ["Rutschung"]
    assert layers["probability"] == [label for _, label, _ in raster_styles.PROBABILITY]
    assert layers["true_colour_after"] == []


@in_qgis
def test_rasters_that_are_opened_alone_have_their_style(mapped: Survey) -> None:
    found = {Path(path).stem: one["renderer"] for path, one in told(mapped.workspace.root)["alone"].items()}
    ramps = dict.fromkeys(("probability", "date", "radar_change"), "singlebandpseudocolor")
    classes = dict.fromkeys(("mask", "observed", "applicability"), "paletted")
    assert found == ramps | classes | dict.fromkeys(raster_styles.PICTURES, "multibandcolor")


@in_qgis
def test_picture_shows_landslides(mapped: Survey, tmp_path: Path) -> None:
    """Pixels of the colour of a grade lie where the records are, and nowhere else."""
    landslide = inventory_files.read(mapped.workspace).iloc[0]
    place = landslide.geometry.representative_point()
    size, scale = 201, 20_000
    metres = scale * 0.0254 / 96
    request = {"file": str(tmp_path / "p.png"), "layers": ["mask"], "scale": scale, "centre": (place.x, place.y),
               "size": (size, size)}  # fmt: skip
    qgis_screenshots.ask(mapped.workspace.project, pictures=[request])
    with rasterio.open(tmp_path / "p.png") as raster:
        picture = raster.read()[:3]
    with rasterio.open(mapped.workspace.maps / "mask.tif") as raster:
        mask, transform = raster.read(1), raster.transform
    side = (np.arange(size) - size / 2 + 0.5) * metres
    cols = np.floor((place.x + side - transform.c) / transform.a).astype(int)
    rows = np.floor((place.y - side - transform.f) / transform.e).astype(int)
    inside = (rows >= 0)[:, None] & (rows < mask.shape[0])[:, None] & (cols >= 0) & (cols < mask.shape[1])
    wanted = inside & (mask[np.clip(rows, 0, len(mask) - 1)][:, np.clip(cols, 0, mask.shape[1] - 1)] == 1)
    drawn = (picture == np.array([213, 94, 0])[:, None, None]).all(axis=0)
    # the legend covers the top left
    lower = np.s_[size // 2 :]
    assert wanted[lower].any()
    # an edge may be a pixel aside
    assert (drawn == wanted)[lower].mean() > 0.97
    assert (drawn & wanted)[lower].sum() > 0.8 * wanted[lower].sum()


HOSTILE = "<b>&amp;\"'</title>]]>\x00\x1b"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    layer = project.Layer("x", HOSTILE, HOSTILE, f"maps/{HOSTILE}.tif", {HOSTILE: []}, themes=(HOSTILE,))
    made = project.Project(HOSTILE, HOSTILE, "EPSG:25833", (0, 0, 1, 1), (date(2020, 1, 1), date(2020, 2, 1)), [layer])
    root = ElementTree.fromstring(project.text(made))
    shown = HOSTILE.replace("\x00", "").replace("\x1b", "")
    assert root.findtext("title") == shown
    node = root.find("layer-tree-group/layer-tree-group/layer-tree-layer")
    assert node is not None
    assert (node.get("name"), node.get("source")) == (shown, f"./maps/{shown}.tif")
    assert root.findtext("projectlayers/maplayer/layername") == shown
    assert root.findtext("properties/CopyrightLabel/Label") == shown
    with zipfile.ZipFile(io.BytesIO(project.archive(made, "survey"))) as archive:
        assert archive.read("survey.qgs").decode() == project.text(made)


def test_project_has_relative_paths_and_the_same_bytes(done_survey: Survey, tmp_path: Path) -> None:
    copy = surveys.copy_survey(done_survey, tmp_path / "elsewhere")
    before = copy.workspace.project.read_bytes()
    assert str(done_survey.workspace.root) not in text_of(copy.workspace.project)
    sources = [one.text for one in ElementTree.fromstring(text_of(copy.workspace.project)).iter("datasource")]
    assert sources
    assert all(source and source.startswith(("./maps/", "./inventory/")) for source in sources)
    for source in sources:
        assert (copy.workspace.root / str(source).partition("|")[0]).is_file()
    export.apply(copy, copy.config)
    assert copy.workspace.project.read_bytes() == before


def test_project_follows_the_settings(done_survey: Survey, tmp_path: Path) -> None:
    """With another language it is written again; a map that is gone takes its style along."""
    copy = surveys.copy_survey(done_survey, tmp_path / "s")
    (copy.workspace.maps / "radar_change.qml").write_text("of an earlier run")
    inventory = copy.config.inventory.model_copy(update={"language": "nb"})
    survey = replace(copy, config=copy.config.model_copy(update={"inventory": inventory}))
    count = surveys.Count()
    assert execution.run(survey, until="project", progress=count.progress) == 0
    assert count.stages() == {"inventory", "project"}
    assert "Sannsynlighet for skred" in text_of(copy.workspace.project)
    styles = {path.stem for path in copy.workspace.maps.glob("*.qml")}
    assert styles == {path.stem for path in copy.workspace.maps.glob("*.tif")}


def test_language_and_maps_do_not_change_digests_of_older_surveys(country: Path, tmp_path: Path) -> None:
    config = surveys.configured(country, tmp_path)
    dumped = config.model_dump(mode="json")
    assert "maps" not in dumped
    assert "language" not in dumped["inventory"]
    raw = yaml.safe_load(country.read_text(encoding="utf-8"))
    assert json.dumps(raw)
    changed = surveys.configured(country, tmp_path, maps={"true_colour": True}, inventory={"language": "fr"})
    assert changed.model_dump(mode="json")["maps"] == {"true_colour": True, "radar_change": False}
