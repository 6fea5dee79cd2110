"""Stage STACK to PROBABILITY. The prediction of a tile equals that of the whole country at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lsbatch.bands import probability
from lsbatch.catalog import scene_history
from lsbatch.models import base, families
from lsbatch.pipeline import pixel_history, stack
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config


def apply(block: Block, config: Config) -> Block:
    """Return the landslide probability; NaN where an input band was not observed, 0 on water."""
    found = pixel_history.apply(block, config) if families.of(config).reads_archive else _predicted(block, config)
    halo, (rows, cols) = block.halo_px, found.bands["probability"].shape
    observed = block.bands["observed"][halo : halo + rows, halo : halo + cols]
    # nothing can slide there; what a model says of waves is not used
    water = (observed & stack.WATER != 0) & np.isfinite(found.bands["probability"])
    found.bands["probability"][water] = 0
    return replace(found, tally={**found.tally, "water_pixels": int(np.count_nonzero(water))})


def _predicted(block: Block, config: Config) -> Block:
    weights = base.resolve(config)
    answer, spread = base.answers(weights, block.bands, block.halo_px, config.predict, config.grid.resolution_m)
    tally = {"predicted_pixels": int(np.isfinite(answer).sum())}
    return Block(block.tile, 0, {"probability": answer, "spread": spread}, tally)


def _settings(config: Config) -> dict[str, object]:
    card = base.card(base.resolve(config))
    base.check(card, config)
    return {
        "weights": card.checksum,
        "bands": config.inputs,
        # exact tiling gives the same result with any window, so a change of the memory setting is no reason to compute
        # again
        "tiling": config.predict.tiling,
        "precision": config.predict.precision,
        "flips": config.predict.flips,
        # the resampling of the scenes, which a family that reads them depends on
        **({"resampling": 2} if families.of(config).reads_archive else {}),
        **({"false_alarm_rate": config.predict.false_alarm_rate} if families.of(config).has_false_alarm_rate else {}),
    }


def _scenes(config: Config, tile: str) -> Path | None:
    return scene_history.tile_file(config.output, tile) if families.of(config).reads_archive else None


def _halo_px(config: Config) -> int:
    return base.halo_px(base.card(base.resolve(config)), config.predict, config.grid.resolution_m)


STAGE = Stage(
    name="predict",
    version=2,
    apply=apply,
    settings=_settings,
    reads=lambda config: {"stack": (*config.inputs, "observed")},
    writes=lambda config: probability(config.model.family),
    halo_px=_halo_px,
    scenes=_scenes,
    after=("stack",),
    resources=lambda config: {"GPU": 1} if config.predict.device == "cuda" else {},
)
