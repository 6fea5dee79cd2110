"""A published folder: complete, equal to the survey, without what is private, and replaced as a whole."""

import errno
import gzip
import hashlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import geopandas as gpd
import numpy as np
import obstore
import pandas as pd
import pyogrio
import pystac
import pytest
import shapely
from pmtiles.reader import MemorySource, Reader, all_tiles
from pmtiles.tile import Compression, TileType

from lsbatch import settings
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.errors import ConfigError, LeaseError, LsbatchError, NoDataError
from lsbatch.review import image_tiles, mercator
from lsbatch.review.image_tiles import ImageTiles
from lsbatch.review.mercator import Tile
from lsbatch.review.outline_tiles import MOST_ZOOM, OUTLINE_ZOOM
from lsbatch.review.publication import downloads, publish
from lsbatch.review.publication.folder import MARKER, SUMS, replaced
from lsbatch.settings import PublishSettings, to_yaml
from lsbatch.storage import lease, objects, receipts
from tests import programs, servers
from tests.review.publication import finished_survey
from tests.review.publication.finished_survey import HOSTILE, ID, REMARK, REVIEWER, SECRET, SIGNED

SETTINGS = PublishSettings(
    title="Skred i Jotunheimen", licence="CC-BY-4.0", citation=f"Agency (2020) {HOSTILE}", contact="map@agency.example"
)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return finished_survey.make(tmp_path_factory.mktemp("published"), publish=SETTINGS)


@pytest.fixture(scope="module")
def folder(survey: Survey) -> Path:
    target = survey.config.output.parent / "site"
    publish(survey, target, lambda line: None)
    return target


@pytest.fixture(scope="module")
def frame(survey: Survey) -> gpd.GeoDataFrame:
    return gpd.read_parquet(survey.workspace.inventory / "landslides.parquet")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reader(path: Path) -> Reader:
    return Reader(MemorySource(path.read_bytes()))


# The files


def test_sums_of_all_files_are_right(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "--strict", SUMS], cwd=folder, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(files_of(folder)) - 1
    assert not [one for one in folder.parent.iterdir() if one.name.startswith("site.")]


def _plain(name: str, data: bytes) -> list[bytes]:
    """The content of a file and what is compressed inside it."""
    if name.endswith(".qgz"):
        with zipfile.ZipFile(io.BytesIO(data)) as inside:
            return [data, *(inside.read(one) for one in inside.namelist())]
    if name.endswith(".pmtiles"):
        is_gzip = Reader(MemorySource(data)).header()["tile_compression"] == Compression.GZIP
        tiles = [tile for _, tile in all_tiles(MemorySource(data))]
        return [data, *(gzip.decompress(tile) if is_gzip else tile for tile in tiles)]
    if name.endswith(".parquet"):
        return [data, pd.read_parquet(io.BytesIO(data)).drop(columns="geometry").to_csv().encode()]
    return [data]


def test_nothing_private_is_published(survey: Survey, folder: Path) -> None:
    hidden = (
        REVIEWER,
        REMARK,
        SECRET,
        SIGNED,
        str(survey.config.output.parent),
        "answers.jsonl",
        "weights.safetensors",
    )
    # the words are where a careless copy would find them
    given = b"".join(path.read_bytes() for path in survey.config.output.rglob("*") if path.is_file())
    assert all(word.encode() in given for word in (REVIEWER, REMARK, SIGNED, str(survey.config.output.parent)))
    for name, data in files_of(folder).items():
        for text in _plain(name, data):
            for word in hidden:
                assert word.encode() not in text, (name, word)
    assert not {path.suffix for path in folder.rglob("*")} & {".yaml", ".safetensors", ".zarr"}


def test_texts_of_others_are_escaped(folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    assert HOSTILE not in page
    assert "Agency (2020) &#34;&gt;&lt;script&gt;" in page
    assert '<a href="mailto:map@agency.example"' in page
    assert '<a href="https://spdx.org/licenses/CC-BY-4.0.html"' in page
    # nothing is loaded from elsewhere: addresses are only those of links
    assert not re.search(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?:https?:)?//', page)
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "contact", ["javascript:alert(1)", "a@b.example?bcc=x", "Kartverket, Oslo", "data:text/html,x"]
)
def test_a_contact_that_is_no_address_is_no_link(contact: str) -> None:
    from lsbatch.review.publication import about

    assert about._contact(contact) == about.Fact("Contact", contact)


