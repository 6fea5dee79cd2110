"""A survey that a newer release wrote is refused in one sentence, by every command that opens it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import lsbatch
from lsbatch.catalog import survey_version
from lsbatch.cli import program
from lsbatch.commands import run
from lsbatch.errors import StaleStoreError
from lsbatch.storage.workspace import Workspace
from tests import surveys

COMMANDS = ("plan", "run", "status", "retry --all", "verify", "evaluate", "review", "sample", "assess")


def release(major: int, minor: int, patch: int = 0) -> str:
    return f"{major}.{minor}.{patch}"


OURS = tuple(int(part) for part in lsbatch.__version__.split(".")[:2])
NEWER = (release(OURS[0], OURS[1] + 1), release(OURS[0] + 1, 0), f"{release(OURS[0], OURS[1] + 1)}rc1")
KNOWN = (lsbatch.__version__, release(*OURS, patch=99), release(0, 0, 9), f"{release(*OURS)}.dev3")


@pytest.fixture
def written(planned_survey, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """Settings file of a planned survey."""
    config = planned_survey.config
    surveys.copy_survey(planned_survey, tmp_path / "survey")
    path = tmp_path / "survey.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json") | {"output": str(tmp_path / "survey")}))
    return path


def folder(path: Path) -> Path:
    return path.parent / "survey"


def write(path: Path, version: object) -> None:
    survey_version.file(folder(path)).write_text(json.dumps({"lsbatch": version}))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_survey_of_a_newer_release(written: Path, command: str) -> None:
    write(written, NEWER[0])
    before = sorted(path for path in folder(written).rglob("*") if "lease" not in path.parts)
    ended = CliRunner().invoke(program.app, [*command.split(), str(written)])
    # `main` turns it into a sentence and exit code 2
    assert isinstance(ended.exception, StaleStoreError), ended.output
    assert f"was written by lsbatch {NEWER[0]}, which is newer than this one ({lsbatch.__version__})" in str(
        ended.exception
    )
    assert sorted(path for path in folder(written).rglob("*") if "lease" not in path.parts) == before


@pytest.mark.parametrize("newer", NEWER)
def test_a_newer_release_is_refused(tmp_path: Path, newer: str) -> None:
    survey_version.file(tmp_path).write_text(json.dumps({"lsbatch": newer}))
    for refuse in (survey_version.check, survey_version.record):
        with pytest.raises(StaleStoreError, match="newer"):
            refuse(tmp_path)
    assert json.loads(survey_version.file(tmp_path).read_text()) == {"lsbatch": newer}


@pytest.mark.parametrize("known", KNOWN)
def test_this_release_and_older_ones_are_continued(tmp_path: Path, known: str) -> None:
    survey_version.file(tmp_path).write_text(json.dumps({"lsbatch": known}))
    survey_version.check(tmp_path)
    survey_version.record(tmp_path)
    assert json.loads(survey_version.file(tmp_path).read_text()) == {"lsbatch": lsbatch.__version__}


def test_a_survey_without_the_file_is_an_older_one(tmp_path: Path) -> None:
    survey_version.check(tmp_path)
    survey_version.record(tmp_path)
    assert survey_version.file(tmp_path).exists()


DAMAGED = {
    "empty": "", "list": "[]", "object": "{}", "number": '{"lsbatch": 3}', "word": '{"lsbatch": "soon"}',
    "null": "null",
    "long number": json.dumps({"lsbatch": "9" * 4000}),
    "longer number": json.dumps({"lsbatch": "9" * 5000}),
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    survey_version.file(tmp_path).write_text(content)
    with pytest.raises(StaleStoreError, match=r"version\.json: is damaged"):
        survey_version.check(tmp_path)


def test_the_folder_of_a_newer_survey_is_refused_before_its_settings_are_read(written: Path) -> None:
    Workspace(folder(written)).settings.write_text("a_setting_of_later: 1\n")
    write(written, NEWER[0])
    with pytest.raises(StaleStoreError, match="newer"):
        lsbatch.open_survey(folder(written))


def test_a_run_records_its_release(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception): ...

    def stop(*args: object, **kwargs: object) -> None:
        raise Stopped

    survey_version.file(folder(written)).unlink(missing_ok=True)
    monkeypatch.setattr(run, "planned", stop)
    with pytest.raises(Stopped):
        run.survey(lsbatch.settings.load(written), surveys.Count())  # type: ignore[arg-type]
    assert json.loads(survey_version.file(folder(written)).read_text()) == {"lsbatch": lsbatch.__version__}
