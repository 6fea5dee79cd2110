"""A small survey that was never run: smooth random bands, receipts and an inventory, made in a second."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import scipy.ndimage
import shapely

from lsbatch import settings
from lsbatch.bands import STACK, mask, probability
from lsbatch.catalog import plan
from lsbatch.catalog.survey import Survey
from lsbatch.engine import tile_task
from lsbatch.engine.tile_task import Task
from lsbatch.grid import Grid, tile_id
from lsbatch.inventory import schema
from lsbatch.kernels import connected_regions
from lsbatch.models import cards
from lsbatch.storage import cube, geometries, receipts, vectors
from lsbatch.storage.receipts import Receipt

TILE_PX = 256
STAGES = ("stack", "predict", "clean", "outline", "score")
_EPOCH_2020 = 18262


@dataclass(frozen=True)
class Fake:
    """What to fake.

    Attributes
    ----------
    bands : str or tuple of str
        Band setting, or a list.
    archives : tuple of str
        Sensors that the survey has.
    landslides : int
        Blobs; they may touch.
    crowd : int
        That many landslides of some pixels each, in rows, instead of blobs: 5,000 at most.
    truth : bool
    failed : str or None
        Error of the second tile's STACK.
    dropped : tuple of str
        Scenes that could not be read, with the reason, in the first tile.
    offsets : str
        Decision on the offset, in every tile.
    """

    bands: str | tuple[str, ...] = "s1vv_s2"
    archives: tuple[str, ...] = ("sentinel2", "sentinel1", "dem")
    landslides: int = 20
    crowd: int = 0
    truth: bool = True
    failed: str | None = None
    dropped: tuple[str, ...] = ()
    offsets: str = "-1000: processing baseline is 04.00 or later"


def make(folder: Path, fake: Fake = Fake()) -> Survey:
    """Write the survey's folder."""
    config = _config(folder, fake)
    grid = Grid.snapped(config.grid.crs, 10.0, TILE_PX, config.region.bounds)
    # a corner is cut off, so the region is no box
    left, bottom, right, top = config.region.bounds
    region = shapely.Polygon([(left, bottom), (right - 900, bottom), (right, bottom + 900), (right, top), (left, top)])
    positions = tuple((row, col) for row in range(2) for col in range(2))
    _plan(config, grid, region, positions)
    survey = Survey(config, grid, positions)
    whole = _bands(fake, vectors.rasterize(region, grid.geobox))
    labels = whole.pop("labels")
    for position in positions:
        _tile(survey, position, whole, fake)
    _inventory(survey, labels, whole)
    if fake.truth:
        _truth(config, grid, labels)
    for position in positions:
        if not (fake.failed and position == (0, 1)):
            for stage in ("map_blocks", "thumbnails"):
                assert tile_task.commit(config, grid, Task(stage, position, "d"))
    return survey


def _config(folder: Path, fake: Fake) -> settings.Config:
    weights = folder / "weights.safetensors"
    source = {"preset": "stac", "url": "https://user:secret@example.org/stac", "collections": ["c"]}
    raw: dict[str, Any] = {
        "survey": {"id": "synthetic-fake", "year": 2020},
        "region": {"bounds": [299700.0, 6799500.0, 304500.0, 6804300.0]},
        "grid": {"tile_px": TILE_PX},
        "archives": dict.fromkeys(fake.archives, source),
        "bands": fake.bands,
        "model": {"weights": str(weights)},
        "output": str(folder / "survey"),
        "truth": {"file": str(folder / "truth.gpkg")} if fake.truth else None,
    }
    config = settings.parse(raw, folder)
    bands = len(config.inputs)
    card = cards.Card(
        "unet", config.inputs, (0.0,) * bands, (1.0,) * bands, {}, 96, 16, made_by={"surveys": ["one", "two"]}
    )
    cards.save(weights, {"nothing": np.zeros(3, np.float32)}, card)
    return config


def _plan(
    config: settings.Config, grid: Grid, region: shapely.Geometry, positions: tuple[tuple[int, int], ...]
) -> None:
    summary = {"tiles": len(positions), "region_km2": region.area / 1e6, "left_out": []}
    plan.save(plan.Plan("", grid, positions, region, {}, summary), config.output)


