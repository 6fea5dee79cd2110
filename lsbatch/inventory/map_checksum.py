"""Checksum of the landslide map of a survey. Other files store it to identify their map."""

import hashlib
from collections.abc import Mapping

from lsbatch.bands import mask
from lsbatch.catalog.survey import Position, Survey
from lsbatch.errors import NoDataError
from lsbatch.grid import tile_id
from lsbatch.storage import cube, files, receipts


def digest(survey: Survey) -> str:
    """Return 16 hex digits of the map, from its layer name and the checksums of its tiles.

    Raises
    ------
    NoDataError
        If there is no map.
    """
    return combine(survey, tile_sums(survey))


def combine(survey: Survey, sums: Mapping[Position, str]) -> str:
    lines = [
        mask(survey.config.model.family).name,
        *(f"{tile_id(*position)} {one}" for position, one in sorted(sums.items())),
    ]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def tile_sums(survey: Survey) -> dict[Position, str]:
    """Return the checksum of the mask of each surveyed tile."""
    layer, store = mask(survey.config.model.family), survey.workspace.store
    done = receipts.read_stage(survey.workspace.receipts, "clean")
    found = {position: done[tile_id(*position)] for position in survey.positions if done.get(tile_id(*position))}
    if not found or not files.exists(store / layer.name / "zarr.json"):
        raise NoDataError(
            f"{survey.config.output}: has no landslide map of the model {survey.config.model.family} yet; run "
            "'lsbatch run' first"
        )
    return {
        position: receipt.sums.get("landslide") or cube.sums(store, layer, survey.tile(position))["landslide"]
        for position, receipt in found.items()
    }
