"""Stage of the provenance of each tile: its scenes as rows of a table, and its STAC item.

Both are made by workers, because the plan of a tile takes 3 ms to read and its item 3 ms to make. The reductions
`inventory` and `catalog` only copy them.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd
import pystac

from lsbatch.bands import STACK, stack_layer
from lsbatch.catalog import plan
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.survey import Survey
from lsbatch.errors import StaleStoreError
from lsbatch.grid import Tile, tile_id
from lsbatch.imagery.prefetch import in_order
from lsbatch.inventory.stac import items as stac_items
from lsbatch.pipeline.types import Block, Stage
from lsbatch.settings import Config, digest
from lsbatch.storage import receipts, vectors
from lsbatch.storage.receipts import Receipt
from lsbatch.storage.workspace import Workspace

#: Increase it when the rows or items change for the same tile.
VERSION = 1
#: Attributes of a scene, from `lsbatch.catalog.items.scenes.Scene`.
_OF_SCENE = (
    "sensor",
    "collection",
    "time",
    "platform",
    "relative_orbit",
    "orbit_state",
    "baseline",
    "offset_dn",
    "offset_reason",
)
COLUMNS = ("tile", "scene", "looks", "used", "reason", *_OF_SCENE)
#: Columns of the part of a tile: lines of CSV without the header, and the JSON of a STAC item.
SCENES, ITEM = "scenes", "item"
#: Time in the items of the parts: the time of a STACK is entered last, so that two runs give the same parts.
UNDATED = "0001-01-01T00:00:00+00:00"
#: Tiles that are read in advance, because reading waits for object storage.
READERS = 16


def apply(block: Block, config: Config) -> Block:
    """Return the scenes and the STAC item of a tile, as text."""
    receipt = receipts.read(Workspace(config.output).receipts, "stack", block.tile.id)
    if not receipt:
        raise StaleStoreError(f"{block.tile.id}: its receipt of stack was removed; run the same command again")
    tally = {"made_from": _made_from(config, receipt)}
    return Block(block.tile, 0, {}, tally, part=pd.DataFrame(_texts(config, block.tile, receipt), index=[0]))


def scenes(survey: Survey, tiles: Iterable[str]) -> str:
    """Return the table of scenes as CSV: one row for each tile and planned scene, by tile, window and time.

    `looks` is `pre_s2`, `post_s2`, `pre_s1`, `post_s1` or `dem`. `used` is `yes` or `no`, and `reason` says why a scene
    was not used.
    """
    found = _of_tiles(survey, SCENES, set(tiles))
    return "".join([_csv([COLUMNS]), *(found[tile] for tile in sorted(found))])


def items(survey: Survey) -> dict[str, str]:
    """Return the STAC items, as JSON by id, of all tiles that have a STACK."""
    found = _of_tiles(survey, ITEM)
    stacked = receipts.read_stage(survey.workspace.receipts, "stack")
    # once: names of scenes come later in the text
    return {
        _item_id(survey.config, tile): text.replace(UNDATED, stacked[tile].finished, 1) for tile, text in found.items()
    }


def _of_tiles(survey: Survey, column: str, tiles: set[str] | None = None) -> dict[str, str]:
    """Return a text of each tile with a STACK, or of some of them; it is made here if its part is not current."""
    stacked, made = (receipts.read_stage(survey.workspace.receipts, name) for name in ("stack", STAGE.name))

    def read(tile: str) -> str:
        receipt, own = stacked[tile], made.get(tile)
        if own and own.tally["made_from"] == _made_from(survey.config, receipt):
            table = vectors.read_arrow(survey.workspace.part(STAGE.name, tile))
            return str(table[column][0].as_py())
        return _texts(survey.config, survey.tile(positions[tile]), receipt)[column]

    positions = {tile_id(*position): position for position in survey.positions}
    chosen = [tile for tile in positions if stacked.get(tile) and (tiles is None or tile in tiles)]
    return dict(zip(chosen, in_order([partial(read, tile) for tile in chosen], READERS), strict=True))


def _texts(config: Config, tile: Tile, receipt: Receipt) -> dict[str, str]:
    return {SCENES: _csv(_rows(config, receipt)), ITEM: stac_items.text(_item(config, tile, receipt))}


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _rows(config: Config, receipt: Receipt) -> Iterator[tuple[object, ...]]:
    for looks, planned in plan.tile_scenes(config.output, receipt.tile).items():
        for scene in sorted(planned, key=_when):
            # error messages about a scene start with its id
            reason = next((text for text in receipt.dropped if text.startswith(f"{scene.id}: ")), "")
            used = "yes" if scene.id in receipt.scenes else "no"
            yield (receipt.tile, scene.id, looks, used, reason, *(getattr(scene, name) for name in _OF_SCENE))


def _when(scene: Scene) -> tuple[str, str]:
    return scene.time, scene.id


def _item(config: Config, tile: Tile, receipt: Receipt) -> pystac.Item:
    windows = config.survey.windows
    return stac_items.tile(
        _item_id(config, tile.id),
        tile.geobox,
        (windows.pre[0], windows.post[1]),
        UNDATED,
        _properties(receipt, config),
        # catalogue, item's folder, item
        f"../../{Workspace(config.output).store.name}/{STACK.name}",
        stack_layer(config.composite.bands),
    )


def _item_id(config: Config, tile: str) -> str:
    return f"{config.survey.id}-{tile}"


def _properties(receipt: Receipt, config: Config) -> dict[str, Any]:
    windows = config.survey.windows.model_dump(mode="json")
    decisions = receipt.tally["decisions"]
    # orbits, offsets, radiometry and elevation from the receipt
    properties = {f"lsbatch:{key}": list(values) for key, values in decisions.items()}
    return properties | {
        "lsbatch:before": windows["pre"],
        "lsbatch:after": windows["post"],
        "lsbatch:scenes": list(receipt.scenes),
        "lsbatch:scenes_left_out": list(receipt.dropped),
        "lsbatch:observed_pixels": {key: receipt.tally[key] for key in receipt.tally if key.endswith("_pixels")},
    }


def _made_from(config: Config, receipt: Receipt) -> str:
    """Return a digest of the settings and of the STACK of a tile."""
    return digest([VERSION, _settings(config), receipt.digest])


def _settings(config: Config) -> Mapping[str, Any]:
    return {"survey": {"id": config.survey.id, "windows": config.survey.windows.model_dump(mode="json")}}


STAGE = Stage(name="provenance", version=VERSION, apply=apply, settings=_settings, after=("stack",))
