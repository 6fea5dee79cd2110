"""The training area of the weights in the report."""

from dataclasses import replace

import numpy as np
import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.commands import train
from lsbatch.models import cards, cart
from lsbatch.models.training import spatial_split
from lsbatch.report import overview_map as maps
from lsbatch.report import training_blocks


@pytest.fixture
def survey(stacked_survey: Survey) -> Survey:
    config = stacked_survey.config
    return Survey(
        config.model_copy(update={"train": config.train.model_copy(update={"block_px": 128, "chip_px": 64})}),
        stacked_survey.grid,
        stacked_survey.positions,
    )


def card(**made_by: object) -> cards.Card:
    return replace(cart.card(("preVV", "postVV")), made_by=made_by)


def test_the_drawn_blocks_are_the_blocks_of_the_split(survey: Survey) -> None:
    source = train.source(survey.config)
    dealt = spatial_split.split_blocks([source], survey.config.train)
    frame = maps.frame(survey.grid, survey.grid.geobox.extent.geom)
    facts = training_blocks.facts(
        card(surveys=[source.name], split=spatial_split.describe_split([source], dealt)), survey, frame
    )
    assert "counts only the test blocks" in facts["text"]
    # a picture painted from the rectangles is the split, pixel by pixel
    drawn = np.full(survey.grid.shape, -1)
    scale = survey.grid.tile_px / frame.cell
    for block in facts["blocks"]:
        row, col = (round((block[key] + edge) * scale) for key, edge in (("y", frame.top), ("x", frame.left)))
        side = round(block["side"] * scale)
        drawn[row : row + side, col : col + side] = ["training", "validation", "test"].index(block["share"])
    whole = tuple(slice(0, size) for size in survey.grid.shape)
    np.testing.assert_array_equal(drawn, dealt.pixels(0, *whole))
    assert {block["share"] for block in facts["blocks"]} == {"training", "validation", "test"}


def test_the_text_if_no_block_was_held_out(survey: Survey) -> None:
    frame = maps.frame(survey.grid, survey.grid.geobox.extent.geom)
    mine = survey.config.survey.id
    assert "trained on all of this survey" in training_blocks.facts(card(surveys=[mine]), survey, frame)["text"]
    moved = {"block_px": 128, "surveys": {mine: {"bounds": [0, 0, 1, 1], "rows": ["t"]}}}
    assert training_blocks.facts(card(surveys=[mine], split=moved), survey, frame)["blocks"] == []
    elsewhere = training_blocks.facts(card(surveys=["a", "b", "c", "d", "e"]), survey, frame)
    assert elsewhere == {
        "text": "The weights were trained on other surveys (a, b, c and 2 more), not on this one.",
        "blocks": [],
    }
    assert training_blocks.facts(card(), survey, frame) == {"text": "", "blocks": []}
