"""Hostile files: settings, rasters, pictures, weights, and what may lie in a survey's folder."""

import json
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from odc.geo.geobox import GeoBox

from lsbatch import settings
from lsbatch.catalog import survey_variants
from lsbatch.catalog.items.scenes import describe
from lsbatch.catalog.survey import Survey
from lsbatch.engine import execution
from lsbatch.errors import ConfigError, ModelError, SceneError, StaleStoreError
from lsbatch.imagery import scene_reading
from lsbatch.models import cards
from lsbatch.report import images
from lsbatch.storage import vectors
from lsbatch.storage.documents import tile_edges
from tests import surveys
from tests.security import hostile
from tests.security.conftest import Done

Cli = Callable[..., Done]

# Settings

BOMB = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)),
    ]
)
SETTINGS = {
    "an object": ("survey: !!python/object:os.system {}", "could not determine a constructor for the tag"),
    "a call": (
        "survey: !!python/object/apply:os.system ['touch {sprung}']",
        "could not determine a constructor for the tag",
    ),
    "a module": ("survey: !!python/module:antigravity", "could not determine a constructor for the tag"),
    "aliases without end": (BOMB, "with its aliases written out it has more than 100,000 values"),
    "aliases in a setting": (f"{BOMB}\nsurvey: {{id: s, year: 2020, season: *a9}}", "with its aliases written out"),
    "brackets without end": ("[" * 100_000, "is not YAML that may be loaded"),
    "megabytes": ("# " + "x" * 2_000_000, "has more than 1,000,000 characters"),
    "a key that escapes": ('"tre\\e[2Jshold": 1', "tre\\x1b[2Jshold: is not a setting"),
    "a value that escapes": ('survey: {id: "\\e]0;owned\\a", year: 2020}', "survey.id = '\\x1b]0;owned\\x07'"),
    "HTML": (f"survey: {{id: '{hostile.SCRIPT}', year: 2020}}", "survey.id = '<img"),
    "a path out": ("survey: {id: ../../x, year: 2020}", "survey.id = '../../x'"),
    "not text": ("\xff\xfe", "is not YAML that may be loaded"),
}


@pytest.mark.parametrize(("text", "said"), list(SETTINGS.values()), ids=list(SETTINGS))
@pytest.mark.timeout(60)
def test_settings(lsbatch: Cli, tmp_path: Path, text: str, said: str) -> None:
    path, sprung = tmp_path / "config.yaml", tmp_path / "sprung"
    path.write_bytes(text.replace("{sprung}", str(sprung)).encode("latin-1"))
    lsbatch("run", str(path)).refused(said)
    assert not sprung.exists()


def test_a_device_is_no_file_of_settings(lsbatch: Cli) -> None:
    lsbatch("run", "/dev/zero").refused("has more than 1,000,000 characters")


def test_an_alias_may_be_used(tmp_path: Path) -> None:
    path = hostile.settings(tmp_path, str(tmp_path))
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["train"] = {"chip_px": 128}
    path.write_text(yaml.safe_dump(raw).replace("id: hostile", "id: &name hostile") + "\n", encoding="utf-8")
    assert settings.load(path).survey.id == "hostile"


# Rasters

BOX = GeoBox.from_bbox((500000, 6800000, 502560, 6802560), "EPSG:32633", resolution=10)


def read(path: Path) -> np.ndarray:
    """The elevation of a raster, as a stage reads it."""
    item = {
        "type": "Feature",
        "id": path.stem,
        "bbox": [-180, -90, 180, 90],
        "properties": {},
        "assets": {"data": {"href": str(path)}},
    }
    return scene_reading.read(describe(item, "dem"), ("elevation",), BOX)["elevation"]


