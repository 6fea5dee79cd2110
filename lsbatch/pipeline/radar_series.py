"""Stage of Sentinel-1 series for dating: power inside each polygon part and in a ring around it.

The table has sums and counts of linear power, so that the parts of a landslide that crosses tiles can be added. A pixel
of the ring belongs to the nearest landslide pixel, and therefore to exactly one part of one tile.

Power is not corrected: the factor of a slope in one orbit is the same before and after, so sigma0 can be used directly.
Passes are read only around landslides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby, pairwise, product

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox

from lsbatch.catalog import dating_passes
from lsbatch.catalog.items.scenes import Scene
from lsbatch.errors import SceneError
from lsbatch.imagery import prefetch, scene_reading
from lsbatch.kernels import connected_regions, surrounding_rings
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.types import Block, Dropped, Stage
from lsbatch.settings import Config

POLARISATIONS = ("VV", "VH")
#: Distances of the ring. Its pixels are farther than the first from all landslide pixels, where debris and geolocation
#: error mix the signal, and from unobserved pixels. They are not farther than the second from their landslide.
GAP_PX, REACH_PX = 2, 8
#: Radius that contains a ring pixel and all landslide pixels that could be its nearest.
HALO_PX = 2 * REACH_PX
#: Side in pixels of the cells that are read one by one, with the tile's halo in the outer ones. Smaller cells need more
#: file openings (149 scenes of a tile of 512 px with 38 landslides: 28 s in four cells, 15 s in one).
CELL_PX = 1024
SECONDS_A_DAY = 86_400
#: Columns that identify a pass, and columns that identify a series.
PASS = ("day", "platform", "relative_orbit", "orbit_state")
SERIES = ("relative_orbit", "orbit_state")
#: Columns of sums and of the number of pixels in each sum.
SUMS = tuple(
    f"{name}_{place}_{what}" for name in POLARISATIONS for place in ("inside", "around") for what in ("sum", "px")
)
UNKNOWN_ORBIT = -1


@dataclass(frozen=True)
class Places:
    """The pixels that are read, with their part.

    Attributes
    ----------
    cells : tuple of (slice, slice)
        Windows in the tile with its halo that together contain all pixels.
    rows, cols : tuple of array (pixels,), one a cell
        Positions of the pixels in the cell.
    bins : array (pixels,) int64
        Of all cells in sequence: 2 (label - 1), plus 1 in the ring.
    """

    cells: tuple[tuple[slice, slice], ...]
    rows: tuple[np.ndarray, ...]
    cols: tuple[np.ndarray, ...]
    bins: np.ndarray


def apply(block: Block, config: Config) -> Block:
    """Return one row for each part and pass that observed it."""
    mask = block.bands["landslide"]
    halo = block.halo_px
    rows, cols = mask.shape
    labels, count = connected_regions.label(mask[halo : rows - halo, halo : cols - halo] == 1)
    if count == 0:
        return Block(block.tile, 0, {}, {"dated_parts": 0, "passes": 0})
    owners = np.zeros(mask.shape, np.int32)
    owners[halo : rows - halo, halo : cols - halo] = labels
    ring = surrounding_rings.around(mask == 1, owners, mask == UNOBSERVED, GAP_PX, REACH_PX)
    places = _places(owners, ring)
    tables, used, dropped = [], [], []
    passes = list(_by_pass(dating_passes.tile_scenes(config.output, block.tile.id)))
    box = block.tile.padded(halo)
    frames = [frame for group in passes for frame in group]
    answers = prefetch.in_order([partial(_frame, frame, box, places, config.archives.attempts) for frame in frames])
    for group in passes:
        power = [(frame, next(answers)) for frame in group]
        dropped += [Dropped.of(found) for _, found in power if isinstance(found, SceneError)]
        good = [(frame, found) for frame, found in power if not isinstance(found, SceneError)]
        used += [frame.id for frame, _ in good]
        tables.append(_sums(good, places.bins, count))
    part = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    part.insert(0, "tile_row", block.tile.row)
    part.insert(1, "tile_col", block.tile.col)
    tally = {"dated_parts": int(part["label"].nunique()) if len(part) else 0, "passes": len(passes)}
    return Block(block.tile, 0, {}, tally, part=part, scenes=tuple(used), dropped=tuple(dropped))


def _places(owners: np.ndarray, ring: np.ndarray) -> Places:
    """Return the places by cells of the tile with its halo."""
    bins = np.where(owners > 0, 2 * owners - 2, np.where(ring > 0, 2 * ring - 1, -1))
    cells, rows, cols, of = [], [], [], []
    inner = np.arange(HALO_PX + CELL_PX, len(bins) - HALO_PX, CELL_PX).tolist()
    sides = list(pairwise([0, *inner, len(bins)]))
    for (top, bottom), (left, right) in product(sides, sides):
        row, col = np.nonzero(bins[top:bottom, left:right] >= 0)
        if not len(row):
            continue
        row, col = row + top, col + left
        cells.append((slice(int(row.min()), int(row.max()) + 1), slice(int(col.min()), int(col.max()) + 1)))
        rows.append(row - row.min())
        cols.append(col - col.min())
        of.append(bins[row, col])
    return Places(tuple(cells), tuple(rows), tuple(cols), np.concatenate(of))


def _by_pass(scenes: Sequence[Scene]) -> Iterator[list[Scene]]:
    """Group frames of one platform, orbit and day, which are one pass."""
    ordered = sorted(scenes, key=lambda scene: (*_pass(scene), scene.id))
    return (list(group) for _, group in groupby(ordered, key=_pass))


def _pass(scene: Scene) -> tuple[str, str, int, str]:
    orbit = UNKNOWN_ORBIT if scene.relative_orbit is None else scene.relative_orbit
    return scene.day, scene.platform or "", orbit, scene.orbit_state or ""


def _frame(scene: Scene, box: GeoBox, places: Places, attempts: int) -> np.ndarray | SceneError:
    """Read power at the places, float32 (polarisations, pixels) with NaN as nodata; return the error if it fails."""
    wanted = (*POLARISATIONS, *(["mask"] if "mask" in scene.assets else []))
    out = []
    for cell, rows, cols in zip(places.cells, places.rows, places.cols, strict=True):
        try:
            raw = scene_reading.read(scene, wanted, box[cell], attempts=attempts)
        except SceneError as error:
            return error
        power = np.stack([raw[name][rows, cols] for name in POLARISATIONS])
        # power that is not positive results from noise subtraction; the mask marks layover and shadow
        hidden = ~(power > 0)
        if "mask" in raw:
            hidden |= raw["mask"][rows, cols] != 0
        power[hidden] = np.nan
        out.append(power)
    return np.concatenate(out, axis=1)


def _sums(frames: list[tuple[Scene, np.ndarray]], bins: np.ndarray, count: int) -> pd.DataFrame:
    """Return sums and counts of one pass for each part. Where frames overlap, the first by name is used."""
    if not frames:
        return pd.DataFrame()
    joined = np.full((len(POLARISATIONS), len(bins)), np.nan, np.float32)
    begun = np.full(count, np.inf)
    for scene, power in frames:
        fresh = np.isnan(joined) & np.isfinite(power)
        joined[fresh] = power[fresh]
        # from the frame that saw the part, because another tile may not have the pass's other frame
        seen = fresh.any(axis=0) & (bins % 2 == 0)
        begun[np.unique(bins[seen] // 2)] = np.minimum(begun[np.unique(bins[seen] // 2)], _days(scene))
    table = pd.DataFrame(
        {"label": np.arange(1, count + 1), **dict(zip(PASS, _pass(frames[0][0]), strict=True)), "time_days": begun}
    )
    for name, power in zip(POLARISATIONS, joined, strict=True):
        good = np.isfinite(power)
        sums = np.bincount(bins[good], power[good].astype(np.float64), 2 * count)
        pixels = np.bincount(bins[good], minlength=2 * count)
        for place, chosen in (("inside", slice(0, None, 2)), ("around", slice(1, None, 2))):
            table[f"{name}_{place}_sum"], table[f"{name}_{place}_px"] = sums[chosen], pixels[chosen]
    return table[np.isfinite(begun)]


def _days(scene: Scene) -> float:
    """Return days since 1970 with the time of day."""
    return datetime.fromisoformat(scene.time).timestamp() / SECONDS_A_DAY


STAGE = Stage(
    name="date",
    version=2,
    apply=apply,
    settings=lambda config: {},
    reads=lambda config: {"mask": ("landslide",)},
    halo_px=lambda _: HALO_PX,
    after=("clean",),
    scenes=lambda config, tile: dating_passes.file(config.output, tile),
    wanted=dating_passes.wanted,
)
