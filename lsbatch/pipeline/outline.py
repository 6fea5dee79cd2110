"""Stage MASK to polygon parts: outlines inside one tile, with statistics that add up across tiles.

A landslide that crosses the edge of a tile has a part in each tile. All statistics of a part are sums, minima or
maxima, so the joined record is the same as with one tile for the whole country.
"""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from odc.geo.geobox import GeoBox

from lsbatch.kernels import connected_regions, terrain
from lsbatch.kernels.greenest_pixel import NO_DAY
from lsbatch.models import families
from lsbatch.models.applicability import described
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.stack import ASCENDING, DESCENDING, OPTICAL, RADAR, SHADED
from lsbatch.pipeline.types import FOUND, Block, Stage
from lsbatch.settings import Config
from lsbatch.storage import geometries
from lsbatch.storage.geometries import rasterize, read_polygons
from lsbatch.storage.receipts import checksum

#: Probabilities are stored as a histogram of hundredths, so that percentiles of joined parts are exact to 0.01.
HISTOGRAM_BINS = 101

#: Metres of one elevation step of the slope profile.
STEP_M = 5.0

#: Bands of models that give dates: last image before, first image after.
DAYS = ("before", "after")

_MEANS = ("dNDVI", "diffVV", "diffVH", "slope")
_SIDES = ("preVV_asc", "postVV_asc", "preVV_desc", "postVV_desc")
_STACK = (*_MEANS, *_SIDES, "elevation", "pre_date", "post_date", "observed")
#: Bits of `observed` whose pixels are counted.
_SEEN = {
    "optical_px": OPTICAL,
    "radar_px": RADAR,
    "ascending_px": ASCENDING,
    "descending_px": DESCENDING,
    "shaded_px": SHADED,
}


def apply(block: Block, config: Config) -> Block:
    """Label the tile, outline each label, and add up its statistics."""
    labels, count = connected_regions.label(_trim(block.bands["landslide"], block.halo_px) == 1)
    tally = {"parts": count}
    if count == 0:
        return Block(block.tile, 0, {}, tally)
    polygons = geometries.polygonize(labels, count, block.tile.geobox)
    part = gpd.GeoDataFrame(measured(block, config, labels, count), geometry=polygons, crs=config.grid.crs)
    return Block(block.tile, 0, {"edges": connected_regions.edges(labels)}, tally, part=part)


def measured(block: Block, config: Config, labels: np.ndarray, count: int) -> pd.DataFrame:
    """Return the statistics of the labels 1..count of a tile, one row a label, without geometry.

    Parameters
    ----------
    block : Block
        The bands that the stage reads, with its halo.
    config : Config
    labels : array (rows, cols), int32
        Of the tile without halo; each label has a pixel.
    count : int
    """
    core = {name: _trim(values, block.halo_px) for name, values in block.bands.items()}
    side = config.grid.resolution_m
    aspect = _trim(terrain.aspect(block.bands["elevation"], side, side), block.halo_px)
    frame = pd.DataFrame({"tile_row": block.tile.row, "tile_col": block.tile.col, "label": np.arange(1, count + 1)})
    frame = frame.assign(
        **_places(labels, count, core["elevation"], block.tile.region),
        **_sums(labels, count, core, aspect),
        **_dates(labels, count, core),
        **_layers(labels, count, block.tile.geobox, config),
        **({"outside_px": _count(labels, count, core["outside"] == 1)} if "outside" in core else {}),
        **_profile(labels, count, core["elevation"], core["slope"]),
        unobserved_edge_px=_beside(labels, count, core["landslide"] == UNOBSERVED),
    )
    frame["probability_histogram"] = list(_histograms(labels, count, core["probability"]))
    for name in DAYS if "after" in core else ():
        frame[f"{name}_days"] = _days(labels, count, core[name])
    return frame


