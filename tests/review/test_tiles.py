"""Tiles of the map: images against pixels looked up one by one, outlines against GDAL's reader of vector tiles."""

import io
import math
import subprocess
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from PIL import Image
from pyproj import Transformer

from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey
from lsbatch.errors import LsbatchError
from lsbatch.pipeline import national_maps
from lsbatch.review import image_tiles, map_images, mercator, vector_tile
from lsbatch.review.image_tiles import ImageTiles
from lsbatch.review.mercator import Tile
from lsbatch.review.outline_tiles import MOST_ZOOM, OUTLINE_ZOOM, Outlines
from lsbatch.storage import cube, vectors
from tests import fake_survey
from tests.fake_survey import Fake


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    made = fake_survey.make(tmp_path_factory.mktemp("tiles"), Fake(landslides=12, truth=False))
    national_maps.apply(made, made.config)
    return made


def at(survey: Survey, z: int) -> Tile:
    """The tile in the middle of a survey."""
    box = survey.grid.geobox.boundingbox
    lon, lat = Transformer.from_crs(survey.grid.crs, "EPSG:4326", always_xy=True).transform(
        (box.left + box.right) / 2, (box.bottom + box.top) / 2
    )
    n = 2**z
    return Tile(z, int((lon + 180) / 360 * n), int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n))


def pixels(content: tuple[bytes, str]) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content[0])).convert("RGBA"))


@pytest.mark.parametrize("z", [12, 13, 14])
def test_a_tile_has_the_pixels_of_the_map(survey: Survey, z: int) -> None:
    """Each pixel of the tile, one by one: its centre, in the grid's CRS, and the value of the mask there."""
    tile = at(survey, z)
    found = pixels(ImageTiles(survey).picture("mask", tile))
    whole = cube.read_window(
        survey.workspace.store, survey.grid, fake_survey.mask("unet"), slice(0, 512), slice(0, 512), ("landslide",)
    )["landslide"]
    left, bottom, right, top = tile.bounds
    to_grid = Transformer.from_crs("EPSG:3857", survey.grid.crs, always_xy=True)
    rng = np.random.default_rng(1)
    differing = seen = 0
    for row, col in rng.integers(0, 512, (3000, 2)).tolist():
        x, y = to_grid.transform(left + (col + 0.5) / 512 * (right - left), top - (row + 0.5) / 512 * (top - bottom))
        px, py = ~survey.grid.geobox.transform @ (x, y)
        inside = 0 <= px < 512 and 0 <= py < 512
        value = whole[int(py), int(px)] if inside else 0
        wanted = {1: (0xD5, 0x5E, 0, 255), 255: (0xB0, 0xB0, 0xB0, 255)}.get(int(value), (0, 0, 0, 0))
        differing += tuple(found[row, col].tolist()) != wanted
        seen += int(value) != 0
    assert seen > 100
    # GDAL approximates the transformation within an eighth of a pixel
    assert differing <= 0.01 * 3000


def test_every_image_is_made_and_transparent_beside_the_survey(survey: Survey) -> None:
    tiles = ImageTiles(survey)
    described = {one["name"]: one for one in tiles.described()}
    assert set(described) == {
        "after", "before", "radar-change", "radar-after", "radar-before", "relief", "probability", "mask", "date",
        "observed",
    }  # fmt: skip
    for name, one in described.items():
        assert one["minzoom"] <= one["maxzoom"]
        for z in (8, one["maxzoom"], 15):
            picture = pixels(tiles.picture(name, at(survey, z)))
            assert picture.shape == (512, 512, 4)
            # the made-up survey has no bits of `observed`
            assert (picture[..., 3] > 0).any() == (name != "observed"), (name, z)
        assert tiles.picture(name, Tile(12, 0, 0)) == (image_tiles.NOTHING, "image/png")
    assert described["probability"]["minzoom"] == 0 < described["after"]["minzoom"]


def test_colours_of_observed_ground() -> None:
    """Ground outside the survey is transparent; terrain shadow is marked whatever else was seen."""
    bits = {0: None, 3: "#0072b2", 1: "#56b4e9", 2: "#009e73", 4: "#999999", 3 | 4 | 64: "#0072b2", 33: "#e69f00"}
    found = map_images._observed({"0": np.array([list(bits)], np.float32)})[0]
    assert [f"#{r:02x}{g:02x}{b:02x}" if alpha else None for r, g, b, alpha in found.tolist()] == list(bits.values())


