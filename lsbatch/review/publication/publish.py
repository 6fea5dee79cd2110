"""Write all files of a published survey."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd

from lsbatch.catalog.survey import Survey
from lsbatch.errors import ConfigError, LsbatchError, StaleStoreError
from lsbatch.inventory import areas, reviews
from lsbatch.inventory.previous_inventory import ID
from lsbatch.inventory.stac import publication as stac
from lsbatch.review import listing, server, site
from lsbatch.review.image_tiles import ImageTiles
from lsbatch.review.publication import about, downloads, finished, folder, records, tile_archives
from lsbatch.review.publication.finished import Observed
from lsbatch.settings import digest
from lsbatch.storage.documents import answer_file

_HERE = Path(__file__).parent
#: Scripts of the page that a published folder does not have: those for answers, and the one that reads from a server.
_NOT_PUBLISHED = ("answers.js", "draw.js", "data.js")
#: Scripts of the folder, and the licence of the one of others.
_OWN = ("data.js", "pmtiles.js", "pmtiles.LICENSE.txt")
#: As the server's, without what a page cannot say of itself.
POLICY = server.POLICY.removesuffix("; frame-ancestors 'none'")


def publish(survey: Survey, target: Path, tell: Callable[[str], None]) -> None:
    """Write the page, its data and all downloads into a folder; an earlier publication of the survey is replaced.

    Parameters
    ----------
    survey : Survey
    target : Path
    tell : callable str -> None
        Progress.

    Raises
    ------
    ConfigError
        If the folder holds something else, or MapLibre is not installed.
    NoDataError
        If the survey is not finished.
    StaleStoreError
        If a file cannot be read or written.
    """
    maplibre = site.map_folder()
    if maplibre is None:
        raise ConfigError(site.MISSING)
    observed = finished.check(survey)
    frame = downloads.public(reviews.records(survey)).reset_index(drop=True)
    with _failures_told(survey), folder.replaced(target, survey.config.survey.id) as here:
        if waiting := _unpublished(survey, frame):
            tell(f"{waiting} answers of reviewers are not in the inventory, and not published: run lsbatch run first")
        tell(f"Publishing {survey.config.survey.id}: {len(frame):,} landslides")
        downloads.write(here, survey, frame)
        images = _tiles(here, survey, frame, tell)
        outlines = areas.outlines(survey.config)
        tell("Records")
        records.write(here / "data", survey, frame, outlines)
        told = site.described(survey, images, has_areas=bool(outlines)) | {
            "is_published": True,
            "fields": listing.fields_of(survey, frame),
        }
        (here / "data" / "survey.json").write_bytes(records.to_json(told))
        _stac(here, survey)
        _page(here, survey, frame, observed, maplibre)
    tell(f"Published: {target}")


@contextmanager
def _failures_told(survey: Survey) -> Iterator[None]:
    """Turn the failure of a disk or of object storage into a sentence."""
    try:
        yield
    except OSError as error:
        if isinstance(error, LsbatchError):
            raise
        raise StaleStoreError(
            f"{survey.config.output}: cannot be published: {error.strerror or error}; run the same command again"
        ) from None


def _unpublished(survey: Survey, frame: gpd.GeoDataFrame) -> int:
    """Return the number of landslides whose last answer in the journal is not that of the inventory."""
    last = {one[ID]: one["state"] for one in answer_file.read(survey.workspace.answers)}
    return sum(last.get(name, state) != state for name, state in zip(frame[ID], frame["review_state"], strict=True))


def _tiles(here: Path, survey: Survey, frame: gpd.GeoDataFrame, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Write the tiles; return the images as the page needs them, in the order of the settings."""
    tell("Tiles of the landslides")
    tile_archives.write_landslides(here / "tiles" / "landslides.pmtiles", survey, frame)
    images = ImageTiles(survey)
    described = {one["name"]: one for one in images.described()}
    chosen = [described[name] for name in survey.config.publish.images if name in described]
    for one in chosen:
        tell(f"Tiles of the image: {one['title']}")
        tile_archives.write_image(here / "tiles" / f"{one['name']}.pmtiles", survey, images, one["name"])
    return chosen


def _stac(here: Path, survey: Survey) -> None:
    rows = downloads.listed(here)
    # collection, item's folder, item
    files = {f"../../{row['address']}": here / row["address"] for row in rows if row["megabytes"]}
    stac.write(here / "stac", survey, files, about.texts(survey))


def _page(here: Path, survey: Survey, frame: gpd.GeoDataFrame, observed: Observed, maplibre: Path) -> None:
    sources = [
        *(
            path
            for path in sorted(site.PAGE.iterdir())
            if path.suffix in site.KINDS and path.name not in _NOT_PUBLISHED
        ),
        *(maplibre / name for name in site.MAPLIBRE),
        *(_HERE / name for name in _OWN),
    ]
    for path in sources:
        shutil.copyfile(path, here / path.name)
    texts = about.texts(survey)
    told = {
        "policy": POLICY,
        "edition": _edition(here),
        "title": texts["title"],
        "disclaimer": texts["disclaimer"],
        "facts": about.facts(survey, frame, observed, texts),
        "downloads": downloads.listed(here),
    }
    (here / "index.html").write_text(site.html(told), encoding="utf-8")


def _edition(here: Path) -> str:
    """Return a word that changes with the data of the page."""
    parts = [folder.checksum(path) for name in ("data", "tiles") for path in sorted((here / name).iterdir())]
    return digest(parts)
