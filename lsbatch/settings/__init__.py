"""Settings of a survey: frozen, strict and described, read from and written to a commented YAML file.

Paths are relative to the folder of the settings file. Nothing here opens an archive, a store or a model.
"""

from lsbatch.settings.cluster import BenchSettings, ClusterSettings, JobSettings, SlurmSettings, TlsSettings
from lsbatch.settings.config import Config
from lsbatch.settings.method import (
    CleanSettings,
    CompositeSettings,
    InventorySettings,
    MapsSettings,
    ModelSettings,
    PredictSettings,
    TruthSettings,
)
from lsbatch.settings.publish import PublishSettings
from lsbatch.settings.survey import (
    ArchiveSettings,
    GridSettings,
    RegionSettings,
    Section,
    SourceSettings,
    SurveySettings,
    Windows,
)
from lsbatch.settings.training import TrainSettings
from lsbatch.settings.yaml_files import (
    commented,
    digest,
    example,
    load,
    load_text,
    parse,
    to_yaml,
    with_device,
    with_model,
)
from lsbatch.settings.years import parse_years

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
    "MapsSettings",
    "ModelSettings",
    "PredictSettings",
    "PublishSettings",
    "RegionSettings",
    "Section",
    "SlurmSettings",
    "SourceSettings",
    "SurveySettings",
    "TlsSettings",
    "TrainSettings",
    "TruthSettings",
    "Windows",
    "commented",
    "digest",
    "example",
    "load",
    "load_text",
    "parse",
    "parse_years",
    "to_yaml",
    "with_device",
    "with_model",
]