def _trim(values: np.ndarray, halo: int) -> np.ndarray:
    rows, cols = values.shape
    return values[halo : rows - halo, halo : cols - halo]


def _places(
    labels: np.ndarray, count: int, elevation: np.ndarray, region: tuple[slice, slice]
) -> dict[str, np.ndarray]:
    """Return national row and column of the first, the highest and the lowest pixel."""
    flat = np.flatnonzero(labels)
    ids = labels.ravel()[flat] - 1
    height = elevation.ravel()[flat]
    cols = labels.shape[1]
    out: dict[str, np.ndarray] = {"pixels": np.bincount(ids, minlength=count)}
    # stable sorting: of equal values the first pixel in row-major order is used, for all tiles
    orders = {
        "first": np.argsort(ids, kind="stable"),
        "top": np.lexsort((np.nan_to_num(-height, nan=np.inf), ids)),
        "toe": np.lexsort((np.nan_to_num(height, nan=np.inf), ids)),
    }
    starts = np.searchsorted(np.sort(ids, kind="stable"), np.arange(count))
    for name, order in orders.items():
        pixel = flat[order[starts]]
        out[f"{name}_row"] = pixel // cols + region[0].start
        out[f"{name}_col"] = pixel % cols + region[1].start
        if name != "first":
            out[f"{name}_elevation_m"] = elevation.ravel()[pixel].astype(np.float64)
    return out


def _sums(labels: np.ndarray, count: int, core: dict[str, np.ndarray], aspect: np.ndarray) -> dict[str, np.ndarray]:
    """Return sum and count of valid pixels for each evidence band, and the maxima."""
    out = {}
    bands = {name: core[name] for name in _MEANS} | {"probability": core["probability"]}
    bands |= {f"diffVV_{side}": core[f"postVV_{side}"] - core[f"preVV_{side}"] for side in ("asc", "desc")}
    bands |= {"aspect_sin": np.sin(np.radians(aspect)), "aspect_cos": np.cos(np.radians(aspect))}
    for name, values in bands.items():
        good = (labels > 0) & np.isfinite(values)
        ids = labels[good] - 1
        out[f"{name}_sum"] = np.bincount(ids, values[good].astype(np.float64), count)
        out[f"{name}_count"] = np.bincount(ids, minlength=count)
    for name in ("probability", "slope"):
        peak = np.full(count, -np.inf)
        good = (labels > 0) & np.isfinite(core[name])
        np.maximum.at(peak, labels[good] - 1, core[name][good].astype(np.float64))
        out[f"{name}_max"] = peak
    observed = core["observed"]
    for name, bit in _SEEN.items():
        out[name] = _count(labels, count, (observed & bit) > 0)
    out["one_side_px"] = _count(labels, count, ((observed & ASCENDING) > 0) != ((observed & DESCENDING) > 0))
    return out


def _count(labels: np.ndarray, count: int, where: np.ndarray) -> np.ndarray:
    """Return for each label the number of pixels where `where` is true."""
    return np.bincount(labels[(labels > 0) & where] - 1, minlength=count)


def _layers(labels: np.ndarray, count: int, geobox: GeoBox, config: Config) -> dict[str, np.ndarray]:
    """Return for each label the number of pixels whose centre lies in a polygon of each configured layer."""
    out = {}
    for kind, files in layers(config).items():
        for name, file in files.items():
            shapes = read_polygons(
                file,
                f"inventory.{kind}.{name}",
                config.grid.crs,
                tuple(geobox.boundingbox.bbox),
                FOUND if kind == "others" else None,
            )
            inside = rasterize(shapely.union_all(shapes), geobox) if len(shapes) else np.zeros(labels.shape, bool)
            out[layer_px(kind, name)] = _count(labels, count, inside)
    return out


def layers(config: Config) -> dict[str, dict[str, Path]]:
    """Return the vector files that landslides are compared with, by setting and name."""
    return {"confounders": config.inventory.confounders, "others": config.inventory.others}


