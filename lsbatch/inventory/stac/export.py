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
from lsbatch.storage.cog import Content
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
    done = {
        name: receipts.read_stage(survey.workspace.receipts, name).get("all")
        for name in ("inventory", "rasters", "project")
    }
    places = survey.workspace
    paths = [places.inventory / name for name in INVENTORY] if done["inventory"] else []
    maps = map_contents.wanted(config) if done["rasters"] else {}
    paths += [places.maps / f"{name}.tif" for name in maps]
    if done["project"]:
        paths += [*(places.maps / f"{name}.qml" for name in maps), places.project]
    if not paths:
        return []
    card = base.card(base.resolve(config))
    properties = {
        "lsbatch:model": card.family,
        "lsbatch:weights": card.checksum,
        "lsbatch:settings": digest(config.of_results()),
        "lsbatch:crs": config.grid.crs,
    }
    bands = {f"{name}.tif": _bands(name, one.content) for name, one in maps.items()}
    windows = config.survey.windows
    # catalogue, item's folder, item
    files = {f"../../{path.relative_to(places.root).as_posix()}": path for path in paths}
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


def _bands(name: str, content: Content) -> list[dict[str, Any]]:
    names = [name] if content.samples == 1 else ["red", "green", "blue"]
    legend = content.legend
    meaning = {"description": legend.description, "unit": legend.units, "raster:scale": legend.scale}
    return [{"name": each} | meaning for each in names]


REDUCTION = Reduction(
    name="catalog",
    version=3,
    apply=apply,
    settings=lambda config: {"id": config.survey.id},
    after=("stack", provenance.STAGE.name, "inventory", "rasters", "project"),
)
