"""From a survey and weights to better weights, and what is refused before any STACK is computed."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lsbatch import settings
from lsbatch.catalog.survey import Survey
from lsbatch.cli import program
from lsbatch.commands import run, train
from lsbatch.errors import ConfigError, ModelError
from lsbatch.models import base
from tests import surveys
from tests.commands.test_train import Lines

TRAIN: dict[str, Any] = {"width": 4, "depth": 2, "epochs": 1, "block_px": 128, "chip_px": 64, "batch": 4}


def _config(survey: Survey, **changes: Any) -> settings.Config:
    """Settings of a survey with another training."""
    raw = survey.config.model_dump(mode="json") | {"train": TRAIN | changes}
    return settings.parse(raw, survey.config.output)


def test_a_survey_improves_weights(stacked_survey: Survey, tmp_path: Path) -> None:
    """Hardly trained: this shows the path and not how good it is."""
    survey = surveys.copy_survey(stacked_survey, tmp_path / "s")
    first, second, screen = tmp_path / "first.safetensors", tmp_path / "second.safetensors", Lines()
    train.train([_config(survey)], screen, out=first, fresh=False)
    config = _config(survey, width=8, freeze_levels=1)
    train.train([config], screen, out=second, fresh=False, extras=train.Extras(first))
    assert "first.safetensors has width 4; the settings have width 8, not used" in screen.said
    before, after = base.card(first), base.card(second)
    assert after.network["width"] == after.settings["width"] == 4
    assert after.made_by["started_from"] == {"file": first.name, "checksum": before.checksum}
    # the digest of the training knows its start
    assert after.made_by["learned"] == train.learned([_config(survey, freeze_levels=1)], False, start=first)
    assert after.made_by["learned"] != train.learned([_config(survey, freeze_levels=1)], False)
    base.check(after, config)
    train.find_rate([config], screen, out=tmp_path / "third.safetensors", extras=train.Extras(first))
    assert screen.said[-1].startswith("Suggested learning rate: set train.learning_rate to ")
    assert not list(tmp_path.glob("third*"))


def _other_family(survey: Survey, name: str) -> settings.Config:
    model = survey.config.model.model_copy(update={"family": name, "weights": None})
    return survey.config.model_copy(update={"model": model})


def test_what_cannot_be_improved(stacked_survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> int:
        raise AssertionError("STACK was computed")

    monkeypatch.setattr(run, "survey", never)
    weights = base.named("package:unet-s1vv")
    for config, start, error, says in (
        (stacked_survey.config, weights, ModelError, "for the same bands in the same order"),
        (_other_family(stacked_survey, "cart"), weights, ConfigError, "--from is for networks"),
        (_config(stacked_survey, freeze_levels=1), None, ConfigError, "name the weights with --from"),
    ):
        with pytest.raises(error, match=says):
            train.train([config], Lines(), out=None, fresh=False, extras=train.Extras(start))
    with pytest.raises(ConfigError, match="--find-rate is for networks"):
        train.find_rate([_other_family(stacked_survey, "cart")], Lines(), out=None)


def test_the_command_passes_its_options(
    stacked_survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = tmp_path / "survey.yaml", []
    path.write_text(settings.to_yaml(stacked_survey.config), encoding="utf-8")
    for name in ("train", "find_rate"):
        monkeypatch.setattr(train, name, lambda *words, name=name, **options: found.append((name, options)))
    start = base.named("package:unet-s1vv_s2")
    for options in ([], ["--from", "package:unet-s1vv_s2"], ["--from", str(start), "--find-rate"]):
        assert CliRunner().invoke(program.app, ["train", str(path), *options]).exit_code == 0
    assert found == [
        ("train", {"out": None, "fresh": False, "extras": train.Extras()}),
        ("train", {"out": None, "fresh": False, "extras": train.Extras(start)}),
        ("find_rate", {"out": None, "extras": train.Extras(start)}),
    ]
    done = CliRunner().invoke(program.app, ["train", str(path), "--from", "absent.safetensors"])
    assert isinstance(done.exception, ModelError)
    assert str(done.exception).startswith("--from = 'absent.safetensors': this file does not exist")
