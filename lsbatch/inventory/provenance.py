"""Table of the scenes behind the landslide records: orbit, processing baseline and offset."""

from collections.abc import Iterable, Iterator

import pandas as pd

from lsbatch.catalog import plan
from lsbatch.catalog.items.scenes import Scene
from lsbatch.catalog.survey import Survey
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt

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


def scenes(survey: Survey, tiles: Iterable[str]) -> pd.DataFrame:
    """Return one row for each tile and planned scene, ordered by tile, window and time.

    `looks` is `pre_s2`, `post_s2`, `pre_s1`, `post_s1` or `dem`. `used` is `yes` or `no`, and `reason` says why a scene
    was not used.
    """
    done = receipts.read_stage(survey.workspace.receipts, "stack")
    rows = [row for tile in sorted(tiles) for row in _of_tile(survey, done[tile])]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"relative_orbit": "Int64"})


def _of_tile(survey: Survey, receipt: Receipt) -> Iterator[dict[str, object]]:
    for looks, planned in plan.tile_scenes(survey.config.output, receipt.tile).items():
        for scene in sorted(planned, key=_when):
            # error messages about a scene start with its id
            reason = next((text for text in receipt.dropped if text.startswith(f"{scene.id}: ")), "")
            used = "yes" if scene.id in receipt.scenes else "no"
            row = {"tile": receipt.tile, "scene": scene.id, "looks": looks, "used": used, "reason": reason}
            yield row | {name: getattr(scene, name) for name in _OF_SCENE}


def _when(scene: Scene) -> tuple[str, str]:
    return scene.time, scene.id
