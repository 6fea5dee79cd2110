"""What `lsbatch run` tells about the place where the weights may be believed, before hours are spent and at the end."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from lsbatch.catalog.survey import Position, Survey
from lsbatch.engine import tile_task
from lsbatch.engine.execution import Progress
from lsbatch.engine.todo import Todo
from lsbatch.errors import LsbatchError
from lsbatch.grid import tile_id
from lsbatch.models.applicability import described
from lsbatch.pipeline import applicability, applicability_messages
from lsbatch.storage import receipts
from lsbatch.storage.receipts import Receipt

#: Tiles of STACK after which a run looks at their pixels.
FIRST_TILES = 3


class Watch:
    """Progress of a run that also tells what is unlike the training: after the first tiles, and after all."""

    def __init__(self, survey: Survey, progress: Progress, text: Callable[[str], None]) -> None:
        self._survey, self._progress, self._text = survey, progress, text
        self._positions = {tile_id(*position): position for position in survey.positions}
        self._first: list[Position] = []
        self._has_description = described(survey.config) is not None

    @property
    def progress(self) -> Progress:
        """Return the callbacks for `lsbatch.engine.execution.run`."""
        if not self._has_description:
            return self._progress
        return replace(self._progress, done=self._done, ends=self._ends)

    def _ends(self, name: str, todo: Todo | None) -> None:
        self._progress.ends(name, todo)
        if name == applicability.STAGE.name:
            self._tell(applicability_messages.of_pixels(self._survey.config, *done(self._survey)))

    def _done(self, receipt: Receipt) -> None:
        self._progress.done(receipt)
        # a survey of a few tiles is told when all are compared
        if receipt.stage != "stack" or not receipt or len(self._positions) <= FIRST_TILES:
            return
        self._first.append(self._positions[receipt.tile])
        if len(self._first) == FIRST_TILES:
            self._tell(first_look(self._survey, self._first))

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._text(line)


def first_look(survey: Survey, positions: Iterable[Position]) -> list[str]:
    """Return what is unlike the training in the STACK of some tiles; nothing is written."""
    try:
        tallies = [
            tile_task.compute(survey.config, survey.grid, applicability.STAGE, position).tally for position in positions
        ]
    except (LsbatchError, OSError) as error:
        # the stage itself will fail for the tile, or will read it later
        return [f"The first tiles could not be compared with the training: {error}"]
    found = applicability.summary(tallies)
    return applicability_messages.of_pixels(survey.config, found, f"the first {len(tallies)} tiles")


def done(survey: Survey) -> tuple[applicability.Summary, str]:
    """Return the summary of the tiles that are done, and in words which they are; receipts are read once."""
    found = receipts.read_stage(survey.workspace.receipts, applicability.STAGE.name)
    tiles = [tile_id(*position) for position in survey.positions]
    count = sum(bool(found.get(tile)) for tile in tiles)
    where = "the survey" if count == len(tiles) else f"{count} of {len(tiles)} tiles"
    return applicability.of_receipts(found, tiles), where


def final(survey: Survey) -> list[str]:
    """Return the sentence at the end of a run; none if the weights do not describe their training."""
    if described(survey.config) is None:
        return []
    found, where = done(survey)
    return [applicability_messages.share(survey.config, found, where)] if found.known_px else []
