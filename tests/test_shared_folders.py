"""Folders that all test processes of a session share."""

import multiprocessing
import os
from pathlib import Path

import pytest

from tests import shared_folders


def fill(folder: Path) -> None:
    folder.mkdir()
    (folder / f"{os.getpid()}").touch()


class Factory:
    """A process's own folder below that of the session."""

    def __init__(self, own: Path) -> None:
        self.own = own

    def getbasetemp(self) -> Path:
        return self.own


def in_a_process(session: Path, number: int) -> None:
    os.environ["PYTEST_XDIST_WORKER"] = f"gw{number}"
    (session / f"gw{number}").mkdir()
    shared_folders.made_once(Factory(session / f"gw{number}"), "x", fill)  # type: ignore[arg-type]


def test_one_process_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=in_a_process, args=(tmp_path, number)) for number in range(3)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert [each.exitcode for each in running] == [0, 0, 0]
    assert len(list((tmp_path / "shared-x").iterdir())) == 1


def test_what_failed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def fail(folder: Path) -> None:
        fill(folder)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        shared_folders.made_once(Factory(tmp_path), "x", fail)  # type: ignore[arg-type]
    assert shared_folders.made_once(Factory(tmp_path), "x", fill) == tmp_path / "shared-x"  # type: ignore[arg-type]
    assert len(list((tmp_path / "shared-x").iterdir())) == 1
