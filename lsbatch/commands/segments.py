"""The command `lsbatch segments`: the segments of the tehrani model as a map with an attribute table."""

import csv
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lsbatch.bands import STACK
from lsbatch.catalog.survey import Survey, open_survey
from lsbatch.commands import run
from lsbatch.commands.run import Screen
from lsbatch.errors import ConfigError, NoDataError
from lsbatch.grid import Tile
from lsbatch.models import base, cards, families, tehrani
from lsbatch.settings import Config
from lsbatch.storage import cube, rasters
from lsbatch.storage.files import aside, make_folder

COLUMNS = ("VALUE", "pixels", "area_m2", *tehrani.FEATURES, "probability")
#: GDAL's codes for the type and the usage of a column.
_INTEGER, _REAL = "0", "1"
_USAGE = {"VALUE": "5", "pixels": "1"}


@dataclass(frozen=True)
class TileSegments:
    """Segments that start in a tile: national number of the first pixel, features and probability."""

    first: np.ndarray
    features: np.ndarray
    chance: np.ndarray


def write(config: Config, screen: Screen) -> Path:
    """Write ``segments/segments.tif`` (0 is no segment), its GDAL attribute table, and the table as CSV.

    A segment belongs to the tile of its first pixel in row-major order, and segments are numbered in the order of these
    pixels, so numbers do not depend on tiles. Each tile is segmented once; its labels are kept on disk until all are
    numbered.

    Raises
    ------
    ConfigError
        If the survey's model is another one.
    NoDataError
        If STACK of a tile failed.
    """
    if not families.of(config).makes_segments:
        raise ConfigError(
            f"model.family = {config.model.family!r}: only tehrani makes segments; set model.family, or run with "
            "--model tehrani"
        )
    if run.survey(config, screen, until="stack"):
        raise NoDataError(f"{config.survey.id}: STACK of some tiles failed; see 'lsbatch status'")
    survey = open_survey(config)
    folder = survey.workspace.root / "segments"
    make_folder(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".labels-") as scratch:
        tiles = [survey.tile(position) for position in survey.positions]
        found = [_cut(survey, tile, Path(scratch)) for tile in tiles]
        first = np.concatenate([each.first for each in found])
        order = np.argsort(first)
        pixels = np.zeros(len(first), np.int64)

        def numbered(tile: Tile) -> np.ndarray:
            with np.load(Path(scratch) / f"{tile.id}.npz", allow_pickle=False) as kept:
                numbers = np.concatenate([[0], np.searchsorted(first[order], kept["first"]) + 1])[kept["labels"]]
            np.add(pixels, np.bincount(numbers.ravel(), minlength=len(pixels) + 1)[1:], out=pixels)
            return numbers.astype(np.uint32)

        target = folder / "segments.tif"
        rasters.write(target, survey.grid, tiles, numbered, np.uint32, 0)
    features, chance = (
        np.concatenate(parts)[order] for parts in zip(*((e.features, e.chance) for e in found), strict=True)
    )
    rows = list(_rows(pixels, features, chance, config.grid.resolution_m))
    _write_csv(target.with_suffix(".csv"), rows)
    _write_table(target.with_name(f"{target.name}.aux.xml"), rows)
    screen.text(
        f"Segments: {target} ({len(rows):,} of them; attribute table in {target.name}.aux.xml and {target.stem}.csv)"
    )
    return target


def _cut(survey: Survey, tile: Tile, scratch: Path) -> TileSegments:
    """Segment a tile with its halo, and keep the labels of its own pixels with the first pixels of their segments."""
    halo = tehrani.HALO_PX
    weights = base.resolve(survey.config)
    forest, of = cards.arrays(weights), base.card(weights)
    bands = cube.read(survey.workspace.store, survey.grid, STACK, tile, halo, tehrani.BANDS)
    found = tehrani.cut(np.stack([bands[name] for name in tehrani.BANDS]), forest["centres"], of.network["side_m"])
    inner = found.labels[halo:-halo, halo:-halo]
    places = found.first - halo
    rows, cols = tile.region
    # a first pixel cannot lie above or left of the national grid, because nothing is observed there
    national = (places[:, 0] + rows.start) * survey.grid.shape[1] + places[:, 1] + cols.start
    np.savez_compressed(scratch / f"{tile.id}.npz", labels=inner, first=national)
    own = ((places >= 0) & (places < inner.shape)).all(axis=1)
    return TileSegments(national[own], found.features[own], tehrani.chances(found.features[own], forest))


def _rows(pixels: np.ndarray, features: np.ndarray, chance: np.ndarray, side_m: float) -> Iterator[tuple[float, ...]]:
    for number, (count, values, probability) in enumerate(
        zip(pixels.tolist(), features.tolist(), chance.tolist(), strict=True), 1
    ):
        yield number, count, count * side_m**2, *values, probability


def _write_csv(path: Path, rows: Sequence[tuple[float, ...]]) -> None:
    with aside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        writer.writerows([_text(value) for value in row] for row in rows)


def _write_table(path: Path, rows: Sequence[tuple[float, ...]]) -> None:
    """Write GDAL's attribute table to the file next to a raster where GDAL and QGIS look for it."""
    top = ElementTree.Element("PAMDataset")
    table = ElementTree.SubElement(
        ElementTree.SubElement(top, "PAMRasterBand", band="1"), "GDALRasterAttributeTable", tableType="thematic"
    )
    for index, name in enumerate(COLUMNS):
        column = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        kind = _INTEGER if name in _USAGE else _REAL
        fields: Mapping[str, str] = {"Name": name, "Type": kind, "Usage": _USAGE.get(name, "0")}
        for key, text in fields.items():
            ElementTree.SubElement(column, key).text = text
    for index, row in enumerate(rows):
        line = ElementTree.SubElement(table, "Row", index=str(index))
        for value in row:
            ElementTree.SubElement(line, "F").text = _text(value)
    with aside(path) as temporary:
        # no XML declaration, because GDAL 3.6 reads a file with one as empty
        ElementTree.ElementTree(top).write(temporary, encoding="us-ascii", xml_declaration=False)


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.7g}"