def _smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    field = scipy.ndimage.gaussian_filter(rng.normal(size=(2 * TILE_PX, 2 * TILE_PX)), sigma)
    return ((field - field.min()) / np.ptp(field)).astype(np.float32)


def _crowd(shape: tuple[int, int], count: int) -> np.ndarray:
    """Small rectangles every 6 pixels, clear of the region's edge."""
    slides = np.zeros(shape, bool)
    for i in range(count):
        row, col = divmod(i, 76)
        top, left = 24 + 6 * row, 24 + 6 * col
        slides[top : top + 2 + (row + col) % 4, left : left + 3 + (row * col) % 3] = True
    return slides


def _bands(fake: Fake, inside: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    shape = (2 * TILE_PX, 2 * TILE_PX)
    slides = _crowd(shape, fake.crowd)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    for size in np.linspace(2, 18, 0 if fake.crowd else fake.landslides):
        row, col = rng.integers(80, 480, 2)
        slides |= ((rows - row) / (2 * size)) ** 2 + ((cols - col) / size) ** 2 < 1
    # a crowd is seen whole, so that its number is known
    cloud = _smooth(rng, 20) > (1 if fake.crowd else 0.78)
    bands: dict[str, np.ndarray] = {}
    for band in STACK.bands:
        bands[band.name] = (
            np.full(shape, np.nan, np.float32) if band.scale is not None else np.full(shape, band.fill, band.dtype)
        )
    cover = _smooth(rng, 12)
    if "sentinel2" in fake.archives:
        for period in ("pre", "post"):
            for colour, level in (("R", 0.03), ("G", 0.05), ("B", 0.03), ("NIR", 0.3)):
                values = level * (0.6 + cover) + rng.normal(0, 0.003, shape).astype(np.float32)
                bands[f"{period}{colour}"] = np.where(slides & (period == "post"), 0.16, values)
                bands[f"{period}{colour}"][cloud] = np.nan
            bands[f"{period}_date"][:] = _EPOCH_2020 + (180 if period == "post" else -180)
        bands["dNDVI"] = np.where(cloud, np.nan, np.where(slides, -0.4, 0)).astype(np.float32)
    if "sentinel1" in fake.archives:
        for pol, level in (("VV", -11.0), ("VH", -17.0)):
            bands[f"pre{pol}"] = (level + 4 * cover + rng.normal(0, 0.7, shape)).astype(np.float32)
            bands[f"post{pol}"] = bands[f"pre{pol}"] + np.where(slides, 4, 0).astype(np.float32)
            bands[f"diff{pol}"] = bands[f"post{pol}"] - bands[f"pre{pol}"]
    if "dem" in fake.archives:
        bands["elevation"] = 900 * _smooth(rng, 40)
    slides &= inside & ~cloud
    bands["probability"] = np.where(slides, 0.93, 0.04).astype(np.float32)
    bands["spread"] = np.full_like(bands["probability"], np.nan)
    bands["landslide"] = np.where(inside & ~cloud, slides, 255).astype(np.uint8)
    bands["labels"], _ = scipy.ndimage.label(slides, np.ones((3, 3), int))
    bands["inside"] = inside
    return bands


def _tile(survey: Survey, position: tuple[int, int], whole: dict[str, np.ndarray], fake: Fake) -> None:
    store, tile = survey.workspace.store, survey.tile(position)
    here = {name: values[tile.region] for name, values in whole.items()}
    failed = fake.failed if position == (0, 1) else None
    for layer in (STACK, probability("unet"), mask("unet")):
        cube.create(store, survey.grid, layer)
        if not failed:
            cube.write(store, layer, tile, here)
    found, surveyed = here["landslide"] == 1, here["landslide"] != 255
    tallies: dict[str, dict[str, Any]] = {
        "stack": {
            "region_pixels": int(here["inside"].sum()),
            "decisions": {"offsets": [fake.offsets], "orbits": ["ascending 44 SENTINEL-1A"]},
        },
        "clean": {"landslide_pixels": int(found.sum()), "surveyed_pixels": int(surveyed.sum())},
        "outline": {"parts": int(found.any())},
        "score": {"tp": int(found.sum()), "fp": 0, "fn": 0, "tn": int(surveyed.sum() - found.sum())},
    }
    for i, stage in enumerate(STAGES if fake.truth else STAGES[:-1]):
        receipt = Receipt(
            stage, tile.id, "d", 3.0 / (i + 1), TILE_PX**2, 300.0 + i, "host:1", "2020-10-01T00:00:00+00:00",
            tally=tallies.get(stage, {}), scenes=("scene-1", "scene-2") if stage == "stack" else (),
            dropped=fake.dropped if stage == "stack" and position == (0, 0) else (),
        )  # fmt: skip
        if failed:
            receipts.write(survey.workspace.receipts, replace(receipt, error=failed, tally={}))
            break
        receipts.write(survey.workspace.receipts, receipt)


def _inventory(survey: Survey, labels: np.ndarray, whole: dict[str, np.ndarray]) -> None:
    count = int(labels.max())
    shapes = geometries.polygonize(labels.astype(np.int32), count, survey.grid.geobox)
    index = np.arange(1, count + 1)
    frame = gpd.GeoDataFrame(
        {name: _column(name, kind, count) for name, kind in schema.dtypes().items()},
        geometry=list(shapes),
        crs=survey.grid.crs,
    )
    frame["landslide_id"] = [f"synthetic-fake-{i:010x}" for i in index]
    frame["area_m2"] = frame.area
    if count:
        frame["dvv_mean_db"] = scipy.ndimage.mean(whole["diffVV"], labels, index)
    frame = frame.astype(schema.dtypes()).sort_values("area_m2", ascending=False)
    vectors.write_parquet(survey.workspace.inventory / "landslides.parquet", frame)
    receipts.write(
        survey.workspace.receipts,
        Receipt(
            "inventory", "all", "d", 0.4, 0, 310.0, "host:1", "2020-10-01T00:00:00+00:00", tally={"landslides": count}
        ),
    )


def multiply(survey: Survey, count: int) -> None:
    """Replace the inventory by `count` small landslides at random places, with different values in every field."""
    rng = np.random.default_rng(6)
    first = vectors.read_part(survey.workspace.inventory / "landslides.parquet").iloc[:0]
    left, bottom, right, top = survey.config.region.bounds
    x, y = rng.uniform(left + 100, right - 100, count), rng.uniform(bottom + 100, top - 100, count)
    # one of ten is drawn with its outline, the others as dots
    size = np.where(rng.random(count) < 0.1, 12, 4) * rng.lognormal(0, 0.3, count)
    corners = np.stack([x, y], axis=1)[:, None] + size[:, None, None] * (
        np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + rng.uniform(-0.3, 0.3, (count, 4, 2))
    )
    frame = gpd.GeoDataFrame(
        {name: _column(name, kind, count) for name, kind in schema.dtypes().items()},
        geometry=shapely.polygons(corners),
        crs=first.crs,
    )
    frame["landslide_id"] = [f"synthetic-fake-{i:010x}" for i in range(1, count + 1)]
    for name, kind in schema.dtypes().items():
        if kind == "float64":
            frame[name] = rng.random(count) * 100
    frame["area_m2"] = frame.area
    frame = frame.astype(schema.dtypes()).sort_values("area_m2", ascending=False)
    vectors.write_parquet(survey.workspace.inventory / "landslides.parquet", frame)


def _column(name: str, kind: str, count: int) -> Any:
    values = next(field.values for field in schema.FIELDS if field.name == name)
    if name in ("observation", "outline"):
        # those of a survey that was never reviewed
        return [{"observation": "found", "outline": "pixels"}[name]] * count
    if kind == "str":
        fixed = {"date_earliest": "2019-07-05", "date_latest": "2020-06-29", "date_method": "greenest looks"}
        # every allowed value in turn
        return [values[i % len(values)] if values else fixed.get(name, "") for i in range(count)]
    if name == "slope_mean_deg":
        # unknown in every other record
        return np.where(np.arange(count) % 2, np.nan, np.arange(count) % 80.0)
    return np.ones(count)


def _truth(config: settings.Config, grid: Grid, labels: np.ndarray) -> None:
    assert config.truth is not None
    shifted, count = connected_regions.label(np.roll(labels > 0, 4, axis=1))
    shapes = list(geometries.polygonize(shifted, count, grid.geobox))
    frame = gpd.GeoDataFrame({"name": ["t"] * count}, geometry=shapes, crs=grid.crs)
    vectors.write_geopackage(config.truth.file, frame, "truth")


def tile(row: int, col: int) -> str:
    """Name of a tile."""
    return tile_id(row, col)
