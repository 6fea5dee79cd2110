"""Questions at the terminal."""

import sys
from typing import Any, Protocol

import typer

from lsbatch.errors import ConfigError


class Question(Protocol):
    """What is asked: see `lsbatch.commands.init.Question`."""

    @property
    def flag(self) -> str: ...

    @property
    def words(self) -> str: ...

    @property
    def default(self) -> str | None: ...

    def check(self, text: str) -> Any: ...


def answer(question: Question, given: str | None) -> Any:
    """Return the checked answer to a question: the given one, one that a person types, or the default.

    A wrong answer that was typed is asked for again.

    Raises
    ------
    ConfigError
        If the given answer is wrong, or there is none, no default and no terminal.
    """
    if given is not None:
        return question.check(given)
    if not sys.stdin.isatty():
        if question.default is None:
            raise ConfigError(f"--{question.flag} is missing. {question.words}")
        return question.check(question.default)
    while True:
        try:
            return question.check(typer.prompt(question.words, default=question.default).strip())
        except ConfigError as error:
            print(error)
