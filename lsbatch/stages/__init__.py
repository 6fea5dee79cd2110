"""The steps of the story, in order: archive -> STACK -> PROBABILITY -> MASK -> parts -> inventory -> report."""

from collections.abc import Callable

from lsbatch.bands import STACK, Layer, mask, probability
from lsbatch.records import Fold, Stage
from lsbatch.settings import Config
from lsbatch.stages import areas, catalog, clean, date, inventory, outline, predict, rasters, report, score, stack

PIPELINE: tuple[Stage | Fold, ...] = (
    stack.STAGE,
    predict.STAGE,
    clean.STAGE,
    outline.STAGE,
    date.STAGE,
    score.STAGE,
    areas.STAGE,
    inventory.FOLD,
    areas.FOLD,
    rasters.FOLD,
    catalog.FOLD,
    report.FOLD,
)

#: Layers by the short name that `Stage.reads` uses.
LAYERS: dict[str, Callable[[Config], Layer]] = {
    "stack": lambda _: STACK,
    "probability": lambda config: probability(config.model.family),
    "mask": lambda config: mask(config.model.family),
}
