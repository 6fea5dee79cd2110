"""Stage parts to records: the records of landslides that lie inside one tile.

A landslide with a pixel on the edge of its tile may continue in another tile. Its record is made when the parts of all
tiles are joined (see `lsbatch.inventory.records`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from lsbatch.catalog import dating_passes
from lsbatch.catalog.survey import open_survey
from lsbatch.inventory import dating, record_fields
from lsbatch.inventory.parts import Parts
from lsbatch.pipeline.outline import layers
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config, digest
from lsbatch.storage import files, receipts, vectors
from lsbatch.storage.documents import tile_edges
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace

#: Increase it when the records change for the same parts.
VERSION = 1
#: Stages whose parts the records are made from.
SOURCES = ("outline", "date")


def apply(block: Block, config: Config) -> Block:
    """Return the records of the landslides that do not touch the edge of the tile."""
    places, tile = Workspace(config.output), block.tile.id
    paths = {name: places.part(name, tile) for name in sources(config)}
    sums = {name: receipts.checksum(path) for name, path in paths.items() if files.exists(path)}
    tally = {"records": 0, "made_from": made_from(config, sums)}
    if "outline" not in sums:
        return Block(block.tile, 0, {}, tally)
    outlined = vectors.read_arrow(paths["outline"])
    inside = outlined.filter(pc.invert(on_edge(outlined, tile_edges.read(paths["outline"].with_suffix(".npy")))))
    if not inside.num_rows:
        return Block(block.tile, 0, {}, tally)
    parts = Parts(vectors.from_arrow([inside]), np.arange(inside.num_rows))
    passes = vectors.read_table(paths["date"]) if "date" in sums else dating.NO_PASSES
    columns = record_fields.of_parts(
        parts, open_survey(config).grid, config, (lambda _: passes) if "date" in paths else None
    )
    table = encoded(columns)
    return Block(block.tile, 0, {}, tally | {"records": table.num_rows}, part=table)


def encoded(columns: Mapping[str, Any]) -> pa.Table:
    """Return columns of `record_fields.of_parts` as a table, the outlines as WKB."""
    # not through pandas, whose conversion of 58 columns takes longer than making the records of a small tile
    return pa.table({**columns, "geometry": shapely.to_wkb(columns["geometry"])})


def on_edge(parts: pa.Table, edges: np.ndarray) -> pa.Array:
    """Return which parts have a pixel on the edge of the tile, and so may continue in another tile."""
    return pc.is_in(parts["label"], pa.array(np.unique(edges), parts["label"].type))


def sources(config: Config) -> tuple[str, ...]:
    """Return the stages whose parts the records are made from, with these settings."""
    return SOURCES if dating_passes.wanted(config) else SOURCES[:1]


def made_from(config: Config, sums: Mapping[str, str]) -> str:
    """Return a digest of the settings and of the checksums of the parts of a tile, by stage."""
    return digest([VERSION, settings(config), dict(sums)])


def is_current(receipt: Receipt | None, config: Config, earlier: Mapping[str, Receipt | None]) -> bool:
    """Return whether the records of a tile were made with these settings and from the parts that are there now.

    Parameters
    ----------
    receipt : Receipt or None
        Of this stage.
    config : Config
    earlier : mapping of stage to Receipt or None
        Of `sources`. A part without a checksum was written by an older version and is not recognised.
    """
    if not receipt or not all(earlier.values()):
        return False
    sums = {
        name: one.sums[file] for name, one in earlier.items() if one and (file := f"{one.tile}.parquet") in one.sums
    }
    return bool(receipt.tally["made_from"] == made_from(config, sums))


def settings(config: Config) -> dict[str, Any]:
    """Return the settings that change a record, without those of its provenance."""
    return {
        "survey": {"id": config.survey.id, "windows": config.survey.windows.model_dump(mode="json")},
        "simplify_m": config.inventory.simplify_m,
        "layers": {kind: sorted(names) for kind, names in layers(config).items()},
        **({"looks": config.composite.speckle_looks} if dating_passes.wanted(config) else {}),
        **dating.version(config),
    }


STAGE = Stage(name="records", version=VERSION, apply=apply, settings=settings, after=SOURCES)
