"""The tiles of the STACK as STAC items, each with what it was made from: orbits, offsets, scenes, elevation."""

from typing import Any

from lsbatch.archive import items, receipts
from lsbatch.archive.survey import Survey
from lsbatch.config import Config
from lsbatch.grid import tile_id
from lsbatch.layers import STACK
from lsbatch.records import Fold, Receipt


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Write the catalogue of all tiles that have a STACK."""
    done = receipts.read_stage(survey.workspace.receipts, "stack")
    windows = config.survey.windows
    made = [
        items.tile(
            f"{config.survey.id}-{receipt.tile}",
            survey.tile(position).geobox,
            (windows.pre[0], windows.post[1]),
            receipt.finished,
            _provenance(receipt, config),
            # catalogue, item's folder, item
            f"../../{survey.workspace.store.name}/{STACK.name}",
            STACK,
        )
        for position in survey.positions
        if (receipt := done.get(tile_id(*position)))
    ]
    count = items.write(survey.workspace.catalog, config.survey.id, "Composites before and after, tile by tile", made)
    return {"items": count}


def _provenance(receipt: Receipt, config: Config) -> dict[str, Any]:
    windows = config.survey.windows.model_dump(mode="json")
    decisions = receipt.tally["decisions"]
    # orbits, offsets, radiometry, elevation: as the receipt has them
    told = {f"lsbatch:{key}": list(values) for key, values in decisions.items()}
    return told | {
        "lsbatch:before": windows["pre"],
        "lsbatch:after": windows["post"],
        "lsbatch:scenes": list(receipt.scenes),
        "lsbatch:scenes_left_out": list(receipt.dropped),
        "lsbatch:observed_pixels": {key: receipt.tally[key] for key in receipt.tally if key.endswith("_pixels")},
    }


FOLD = Fold(name="catalog", version=1, apply=apply, settings=lambda config: {"id": config.survey.id}, after=("stack",))