#: Each claims 10 GB or more, or blocks of gigabytes. One strip alone is no danger: GDAL takes it row by row.
RASTERS: dict[str, tuple[dict[str, int], str]] = {
    "one strip": ({"side": 100_000, "rows": 100_000}, "TIFFReadScanline"),
    "one strip of 100 bands": ({"side": 10_000, "rows": 10_000, "bands": 100}, "TIFFReadScanline"),
    "two strips": ({"side": 100_000, "rows": 50_000}, "blocks of 4,768 MB; allowed are up to 256 MB"),
    "two strips of 0.8 GB": ({"side": 40_000, "rows": 20_000}, "blocks of 763 MB"),
    "two strips of 100 bands": ({"side": 5_000, "rows": 2_500, "bands": 100}, "blocks of 1,192 MB"),
    "one tile": ({"side": 100_000, "tile": 65_520}, "blocks of 4,094 MB"),
}


@pytest.mark.parametrize(("claim", "said"), list(RASTERS.values()), ids=list(RASTERS))
@pytest.mark.parametrize("moved", [False, True], ids=["as it lies", "warped"])
def test_rasters(tmp_path: Path, claim: dict[str, int], said: str, moved: bool) -> None:
    path = tmp_path / "bomb.tif"
    path.write_bytes(hostile.tiff(data=b"\0" * 64, **claim))
    item = {
        "type": "Feature",
        "id": "bomb",
        "bbox": [-180, -90, 180, 90],
        "properties": {},
        "assets": {"data": {"href": str(path)}},
    }
    box = BOX if not moved else BOX.to_crs("EPSG:3035", resolution=10)
    with pytest.raises(SceneError, match=said) as caught:
        scene_reading.read(describe(item, "dem"), ("elevation",), box)
    assert str(caught.value).startswith(f"bomb: asset data ({path}) cannot be read: ")
    assert not caught.value.may_pass


