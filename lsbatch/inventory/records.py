"""The inventory: join the records of the tiles and those of landslides that cross tile edges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa

import lsbatch
from lsbatch.catalog.survey import Position, Survey
from lsbatch.grid import tile_id
from lsbatch.imagery.prefetch import in_order
from lsbatch.inventory import (
    dating,
    exports,
    identity,
    inventory_files,
    provenance,
    record_fields,
    reviews,
    schema,
    tile_records,
)
from lsbatch.inventory.parts import Parts
from lsbatch.inventory.qgis import landslide_styles
from lsbatch.kernels import connected_regions
from lsbatch.models import base
from lsbatch.pipeline.types import Reduction
from lsbatch.settings import Config, digest
from lsbatch.storage import files, receipts, vectors
from lsbatch.storage.documents import tile_edges
from lsbatch.storage.files import write_text
from lsbatch.storage.workspace import Workspace

#: Tiles whose tables are joined as soon as they are read. Each table of 58 columns takes 0.1 MB besides its values.
TOGETHER = 64


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Join the parts of all tiles, give them identifiers, and write the inventory, its style and exports."""
    linked = identity.settle(survey, landslides(survey, config))
    frame = reviews.with_drawings(survey, config, linked.frame, _provenance(config))
    found = identity.found(frame)
    # records kept from earlier years may come from another program
    schema.check(found.drop(columns="geometry"), config.inventory.confounders)
    folder, language = survey.workspace.inventory, config.inventory.language
    found = identity.found(inventory_files.write(folder, frame, language))
    fields = schema.fields(config.inventory.confounders)
    write_text(folder / "landslides.qml", landslide_styles.qml("confidence", language, fields))
    exports.write_all(folder, found)
    tiles = {tile for text in found["tiles"] for tile in text.split(";")}
    write_text(folder / "scenes.csv", provenance.scenes(survey, tiles))
    return {
        "landslides": len(found),
        "area_m2": float(found["area_m2"].sum()),
        "last": linked.last,
        "this": linked.this,
    }


def landslides(survey: Survey, config: Config) -> gpd.GeoDataFrame:
    """Return one record a landslide, largest first; an empty survey gives an empty frame with the same columns."""
    columns = _columns(survey, config)
    if not columns:
        return _empty(config)
    order = np.lexsort((np.asarray(columns["landslide_id"], str), -columns["area_m2"]))
    order = order[columns["area_m2"][order] >= config.inventory.min_area_m2]
    frame = record_fields.table({name: values[order] for name, values in columns.items()} | _provenance(config), config)
    return gpd.GeoDataFrame(frame, geometry="geometry", crs=config.grid.crs)


def _columns(survey: Survey, config: Config) -> dict[str, Any]:
    """Return the columns of all records, in any order; none if there are no landslides."""
    tiles = _read_tiles(survey, config)
    tables = [*tiles.finished]
    if tiles.touching:
        passes = _passes_of_tile(survey, config)
        tables.append(tile_records.encoded(record_fields.of_parts(_joined(tiles), survey.grid, config, passes)))
    return vectors.from_arrow(tables) if tables else {}


@dataclass(frozen=True)
class _Tiles:
    """The landslides of one tile or of many.

    Attributes
    ----------
    edges : mapping of (row, col) to array (4, tile_px)
        Labels along the edges of each tile.
    counts : mapping of (row, col) to int
        Number of parts of each tile, in either table.
    finished : list of Table
        Records that the stage `records` made.
    touching : list of Table
        The other parts. Their records are made here.
    """

    edges: dict[Position, np.ndarray]
    counts: dict[Position, int]
    finished: list[pa.Table]
    touching: list[pa.Table]


