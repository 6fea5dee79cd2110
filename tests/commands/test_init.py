"""`lsbatch init`: answers become a settings file that the other commands take."""

import os
import pty
import subprocess
from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from lsbatch import settings
from lsbatch.cli import program, questions
from lsbatch.commands import init
from lsbatch.commands.init import regions
from lsbatch.errors import ConfigError
from lsbatch.models import base
from lsbatch.storage.geometries import read_region


def call(*words: str) -> Result:
    return CliRunner().invoke(program.app, ["init", *words])


def presets(config: settings.Config) -> list[str | None]:
    sources = config.archives.sentinel2, config.archives.sentinel1, config.archives.dem
    return [source and source.preset for source in sources]


def refused(*words: str) -> str:
    ended = call(*words)
    assert isinstance(ended.exception, ConfigError), ended.output
    return str(ended.exception)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_country_and_a_year(here: Path) -> None:
    ended = call("a.yaml", "--region", "norway", "--when", "2024")
    assert ended.exit_code == 0, ended.output
    config = settings.load(here / "a.yaml")
    assert config.survey.id == "norway-2024"
    assert (config.survey.kind, config.survey.year, config.survey.season) == ("annual", 2024, ("06-15", "09-15"))
    assert config.grid.crs == "EPSG:32633"
    assert presets(config) == ["planetary-computer"] * 3
    # the packaged weights fit the bands
    base.check(base.card(base.resolve(config)), config)
    region = read_region(config)
    # land area of Norway without Svalbard and Jan Mayen, which are left out; with inland water and 3 km around it
    assert 323_000e6 < region.area < 480_000e6
    places = {"Oslo": (10.75, 59.91), "Tromso": (18.96, 69.65), "Svalbard": (15.6, 78.2), "Stockholm": (18.07, 59.33)}
    points = gpd.GeoSeries([shapely.Point(p) for p in places.values()], crs="EPSG:4326").to_crs(config.grid.crs)
    assert dict(zip(places, points.within(region), strict=True)) == {
        "Oslo": True, "Tromso": True, "Svalbard": False, "Stockholm": False,
    }  # fmt: skip
    assert "are left out: they need" in ended.output


def test_an_event_needs_only_radar(here: Path) -> None:
    ended = call("e.yaml", "--region", "5.5,61.2,7.2,61.8", "--when", "2019-07-30", "--archive", "cdse")
    assert ended.exit_code == 0, ended.output
    config = settings.load(here / "e.yaml")
    assert config.survey.event_date == date(2019, 7, 30)
    assert config.model.family == "disturbance"
    assert presets(config) == [None, "opera-rtc", None]
    box = gpd.GeoSeries([shapely.box(5.5, 61.2, 7.2, 61.8)], crs="EPSG:4326").to_crs(config.grid.crs).iloc[0]
    assert read_region(config).contains(box)
    assert not (here / "e-region.gpkg").exists()


def test_a_file_of_polygons_is_named_relative_to_the_settings(here: Path) -> None:
    (here / "in").mkdir()
    gpd.GeoDataFrame(geometry=[shapely.box(85, 27, 86, 28)], crs="EPSG:4326").to_file(here / "in" / "Valley & co.gpkg")
    assert call("n.yaml", "--region", "in/Valley & co.gpkg", "--when", "2023").exit_code == 0
    raw = yaml.safe_load((here / "n.yaml").read_text())
    assert raw["region"] == {"file": "in/Valley & co.gpkg"}
    assert raw["survey"]["id"] == "valley-co-2023"
    assert read_region(settings.load(here / "n.yaml")).area > 1e10


def test_a_file_with_the_name_of_the_outline_is_not_overwritten(here: Path) -> None:
    own = here / "survey-region.gpkg"
    gpd.GeoDataFrame({"mine": [1]}, geometry=[shapely.box(85, 27, 86, 28)], crs="EPSG:4326").to_file(own)
    before = own.read_bytes()
    assert call("--region", own.name, "--when", "2023").exit_code == 0
    assert own.read_bytes() == before
    assert yaml.safe_load((here / "survey.yaml").read_text())["region"] == {"file": own.name}


@pytest.mark.parametrize(
    ("region", "season"),
    [
        ("Norway", ("06-15", "09-15")),
        ("New Zealand", ("12-15", "03-15")),
        ("Rwanda", ("01-01", "12-31")),
    ],
)
def test_season_by_latitude(here: Path, region: str, season: tuple[str, str]) -> None:
    assert call("--region", region, "--when", "2024").exit_code == 0
    assert settings.load(here / "survey.yaml").survey.season == season


@pytest.mark.parametrize(
    ("machine", "kind"),
    [("here", "local"), ("slurm", "slurm"), ("allocation", "allocation"), ("tcp://10.0.0.1:8786", "address")],
)
def test_machines(here: Path, machine: str, kind: str) -> None:
    assert call("--region", "1,45,2,46", "--when", "2024", "--machine", machine).exit_code == 0
    assert settings.load(here / "survey.yaml").cluster.kind == kind


def test_a_folder_that_simulate_made(here: Path, country: Path) -> None:
    folder = country.parent / "catalog"
    assert call("--region", "1,45,2,46", "--when", "2024", "--archive", str(folder)).exit_code == 0
    found, made = settings.load(here / "survey.yaml").archives, settings.load(country).archives
    assert (found.sentinel2, found.sentinel1, found.dem) == (made.sentinel2, made.sentinel1, made.dem)


