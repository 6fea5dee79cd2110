"""The boundaries of lsbatch that are fuzzed, by name: a function from a folder of its own to the target."""

from collections.abc import Callable
from pathlib import Path

from tests.fuzz.targets import (
    catalogues,
    networks,
    rasters,
    review_page,
    settings_files,
    survey_folder,
    vector_files,
)
from tests.fuzz.targets.target import Target

TARGETS: dict[str, Callable[[Path], Target]] = {
    "stac-api": catalogues.api,
    "stac-files": catalogues.static,
    "settings": settings_files.yaml_text,
    "scene": rasters.scene,
    "folder-of-rasters": rasters.folder_of_rasters,
    "weights": networks.weights,
    "network-item": networks.item,
    "network-graph": networks.graph,
    "geopackage": vector_files.geopackage,
    "geojson": vector_files.geojson,
    "geoparquet": vector_files.geoparquet,
    "parts": vector_files.parts,
    "plan": survey_folder.plan_files,
    "receipt": survey_folder.receipt,
    "journal": survey_folder.answers,
    "lease": survey_folder.lease_file,
    "version": survey_folder.version_file,
    "cube-metadata": survey_folder.cube_metadata,
    "review-requests": review_page.requests,
    "review-answers": review_page.answers,
}
