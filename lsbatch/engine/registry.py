"""The registry of stages and reductions, in the order of the pipeline."""

from collections.abc import Callable

from lsbatch.bands import Layer, applicability, mask, probability, stack_layer
from lsbatch.inventory import areas, provenance, records, tile_records
from lsbatch.inventory.qgis import export as qgis_export
from lsbatch.inventory.stac import export as stac_export
from lsbatch.pipeline import applicability as applicability_stage
from lsbatch.pipeline import clean, map_blocks, national_maps, outline, predict, radar_series, score, stack
from lsbatch.pipeline.types import Reduction, Stage
from lsbatch.report import page as report_page
from lsbatch.report import thumbnails
from lsbatch.settings import Config

PIPELINE: tuple[Stage | Reduction, ...] = (
    stack.STAGE,
    applicability_stage.STAGE,
    predict.STAGE,
    clean.STAGE,
    outline.STAGE,
    radar_series.STAGE,
    score.STAGE,
    areas.STAGE,
    tile_records.STAGE,
    provenance.STAGE,
    map_blocks.STAGE,
    thumbnails.STAGE,
    records.REDUCTION,
    areas.REDUCTION,
    national_maps.REDUCTION,
    qgis_export.REDUCTION,
    stac_export.REDUCTION,
    report_page.REDUCTION,
)

#: Layers by the short name that `Stage.reads` uses.
LAYERS: dict[str, Callable[[Config], Layer]] = {
    "stack": lambda config: stack_layer(config.composite.bands),
    "applicability": lambda config: applicability(config.model.family),
    "probability": lambda config: probability(config.model.family),
    "mask": lambda config: mask(config.model.family),
}
