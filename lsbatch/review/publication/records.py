"""The data of the page: its list at once, and one line a landslide that is read when the landslide is selected."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import geopandas as gpd
import numpy as np
import shapely

from lsbatch.bands import FULL_STACK, probability
from lsbatch.catalog.survey import Survey
from lsbatch.inventory import areas as area_statistics
from lsbatch.report import quicklooks
from lsbatch.review import listing
from lsbatch.storage import files


@dataclass
class _Lines:
    """Lines of JSON in any order, and an index of them by landslide: begin and length, 8 bytes each."""

    file: BinaryIO
    places: np.ndarray
    at: int = field(default=0)

    def put(self, row: int, value: Any) -> None:
        text = to_json(value)
        self.file.write(text + b"\n")
        self.places[row] = self.at, len(text)
        self.at += len(text) + 1


def write(folder: Path, survey: Survey, frame: gpd.GeoDataFrame, areas: Mapping[str, shapely.Geometry]) -> None:
    """Write the list, the records, the images of each landslide and the outlines of areas."""
    folder.mkdir()
    homes = area_statistics.homes(areas, frame) if areas else None
    table = listing.table(survey, frame, homes) | {"answers": {}, "edition": 0}
    (folder / "landslides.json").write_bytes(to_json(table))
    with _lines(folder / "records", len(frame)) as lines:
        for row, values in enumerate(_records(survey, frame)):
            lines.put(row, values)
    with _lines(folder / "pictures", len(frame)) as lines:
        for row, look in _pictures(survey, frame):
            lines.put(row, look)
    if areas:
        (folder / "areas.json").write_bytes(listing.area_outlines(survey, areas))


@contextmanager
def _lines(path: Path, count: int) -> Iterator[_Lines]:
    with path.with_suffix(".jsonl").open("wb") as file:
        lines = _Lines(file, np.zeros((count, 2), "<u8"))
        yield lines
    path.with_suffix(".index").write_bytes(lines.places.tobytes())


def _records(survey: Survey, frame: gpd.GeoDataFrame) -> Iterable[tuple[Any, ...]]:
    """Return the values of each landslide in the order of `listing.fields_of`."""
    names = [field["name"] for field in listing.fields_of(survey, frame)]
    return zip(*([listing.plain(value) for value in frame[name].tolist()] for name in names), strict=True)


def _pictures(survey: Survey, frame: gpd.GeoDataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the images of each landslide, if the cube is there."""
    layers = (FULL_STACK.name, probability(survey.config.model.family).name)
    if all(files.exists(survey.workspace.store / name / "zarr.json") for name in layers):
        yield from quicklooks.by_place(survey, survey.config, list(frame.geometry.values))


def to_json(value: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