COST = """
import resource, sys
from odc.geo.geobox import GeoBox
from lsbatch.catalog.items import scenes
from lsbatch.imagery import scene_reading
item = {"type": "Feature", "id": "x", "bbox": [-180, -90, 180, 90], "properties": {}}
item["assets"] = {"data": {"href": sys.argv[1]}}
box = GeoBox.from_bbox((500000, 6800000, 502560, 6802560), "EPSG:32633", resolution=10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = scene_reading.read(scenes.describe(item, "dem"), ("elevation",), box)["elevation"].sum()
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_header_that_claims_10_gb_is_read_where_it_is_needed(tmp_path: Path) -> None:
    """100,000 x 100,000 pixels in 152,881 tiles that are all absent: allowed, and costs what a tile costs."""
    path = tmp_path / "sparse.tif"
    path.write_bytes(hostile.tiff(100_000, b"", tile=256))
    done = subprocess.run([sys.executable, "-c", COST, str(path)], capture_output=True, text=True, check=True)
    total, kilobytes = done.stdout.split()
    assert float(total) == 0
    assert int(kilobytes) < 200_000


def test_a_raster_of_ordinary_blocks_is_read(tmp_path: Path) -> None:
    """The bound is far from what archives have."""
    path = tmp_path / "good.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=256,
        height=256,
        count=1,
        dtype="float32",
        crs="EPSG:32633",
        transform=BOX.transform,
        blockysize=256,
    ) as file:
        file.write(np.full((256, 256), 7, np.float32), 1)
    assert (read(path) == 7).all()


# Pictures


@pytest.mark.parametrize("side", [5_000, 12_000, 100_000])
def test_pictures(side: int) -> None:
    with pytest.raises(OSError, match=f"the image has {side} x {side} pixels"):
        images.file_uri(hostile.png(side))


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"<svg onload=alert(1)>" * 9, hostile.png(100)[:40]])
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - Pillow's own words
        images.file_uri(content)


# Weights


def card_of(**changes: Any) -> dict[str, Any]:
    known = {
        "family": "unet",
        "bands": ["preVV"],
        "means": [0.0],
        "stds": [1.0],
        "network": {"depth": 4, "width": 8, "dropout": 0.1},
        "halo_px": 96,
        "lattice_px": 16,
        "settings": {},
        "scores": {},
        "made_by": {},
        "checksum": "0",
    }
    return known | changes


def weights(card: Any = None, **arrays: Any) -> bytes:
    """A safetensors file with a card and no array but what the header claims."""
    text = json.dumps(card_of() if card is None else card) if not isinstance(card, str) else card
    header = json.dumps({"__metadata__": {"lsbatch": text}} | arrays).encode()
    return struct.pack("<Q", len(header)) + header


HUGE = {"a": {"dtype": "F32", "shape": [50_000, 50_000], "data_offsets": [0, 10**10]}}
WEIGHTS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a pickle": (lambda sprung: pickle.dumps(hostile.Trap(sprung)), "a pickle could run code"),
    "a file of torch": (hostile.torch_file, "a pickle could run code"),
    "a header of 10 GB": (lambda _: struct.pack("<Q", 10**10) + b"{}", "a pickle could run code"),
    "arrays of 10 GB": (lambda _: weights(**HUGE), "its header says 10000000"),
    "a card nested without end": (lambda _: weights("[" * 100_000), "its card was written by another version"),
    "a card that is a list": (lambda _: weights([1]), "its card was written by another version"),
    "a family that escapes": (lambda _: weights(card_of(family="\x1b[2J")), "family, bands and checksum must be text"),
    "bands that are numbers": (lambda _: weights(card_of(bands=[1])), "family, bands and checksum must be text"),
    "means that are text": (lambda _: weights(card_of(means=["x"])), "must be numbers"),
    "a network of terabytes": (
        lambda _: weights(card_of(network={"depth": 30, "width": 64, "dropout": 0})),
        "a network 4096 channels",
    ),
    "a network without end": (
        lambda _: weights(card_of(network={"depth": 10**12, "width": 64, "dropout": 0})),
        "a network 4096 channels",
    ),
    "a network that is text": (lambda _: weights(card_of(network="x")), "its card was written by another version"),
    "a halo of a country": (lambda _: weights(card_of(halo_px=10**9)), "halo and lattice may have 8192 px"),
}


@pytest.mark.parametrize(("make", "said"), list(WEIGHTS.values()), ids=list(WEIGHTS))
@pytest.mark.timeout(60)
def test_weights(lsbatch: Cli, tmp_path: Path, make: Callable[[Path], bytes], said: str) -> None:
    path, sprung = tmp_path / "weights.safetensors", tmp_path / "sprung"
    path.write_bytes(make(sprung))
    lsbatch("export", str(path), str(tmp_path / "out.onnx")).refused(str(path), said)
    with pytest.raises(ModelError):
        cards.card(path)
    assert not sprung.exists()


# A survey's folder


PARTS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "a pickle in an array": (".npy", lambda sprung: object_array(sprung)),
    "an array of 10 GB": (".npy", lambda _: hostile.npy((50_000, 50_000))),
    "an array of more than there is": (".npy", lambda _: hostile.npy((2**31, 2**31))),
    "no array": (".npy", lambda _: b""),
    "no table": (".parquet", lambda _: b"PAR1" + b"\0" * 100 + b"PAR1"),
    "a pickle for a table": (".parquet", lambda sprung: pickle.dumps(hostile.Trap(sprung))),
}


def object_array(sprung: Path) -> bytes:
    path = sprung.with_name("made.npy")
    np.save(path, np.array([hostile.Trap(sprung)], object), allow_pickle=True)
    return path.read_bytes()


@pytest.mark.parametrize(("suffix", "make"), list(PARTS.values()), ids=list(PARTS))
def test_parts(tmp_path: Path, suffix: str, make: Callable[[Path], bytes]) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / f"r000c000{suffix}"
    path.write_bytes(make(sprung))
    with pytest.raises(
        StaleStoreError, match=r"is damaged, or was not made by lsbatch: .*; compute its tile again with lsbatch retry"
    ) as caught:
        tile_edges.read(path) if suffix == ".npy" else vectors.read_part(path)
    assert str(caught.value).isprintable()
    assert not sprung.exists()


def test_a_pickle_in_a_survey_is_told_and_nothing_else_is_lost(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    path, sprung = next((survey.workspace.root / "parts" / "outline").glob("*.npy")), tmp_path / "sprung"
    path.write_bytes(object_array(sprung))
    shutil.rmtree(survey.workspace.receipts / "inventory")
    count = surveys.Count()
    assert execution.run(survey, progress=count.progress) >= 1
    assert str(path) in count.failed["inventory", "all"]
    assert not sprung.exists()


def config_of(survey: Survey, folder: Path) -> Path:
    path = folder / "config.yaml"
    path.write_text(settings.to_yaml(survey.config), encoding="utf-8")
    return path


LINKED = (
    "receipts",
    "receipts/stack",
    "parts",
    "parts/outline",
    "inventory",
    "report",
    "stac",
    "plan",
    "plan/tiles",
    "cube.zarr",
    "cube.zarr/stack",
    "cube.zarr/stack/preVV",
)


@pytest.mark.parametrize("name", LINKED)
def test_links_out_of_the_survey(lsbatch: Cli, done_survey: Survey, tmp_path: Path, name: str) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    place, outside = survey.workspace.root / name, tmp_path / "outside"
    shutil.move(place, outside)
    place.symlink_to(outside, target_is_directory=True)
    before = {path: path.stat().st_mtime_ns for path in outside.rglob("*")}
    lsbatch("run", str(config_of(survey, tmp_path))).refused(str(place), "is a link to", str(outside))
    assert {path: path.stat().st_mtime_ns for path in outside.rglob("*")} == before


def test_links_that_are_followed(lsbatch: Cli, done_survey: Survey, tmp_path: Path) -> None:
    """The survey's folder itself, links inside it, and those that compare makes from a variant to its base."""
    survey = surveys.copy_survey(done_survey, tmp_path / "disk" / "s")
    root = survey.workspace.root
    shutil.move(root / "stac", root / "elsewhere")
    (root / "stac").symlink_to("elsewhere")
    (tmp_path / "s").symlink_to(root)
    linked = replace(survey, config=survey.config.model_copy(update={"output": tmp_path / "s"}))
    assert lsbatch("run", str(config_of(linked, tmp_path))).code == 0
    survey_variants.share(root, tmp_path / "variant")
    variant = replace(survey, config=survey.config.model_copy(update={"output": tmp_path / "variant"}))
    assert lsbatch("run", str(config_of(variant, tmp_path)), "--until", "stack").code == 0


