"""Read a survey back and compare it with the checksums in its receipts."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lsbatch.catalog.survey import Survey
from lsbatch.engine.todo import steps
from lsbatch.grid import tile_id
from lsbatch.pipeline.types import Stage
from lsbatch.storage import cube, objects, receipts
from lsbatch.storage.receipts import Receipt


@dataclass(frozen=True)
class Wrong:
    """A tile whose data differ from its receipt."""

    stage: str
    tile: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """Number of matching tiles and of receipts without checksums, and the tiles that differ."""

    right: int
    wrong: tuple[Wrong, ...]
    unknown: int


def tiles(survey: Survey) -> Findings:
    """Check every layer and part of all completed tiles, on all cores."""
    calls = list(_checks(survey))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(lambda call: call(), calls))
    wrong = tuple(one for one in found if isinstance(one, Wrong))
    return Findings(sum(one is True for one in found), wrong, sum(one is None for one in found))


def _checks(survey: Survey) -> Iterator[Callable[[], Wrong | bool | None]]:
    for stage in steps(survey.config):
        if not isinstance(stage, Stage):
            continue
        done = receipts.read_stage(survey.workspace.receipts, stage.name)
        for position in survey.positions:
            receipt = done.get(tile_id(*position))
            if receipt:
                yield lambda stage=stage, position=position, receipt=receipt: _check(survey, stage, position, receipt)  # type: ignore[misc]


def _check(survey: Survey, stage: Stage, position: tuple[int, int], receipt: Receipt) -> Wrong | bool | None:
    layer = stage.writes(survey.config)
    if not receipt.sums:
        # an empty part has no files; a layer without checksums was made by an older version
        return None if layer is not None else True
    try:
        if layer is not None:
            now = cube.sums(survey.workspace.store, layer, survey.tile(position))
        else:
            now = {name: receipts.checksum(survey.workspace.part(stage.name, name, "")) for name in receipt.sums}
    except Exception as error:
        # any error of a decoder, caused by a truncated or overwritten file
        fault = objects.as_os_error(error) or error
        return Wrong(
            stage.name,
            receipt.tile,
            f"cannot be read back: {type(error).__name__}: {' '.join(str(fault).split())[:200]}",
        )
    bad = sorted(name for name, value in receipt.sums.items() if now.get(name) != value)
    return Wrong(stage.name, receipt.tile, f"differs from what was written: {', '.join(bad)}") if bad else True
