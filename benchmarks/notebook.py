"""Time and memory for a whole tile, from 40 + 40 scenes to the inventory, compared with a typical notebook.

    python -m benchmarks.notebook [--tile 2048] [--scenes 40] [--geometry nation|same]

Ours is a survey of one tile: plan, STACK, predict, clean, outline, inventory, with the cube and the receipts written.
The notebook is `odc.stac.load` with dask, greenest pixels and medians by xarray (`stack_tile.peer`, the same bands of
the same files), MONAI's `sliding_window_inference` of the same packaged network (128 px, overlap a half, Gaussian
weights), threshold, majority of 3 x 3 pixels by scipy, `rasterio.features.shapes`, areas by geopandas, one GeoPackage;
it keeps nothing in between, casts no shadows, and gives each landslide an area where ours gives it dates, terrain and
evidence. The lean notebook is the least that gives the same outlines: it loads only red, near infrared, SCL and VV.

The scenes are those of `landslide_scenes`. With `nation`, the default, Sentinel-2 lies in the next UTM zone, Sentinel-1
half a pixel off, the DEM in degrees, swath edges cut scenes, and relief casts shadow; with `same`, all lie on the
tile's own lattice. Each program runs in a process of its own, twice, into a fresh folder: first with compilation, then
without; imports are not counted. All may use every core. Peak memory is the process's, with all imports (0.6 GB).

The inventories cannot be equal: blended windows are not the whole image, and with `nation` GDAL's transformer is off by
up to an eighth of a pixel. So the share in common is printed. Only ours masks terrain shadow. A planted landslide that
touches ground without an observation by ours, or lies less than `REACH_M` from it, is left out of all inventories, with
the outlines that meet it; how many are left is printed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import geopandas as gpd
import numpy as np
import odc.stac
import pystac
import rasterio.features
import shapely
import torch
import xarray as xr
from dask.array import reductions
from monai.inferers import sliding_window_inference
from rasterio.transform import from_origin
from scipy import ndimage

from benchmarks import landslide_scenes, stack_tile, tile_memory
from lsbatch import settings
from lsbatch.catalog import plan, planning
from lsbatch.catalog.survey import open_survey
from lsbatch.engine import execution, tile_task
from lsbatch.models import base, cards, unet
from lsbatch.notebook import OpenSurvey
from lsbatch.pipeline import optical
from lsbatch.settings import Config
from lsbatch.storage import receipts
from lsbatch.storage.workspace import Workspace

SQUARE = np.ones((3, 3), np.uint8)
#: Around ground that ours does not observe: the majority of 3 x 3 pixels, and a pixel of rounding.
REACH_M = 30.0
Seconds = dict[str, float]


def ours(folder: Path, output: Path) -> Seconds:
    """The survey; seconds of its stages from their receipts."""
    config = settings.load(folder / "config.yaml").model_copy(update={"output": output})
    parts: Seconds = {}
    with _clocked(parts, "plan"):
        plan.save(planning.make(config), output)
    survey = open_survey(config)
    if execution.run(survey, until="inventory"):
        raise RuntimeError(f"a stage failed; its receipt in {survey.workspace.receipts} says why")
    for stage in ("stack", "predict", "clean", "outline", "inventory"):
        parts[stage] = sum(
            receipt.seconds for receipt in receipts.read_stage(survey.workspace.receipts, stage).values()
        )
    return parts


def peer(folder: Path, output: Path, composites: Callable[[Path], dict[str, np.ndarray]] = stack_tile.peer) -> Seconds:
    """The notebook; seconds of its cells."""
    config = settings.load(folder / "config.yaml")
    survey = open_survey(config)
    box = survey.tile(survey.positions[0]).geobox
    parts: Seconds = {}
    # see stack_tile.peer
    with _clocked(parts, "load, composites"), mock.patch.object(reductions, "HAS_NUMBAGG", False):
        bands = composites(folder)
    with _clocked(parts, "network"):
        probability, seen = _peer_network(bands, config)
    with _clocked(parts, "threshold, majority"):
        votes, voters = (
            ndimage.convolve(mask.view(np.uint8), SQUARE, mode="constant")
            for mask in (seen & (probability >= config.clean.threshold), seen)
        )
        landslide = seen & (2 * votes > voters)
    with _clocked(parts, "polygons, file"):
        found = polygons(landslide, box.transform, config.grid.crs, config.inventory.min_area_m2)
        Workspace(output).inventory.mkdir(parents=True)
        found.to_file(Workspace(output).inventory / "landslides.gpkg", layer="landslides")
    return parts


def inputs_only(folder: Path) -> dict[str, np.ndarray]:
    """The network's three bands, and no more: the largest NDVI needs no index of the greenest pixel."""
    config = settings.load(folder / "config.yaml")
    survey = open_survey(config)
    where = {"geobox": survey.tile(survey.positions[0]).geobox, "chunks": {"x": 2048, "y": 2048}}
    items = list(pystac.Catalog.from_file(str(folder / "catalog.json")).get_items(recursive=True))
    for item in items:
        item.make_asset_hrefs_absolute()
    lazy: dict[str, Any] = {}
    for period, first in tile_memory.WINDOWS.items():
        s2, s1 = (
            [i for i in items if i.collection_id == name and i.datetime is not None and i.datetime.year == first.year]
            for name in ("sentinel-2-l2a", "sentinel-1-rtc")
        )
        lazy[f"{period}_ndvi"] = _largest_ndvi(s2, where, config.composite.cloud_dilate_px)
        power = odc.stac.load(s1, bands=["vv"], groupby="id", resampling="bilinear", nodata=-32768, **where).vv
        lazy[f"{period}VV"] = 10 * np.log10(power.where(power > 0).chunk(time=-1).median("time"))
    done = dict(zip(lazy, dask.compute(*lazy.values()), strict=True))
    done["dNDVI"] = done["post_ndvi"] - done["pre_ndvi"]
    return {name: np.asarray(done[name]) for name in ("preVV", "postVV", "dNDVI")}


