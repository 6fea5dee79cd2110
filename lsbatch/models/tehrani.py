"""Segments of the red-green change, classified by a random forest (Tehrani et al., as the paper uses it).

Change is measured as (R / G) after minus (R / G) before, cut into 19 classes by k-means; regions of a class of at least
80 px are segments. A forest of 50 trees gives the probability that a segment is a landslide.

Our choices, where the source gives no detail or the result would depend on tiles: the class centres are computed once
in training and stored with the weights; segments longer than `LONGEST_PX` in rows or columns are dropped, so that tile
by tile equals the whole; and the image before is not scaled to the image after, because the forest uses deviations from
the surroundings, which such a scale does not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from lsbatch.bands import OWN_BANDS
from lsbatch.errors import ModelError, NoDataError
from lsbatch.kernels import decision_trees, optical, segments
from lsbatch.models import cards

BANDS = OWN_BANDS["tehrani"]
CLASSES = 19
SMALLEST_PX = 80
#: 1.6 km at 10 m. The largest area that the method keeps, 2 km2, is 1.4 km square.
LONGEST_PX = 160
#: Maximum growth of a segment into changed neighbours in pixels, and width of its surroundings.
GROW_PX, RING_PX = 3, 10
#: Halo of a block; a multiple of 64, the lattice of tiles.
HALO_PX = -(-(segments.reach_px(LONGEST_PX, SMALLEST_PX) + GROW_PX + RING_PX) // 64) * 64
#: Limits of a segment: minimum change, range of brightness (mean of R, G, B in reflectance x 10), range of NDVI, range
#: of area.
LEAST_CHANGE, BRIGHTNESS, LEAST_NDVI = 0.09, (0.5, 2.0), -0.1
AREA_M2 = (5_000.0, 2_000_000.0)
FEATURES = (
    "ndvi", "rg_deviation", "brightness_deviation", "ndvi_change_deviation", "gndvi_deviation", "brightness",
    "slope_mean", "slope_max", "ndvi_texture", "relief",
)  # fmt: skip
FOREST = {
    "n_estimators": 50,
    "max_depth": 40,
    "class_weight": {0: 1, 1: 5},
    "min_samples_leaf": 6,
    "min_samples_split": 4,
}


@dataclass(frozen=True)
class Segments:
    """Candidate segments of a block.

    Attributes
    ----------
    labels : array (rows, cols) int32
        1..n, 0 outside segments.
    features : array (n, len(FEATURES)) float32
    first : array (n, 2) int
        Row and column of the first pixel of each segment.
    """

    labels: np.ndarray
    features: np.ndarray
    first: np.ndarray


def change(block: np.ndarray) -> np.ndarray:
    """Return (R / G) after minus (R / G) before of a block in the order of `BANDS`; NaN if R or G is not positive."""
    ratios = []
    for red, green in ((block[4], block[5]), (block[0], block[1])):
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios.append(np.where((green > 0) & (red > 0), red / green, np.nan).astype(np.float32))
    return ratios[0] - ratios[1]


def centres(values: np.ndarray, seed: int) -> np.ndarray:
    """Return the centres of the classes of change, in order, float64."""
    from sklearn.cluster import KMeans

    found = values[np.isfinite(values)].reshape(-1, 1)
    if len(np.unique(found)) < CLASSES:
        raise NoDataError(
            "tehrani needs pixels that were seen before and after, with different changes; there are too few"
        )
    return np.sort(KMeans(CLASSES, n_init=1, random_state=seed).fit(found).cluster_centers_[:, 0])


def cut(block: np.ndarray, middle: np.ndarray, side_m: float) -> Segments:
    """Segment a block (bands, rows, cols); return the segments that lie completely in it."""
    seen = np.isfinite(block).all(axis=0)
    rg = change(block)
    seen &= np.isfinite(rg)
    # the class with the nearest centre; 0 where not observed
    classes = np.where(seen, np.searchsorted((middle[1:] + middle[:-1]) / 2, rg) + 1, 0).astype(np.uint8)
    labels = segments.merged(*segments.regions(classes), classes, middle, SMALLEST_PX)
    kept = _plausible(labels, block, rg, side_m)
    features, first = _described(kept, block, rg, seen & (rg < LEAST_CHANGE))
    # grown after the selection: the shape of a segment then depends on no other segment, so on nothing beyond the halo
    return Segments(_grown(kept, seen & (rg >= LEAST_CHANGE)), features, first)


def _plausible(labels: np.ndarray, block: np.ndarray, rg: np.ndarray, side_m: float) -> np.ndarray:
    """Keep segments in the ranges of change, brightness, NDVI, area and length; renumber them in order."""
    count = int(labels.max(initial=0))
    numbers = np.arange(1, count + 1)
    bright = block[4:7].mean(axis=0) * 10
    ndvi = optical.ndvi(block[7], block[4])
    means = [_mean(values, labels, numbers) for values in (rg, bright, ndvi)]
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:] * side_m**2
    spans = [max(s.stop - s.start for s in box) if box else 0 for box in ndimage.find_objects(labels, count)]
    good = (
        (means[0] >= LEAST_CHANGE)
        & (means[1] >= BRIGHTNESS[0]) & (means[1] <= BRIGHTNESS[1])
        & (means[2] >= LEAST_NDVI)
        & (area >= AREA_M2[0]) & (area <= AREA_M2[1])
        & (np.array(spans, int) <= LONGEST_PX)
    )  # fmt: skip
    number = np.zeros(count + 1, np.int32)
    number[1:][good] = np.arange(1, good.sum() + 1)
    return number[labels]


def _mean(values: np.ndarray, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return (
        np.asarray(ndimage.mean(np.nan_to_num(values).astype(np.float64), labels, numbers))
        if len(numbers)
        else np.empty(0)
    )


def _grown(labels: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Grow segments into changed pixels within `GROW_PX` steps; each pixel goes to the nearest."""
    mask = ndimage.binary_dilation(labels > 0, np.ones((3, 3)), iterations=GROW_PX, mask=changed | (labels > 0))
    rows, cols = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(mask, labels[rows, cols], 0).astype(np.int32) if labels.any() else labels


