"""The registry of stages and reductions, in the order of the pipeline."""

from lsbatch.inventory import areas, provenance, records, tile_records
from lsbatch.inventory.qgis import export as qgis_export
from lsbatch.inventory.stac import export as stac_export
from lsbatch.pipeline import applicability as applicability_stage
from lsbatch.pipeline import clean, map_blocks, national_maps, outline, predict, radar_series, score, stack
from lsbatch.pipeline.types import Reduction, Stage
from lsbatch.report import page as report_page
from lsbatch.report import thumbnails

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