def test_the_cube_is_not_read_whole(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile with more pixels than may be read is transparent, and nothing is read for it."""
    tiles = ImageTiles(survey)
    monkeypatch.setattr(image_tiles, "MOST_CUBE_PX", 100)
    monkeypatch.setattr(map_images, "read", lambda *_: pytest.fail("the cube was read"))
    assert tiles.picture("after", at(survey, 11))[0] == image_tiles.NOTHING


def test_a_survey_without_results_has_no_images(tmp_path: Path) -> None:
    survey = fake_survey.make(tmp_path, Fake(landslides=2, truth=False, archives=("sentinel1",), bands="s1vv"))
    names = set(map_images.of_survey(survey))
    assert names == {"radar-change", "radar-after", "radar-before"}
    (survey.workspace.store / STACK.name / "zarr.json").unlink()
    assert map_images.of_survey(survey) == {}


@pytest.mark.parametrize("place", [(-1, 0, 0), (25, 0, 0), (3, 8, 0), (3, 0, -1)])
def test_tiles_beyond_the_world_are_refused(place: tuple[int, int, int]) -> None:
    with pytest.raises(LsbatchError, match="zoom is 0 to 24"):
        Tile(*place)


def test_the_window_of_a_tile_holds_all_its_pixels(survey: Survey) -> None:
    for z in (9, 12, 15):
        tile = at(survey, z)
        rows, cols = mercator.window(tile, survey.grid.geobox)
        left, bottom, right, top = tile.bounds
        x, y = np.random.default_rng(2).uniform((left, bottom), (right, top), (500, 2)).T
        px, py = ~survey.grid.geobox.transform @ mercator.transformer("EPSG:3857", survey.grid.crs).transform(x, y)
        assert (rows.start <= py.min(), py.max() <= rows.stop, cols.start <= px.min(), px.max() <= cols.stop) == (
            True,
        ) * 4
    # the South Pole is not in the CRS of the survey: an empty window, and no error
    empty = mercator.inside(mercator.window(Tile(3, 0, 7), survey.grid.geobox), survey.grid.shape)
    assert any(span.start == span.stop for span in empty)


def gdal_reads(folder: Path, tile: Tile, data: bytes, layer: str = "landslides") -> gpd.GeoDataFrame:
    path = folder / str(tile.z) / str(tile.x) / f"{tile.y}.pbf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    layers = pyogrio.list_layers(path)[:, 0].tolist() if data else []
    return pyogrio.read_dataframe(path, layer=layer, use_arrow=False) if layer in layers else gpd.GeoDataFrame()


@pytest.mark.parametrize("z", [10, 12, 13])
def test_gdal_reads_the_outlines(survey: Survey, tmp_path: Path, z: int) -> None:
    frame = vectors.read_part(survey.workspace.inventory / "landslides.parquet")
    tile = at(survey, z)
    data = Outlines.of(frame).tile(tile)
    found = gdal_reads(tmp_path, tile, data)
    px = (tile.bounds[2] - tile.bounds[0]) / 4096
    box = shapely.box(*tile.bounds)
    wanted = frame.to_crs("EPSG:3857").geometry
    near = [i for i, one in enumerate(wanted) if one.intersects(box.buffer(-8 * px))]
    numbers = found["mvt_id"].astype(int).tolist() if "mvt_id" in found else []
    assert set(near) <= set(numbers)
    for number, shape in zip(numbers, found.geometry, strict=True):
        true = shapely.intersection(wanted.iloc[number], box.buffer(vector_tile.MARGIN * px, join_style="mitre"))
        # simplified by half a pixel of a screen, and rounded
        assert shapely.hausdorff_distance(shapely.intersection(shape, box), shapely.intersection(true, box)) <= 12 * px


def test_holes_and_parts_are_kept(tmp_path: Path) -> None:
    tile = Tile(12, 2144, 1189)
    left, bottom, right, _ = tile.bounds
    side = right - left

    def box(a: float, b: float, c: float, d: float) -> shapely.Polygon:
        return shapely.box(left + a * side, bottom + b * side, left + c * side, bottom + d * side)

    shape = shapely.MultiPolygon([box(0.1, 0.1, 0.5, 0.5) - box(0.2, 0.2, 0.4, 0.4), box(0.6, 0.6, 0.9, 0.7)])
    beyond = box(3, 3, 4, 4)
    data = vector_tile.polygons("x", [7, 300], np.array([shape, beyond]), {"kind": ["a", "b"]}, tile.bounds)
    found = gdal_reads(tmp_path, tile, data, "x")
    assert found[["mvt_id", "kind"]].to_numpy().tolist() == [[7, "a"]]
    assert found.geometry.area.sum() == pytest.approx(shape.area, rel=2e-3)
    assert sum(len(one.interiors) for one in shapely.get_parts(found.geometry.values)) == 1
    assert vector_tile.polygons("x", [1], np.array([beyond]), {}, tile.bounds) == b""


@pytest.mark.parametrize("z", [0, 7, 10])
def test_gdal_reads_each_landslide_as_one_point(survey: Survey, tmp_path: Path, z: int) -> None:
    """At low zooms each landslide is one point of one tile, with what the page draws it by."""
    frame = vectors.read_part(survey.workspace.inventory / "landslides.parquet")
    outlines = Outlines.of(frame)
    tiles = [tile for tile in outlines.tiles() if tile.z == z]
    read = [gdal_reads(tmp_path, tile, outlines.tile(tile), "points") for tile in tiles]
    found = pd.concat(read).set_index("mvt_id").sort_index()
    assert found.index.tolist() == list(range(len(frame)))
    assert found["confidence"].tolist() == frame["confidence"].tolist()
    assert found["state"].tolist() == frame["review_state"].tolist()
    boxes = frame.to_crs("EPSG:3857").bounds
    unit = 2 * mercator.WORLD_M / 2**z / vector_tile.EXTENT
    middles = np.stack([boxes.minx + boxes.maxx, boxes.miny + boxes.maxy], axis=1) / 2
    assert np.abs(shapely.get_coordinates(found.geometry.values) - middles).max() <= unit


def test_each_landslide_is_in_the_tiles_that_it_touches(survey: Survey, tmp_path: Path) -> None:
    frame = vectors.read_part(survey.workspace.inventory / "landslides.parquet")
    outlines, shapes = Outlines.of(frame), frame.to_crs("EPSG:3857").geometry
    tiles = set(outlines.tiles())
    for z in (OUTLINE_ZOOM, MOST_ZOOM):
        middle = at(survey, z)
        for x in range(middle.x - 6, middle.x + 7):
            for y in range(middle.y - 6, middle.y + 7):
                tile = Tile(z, x, y)
                touched = shapes.intersects(shapely.box(*tile.bounds).buffer(-1)).any()
                assert not touched or (tile in tiles and outlines.tile(tile))


def test_no_landslide_is_no_tile(survey: Survey) -> None:
    frame = vectors.read_part(survey.workspace.inventory / "landslides.parquet")
    for z in (OUTLINE_ZOOM - 1, OUTLINE_ZOOM, OUTLINE_ZOOM + 1):
        assert Outlines.of(frame.iloc[:0]).tile(at(survey, z)) == b""
    assert list(Outlines.of(frame.iloc[:0]).tiles()) == []


def test_gdalwarp_gives_the_same_pixels(survey: Survey, tmp_path: Path) -> None:
    """The whole way of a national map, against another program."""
    tile = at(survey, 13)
    try:
        subprocess.run(
            ["gdalwarp", "-q", "-t_srs", "EPSG:3857", "-te", *map(str, tile.bounds), "-ts", "512", "512", "-r", "near",
             "-et", "0", str(survey.workspace.maps / "mask.tif"), str(tmp_path / "mask.png"), "-of", "PNG"],
            check=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("gdal-bin is not installed")
    wanted = np.array(Image.open(tmp_path / "mask.png"))
    found = pixels(ImageTiles(survey).picture("mask", tile))
    share = ((found[..., 0] == 0xD5) != (wanted == 1)).mean()
    assert (wanted == 1).sum() > 500
    assert share < 0.01
