"""Truth of the synthetic country: landslides, confounders, land cover, training points."""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio.features
import shapely
from odc.geo.geobox import GeoBox

from lsbatch.synthetic import confounders, cover, mapping, write
from lsbatch.synthetic.country import CRS, Ground, rng
from lsbatch.synthetic.landslides import Landslides

#: The paper's training points: landslides, and the sum of the seven other classes.
LANDSLIDE_POINTS, OTHER_POINTS = 18, 112
CHANGED_SHARE = 0.25


def save(ground: Ground, folder: Path, slid: gpd.GeoDataFrame | None = None) -> None:
    """Write truth.gpkg, confounders.gpkg, points.gpkg, plots.gpkg and cover.tif.

    Of a varied country truth.gpkg is what a mapper delivers. outlines.gpkg has the exact outlines, scars.gpkg the old
    scars, and conditions.json the conditions. `slid` are the landslides of several years; by default those of `ground`.
    """
    perfect = landslides(ground) if slid is None else slid
    if ground.variety is None:
        write_layer(perfect, folder / "truth.gpkg", "landslides")
    else:
        scars = outlines(ground.variety.scars, ground)
        write_layer(mapping.mapped(perfect, scars, ground), folder / "truth.gpkg", "landslides")
        write_layer(perfect, folder / "outlines.gpkg", "landslides")
        write_layer(scars, folder / "scars.gpkg", "scars")
        text = json.dumps(dataclasses.asdict(ground.conditions), indent=1)
        (folder / "conditions.json").write_text(text + "\n", encoding="utf-8")
    write_layer(changes(ground), folder / "confounders.gpkg", "confounders")
    write_layer(points(ground, draw=0), folder / "points.gpkg", "points")
    write_layer(quarters(ground.geobox), folder / "plots.gpkg", "plots")
    write.cog(folder / "cover.tif", ground.cover, ground.geobox, None)


def write_layer(frame: gpd.GeoDataFrame, path: Path, layer: str) -> None:
    """Write a GeoPackage of one layer, the same bytes for the same rows."""
    path.unlink(missing_ok=True)
    with _fixed_date():
        pyogrio.write_dataframe(frame, path, layer=layer, driver="GPKG")


@contextmanager
def _fixed_date() -> Iterator[None]:
    """Set the time in a GeoPackage, so that the same seed gives the same bytes."""
    before = os.environ.get("OGR_CURRENT_DATE")
    os.environ["OGR_CURRENT_DATE"] = "2020-12-31T00:00:00Z"
    try:
        yield
    finally:
        del os.environ["OGR_CURRENT_DATE"]
        if before is not None:
            os.environ["OGR_CURRENT_DATE"] = before


def _outlines(labels: np.ndarray, ground: Ground) -> tuple[list[int], list[shapely.Geometry]]:
    """Return number and multipolygon of each label, along pixel edges."""
    pieces: dict[int, list[shapely.Geometry]] = {}
    shapes = rasterio.features.shapes(labels, labels > 0, transform=ground.geobox.transform)
    for shape, value in shapes:
        pieces.setdefault(int(value), []).append(shapely.geometry.shape(shape))
    numbers = sorted(pieces)
    return numbers, [shapely.multipolygons(pieces[n]) for n in numbers]


def landslides(ground: Ground) -> gpd.GeoDataFrame:
    """Return the true landslides with their day."""
    return outlines(ground.slides, ground)


def outlines(slides: Landslides, ground: Ground) -> gpd.GeoDataFrame:
    """Return landslides, or old scars, along pixel edges."""
    numbers, shapes = _outlines(slides.labels, ground)
    main = [cover.NAMES[np.bincount(ground.cover[slides.labels == n]).argmax()] for n in numbers]
    frame = {
        "landslide_id": [f"true-{n:04d}" for n in numbers],
        "date": [slides.day[n - 1].isoformat() for n in numbers],
        "area_m2": [shape.area for shape in shapes],
        "cover": main,
    }
    return gpd.GeoDataFrame(frame, geometry=shapes, crs=CRS)


def changes(ground: Ground) -> gpd.GeoDataFrame:
    """Return the changes that are not landslides, by kind."""
    numbers, shapes = _outlines(ground.confounders.kind.astype(np.int32), ground)
    kinds = [confounders.NAMES[n] for n in numbers]
    return gpd.GeoDataFrame({"kind": kinds, "area_m2": [s.area for s in shapes]}, geometry=shapes, crs=CRS)


def quarters(geobox: GeoBox) -> gpd.GeoDataFrame:
    """Return four parts of the country that are scored separately."""
    box = geobox.boundingbox
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    shapes = {
        "north-west": (box.left, y, x, box.top), "north-east": (x, y, box.right, box.top),
        "south-west": (box.left, box.bottom, x, y), "south-east": (x, box.bottom, box.right, y),
    }  # fmt: skip
    return gpd.GeoDataFrame({"name": list(shapes)}, geometry=[shapely.box(*b) for b in shapes.values()], crs=CRS)


def points(ground: Ground, draw: int) -> gpd.GeoDataFrame:
    """Return training points of eight classes at pixel centres, as in the paper; each `draw` gives other points.

    The seven other classes have equal numbers of points, as far as the country has enough pixels. An interpreter who
    wants to distinguish landslides from other changes also places points on a clear-cut, a mown field or a flooded
    bank: `CHANGED_SHARE` of the points of a class lie on changed ground, if the class has any.
    """
    dice = rng(ground.seed, 40, draw)
    classes = np.where(ground.slides.labels > 0, len(cover.NAMES), ground.cover)
    rows, cols, names = [], [], []
    present = [c for c in range(len(cover.NAMES)) if np.count_nonzero(classes == c) >= OTHER_POINTS]
    shares = np.diff(np.linspace(0, OTHER_POINTS, len(present) + 1).round().astype(int))
    for number, count in [*zip(present, shares, strict=True), (len(cover.NAMES), LANDSLIDE_POINTS)]:
        places = np.flatnonzero(classes == number)
        chosen = _drawn(places, int(count), ground.confounders.kind.ravel()[places] > 0, dice)
        rows += (chosen // classes.shape[1]).tolist()
        cols += (chosen % classes.shape[1]).tolist()
        names += [(*cover.NAMES, "landslide")[number]] * len(chosen)
    x, y = ground.geobox.transform @ (np.array(cols) + 0.5, np.array(rows) + 0.5)  # type: ignore[operator]
    return gpd.GeoDataFrame({"class": names}, geometry=shapely.points(x, y), crs=CRS)


def _drawn(places: np.ndarray, count: int, changed: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """Return `count` of the places, a share of them on changed ground if there is any."""
    of_changed = min(round(CHANGED_SHARE * count), int(changed.sum()))
    return np.concatenate(
        [
            dice.choice(places[changed], of_changed, replace=False),
            dice.choice(places[~changed], min(count - of_changed, int((~changed).sum())), replace=False),
        ]
    )
