"""The inventory: join the records of the tiles and those of landslides that cross tile edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
from lsbatch.storage import receipts, vectors
from lsbatch.storage.documents import tile_edges
from lsbatch.storage.files import write_text
from lsbatch.storage.workspace import Workspace


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Join the parts of all tiles, give them identifiers, and write the inventory, its style and exports."""
    linked = identity.settle(survey, landslides(survey, config))
    frame = reviews.with_drawings(survey, config, linked.frame, _provenance(config))
    found = identity.found(frame)
    # records kept from earlier years may come from another program
    attributes = found.drop(columns="geometry")
    schema.check({name: values.tolist() for name, values in attributes.items()}, config.inventory.confounders)
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
    tiles = _read_tiles(survey, config)
    tables = []
    if finished := [tile.finished for tile in tiles if tile.finished is not None]:
        tables.append(record_fields.table(vectors.from_arrow(finished), config))
    if any(tile.touching.num_rows for tile in tiles):
        passes = _passes_of_tile(survey, config)
        tables.append(record_fields.of_parts(_joined(tiles), survey.grid, config, passes))
    if not tables:
        return _empty(config)
    whole = pd.concat(tables, ignore_index=True).assign(**_provenance(config))
    whole = whole[whole["area_m2"] >= config.inventory.min_area_m2]
    whole = whole.sort_values(["area_m2", "landslide_id"], ascending=[False, True])
    columns = {name: values.to_numpy() for name, values in whole.items()}
    frame = record_fields.table(columns, config)
    return gpd.GeoDataFrame(frame, geometry="geometry", crs=config.grid.crs)


@dataclass(frozen=True)
class _Tile:
    """The landslides of a tile.

    Attributes
    ----------
    position : (row, col)
    count : int
        Number of parts, in either table.
    edges : array (4, tile_px)
        Labels along the edges of the tile.
    finished : Table or None
        Records that the stage `records` made.
    touching : Table
        The other parts. Their records are made here.
    """

    position: Position
    count: int
    edges: np.ndarray
    finished: pa.Table | None
    touching: pa.Table


def _read_tiles(survey: Survey, config: Config) -> list[_Tile]:
    """Read the tiles with landslides.

    A tile without current records, because its dates failed for example, gives all its parts.
    """
    folder = survey.workspace.receipts
    earlier = {name: receipts.read_stage(folder, name) for name in tile_records.sources(config)}
    made = receipts.read_stage(folder, tile_records.STAGE.name)
    calls = []
    for position in survey.positions:
        tile = tile_id(*position)
        outlined, receipt = earlier["outline"].get(tile), made.get(tile)
        if outlined and outlined.tally["parts"]:
            current = tile_records.is_current(receipt, config, {name: done.get(tile) for name, done in earlier.items()})
            records = int(receipt.tally["records"]) if current and receipt else None
            calls.append(partial(_read_tile, survey.workspace, position, outlined.tally["parts"], records))
    return list(in_order(calls, provenance.READERS))


def _read_tile(places: Workspace, position: Position, count: int, records: int | None) -> _Tile:
    """Read a tile; `records` is the number of its current records, None if it has none."""
    name = tile_id(*position)
    path = places.part("outline", name)
    parts, edges = vectors.read_arrow(path), tile_edges.read(path.with_suffix(".npy"))
    if records is None:
        return _Tile(position, count, edges, None, parts)
    _, touching = tile_records.divided(parts, edges)
    finished = vectors.read_arrow(places.part(tile_records.STAGE.name, name)) if records else None
    return _Tile(position, count, edges, finished, touching)


def _joined(tiles: Sequence[_Tile]) -> Parts:
    """Return the parts that the tiles have left, by landslide."""
    parts = vectors.from_arrow([tile.touching for tile in tiles])
    component = connected_regions.join(
        {tile.position: tile.edges for tile in tiles}, {tile.position: tile.count for tile in tiles}
    )
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
