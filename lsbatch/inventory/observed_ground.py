"""Share of a polygon that a survey observed, computed from the mask tile by tile."""

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from lsbatch.bands import mask
from lsbatch.catalog.survey import Survey
from lsbatch.grid import tile_id
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.storage import cube, geometries, receipts


def share(survey: Survey, shapes: np.ndarray) -> np.ndarray:
    """Return the observed share of the pixels of each polygon, 0 outside the region, shape (polygons,).

    Pixels whose centre lies inside the polygon count. A polygon that contains no centre uses the pixels of its bounding
    box. A tile without a mask counts as not observed.
    """
    done = receipts.read_stage(survey.workspace.receipts, "clean")
    seen, pixels = np.zeros(len(shapes)), np.zeros(len(shapes))
    tree = shapely.STRtree(shapes)
    for i, shape in enumerate(shapes):
        pixels[i] = sum(np.count_nonzero(inside) for _, _, inside in [_pixels(survey, shape, None)])
    for position in survey.positions:
        tile = survey.tile(position)
        near = np.sort(tree.query(shapely.box(*tile.geobox.boundingbox.bbox), predicate="intersects"))
        if not near.size or not done.get(tile_id(*position)):
            continue
        layer = mask(survey.config.model.family)
        observed = (
            cube.read(survey.workspace.store, survey.grid, layer, tile, 0, ("landslide",))["landslide"] != UNOBSERVED
        )
        for i in near:
            rows, cols, inside = _pixels(survey, shapes[i], tile.region)
            here = observed[rows.start - tile.region[0].start : rows.stop - tile.region[0].start,
                            cols.start - tile.region[1].start : cols.stop - tile.region[1].start]  # fmt: skip
            seen[i] += np.count_nonzero(here & inside)
    return np.divide(seen, pixels, out=np.zeros(len(shapes)), where=pixels > 0)


def _pixels(
    survey: Survey, shape: shapely.Geometry, region: tuple[slice, slice] | None
) -> tuple[slice, slice, np.ndarray]:
    """Return rows and columns around a polygon, limited to a tile if given, and the mask of its pixels."""
    whole = survey.grid.geobox
    corners = np.reshape(shapely.bounds(shape), (2, 2)).tolist()
    (left, bottom), (right, top) = (~whole.transform @ corner for corner in corners)
    # the y axis is reversed: `bottom` is the larger row
    spans = [(int(np.floor(top)), int(np.ceil(bottom))), (int(np.floor(left)), int(np.ceil(right)))]
    around = tuple(slice(first, max(last, first + 1)) for first, last in spans)
    inside = _inside(whole, shape, around)
    if region is None:
        return around[0], around[1], inside
    cut = tuple(
        slice(max(a.start, r.start), max(min(a.stop, r.stop), max(a.start, r.start)))
        for a, r in zip(around, region, strict=True)
    )
    return cut[0], cut[1], inside[cut[0].start - around[0].start : cut[0].stop - around[0].start,
                                  cut[1].start - around[1].start : cut[1].stop - around[1].start]  # fmt: skip


def _inside(whole: GeoBox, shape: shapely.Geometry, around: tuple[slice, ...]) -> np.ndarray:
    rows, cols = around
    box = GeoBox(
        (rows.stop - rows.start, cols.stop - cols.start),
        whole.affine * whole.affine.translation(cols.start, rows.start),
        whole.crs,
    )
    inside = geometries.rasterize(shape, box)
    return inside if inside.any() else np.ones_like(inside)