@pytest.mark.parametrize("archive", init.ARCHIVES)
def test_archives(here: Path, archive: str) -> None:
    assert call("--region", "1,45,2,46", "--when", "2024", "--archive", archive).exit_code == 0
    assert None not in presets(settings.load(here / "survey.yaml"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--when", "2024"), "--region is missing"),
        (("--region", "Norway"), "--when is missing"),
        (("--region", "Norwey", "--when", "2024"), "did you mean Norway"),
        (("--region", "1,2,3", "--when", "2024"), "west,south,east,north"),
        (("--region", "7,61,5,62", "--when", "2024"), "west < east"),
        (("--region", "nan,1,2,3", "--when", "2024"), "west < east"),
        (("--region", "Norway", "--when", "24"), "must be a year"),
        (("--region", "Norway", "--when", "2024-02-30"), "must be a year"),
        (("--region", "Norway", "--when", "1999"), "survey.year = 1999"),
        (("--region", "Norway", "--when", "2024", "--archive", "nowhere"), "must be planetary-computer"),
        (("--region", "Norway", "--when", "2024", "--archive", "."), "lsbatch catalog"),
        (("--region", "Norway", "--when", "2024", "--machine", "cray"), "must be here, slurm"),
        (("--region", "Norway", "--when", "2024", "--archive", "radar"), "has no sentinel2 and no dem"),
        (("--region", "Norway", "--when", "2024", "--archive", "photos"), "has no collection whose name contains"),
        (("--region", "empty.geojson", "--when", "2024"), "holds no polygon"),
        (("--region", "notes.txt", "--when", "2024"), "cannot be read as a vector file"),
    ],
)
def test_wrong_answers_are_one_sentence_and_write_nothing(here: Path, words: tuple[str, ...], told: str) -> None:
    (here / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (here / "notes.txt").write_text("no polygons")
    for name, collection in (("radar", "sentinel-1-rtc"), ("photos", "holiday")):
        (here / name).mkdir()
        (here / name / "c.json").write_text(
            f'{{"type": "Collection", "id": "{collection}", "stac_version": "1.0.0", "links": []}}'
        )
        (here / name / "catalog.json").write_text(
            '{"type": "Catalog", "stac_version": "1.0.0", "links": [{"rel": "child", "href": "./c.json"}]}'
        )
    before = sorted(here.rglob("*"))
    assert told in refused(*words)
    assert sorted(here.rglob("*")) == before


def test_nothing_is_overwritten(here: Path) -> None:
    assert call("--region", "Nepal", "--when", "2024").exit_code == 0
    before = (here / "survey.yaml").read_bytes(), (here / "survey-region.gpkg").read_bytes()
    assert "is there already" in refused("--region", "Norway", "--when", "2023")
    (here / "survey.yaml").rename(here / "other.yaml")
    assert "survey-region.gpkg: is there already" in refused("--region", "Norway", "--when", "2023")
    assert ((here / "other.yaml").read_bytes(), (here / "survey-region.gpkg").read_bytes()) == before


def test_what_is_not_given_is_asked_and_a_wrong_answer_is_asked_again(here: Path) -> None:
    """A real terminal: a pseudo-terminal, in a process of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["lsbatch", "init", "asked.yaml", "--machine", "here"],
        executable=Path(os.sys.executable).with_name("lsbatch"),  # type: ignore[attr-defined]
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    ) as asked:
        os.write(ours, b"Atlantis\nIceland\nsoon\n2022\n\n")
        told, _ = asked.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 0, told
    assert "'Atlantis': is neither a country" in told
    assert "'soon': must be a year" in told
    assert settings.load(here / "asked.yaml").survey.id == "iceland-2022"


def test_default_answers_pass_their_checks() -> None:
    for question in init.QUESTIONS:
        assert (question.default is None) == (question.flag in ("region", "when"))
        if question.default is not None:
            assert questions.answer(question, question.default)


def test_every_country_can_be_surveyed() -> None:
    """Its CRS is known, its outline is valid, and holds its largest part."""
    names = regions.names()
    assert len(names) == len(set(names)) > 200
    frame = gpd.read_parquet(regions.COUNTRIES)
    assert frame.geometry.is_valid.all()
    assert (frame.geometry.type.isin(["Polygon", "MultiPolygon"])).all()
    # some of each size, and those that are hard: across the antimeridian, at the poles, of many parts
    for name in ("Fiji", "Russia", "Antarctica", "Vatican", "France", "Kiribati", "Chile", "Indonesia", "Norway"):
        region = regions.country(name)
        shape = region.in_crs()
        assert shape.is_valid, name
        assert np.isfinite(shape.bounds).all(), name
        assert shape.area > 0, name


@given(st.text(max_size=30))
def test_any_text_is_a_region_or_one_sentence(text: str) -> None:
    if text.strip().casefold() in (name.casefold() for name in regions.names()):
        assert regions.country(text).name.casefold() == text.strip().casefold()
        return
    with pytest.raises(ConfigError, match="is neither a country, nor a file, nor a box"):
        regions.country(text)