def _read_tiles(survey: Survey, config: Config) -> _Tiles:
    """Read the tiles with landslides.

    A tile without current records, because its dates failed for example, gives all its parts.
    """
    folder = survey.workspace.receipts
    earlier = {name: receipts.read_stage(folder, name) for name in tile_records.sources(config)}
    made = receipts.read_stage(folder, tile_records.STAGE.name)
    chosen = []
    for position in survey.positions:
        tile = tile_id(*position)
        outlined, receipt = earlier["outline"].get(tile), made.get(tile)
        if outlined and outlined.tally["parts"]:
            current = tile_records.is_current(receipt, config, {name: done.get(tile) for name, done in earlier.items()})
            records = int(receipt.tally["records"]) if current and receipt else None
            chosen.append((position, outlined.tally["parts"], records))
    # only bytes: decoding in so many threads, which wait for each other, takes twice the processor time
    fetched = in_order(
        [partial(_fetched, survey.workspace, position, records) for position, _, records in chosen], provenance.READERS
    )
    read, groups = (_tile(survey.workspace, *one, *found) for one, found in zip(chosen, fetched, strict=True)), []
    while group := list(islice(read, TOGETHER)):
        tiles = _gathered(group)
        groups.append(replace(tiles, finished=_one(tiles.finished), touching=_one(tiles.touching)))
    # what was decoded and is joined
    pa.default_memory_pool().release_unused()
    return _gathered(groups)


def _fetched(places: Workspace, position: Position, records: int | None) -> tuple[bytes, np.ndarray, bytes]:
    """Read the files of a tile: its parts, its edges, and its records if it has any (see `_tile`)."""
    path = places.part("outline", tile_id(*position))
    made = places.part(tile_records.STAGE.name, tile_id(*position))
    return files.read_bytes(path), tile_edges.read(path.with_suffix(".npy")), files.read_bytes(made) if records else b""


def _tile(
    places: Workspace, position: Position, count: int, records: int | None, data: bytes, edges: np.ndarray, made: bytes
) -> _Tiles:
    """Decode a tile; `count` is the number of its parts, `records` of its current records, None if it has none."""
    name = tile_id(*position)
    parts, finished = vectors.read_arrow(places.part("outline", name), data), []
    if records is not None:
        parts = parts.filter(tile_records.on_edge(parts, edges))
    if records:
        finished = [vectors.read_arrow(places.part(tile_records.STAGE.name, name), made)]
    return _Tiles({position: edges}, {position: count}, finished, [parts] if parts.num_rows else [])


def _gathered(tiles: Iterable[_Tiles]) -> _Tiles:
    out = _Tiles({}, {}, [], [])
    for tile in tiles:
        out.edges.update(tile.edges)
        out.counts.update(tile.counts)
        out.finished.extend(tile.finished)
        out.touching.extend(tile.touching)
    return out


def _one(tables: list[pa.Table]) -> list[pa.Table]:
    return [vectors.joined(tables)] if tables else []


def _joined(tiles: _Tiles) -> Parts:
    """Return the parts that the tiles have left, by landslide."""
    parts = vectors.from_arrow(tiles.touching)
    component = connected_regions.join(tiles.edges, tiles.counts)
    keys = zip(parts["tile_row"], parts["tile_col"], parts["label"], strict=True)
    return Parts.grouped(parts, np.array([component[row, col][label - 1] for row, col, label in keys]))


def _passes_of_tile(survey: Survey, config: Config) -> dating.PassesOfTile | None:
    """Return a function that reads the passes of a tile; None if landslides are not dated with Sentinel-1."""
    if "date" not in tile_records.sources(config):
        return None
    done = receipts.read_stage(survey.workspace.receipts, "date")

    def read(tile: str) -> pd.DataFrame | None:
        receipt = done.get(tile)
        if not receipt:
            return None
        path = survey.workspace.part("date", tile)
        return vectors.read_table(path) if receipt.tally["dated_parts"] else dating.NO_PASSES

    return read


def _empty(config: Config) -> gpd.GeoDataFrame:
    columns = [*schema.dtypes(config.inventory.confounders), "geometry"]
    types = schema.dtypes(config.inventory.confounders)
    return gpd.GeoDataFrame([], columns=columns, geometry="geometry", crs=config.grid.crs).astype(types)


def _provenance(config: Config) -> dict[str, str]:
    card = base.card(base.resolve(config))
    return {
        "model": card.family,
        "weights": card.checksum,
        "settings": digest(config.of_results()),
        "software": f"lsbatch {lsbatch.__version__}",
    }


def _settings(config: Config) -> Mapping[str, Any]:
    kept = {"review": identity.state(Workspace(config.output))}
    return (
        {"inventory": config.inventory.model_dump(mode="json"), "survey": config.survey.model_dump(mode="json")}
        | _provenance(config)
        | dating.version(config)
        | kept
    )


REDUCTION = Reduction(
    name="inventory",
    version=5,
    apply=apply,
    settings=_settings,
    after=(*tile_records.SOURCES, tile_records.STAGE.name, provenance.STAGE.name),
)
