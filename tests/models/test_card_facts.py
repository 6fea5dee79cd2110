"""What `lsbatch models show` says of a card."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lsbatch.cli import program
from lsbatch.errors import ModelError
from lsbatch.kernels.statistics import score_intervals
from lsbatch.models import base, card_facts, cards
from lsbatch.models.export import onnx
from lsbatch.models.model_card import Card
from tests import networks
from tests.models.conftest import make_card

PACKAGED = sorted(path.stem for path in base.PACKAGED.glob("*.safetensors"))


def texts(found: Any) -> list[str]:
    """The lines that the command prints."""
    lines = []
    for heads, rows in card_facts.tables(found):
        widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
        lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)]
    return lines + card_facts.notes(found)


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_card_fits_80_columns(name: str) -> None:
    card = base.card(base.named(f"package:{name}"))
    found = card_facts.facts(card)
    lines = texts(found)
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    assert any(card.checksum in line for line in lines)
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))


def test_facts_are_those_of_the_card() -> None:
    card = base.card(base.named("package:unet-s1_change"))
    found = card_facts.facts(card)
    assert found["learned_from"]["surveys"] == list(card.made_by["surveys"])
    test = found["scores"]["test"]
    for name in score_intervals.MEASURES:
        assert test[name]["value"] == pytest.approx(card.scores["test"][name])
    rows = "".join(row for survey in card.made_by["split"]["surveys"].values() for row in survey["rows"])
    assert found["split"]["blocks"] == {
        "train": rows.count("t"),
        "validation": rows.count("v"),
        "test": rows.count("x"),
    }
    assert card.applicability is not None
    assert found["applicability"]["limit"] == card.applicability.limit
    assert "means" not in found["applicability"], "they need the sample, which is not in the card"


def test_intervals_of_pixels_are_those_of_wilson() -> None:
    """By the formula in his paper of 1927, written out."""
    card = replace(make_card(3, 4), scores={"test": {"tp": 80, "fp": 20, "fn": 40, "tn": 1000}})
    test = card_facts.facts(card)["scores"]["test"]
    z = 1.959963984540054
    for name, hits, of in (("precision", 80, 100), ("recall", 80, 120)):
        share = hits / of
        middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
        half = z / (1 + z**2 / of) * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
        assert test[name] == pytest.approx({"value": share, "low": middle - half, "high": middle + half})
    assert test["mcc"]["low"] is None
    assert "as if pixels were independent" in " ".join(card_facts.notes(card_facts.facts(card)))


def test_intervals_of_blocks_are_those_of_the_bootstrap() -> None:
    dice = np.random.default_rng(0)
    blocks = dice.integers(1, 200, (12, 4))
    counts = dict(zip(card_facts.COUNTS, blocks.sum(axis=0).tolist(), strict=True))
    card = replace(make_card(3, 4), scores={"test": {**counts, "blocks": blocks.tolist()}})
    test = card_facts.facts(card)["scores"]["test"]
    for name, (low, high) in zip(score_intervals.MEASURES, score_intervals.intervals(blocks), strict=True):
        assert (test[name]["low"], test[name]["high"]) == (low, high)
    assert test["blocks"] == 12
    assert card_facts.notes(card_facts.facts(card))[0] == "Intervals: bootstrap of whole blocks."


def test_a_card_of_public_sets_names_their_licences() -> None:
    sets = [{"name": "sen12landslides", "licence": "CC BY 4.0", "patches": {"train": 100, "test": 20}}]
    card = replace(make_card(3, 4), made_by={"surveys": [], "chip_sets": sets, "energy_kwh": 0.25, "reviewed": 12})
    lines = texts(card_facts.facts(card))
    assert "set sen12landslides  licence CC BY 4.0, patches (train 100, test 20)" in lines
    assert any(line.startswith("energy, kWh") and line.endswith("0.25") for line in lines)
    assert any(line.startswith("reviewed") and line.endswith("12") for line in lines)
    assert not any("energy" in line for line in texts(card_facts.facts(make_card(3, 4)))), "nothing is made up"


@pytest.mark.parametrize("odd", [None, 3, "x", [1], {"surveys": 3, "split": {"surveys": [1]}, "chip_sets": {"a": 1}}])
def test_odd_cards_are_shown(odd: Any) -> None:
    of = Card("unet", ("preVV",), (0.0,), (1.0,), {"depth": 1}, 4, 2, settings=odd, scores=odd, made_by=odd)
    assert texts(card_facts.facts(of))
    scores = {"test": odd, "validation": {"tp": -1, "fp": "x", "fn": 0, "tn": 0}}
    assert texts(card_facts.facts(replace(of, scores=scores)))
    scores = {"test": {"tp": 10**40, "fp": 1, "fn": 1, "tn": 1}}
    assert card_facts.facts(replace(of, scores=scores))["scores"]["test"] == {}
    blocks = {"tp": 1, "fp": 1, "fn": 1, "tn": 1, "blocks": odd}
    assert card_facts.facts(replace(of, scores={"test": blocks}))["scores"]["test"]["blocks"] == 0


def test_an_item_tells_the_same_as_the_weights_it_was_written_from(tmp_path: Path) -> None:
    """Of the weights: origin, scores, where they may be believed. Validated by stac-model in `test_onnx`."""
    path = base.named("package:unet-s1_change")
    card = base.card(path)
    said = onnx.item(card, tmp_path / "blur.onnx", onnx.datetime(2026, 1, 1, tzinfo=onnx.UTC))
    bands = list(card.bands)
    made = networks.blur(np.zeros((1, 4, 3, 3), np.float32), given=["n", 4, "h", "w"], result=["n", 1, "h", "w"])
    made.graph.node.append(networks.helper.make_node("Squeeze", ["found", "axis"], ["flat"]))
    made.graph.initializer.append(networks.numpy_helper.from_array(np.array([1]), "axis"))
    made.graph.output[0].CopyFrom(networks.helper.make_tensor_value_info("flat", 1, ["n", "h", "w"]))
    ours, theirs = (card_facts.facts(each) for each in (card, cards.card(networks.write(tmp_path, made, said))))
    assert theirs["bands"] == bands
    same = ("learned_from", "scores", "software", "torch", "halo_px", "lattice_px")
    assert {key: theirs[key] for key in same} == {key: ours[key] for key in same}
    assert theirs["applicability"] == json.loads(json.dumps(ours["applicability"]))


def run(*words: str) -> str:
    done = CliRunner().invoke(program.app, ["models", *words], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_command(tmp_path: Path) -> None:
    assert "precision" in run("show", "package:unet-s1vv_s2")
    assert json.loads(run("show", str(networks.write(tmp_path)), "--json"))["family"] == "onnx"
    helped = run("--help")
    assert "show" in helped
    assert "List model families, band settings and packaged weights" in helped
    with pytest.raises(ModelError, match="the packaged weights are package:"):
        run("show", "package:none")
    assert "package:unet-s1vv_s2" in run(), "without a word it lists"
