"""Parts of outlines that a reviewer drew, with the statistics that `lsbatch.pipeline.outline` has of found ones."""

import math

import numpy as np
import pandas as pd
import shapely

from lsbatch.catalog.survey import Survey
from lsbatch.grid import Tile
from lsbatch.pipeline import outline
from lsbatch.pipeline.types import LAYERS, Block
from lsbatch.settings import Config
from lsbatch.storage import cube, geometries


def is_inside(survey: Survey, shape: shapely.Geometry) -> bool:
    """Return whether a point inside an outline lies in a tile of the survey, so that the outline has a part."""
    place = shape.representative_point()
    col, row = (math.floor(value / survey.grid.tile_px) for value in ~survey.grid.geobox.transform @ (place.x, place.y))
    return (row, col) in survey.positions


def parts(survey: Survey, config: Config, shapes: np.ndarray) -> pd.DataFrame:
    """Return the parts of outlines, a row for each tile that one touches; `drawn` is the number of the outline.

    Memory holds one tile. The geometry of a part is that of the whole outline.

    Parameters
    ----------
    survey : Survey
    config : Config
    shapes : array (n,) of polygons
        In the grid's CRS; they may overlap.
    """
    found = []
    tree = shapely.STRtree(shapes)
    for position in survey.positions:
        tile = survey.tile(position)
        near = np.sort(tree.query(shapely.box(*tile.geobox.boundingbox.bbox), predicate="intersects"))
        block = _read(survey, config, tile) if near.size else None
        for labels, numbers in _rounds(shapes, near.tolist(), tile):
            assert block is not None
            part = outline.measured(block, config, labels, len(numbers))
            found.append(part.assign(drawn=numbers, geometry=shapes[numbers]))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"drawn": []})


def _rounds(shapes: np.ndarray, near: list[int], tile: Tile) -> list[tuple[np.ndarray, list[int]]]:
    """Return labels 1.. of a tile and the numbers of their outlines; in more than one array where outlines overlap."""
    found: list[tuple[np.ndarray, list[int]]] = []
    for number in near:
        pixels = _pixels(shapes[number], tile)
        if not pixels.any():
            continue
        free = next((one for one in found if not one[0][pixels].any()), None)
        if free is None:
            free = np.zeros(pixels.shape, np.int32), []
            found.append(free)
        labels, numbers = free
        numbers.append(number)
        labels[pixels] = len(numbers)
    return found


def _pixels(shape: shapely.Geometry, tile: Tile) -> np.ndarray:
    """Return the pixels of a tile whose centre lies in an outline; of a thin one, that of a point inside it."""
    found = geometries.rasterize(shape, tile.geobox)
    if not found.any():
        place = shape.representative_point()
        col, row = (int(np.floor(value)) for value in ~tile.geobox.transform @ (place.x, place.y))
        rows, cols = found.shape
        found[row : row + 1, col : col + 1] = 0 <= row < rows and 0 <= col < cols
    return found


def _read(survey: Survey, config: Config, tile: Tile) -> Block:
    halo = outline.STAGE.halo_px(config)
    found: dict[str, np.ndarray] = {}
    for name, wanted in outline.STAGE.reads(config).items():
        found |= cube.read(survey.workspace.store, survey.grid, LAYERS[name](config), tile, halo, wanted)
    return Block(tile, halo, found)
