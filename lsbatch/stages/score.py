"""MASK against mapped landslides: exact counts of surveyed pixels."""

from lsbatch.archive import vectors
from lsbatch.archive.receipts import checksum
from lsbatch.config import Config
from lsbatch.kernels import scores
from lsbatch.records import Block, Stage
from lsbatch.stages.clean import UNOBSERVED


def apply(block: Block, config: Config) -> Block:
    """Confusion counts of a tile; pixels that were not observed are outside the survey."""
    assert config.truth is not None
    found = block.bands["landslide"]
    truth = vectors.truth_mask(config.truth, config.survey.windows, block.tile.geobox)
    tp, fp, fn, tn = scores.confusion(found == 1, truth, found != UNOBSERVED)
    return Block(block.tile, 0, {}, {"tp": tp, "fp": fp, "fn": fn, "tn": tn})


def _settings(config: Config) -> dict[str, object]:
    assert config.truth is not None
    windows = config.survey.windows
    return {
        "truth": checksum(config.truth.file),
        "date_field": config.truth.date_field,
        "windows": windows.model_dump(mode="json"),
    }


STAGE = Stage(
    name="score",
    version=1,
    apply=apply,
    settings=_settings,
    reads=lambda config: {"mask": ("landslide",)},
    after=("clean",),
    wanted=lambda config: config.truth is not None,
)
