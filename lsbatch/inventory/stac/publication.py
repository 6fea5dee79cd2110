"""A published survey as a static STAC collection with one item."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pystac

from lsbatch.catalog.survey import Survey
from lsbatch.inventory.stac import items as stac_items
from lsbatch.settings.publish import is_address

COLLECTION = "collection.json"
SCIENTIFIC = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"
#: Page of a licence by its identifier.
SPDX = "https://spdx.org/licenses/{}.html"


def write(folder: Path, survey: Survey, files: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    """Write the collection and its item; all links are relative.

    Parameters
    ----------
    folder : Path
        Of the collection.
    survey : Survey
    files : mapping of address to path
        Published files, by their address relative to the item.
    texts : mapping of name to str
        title, description, licence, citation, contact.
    """
    config, windows = survey.config, survey.config.survey.windows
    days = (windows.pre[0], windows.post[1])
    item_id = f"{config.survey.id}-published"
    item = stac_items.delivery(item_id, files, survey.grid.geobox, days, {"title": texts["title"]}, {})
    item.clear_links()
    for rel in ("root", "parent", "collection"):
        item.add_link(pystac.Link(rel, f"../{COLLECTION}", pystac.MediaType.JSON))
    item.collection_id = config.survey.id
    first, last = (datetime.combine(day, at, UTC) for day, at in zip(days, (time.min, time.max), strict=True))
    extent = pystac.Extent(
        pystac.SpatialExtent([list(item.bbox or ())]), pystac.TemporalExtent([[first, last.replace(microsecond=0)]])
    )
    licence = texts["licence"]
    found = pystac.Collection(
        config.survey.id, texts["description"], extent, texts["title"],
        license=licence if licence and not is_address(licence) else "other",
        providers=[pystac.Provider(name, roles=[pystac.ProviderRole.PRODUCER]) for name in (texts["contact"],) if name],
    )  # fmt: skip
    found.stac_extensions.append(SCIENTIFIC)
    found.extra_fields["sci:citation"] = texts["citation"]
    found.clear_links()
    found.add_link(pystac.Link("root", f"./{COLLECTION}", pystac.MediaType.JSON))
    found.add_link(pystac.Link("item", f"./{item_id}/{item_id}.json", pystac.MediaType.GEOJSON))
    if address := address_of(licence):
        found.add_link(pystac.Link("license", address))
    (folder / item_id).mkdir(parents=True)
    for path, one in ((folder / COLLECTION, found), (folder / item_id / f"{item_id}.json", item)):
        path.write_text(_text(one.to_dict(include_self_link=False, transform_hrefs=False)), encoding="utf-8")


def address_of(licence: str) -> str:
    """Return the address of the text of a licence; empty without a licence."""
    return licence if is_address(licence) or not licence else SPDX.format(licence)


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
