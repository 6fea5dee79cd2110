"""Settings of a survey: frozen, strict, described; the laws between them; and the way back to a commented YAML.

Paths are relative to the folder of the settings file. Nothing here opens an archive, a store or a model.
"""

from lsbatch.config.files import digest, example, load, parse, to_yaml, with_device, with_model
from lsbatch.config.method import (
    CleanSettings,
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
from lsbatch.config.workers import BenchSettings, ClusterSettings, JobSettings, SlurmSettings, TlsSettings

__all__ = [
    "ArchiveSettings",
    "BenchSettings",
    "CleanSettings",
    "ClusterSettings",
    "CompositeSettings",
    "Config",
    "GridSettings",
    "InventorySettings",
    "JobSettings",
    "ModelSettings",
    "PredictSettings",
    "RegionSettings",
    "Section",
    "SlurmSettings",
    "SourceSettings",
    "SurveySettings",
    "TlsSettings",
    "TrainSettings",
    "TruthSettings",
    "Windows",
    "digest",
    "example",
    "load",
    "parse",
    "to_yaml",
    "with_device",
    "with_model",
]
