"""Stage PROBABILITY to MASK: threshold, then a focal mode that removes single pixels."""

import math

import numpy as np

from lsbatch.bands import mask
from lsbatch.kernels import focal
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config

UNOBSERVED = 255


def apply(block: Block, config: Config) -> Block:
    """Return the mask: 1 landslide, 0 no landslide, 255 not observed. Unobserved pixels do not vote."""
    probability, halo = block.bands["probability"], block.halo_px
    # a comparison with NaN is false; NaN pixels are set to 255 in the next line
    labels = (probability >= config.clean.threshold).astype(np.uint8)
    labels[np.isnan(probability)] = UNOBSERVED
    if config.clean.min_slope_deg > 0:
        # an unknown slope is not flat
        labels[(block.bands["slope"] < config.clean.min_slope_deg) & (labels == 1)] = 0
    if config.clean.mode_radius_px > 0:
        labels = focal.mode(labels, config.clean.mode_radius_px)
    rows, cols = labels.shape
    landslide = labels[halo : rows - halo, halo : cols - halo]
    tally = {
        "landslide_pixels": int(np.count_nonzero(landslide == 1)),
        "surveyed_pixels": int(np.count_nonzero(landslide != UNOBSERVED)),
    }
    return Block(block.tile, 0, {"landslide": landslide}, tally)


def _reads(config: Config) -> dict[str, tuple[str, ...]]:
    slope = {"stack": ("slope",)} if config.clean.min_slope_deg > 0 else {}
    return {"probability": ("probability",), **slope}


STAGE = Stage(
    name="clean",
    version=1,
    apply=apply,
    settings=lambda config: config.clean.model_dump(),
    reads=_reads,
    writes=lambda config: mask(config.model.family),
    halo_px=lambda config: math.ceil(config.clean.mode_radius_px),
    after=("predict",),
)
