"""Stage that reduces a tile to the pixels of the report's map, so that the report does not read the cube for it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox

from lsbatch.catalog import plan
from lsbatch.pipeline import score
from lsbatch.pipeline.clean import UNOBSERVED
from lsbatch.pipeline.types import Block, Stage
from lsbatch.report import images
from lsbatch.report.overview_map import HITS, frame, shown_bands
from lsbatch.settings import Config
from lsbatch.storage import vectors


def apply(block: Block, config: Config) -> Block:
    """Return a table with a row for each pixel of the map in the tile, row by row.

    Its columns are float32: the bands of the map, NaN if unknown; `surveyed`, the share of observed pixels; with mapped
    landslides also `HITS`, the shares of found, false and missed pixels.
    """
    shape = (_cell(config),) * 2
    found = block.bands["landslide"]
    surveyed = found != UNOBSERVED
    pixels = {name: block.bands[name] for name in shown_bands(config)} | {"surveyed": surveyed}
    if config.truth is not None:
        pixels |= zip(HITS, _hits(found == 1, surveyed, block.tile.geobox, config), strict=True)
    return Block(
        block.tile,
        0,
        {},
        part=pd.DataFrame({name: images.reduced(values, shape).ravel() for name, values in pixels.items()}),
    )


def _cell(config: Config) -> int:
    """Return the pixels of the map along a side of a tile; the region gives them."""
    saved = plan.load(config.output)
    return frame(saved.grid, saved.region).cell


def _hits(found: np.ndarray, surveyed: np.ndarray, geobox: GeoBox, config: Config) -> tuple[np.ndarray, ...]:
    assert config.truth is not None
    truth = vectors.truth_mask(config.truth, config.survey.windows, geobox)
    known = surveyed & vectors.mapped_mask(config.truth, geobox)
    return found & truth & known, found & ~truth & known, ~found & truth & known


def _settings(config: Config) -> Mapping[str, Any]:
    return {
        "cell": _cell(config),
        "bands": shown_bands(config),
        "model": config.model.family,
        "truth": None if config.truth is None else score.truth_settings(config),
    }


STAGE = Stage(
    name="thumbnails",
    version=1,
    apply=apply,
    settings=_settings,
    reads=lambda config: {"stack": shown_bands(config), "mask": ("landslide",)},
    after=("stack", "clean"),
)