def test_every_link_of_the_page_leads_to_a_file(folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    found = [one for one in re.findall(r'(?:href|src)="([^"#]+)"', page) if ":" not in one]
    assert len(found) > 15
    assert [one for one in found if not (folder / one).is_file()] == []
    for script in folder.glob("*.js"):
        for other in re.findall(r'^import [^"]*"\./([^"]+)"', script.read_text(encoding="utf-8"), re.MULTILINE):
            assert (folder / other).is_file(), (script.name, other)


def test_downloads_equal_the_inventory(folder: Path, frame: gpd.GeoDataFrame) -> None:
    wanted = downloads.public(frame).reset_index(drop=True)
    assert "internal" in frame
    assert "internal" not in wanted
    for name in ("landslides.parquet", "landslides.gpkg"):
        path = folder / "inventory" / name
        read = gpd.read_parquet(path) if path.suffix == ".parquet" else pyogrio.read_dataframe(path, layer="landslides")
        assert read[ID].tolist() == wanted[ID].tolist()
        assert shapely.equals(shapely.normalize(read.geometry.values), shapely.normalize(wanted.geometry.values)).all()
        assert set(read["reviewer"]) == {""}
    assert (folder / "maps" / "mask.tif").stat().st_size > 0


def test_gdal_reads_the_geojson_sequence(folder: Path, frame: gpd.GeoDataFrame) -> None:
    path = folder / "inventory" / "landslides.geojsons"
    found = pyogrio.read_dataframe(path)
    assert found.crs == "EPSG:4326"
    assert found[ID].tolist() == frame[ID].tolist()
    back = found.to_crs(frame.crs).geometry
    # seven decimals of a degree
    assert max(back.hausdorff_distance(frame.geometry.reset_index(drop=True))) < 0.02
    assert found["area_m2"].to_numpy() == pytest.approx(frame["area_m2"].to_numpy())
    assert found["date_earliest"].astype(str).str[:10].tolist() == frame["date_earliest"].astype(str).tolist()


def test_the_sequence_keeps_its_standards(folder: Path, frame: gpd.GeoDataFrame) -> None:
    """RFC 8142: each text between RS and LF. RFC 7946: rings by the right hand, unknown is null, no CRS."""
    data = (folder / "inventory" / "landslides.geojsons").read_bytes()
    texts = data.split(b"\x1e")
    assert texts[0] == b""
    assert all(text.endswith(b"\n") and text.count(b"\n") == 1 for text in texts[1:])
    features = [json.loads(text) for text in texts[1:]]
    assert [one["id"] for one in features] == frame[ID].tolist()
    assert {tuple(one) for one in features} == {("type", "id", "geometry", "properties")}
    for one in features:
        for polygon in shapely.get_parts(shapely.geometry.shape(one["geometry"])):
            assert polygon.exterior.is_ccw
            assert not any(ring.is_ccw for ring in polygon.interiors)
    slopes = [one["properties"]["slope_mean_deg"] for one in features]
    assert [value is None for value in slopes] == frame["slope_mean_deg"].isna().tolist()
    assert {one["properties"]["reviewer"] for one in features} == {None}


def test_links_of_the_stac_collection_hold(folder: Path, survey: Survey) -> None:
    found = pystac.Collection.from_file(folder / "stac" / "collection.json")
    assert found.license == "CC-BY-4.0"
    assert found.extra_fields["sci:citation"] == SETTINGS.citation
    assert [link.href for link in found.links if link.rel == "license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    (item,) = found.get_items()
    assert item.get_collection().id == found.id == survey.config.survey.id
    for one in (found, item):
        # the schemas of the core lie in pystac; those of extensions are on the network
        one.stac_extensions = []
        assert one.validate()
    for name, asset in item.assets.items():
        path = Path(asset.get_absolute_href())
        assert path.is_file(), name
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    published = {path.name for path in folder.rglob("*") if path.parent.name in ("inventory", "maps", "tiles")}
    assert {Path(asset.href).name for asset in item.assets.values()} == published


# The tiles


def test_vector_tiles_hold_exactly_the_landslides(folder: Path, frame: gpd.GeoDataFrame, tmp_path: Path) -> None:
    """Every zoom has every landslide: one point each at low zooms, its whole outline at high ones."""
    archive = reader(folder / "tiles" / "landslides.pmtiles")
    header = archive.header()
    assert (header["tile_type"], header["tile_compression"]) == (TileType.MVT, Compression.GZIP)
    assert (header["min_zoom"], header["max_zoom"], header["clustered"]) == (0, MOST_ZOOM, True)
    assert [one["id"] for one in archive.metadata()["vector_layers"]] == ["points", "landslides"]
    wanted = frame.to_crs("EPSG:3857").geometry.reset_index(drop=True)
    parts: dict[int, dict[int, list[shapely.Geometry]]] = {}
    for (z, x, y), data in all_tiles(MemorySource((folder / "tiles" / "landslides.pmtiles").read_bytes())):
        path = tmp_path / str(z) / str(x) / f"{y}.pbf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(data))
        layers = set(pyogrio.list_layers(path)[:, 0])
        assert layers <= (
            {"points"} if z < OUTLINE_ZOOM else {"landslides"} if z > OUTLINE_ZOOM else {"points", "landslides"}
        )
        box = shapely.box(*Tile(z, x, y).bounds)
        for layer in layers:
            for one in pyogrio.read_dataframe(path, layer=layer, use_arrow=False).itertuples():
                inside = one.geometry if layer == "points" else shapely.intersection(one.geometry, box)
                parts.setdefault(z, {}).setdefault(one.mvt_id, []).append(inside)
    for z in range(MOST_ZOOM + 1):
        assert sorted(parts[z]) == list(range(len(frame)))
        if z < OUTLINE_ZOOM:
            assert all(len(shapes) == 1 for shapes in parts[z].values())
    unit = 2 * mercator.WORLD_M / 2**MOST_ZOOM / 4096
    for row, shapes in parts[MOST_ZOOM].items():
        assert shapely.union_all(shapes).area == pytest.approx(wanted[row].area, abs=6 * unit * wanted[row].length)


def test_gdal_opens_the_vector_tiles(folder: Path, frame: gpd.GeoDataFrame) -> None:
    found = pyogrio.read_dataframe(folder / "tiles" / "landslides.pmtiles", layer="landslides", use_arrow=False)
    assert set(found["confidence"]) == set(frame["confidence"])
    assert found.to_crs(frame.crs).union_all().symmetric_difference(frame.union_all()).area < 0.2 * frame.area.sum()


@pytest.mark.parametrize("name", SETTINGS.images)
def test_image_tiles_are_those_of_the_view(folder: Path, survey: Survey, name: str) -> None:
    archive = reader(folder / "tiles" / f"{name}.pmtiles")
    images = ImageTiles(survey)
    told = next(
        one for one in json.loads((folder / "data" / "survey.json").read_bytes())["images"] if one["name"] == name
    )
    found = dict(all_tiles(MemorySource((folder / "tiles" / f"{name}.pmtiles").read_bytes())))
    kind = TileType.WEBP if images.images[name].is_smooth else TileType.PNG
    assert archive.header()["tile_type"] == kind
    west, south, east, north = (
        archive.header()[f"{end}_{axis}_e7"] / 1e7 for end in ("min", "max") for axis in ("lon", "lat")
    )
    for z in range(told["minzoom"], told["maxzoom"] + 1):
        n = 2**z
        xs = [int((lon + 180) / 360 * n) for lon in (west, east)]
        ys = [int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n) for lat in (north, south)]
        for x in range(max(0, xs[0] - 1), min(n, xs[1] + 2)):
            for y in range(max(0, ys[0] - 1), min(n, ys[1] + 2)):
                made, _ = images.made(name, Tile(z, x, y))
                assert found.get((z, x, y), image_tiles.NOTHING) == made


def test_a_survey_without_landslides_is_published(tmp_path: Path) -> None:
    survey = finished_survey.make(tmp_path, landslides=0)
    publish(survey, tmp_path / "site", lambda line: None)
    tiles = list(all_tiles(MemorySource((tmp_path / "site" / "tiles" / "landslides.pmtiles").read_bytes())))
    assert [(place, gzip.decompress(data)) for place, data in tiles] == [((0, 0, 0), b"")]
    assert (tmp_path / "site" / "inventory" / "landslides.geojsons").read_bytes() == b""
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "none was chosen" in page


# The folder


def test_published_again_it_has_the_same_bytes(survey: Survey, folder: Path) -> None:
    before = files_of(folder)
    publish(survey, folder, lambda line: None)
    assert files_of(folder) == before


class Stopped(BaseException):
    """Stands for the end of the process."""


def some(folder: Path, text: str = "x") -> None:
    (folder / "index.html").write_text(text, encoding="utf-8")


def stopped(target: Path, text: str) -> None:
    """Begin a publication that does not end."""
    with suppress(Stopped), replaced(target, "one") as here:
        some(here, text)
        raise Stopped


def test_stopped_while_it_is_written_the_earlier_one_stays(tmp_path: Path) -> None:
    target = tmp_path / "site"
    with replaced(target, "one") as here:
        some(here, "first")
    stopped(target, "half")
    assert (target / "index.html").read_text(encoding="utf-8") == "first"
    with replaced(target, "one") as here:
        assert {path.name for path in here.iterdir()} == {MARKER}
        some(here, "second")
    assert (target / "index.html").read_text(encoding="utf-8") == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("step", ["before", "between", "after"])
def test_stopped_at_the_renames_it_is_repaired(tmp_path: Path, step: str) -> None:
    target, partial, former = (tmp_path / name for name in ("site", "site.partial", "site.former"))
    with replaced(target, "one") as here:
        some(here, "first")
    shutil.copytree(target, partial)
    if step != "before":
        target.rename(former)
    if step == "after":
        partial.rename(target)
    # whatever happens next, a whole publication is there
    stopped(target, "half")
    assert (target / "index.html").read_text(encoding="utf-8") == "first"
    with replaced(target, "one") as here:
        some(here, "second")
    assert (target / "index.html").read_text(encoding="utf-8") == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("name", ["site", "site.partial", "site.former"])
def test_folders_of_others_are_refused_and_kept(tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    other.mkdir()
    (other / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not empty, and holds no earlier publication of the survey one"):
        replaced(tmp_path / "site", "one").__enter__()
    with replaced(tmp_path / "two", "two") as here:
        some(here)
    with pytest.raises(ConfigError, match="no earlier publication of the survey one"):
        replaced(tmp_path / "two", "one").__enter__()
    assert (other / "thesis.tex").read_text(encoding="utf-8") == "mine"


def test_a_file_that_was_added_is_not_lost(tmp_path: Path) -> None:
    with replaced(tmp_path / "site", "one") as here:
        some(here)
    (tmp_path / "site" / ".git").mkdir()
    (tmp_path / "site" / ".git" / "HEAD").write_text("ref", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.git/HEAD was not written by lsbatch publish and would be lost"):
        replaced(tmp_path / "site", "one").__enter__()
    assert (tmp_path / "site" / ".git" / "HEAD").exists()


def test_a_file_and_a_bucket_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder"):
        replaced(tmp_path / "file", "one").__enter__()
    with pytest.raises(ConfigError, match="into a folder on disk"):
        replaced(objects.path_of("s3://bucket/site"), "one").__enter__()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with replaced(tmp_path / "site", "one") as here:
        some(here)
    assert (tmp_path / "site" / "index.html").exists()


# The survey


@pytest.fixture
def other(tmp_path: Path) -> Survey:
    return finished_survey.make(tmp_path, landslides=3)


@pytest.mark.parametrize(
    ("stage", "tile", "reason"),
    [
        ("outline", "r000c001", "1 of 4 tiles are pending"),
        ("inventory", "all", "the inventory is missing"),
        ("rasters", "all", "the set of national maps is missing"),
    ],
)
def test_an_unfinished_survey_is_refused(other: Survey, tmp_path: Path, stage: str, tile: str, reason: str) -> None:
    receipts.remove(other.workspace.receipts, stage, tile)
    with pytest.raises(NoDataError, match=f"is not finished: {reason}; run lsbatch run first"):
        publish(other, tmp_path / "site", lambda line: None)
    assert not (tmp_path / "site").exists()


def test_a_survey_that_is_being_written_is_refused(other: Survey, tmp_path: Path) -> None:
    with lease.acquire(other.config.output), pytest.raises(LeaseError, match="a run is writing the survey"):
        publish(other, tmp_path / "site", lambda line: None)


def test_failed_tiles_are_told(tmp_path: Path) -> None:
    from lsbatch.review.publication import about, finished

    survey = finished_survey.make(tmp_path, landslides=3)
    for stage in ("outline", "clean", "predict"):
        receipts.remove(survey.workspace.receipts, stage, "r000c001")
    old = receipts.read(survey.workspace.receipts, "stack", "r000c001")
    assert old is not None
    receipts.write(survey.workspace.receipts, old.__class__(**{**old.__dict__, "error": "no scene", "tally": {}}))
    observed = finished.check(survey)
    assert (observed.tiles, observed.failed) == (4, 1)
    assert "1 of 4 tiles failed and were not surveyed" in about._unobserved(observed)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"licence": "free for all"}, "must be an identifier of SPDX"),
        ({"licence": "javascript:alert(1)"}, "must be an identifier of SPDX"),
        ({"title": "two\nlines"}, "must be one line of printable characters"),
        ({"images": ["after", "after"]}, "must not name an image twice"),
        ({"images": ["slope"]}, "Input should be"),
    ],
)
def test_wrong_settings_are_refused(setting: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PublishSettings.model_validate(setting)


def test_the_texts_do_not_change_results(survey: Survey) -> None:
    plain = survey.config.model_copy(update={"publish": PublishSettings()})
    assert plain.of_results() == survey.config.of_results()
    assert plain != survey.config


def test_the_command_publishes_and_refuses(survey: Survey, tmp_path: Path) -> None:
    """From settings and from the folder of the survey; a kill loses nothing."""
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(survey.config), encoding="utf-8")
    survey.workspace.settings.write_text(to_yaml(survey.config), encoding="utf-8")
    process = programs.start("publish", str(file), str(tmp_path / "site"), env=os.environ | {"PYTHONUNBUFFERED": "1"})
    process.line()
    process.kill()
    assert (tmp_path / "site.partial").exists()
    done = programs.run("publish", str(file), str(tmp_path / "site"))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "site.partial").exists()
    first = (tmp_path / "site" / SUMS).read_text(encoding="utf-8")
    done = programs.run("publish", str(survey.config.output), str(tmp_path / "site"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "site" / SUMS).read_text(encoding="utf-8") == first
    done = programs.run("publish", str(file), str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("lsbatch: ")
    assert "is not empty, and holds no earlier publication" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_survey_in_a_bucket_gives_the_same_site(
    survey: Survey, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.s3() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        root = survey.workspace.root
        for path in sorted(root.rglob("*")):
            if path.is_file():
                obstore.put(bucket.store(), f"norway/{path.relative_to(root)}", path.read_bytes())
        config = survey.config.model_copy(update={"output": objects.path_of("s3://surveys/norway")})
        publish(Survey(config, survey.grid, survey.positions), tmp_path / "site", lambda line: None)
    assert files_of(tmp_path / "site") == files_of(folder)


def test_answers_that_are_not_in_the_inventory_are_told(other: Survey, tmp_path: Path) -> None:
    lines: list[str] = []
    publish(other, tmp_path / "site", lines.append)
    assert "1 answers of reviewers are not in the inventory, and not published: run lsbatch run first" in lines


def test_a_survey_of_an_older_version_is_published(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parents[2] / "data" / "survey-made-by-df90880.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    publish(open_survey(settings.load(tmp_path / "survey.yaml")), tmp_path / "site", lambda line: None)
    found = pyogrio.read_dataframe(tmp_path / "site" / "inventory" / "landslides.geojsons")
    old = gpd.read_parquet(tmp_path / "survey" / "inventory" / "landslides.parquet")
    assert found[ID].tolist() == old[ID].tolist()


def test_a_failure_of_the_store_is_one_sentence(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(downloads, "copy", fail)
    with pytest.raises(LsbatchError, match="cannot be published: Input/output error; run the same command again"):
        publish(survey, tmp_path / "site", lambda line: None)
    assert not (tmp_path / "site").exists()


def test_without_maplibre_the_line_of_pip_is_said(
    tmp_path: Path, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lsbatch.review import site

    monkeypatch.setattr(site, "map_folder", lambda: None)
    with pytest.raises(LsbatchError, match="pip install 'lsbatch"):
        publish(survey, tmp_path / "site", lambda line: None)
