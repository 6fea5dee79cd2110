"""Write the survey as STAC items: tiles of STACK with their provenance, and the delivered files."""

from typing import Any

from lsbatch.bands import STACK, stack_layer
from lsbatch.catalog.survey import Survey
from lsbatch.grid import tile_id
from lsbatch.inventory import stac_items
from lsbatch.models import base
from lsbatch.pipeline.map_blocks import MAPS
from lsbatch.pipeline.types import Reduction
from lsbatch.settings import Config, digest
from lsbatch.storage import receipts
from lsbatch.storage.files import sweep
from lsbatch.storage.receipts import Receipt

#: Delivered files of the inventory.
INVENTORY = (
    "landslides.gpkg",
    "landslides.parquet",
    "landslides.csv",
    "landslides.qml",
    "scenes.csv",
    "inspire.gpkg",
    "sosi.csv",
)


def apply(survey: Survey, config: Config) -> dict[str, Any]:
    """Write the catalogue of all tiles that have a STACK."""
    done = receipts.read_stage(survey.workspace.receipts, "stack")
    windows = config.survey.windows
    made = [
        stac_items.tile(
            f"{config.survey.id}-{receipt.tile}",
            survey.tile(position).geobox,
            (windows.pre[0], windows.post[1]),
            receipt.finished,
            _provenance(receipt, config),
            # catalogue, item's folder, item
            f"../../{survey.workspace.store.name}/{STACK.name}",
            stack_layer(config.composite.bands),
        )
        for position in survey.positions
        if (receipt := done.get(tile_id(*position)))
    ]
    made += _delivery(survey, config)
    sweep(survey.workspace.catalog)
    count = stac_items.write(
        survey.workspace.catalog, config.survey.id, "Composites before and after, tile by tile", made
    )
    return {"items": count}


def _delivery(survey: Survey, config: Config) -> list[Any]:
    """Return one item of all inventory files, if there is an inventory."""
    done = {name: receipts.read_stage(survey.workspace.receipts, name).get("all") for name in ("inventory", "rasters")}
    places = survey.workspace
    paths = [places.inventory / name for name in INVENTORY] if done["inventory"] else []
    paths += [places.maps / f"{name}.tif" for name in MAPS] if done["rasters"] else []
    if not paths:
        return []
    card = base.card(base.resolve(config))
    properties = {
        "lsbatch:model": card.family,
        "lsbatch:weights": card.checksum,
        "lsbatch:settings": digest(config.model_dump(mode="json", exclude={"output", "cluster"})),
        "lsbatch:crs": config.grid.crs,
    }
    bands = {
        f"{name}.tif": {
            "name": name,
            "description": content.legend.description,
            "unit": content.legend.units,
            "raster:scale": content.legend.scale,
        }
        for name, content in MAPS.items()
    }
    windows = config.survey.windows
    # catalogue, item's folder, item
    files = {f"../../{path.parent.name}/{path.name}": path for path in paths}
    return [
        stac_items.delivery(
            f"{config.survey.id}-inventory",
            files,
            survey.grid.geobox,
            (windows.pre[0], windows.post[1]),
            properties,
            bands,
        )
    ]


def _provenance(receipt: Receipt, config: Config) -> dict[str, Any]:
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


REDUCTION = Reduction(
    name="catalog",
    version=2,
    apply=apply,
    settings=lambda config: {"id": config.survey.id},
    after=("stack", "inventory", "rasters"),
)