def _largest_ndvi(items: list[pystac.Item], where: dict[str, Any], grown: int) -> xr.DataArray:
    how = {"scl": "nearest", "*": "bilinear"}
    data = odc.stac.load(items, bands=["red", "nir", "scl"], groupby="solar_day", resampling=how, nodata=0, **where)
    span = np.arange(-grown, grown + 1)
    disk = (span[:, None] ** 2 + span**2 <= grown**2)[None]
    clouds = data.scl.isin(optical.optical.CLOUDS)
    cloud = xr.apply_ufunc(
        partial(ndimage.binary_dilation, structure=disk), clouds, dask="parallelized", output_dtypes=[bool]
    )
    clear = ~(data.scl.isin(optical.optical.DROPPED) | cloud) & (data.red > 0) & (data.nir > 0)
    red, nir = ((data[name].astype("float32") - 1000) * np.float32(1e-4) for name in ("red", "nir"))
    return ((nir - red) / (nir + red)).clip(-1, 1).where(clear & (nir + red > 0)).max("time")


def _peer_network(bands: dict[str, np.ndarray], config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Probability by MONAI, and where all bands were observed."""
    weights = base.resolve(config)
    of = cards.card(weights)
    network = unet.restore(unet.structure(of), cards.arrays(weights)).eval()
    unet.cooled(network.last, of)
    block = np.stack([bands[name] for name in of.bands]).astype(np.float32)
    inputs = torch.from_numpy(unet.normalised(block, of.means, of.stds))[None]
    with torch.inference_mode():
        found = sliding_window_inference(
            inputs, 128, 4, lambda x: torch.sigmoid(network(x))[:, None], overlap=0.5, mode="gaussian"
        )
    return found[0, 0].numpy(), np.isfinite(block).all(axis=0)


def polygons(mask: np.ndarray, transform: Any, crs: str, least_m2: float) -> gpd.GeoDataFrame:
    """Outlines of the 8-connected regions of a mask, as a notebook draws them, and their areas."""
    drawn = rasterio.features.shapes(mask.view(np.uint8), mask, connectivity=8, transform=transform)
    # an outline that touches itself at a corner is not valid yet
    outlines = shapely.make_valid(np.array([shapely.geometry.shape(shape) for shape, _ in drawn], dtype=object))
    frame = gpd.GeoDataFrame(geometry=outlines, crs=crs)
    frame["area_m2"] = frame.area
    return frame[frame["area_m2"] >= least_m2].reset_index(drop=True)


@contextmanager
def _clocked(parts: Seconds, label: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    parts[label] = time.perf_counter() - began


PROGRAMS: dict[str, Callable[[Path, Path], Seconds]] = {
    "ours": ours,
    "notebook": peer,
    "lean notebook": partial(peer, composites=inputs_only),
}
PEERS = ("notebook", "lean notebook")
RUNS = ("first", "next")


def twice(who: str, folder: Path) -> dict[str, Any]:
    """Run one of them in this process, each time into a fresh folder: seconds, seconds of its parts, peak in MB."""
    result: dict[str, Any] = {"seconds": {}, "parts": {}}
    for run in RUNS:
        with _clocked(result["seconds"], run):
            result["parts"][run] = PROGRAMS[who](folder, output(folder, who, run))
    return result | {"peak_mb": tile_task.peak_mb()}


def output(folder: Path, who: str, run: str) -> Path:
    """Where a run writes."""
    return folder / f"{who}-{run}"


def inventories(folder: Path) -> dict[str, np.ndarray]:
    """Outlines by each program, and of what was planted, where ours has observations."""
    files = {who: Workspace(output(folder, who, RUNS[-1])).inventory / "landslides.gpkg" for who in PROGRAMS}
    files["planted"] = folder / "planted.gpkg"
    found = {who: np.asarray(gpd.read_file(file, layer="landslides").geometry.values) for who, file in files.items()}
    hidden = shapely.buffer(unobserved(folder), REACH_M)
    lost = shapely.union_all(found["planted"][shapely.intersects(found["planted"], hidden)])
    return {who: outlines[~shapely.intersects(outlines, lost)] for who, outlines in found.items()}


def unobserved(folder: Path) -> shapely.Geometry:
    """The ground of which our mask says nothing."""
    config = settings.load(folder / "config.yaml").model_copy(update={"output": output(folder, "ours", RUNS[-1])})
    mask = OpenSurvey(config).mask
    return shapely.union_all(polygons(np.isnan(mask.values), mask.rio.transform(), mask.rio.crs, 0).geometry.values)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two inventories' areas."""
    first, second = shapely.union_all(one), shapely.union_all(other)
    return float(shapely.area(first & second) / shapely.area(first | second))


def met(one: np.ndarray, other: np.ndarray) -> int:
    """Landslides of one inventory that share area with some landslide of the other."""
    return int(np.count_nonzero(shapely.area(shapely.intersection(one, shapely.union_all(other)))))


def report(found: dict[str, dict[str, Any]], outlines: dict[str, np.ndarray]) -> Iterator[str]:
    """Tables in Markdown."""
    mine, true = found["ours"], outlines["planted"]
    yield from _head(
        "", "first tile, s", "next tiles, s", "peak, MB", "landslides", "of the planted found", "IoU with the planted"
    )
    for who, row in found.items():
        yield (
            f"| {who} | {row['seconds']['first']:.1f} | {row['seconds']['next']:.1f} | {row['peak_mb']:,.0f} | "
            f"{len(outlines[who])} | {met(true, outlines[who])} of {len(true)} | {overlap(true, outlines[who]):.3f} |"
        )
    yield ""
    yield from _head(
        "ours against",
        "times faster, first",
        "next",
        "share of its peak",
        "ours that meet its",
        "its that meet ours",
        "IoU",
    )
    for who in PEERS:
        row, theirs = found[who], outlines[who]
        first, after = (row["seconds"][run] / mine["seconds"][run] for run in RUNS)
        yield (
            f"| {who} | {first:.1f} | {after:.1f} | {mine['peak_mb'] / row['peak_mb']:.2f} | "
            f"{met(outlines['ours'], theirs)} of {len(outlines['ours'])} | {met(theirs, outlines['ours'])} of "
            f"{len(theirs)} | {overlap(outlines['ours'], theirs):.4f} |"
        )
    yield ""
    yield from _head("", "part", "first tile, s", "next tiles, s")
    for who, row in found.items():
        for part, seconds in row["parts"]["first"].items():
            yield f"| {who} | {part} | {seconds:.2f} | {row['parts']['next'][part]:.2f} |"


def _head(*names: str) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tile", type=int, default=2048)
    parser.add_argument("--scenes", type=int, default=40, help="of each sensor")
    parser.add_argument("--geometry", choices=("nation", "same"), default="nation", help="of the scenes' lattices")
    parser.add_argument("--child", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(twice(asked.child[0], Path(asked.child[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, asked.tile, asked.scenes, asked.geometry)
        found = {who: stack_tile.measure(folder, who, "benchmarks.notebook") for who in PROGRAMS}
        outlines = inventories(folder)
    print(
        f"{asked.geometry}: {asked.scenes} + {asked.scenes} scenes, tile of {asked.tile} px, "
        f"{torch.get_num_threads()} threads; {len(outlines['planted'])} of {landslide_scenes.CELLS**2} planted "
        "landslides are observed by ours and compared\n"
    )
    print("\n".join(report(found, outlines)))


def prepare(folder: Path, tile_px: int, scenes: int, geometry: str) -> None:
    """The catalogue, what was planted, and the plan from which notebooks take the tile's lattice."""
    path, change = landslide_scenes.build(folder, tile_px, scenes, geometry)
    where = from_origin(tile_memory.LEFT, tile_memory.TOP, 10, 10)
    polygons(change != 0, where, tile_memory.CRS_NAME, 0).to_file(folder / "planted.gpkg", layer="landslides")
    config = settings.load(path)
    plan.save(planning.make(config), config.output)


if __name__ == "__main__":
    main()
