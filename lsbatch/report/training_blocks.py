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
    trained_on = [str(name) for name in card.made_by.get("surveys", ())]
    survey_id = survey.config.survey.id
    split = card.made_by.get("split", {})
    own_split = split.get("surveys", {}).get(survey_id)
    if own_split is not None and own_split["bounds"] == list(survey.grid.bounds):
        text = (
            "The weights were trained on the training blocks of this survey; the validation blocks decided when to "
            "stop. Scores in these blocks do not show the accuracy on new ground: lsbatch compare counts only the "
            "test blocks."
        )
        return {"text": text, "blocks": _blocks(own_split["rows"], split["block_px"], frame)}
    if survey_id in trained_on:
        return {
            "text": (
                "The weights were trained on all of this survey. These scores do not show the accuracy on new ground."
            ),
            "blocks": [],
        }
    if not trained_on:
        return {"text": "", "blocks": []}
    more = f" and {len(trained_on) - NAMED} more" if len(trained_on) > NAMED else ""
    return {
        "text": f"The weights were trained on other surveys ({', '.join(trained_on[:NAMED])}{more}), not on this one.",
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
