"""Settings of a survey: frozen, strict, described; the laws between them; and the way back to a commented YAML.

Paths are relative to the folder of the settings file. Nothing here opens an archive, a store or a model.
"""

from lsbatch.config.files import digest, example, load, parse, to_yaml, with_model
from lsbatch.config.method import (
    CleanSettings,
    ClusterSettings,
    CompositeSettings,
    InventorySettings,
    ModelSettings,
    PredictSettings,
    TrainSettings,
    TruthSettings,
)
from lsbatch.config.survey import (
    ArchiveSettings,
    GridSettings,
    RegionSettings,
    Section,
    SourceSettings,
    SurveySettings,
    Windows,
)
from lsbatch.config.whole import Config

__all__ = [
    "ArchiveSettings",
    "CleanSettings",
    "ClusterSettings",
    "CompositeSettings",
    "Config",
    "GridSettings",
    "InventorySettings",
    "ModelSettings",
    "PredictSettings",
    "RegionSettings",
    "Section",
    "SourceSettings",
    "SurveySettings",
    "TrainSettings",
    "TruthSettings",
    "Windows",
    "digest",
    "example",
    "load",
    "parse",
    "to_yaml",
    "with_model",
]