def _described(
    labels: np.ndarray, block: np.ndarray, rg: np.ndarray, calm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return features and first pixel of each segment; its surroundings are the unchanged pixels nearby."""
    ndvi, before = optical.ndvi(block[7], block[4]), optical.ndvi(block[3], block[0])
    gndvi = optical.ndvi(block[7], block[5])
    bright, bright_before = block[4:7].mean(axis=0) * 10, block[0:3].mean(axis=0) * 10
    planes = {"rg": rg, "brightness": bright_before - bright, "ndvi_change": before - ndvi, "gndvi": gndvi}
    features, first = [], []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        wide = tuple(slice(max(0, s.start - RING_PX), s.stop + RING_PX) for s in box)
        inside = labels[wide] == number
        ring = ndimage.binary_dilation(inside, np.ones((3, 3)), iterations=RING_PX) & calm[wide] & ~inside
        around = {name: _within(plane[wide], ring) for name, plane in planes.items()}
        deviations = [_within(plane[wide], inside) - around[name] for name, plane in planes.items()]
        slope, height = block[9][wide][inside], block[8][wide][inside]
        greens = ndvi[wide][inside]
        features.append(
            [
                np.nanmean(greens),
                *deviations,
                bright[wide][inside].mean(),
                slope.mean(),
                slope.max(),
                np.nanstd(greens),
                height.max() - height.min(),
            ]
        )
        row = int(np.argmax(inside.any(axis=1)))
        first.append((row + wide[0].start, int(np.argmax(inside[row])) + wide[1].start))
    return np.array(features, np.float32).reshape(-1, len(FEATURES)), np.array(first, int).reshape(-1, 2)


def _within(plane: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean of selected known values, 0 if there are none."""
    values = plane[chosen]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else 0.0


def shares(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the share of each segment 1..n that is chosen, by a bool array (rows, cols)."""
    count = int(labels.max(initial=0))
    hits = np.bincount(labels[chosen], minlength=count + 1)[1:]
    return hits / np.maximum(np.bincount(labels.ravel(), minlength=count + 1)[1:], 1)


def fit(features: np.ndarray, landslide: np.ndarray, middle: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Fit the forest; return it as plain arrays with the class centres.

    Raises
    ------
    NoDataError
        If there are no landslides among the segments, or nothing else.
    """
    count, slides = len(landslide), int(np.count_nonzero(landslide))
    if slides in (0, count):
        raise NoDataError(
            f"tehrani needs segments of landslides and of other change; of {count} segments {slides} are landslides"
        )
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(**FOREST, random_state=seed).fit(features, landslide.astype(int))
    inner = [tree.tree_ for tree in forest.estimators_]
    column = list(forest.classes_).index(1)
    shares = [tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) for tree in inner]
    return {
        "centres": middle.astype(np.float64),
        "nodes": np.array([tree.node_count for tree in inner], np.int32),
        "feature": np.concatenate([tree.feature for tree in inner]).astype(np.int32),
        "threshold": np.concatenate([tree.threshold for tree in inner]).astype(np.float64),
        "left": np.concatenate([tree.children_left for tree in inner]).astype(np.int32),
        "right": np.concatenate([tree.children_right for tree in inner]).astype(np.int32),
        "answer": np.concatenate([share[:, column] for share in shares]).astype(np.float32),
    }


def chances(features: np.ndarray, forest: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean share of landslides in the leaves of each segment (n, features), float32."""
    values = np.ascontiguousarray(features.T, np.float32)
    total = np.zeros(len(features), np.float32)
    stops = np.cumsum(forest["nodes"])
    for start, stop in zip(stops - forest["nodes"], stops, strict=True):
        total += decision_trees.walk(values, *(forest[key][start:stop] for key in decision_trees.ARRAYS))
    return total / len(stops)


def card(side_m: float, **known: Any) -> cards.Card:
    """Return the card of a forest; it is valid for one pixel size."""
    count = len(BANDS)
    network = {"side_m": side_m, "classes": CLASSES, "features": list(FEATURES)}
    return cards.Card("tehrani", BANDS, (0.0,) * count, (1.0,) * count, network, HALO_PX, 1, **known)


def answer(path: Path, block: np.ndarray, halo_px: int) -> np.ndarray:
    """Return the probability in the core of a block: that of the segment, 0 outside segments."""
    of = cards.card(path)
    spare = halo_px - of.halo_px
    rows, cols = (slice(spare, size - spare) for size in block.shape[1:])
    forest = _forest(path, of.checksum)
    found = cut(np.ascontiguousarray(block[:, rows, cols]), forest["centres"], of.network["side_m"])
    chance = np.concatenate([np.zeros(1, np.float32), chances(found.features, forest)])
    inner = slice(of.halo_px, -of.halo_px)
    return chance[found.labels[inner, inner]]


@lru_cache(maxsize=4)
def _forest(path: Path, _checksum: str) -> Mapping[str, np.ndarray]:
    forest, halo_px = cards.arrays(path), cards.card(path).halo_px
    if halo_px != HALO_PX:
        raise ModelError(f"{path}: is damaged: its card has a halo of {halo_px} px; a forest has {HALO_PX} px")
    if not _is_forest(forest):
        raise ModelError(f"{path}: its arrays are no random forest; run lsbatch train again")
    return forest


def _is_forest(found: Mapping[str, np.ndarray]) -> bool:
    if set(found) != {"centres", "nodes", *decision_trees.ARRAYS} or found["nodes"].ndim != 1:
        return False
    centres = found["centres"]
    # classes are uint8 and 0 is none; compiled code reads the centre of each class
    if centres.ndim != 1 or not 1 <= len(centres) < 256 or not np.isfinite(centres).all():
        return False
    nodes = found["nodes"].astype(np.int64)
    if (
        found["nodes"].dtype.kind not in "iu"
        or not len(nodes)
        or (nodes < 1).any()
        or any(np.shape(found[key]) != (nodes.sum(),) for key in decision_trees.ARRAYS)
    ):
        return False
    cuts = np.cumsum(nodes)[:-1]
    trees = zip(*(np.split(found[key], cuts) for key in decision_trees.ARRAYS), strict=True)
    return all(decision_trees.is_tree(len(FEATURES), *tree) for tree in trees)
