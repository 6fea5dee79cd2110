"""The command line, called as the program calls it."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lsbatch import cli
from lsbatch.catalog import http
from lsbatch.imagery import scene_reading


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """Exit code 2 and one line that holds the words; nothing that a terminal would obey."""
        assert self.code == 2, self
        assert self.err.startswith("lsbatch: "), self
        assert self.err.endswith("\n"), self
        assert self.err[:-1].isprintable(), self
        assert len(self.err) < 2000, len(self.err)
        for word in words:
            assert word in self.err, self

    def safe(self) -> None:
        """Nothing in the output that a terminal would obey."""
        assert all(line.isprintable() for line in (self.out + self.err).split("\n")), self


@pytest.fixture
def lsbatch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The real command line in this process: a process of its own would take 3 s for each row of a table."""

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lsbatch", *words])
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_reading, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(http, "WAIT_S", 0.001)
