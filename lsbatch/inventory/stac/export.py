"""Write the survey as STAC items: tiles of STACK with their provenance, and the delivered files."""

from typing import Any

from lsbatch.catalog.survey import Survey
from lsbatch.inventory import provenance
from lsbatch.inventory.stac import items as stac_items
from lsbatch.models import base
from lsbatch.pipeline import map_contents
from lsbatch.pipeline.types import Reduction
from lsbatch.settings import Config, digest
from lsbatch.storage import receipts
from lsbatch.storage.files import sweep

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
    made = provenance.items(survey) | {item.id: stac_items.text(item) for item in _delivery(survey, config)}
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
    maps = map_contents.wanted(config) if done["rasters"] else {}
    paths += [places.maps / f"{name}.tif" for name in maps]
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
            "description": one.content.legend.description,
            "unit": one.content.legend.units,
            "raster:scale": one.content.legend.scale,
        }
        for name, one in maps.items()
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


REDUCTION = Reduction(
    name="catalog",
    version=2,
    apply=apply,
    settings=lambda config: {"id": config.survey.id},
    after=("stack", provenance.STAGE.name, "inventory", "rasters"),
)