def layer_px(kind: str, name: str) -> str:
    """Return the column of a part that holds its pixels on a layer."""
    return f"{kind}_{name}_px"


def _profile(labels: np.ndarray, count: int, elevation: np.ndarray, slope: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Return the slope by elevation of each label: pixels, sum of slopes and sum of squares of each elevation step.

    In whole tenths of a degree, so that sums do not depend on the order of tiles.
    """
    good = (labels > 0) & np.isfinite(elevation) & np.isfinite(slope)
    step = np.floor(elevation[good] / STEP_M).astype(np.int64)
    tenths = np.rint(slope[good] * 10).astype(np.int64)
    # label and step in one number; steps are within 2^15 of sea level
    keys, place = np.unique((labels[good].astype(np.int64) << 16) + step + 2**15, return_inverse=True)
    columns = {
        "profile_step": (keys & 0xFFFF) - 2**15,
        "profile_px": np.bincount(place, minlength=len(keys)),
        "profile_slope": np.bincount(place, tenths, len(keys)).astype(np.int64),
        "profile_slope2": np.bincount(place, tenths**2, len(keys)).astype(np.int64),
    }
    cuts = np.searchsorted(keys >> 16, np.arange(2, count + 1))
    return {name: np.split(values, cuts) for name, values in columns.items()}


def _dates(labels: np.ndarray, count: int, core: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the last image before and the first after, days since 1970; extreme values if there is none."""
    none = np.iinfo(np.int16).min
    latest = np.full(count, none, np.int64)
    earliest = np.full(count, np.iinfo(np.int16).max, np.int64)
    before, after = core["pre_date"], core["post_date"]
    seen = (labels > 0) & (before != none)
    np.maximum.at(latest, labels[seen] - 1, before[seen])
    seen = (labels > 0) & (after != none)
    np.minimum.at(earliest, labels[seen] - 1, after[seen])
    return {"last_before": latest, "first_after": earliest}


def _days(labels: np.ndarray, count: int, days: np.ndarray) -> list[np.ndarray]:
    """Return the days that a model gives for the pixels of each label, in any order."""
    known = (labels > 0) & (days != NO_DAY)
    order = np.argsort(labels[known], kind="stable")
    cuts = np.searchsorted(labels[known][order], np.arange(2, count + 1))
    return np.split(days[known][order], cuts)


def _beside(labels: np.ndarray, count: int, unobserved: np.ndarray) -> np.ndarray:
    """Return the pixels of each label beside an unobserved pixel.

    The outline there is the edge of the observed area.
    """
    near = np.zeros_like(unobserved)
    near[1:] |= unobserved[:-1]
    near[:-1] |= unobserved[1:]
    near[:, 1:] |= unobserved[:, :-1]
    near[:, :-1] |= unobserved[:, 1:]
    return _count(labels, count, near)


def _histograms(labels: np.ndarray, count: int, probability: np.ndarray) -> np.ndarray:
    good = (labels > 0) & np.isfinite(probability)
    step = np.rint(probability[good] * (HISTOGRAM_BINS - 1)).astype(np.int64)
    flat = np.bincount((labels[good] - 1) * HISTOGRAM_BINS + step, minlength=count * HISTOGRAM_BINS)
    return flat.reshape(count, HISTOGRAM_BINS).astype(np.int32)


STAGE = Stage(
    name="outline",
    version=3,
    apply=apply,
    settings=lambda config: {
        kind: {name: checksum(file) for name, file in files.items()} for kind, files in layers(config).items()
    },
    reads=lambda config: {
        "mask": ("landslide",),
        "probability": ("probability", *(DAYS if families.of(config).dates_pixels else ())),
        "stack": _STACK,
        **({} if described(config) is None else {"applicability": ("outside",)}),
    },
    halo_px=lambda _: 1,
    after=("clean", "predict", "stack", "applicability"),
)
