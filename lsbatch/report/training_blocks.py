"""The training area of the weights: text and blocks for the report."""

from typing import Any

from lsbatch.catalog.survey import Survey
from lsbatch.models.cards import Card
from lsbatch.models.training.spatial_split import LETTERS, TEST, TRAIN, VALIDATION
from lsbatch.report.overview_map import Frame

NAMES = {LETTERS[TRAIN]: "training", LETTERS[VALIDATION]: "validation", LETTERS[TEST]: "test"}
#: Largest number of surveys that the text names; the rest are counted.
NAMED = 3


def facts(card: Card, survey: Survey, frame: Frame) -> dict[str, Any]:
    """Return a text, and for each block its rectangle in map pixels and its split."""
    learned = [str(name) for name in card.made_by.get("surveys", ())]
    mine = survey.config.survey.id
    split = card.made_by.get("split", {})
    own = split.get("surveys", {}).get(mine)
    if own is not None and own["bounds"] == list(survey.grid.bounds):
        text = (
            "The weights learned from this survey, from the blocks marked training; those marked validation chose when "
            "to stop. Scores there "
            "say nothing about ground that nobody has seen: lsbatch compare counts the test blocks alone."
        )
        return {"text": text, "blocks": _blocks(own["rows"], split["block_px"], frame)}
    if mine in learned:
        return {
            "text": (
                "The weights learned from this survey, all of it: these scores say nothing about ground that "
                "nobody has seen."
            ),
            "blocks": [],
        }
    if not learned:
        return {"text": "", "blocks": []}
    more = f" and {len(learned) - NAMED} more" if len(learned) > NAMED else ""
    return {
        "text": f"The weights learned elsewhere ({', '.join(learned[:NAMED])}{more}), from nothing of this survey.",
        "blocks": [],
    }


def _blocks(rows: list[str], block_px: int, frame: Frame) -> list[dict[str, Any]]:
    side = block_px * frame.cell / frame.grid.tile_px
    return [
        {
            "x": round(col * side - frame.left, 1),
            "y": round(row * side - frame.top, 1),
            "side": round(side, 1),
            "share": NAMES[letter],
        }
        for row, letters in enumerate(rows)
        for col, letter in enumerate(letters)
        if letter in NAMES
    ]