def test_a_variant_of_no_survey(lsbatch: Cli, done_survey: Survey, tmp_path: Path) -> None:
    """The links of compare, but to a folder that is no survey."""
    root = surveys.copy_survey(done_survey, tmp_path / "s").workspace.root
    survey_variants.share(root, tmp_path / "variant")
    (root / "plan" / "plan.json").unlink()
    variant = replace(done_survey, config=done_survey.config.model_copy(update={"output": tmp_path / "variant"}))
    lsbatch("run", str(config_of(variant, tmp_path))).refused("is a link to")


def test_a_file_that_is_a_link_is_replaced_and_not_followed(done_survey: Survey, tmp_path: Path) -> None:
    survey = surveys.copy_survey(done_survey, tmp_path / "s")
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    for name in ("report/report.html", "inventory/landslides.csv", "receipts/inventory/all.json"):
        (survey.workspace.root / name).unlink()
        (survey.workspace.root / name).symlink_to(victim)
    (survey.workspace.receipts / "report" / "all.json").unlink()
    assert execution.run(survey) == 0
    assert victim.read_text(encoding="utf-8") == "mine"
    assert not (survey.workspace.root / "report" / "report.html").is_symlink()


# Names in vector files


@pytest.mark.parametrize("name", [hostile.ESCAPES[0], hostile.ESCAPES[4], "x" * 81, ""])
def test_names_of_plots(country: Path, tmp_path: Path, name: str) -> None:
    import geopandas as gpd

    config = surveys.configured(country, tmp_path / "s")
    assert config.truth is not None
    plots = gpd.read_file(config.truth.plots)
    plots.loc[0, config.truth.plot_field] = f"{name}"
    plots.to_file(tmp_path / "plots.gpkg")
    with pytest.raises(
        ConfigError, match="has a name that is empty, longer than 80 characters, or has a control character"
    ):
        vectors.read_plots(config.truth.model_copy(update={"plots": tmp_path / "plots.gpkg"}), config.grid.crs)
