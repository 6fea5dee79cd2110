"""The boundaries of lsbatch that are fuzzed."""

import importlib
from pathlib import Path

from tests.fuzz.targets.target import Target

#: Module and function of each target. The function makes it in a folder of its own. Modules are imported when needed:
#: some import torch.
TARGETS = {
    "stac-api": "catalogues.api",
    "stac-files": "catalogues.static",
    "settings": "settings_files.yaml_text",
    "scene": "rasters.scene",
    "folder-of-rasters": "rasters.folder_of_rasters",
    "weights": "networks.weights",
    "network-item": "networks.item",
    "network-graph": "networks.graph",
    "geopackage": "vector_files.geopackage",
    "geojson": "vector_files.geojson",
    "geoparquet": "vector_files.geoparquet",
    "parts": "vector_files.parts",
    "plan": "survey_folder.plan_files",
    "receipt": "survey_folder.receipt",
    "journal": "survey_folder.answers",
    "lease": "survey_folder.lease_file",
    "version": "survey_folder.version_file",
    "cube-metadata": "survey_folder.cube_metadata",
    "review-requests": "review_page.requests",
    "review-answers": "review_page.answers",
}


def make(name: str, folder: Path) -> Target:
    """Make a target in an empty folder."""
    module, _, function = TARGETS[name].partition(".")
    target: Target = getattr(importlib.import_module(f"tests.fuzz.targets.{module}"), function)(folder)
    return target
