"""Uncertainty of the records of a survey, from its probability map and the fields of the records."""

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from lsbatch.bands import probability
from lsbatch.catalog.survey import Survey
from lsbatch.grid import Tile
from lsbatch.kernels import focal
from lsbatch.kernels.statistics import uncertainty
from lsbatch.pipeline.types import FOUND
from lsbatch.storage import cube, geometries

#: Distance from an outline up to which pixels are its rim: the eight neighbours of a pixel.
RIM_PX = 1.5
#: Largest standard deviation of numbers between 0 and 1.
LARGEST_SPREAD = 0.5


def of_records(survey: Survey, frame: gpd.GeoDataFrame) -> np.ndarray:
    """Return the uncertainty of each record, float64 (records,), between 0 and 1.

    It is the mean of three measures, or of those that are known:

    - the mean entropy of the probability over the pixels of the record and of its rim (see
      `lsbatch.kernels.statistics.uncertainty.entropy`; the threshold is that of the mask);
    - the mean spread of the probability there, over mirror images and members of an ensemble, divided by the largest
      possible spread (only with `predict.flips` or an ensemble);
    - the share of the record whose inputs are unlike the training of the weights (`outside_share`).

    It is NaN if nothing is known, and for landslides that were kept from an earlier year: an answer to them is not
    trained on. Memory holds one tile.
    """
    found, spread = _means(survey, frame.geometry.values)
    outside = frame["outside_share"].to_numpy(float) if "outside_share" in frame else np.full(len(frame), np.nan)
    total = uncertainty.combined(found, spread / LARGEST_SPREAD, outside)
    return np.where(frame["observation"] == FOUND, total, np.nan) if "observation" in frame else total


def _means(survey: Survey, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean entropy and the mean spread over the pixels of each outline and its rim; NaN if unknown."""
    layer, threshold = probability(survey.config.model.family), survey.config.clean.threshold
    sums, counts = np.zeros((2, len(shapes))), np.zeros((2, len(shapes)))
    tree, margin_m = shapely.STRtree(shapes), 2 * survey.grid.resolution_m
    for position in survey.positions:
        tile = survey.tile(position)
        near = tree.query(shapely.box(*tile.geobox.boundingbox.bbox).buffer(margin_m), predicate="intersects")
        if not near.size:
            continue
        bands = cube.read(survey.workspace.store, survey.grid, layer, tile, 0, ("probability", "spread"))
        values = np.stack([uncertainty.entropy(bands["probability"], threshold), bands["spread"]])
        for i in near:
            here = values[:, *_place(survey, tile, shapes[i])]
            pixels = here[:, _with_rim(survey, tile, shapes[i])]
            sums[:, i] += np.where(np.isfinite(pixels), pixels, 0).sum(axis=1)
            counts[:, i] += np.isfinite(pixels).sum(axis=1)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means[0], means[1]


def _place(survey: Survey, tile: Tile, shape: shapely.Geometry) -> tuple[slice, slice]:
    """Return the rows and columns of a tile that an outline and its rim may touch."""
    (left, bottom), (right, top) = (
        ~survey.grid.geobox.affine @ corner for corner in np.reshape(shapely.bounds(shape), (2, 2)).tolist()
    )
    # the y axis is reversed: `bottom` is the larger row
    spans = ((int(np.floor(top)), int(np.ceil(bottom))), (int(np.floor(left)), int(np.ceil(right))))
    rows, cols = (
        slice(*(int(np.clip(edge, 0, survey.grid.tile_px)) for edge in (first - 2 - own.start, last + 2 - own.start)))
        for (first, last), own in zip(spans, tile.region, strict=True)
    )
    return rows, cols


def _with_rim(survey: Survey, tile: Tile, shape: shapely.Geometry) -> np.ndarray:
    """Return the pixels of an outline and its rim, bool of the shape of `_place`."""
    rows, cols = _place(survey, tile, shape)
    # two pixels more on each side: the rim of pixels beyond the edge of the tile
    box = GeoBox(
        (rows.stop - rows.start + 4, cols.stop - cols.start + 4),
        tile.geobox.affine * tile.geobox.affine.translation(cols.start - 2, rows.start - 2),
        tile.geobox.crs,
    )
    return focal.dilate(geometries.rasterize(shape, box), RIM_PX)[2:-2, 2:-2]
